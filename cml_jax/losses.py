"""Losses, written for one example and vmapped by the caller; terms of the whole batch are named for it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from cml_jax.geometry import squared_distance, to_sphere
from cml_jax.types import Array


def triplet_loss(user: Array, positive: Array, negatives: Array, margin: Array | float) -> Array:
    """Triplet hinge on squared distances; of several negatives the one closest to the user counts.

    max(0, m + d(u, p)^2 - min_n d(u, n)^2)  (Hsieh et al. 2017, eq. 1; Tran et al. 2019, eq. 1).

    Args:
      user: Array[D].
      positive: Array[D].
      negatives: Array[N, D].
      margin: m, in units of squared distance.

    Returns:
      Scalar.
    """
    to_positive = squared_distance(user, positive)
    to_negative = jnp.min(squared_distance(user[None, :], negatives))
    return jnp.maximum(0.0, margin + to_positive - to_negative)


def softmax_loss(
    user: Array,
    positive: Array,
    candidates: Array,
    valid: Array,
    temperature: Array | float,
    decoupled: bool = False,
) -> Array:
    """Soft second stage: every candidate weighted at once instead of one drawn.

    -log( exp(cos(u, p) / t) / (exp(cos(u, p) / t) + sum_c exp(cos(u, c) / t)) ), c over the valid candidates.

    Decoupled, the positive is not in the sum (Yeh et al. 2022, "Decoupled Contrastive Learning", eq. 6): it is then
    drawn to the user with the same force however near it already is.

    Args:
      user: Array[D].
      positive: Array[D].
      candidates: Array[C, D].
      valid: Array[C] bool; False for empty slots and the user's known positives.
      temperature: t.
      decoupled: whether the positive is left out of the sum.

    Returns:
      Scalar; 0 where no candidate is valid.
    """
    user, positive, candidates = to_sphere(user), to_sphere(positive), to_sphere(candidates)
    own = jnp.dot(user, positive) / temperature
    others = jnp.where(valid, candidates @ user / temperature, -jnp.inf)
    if not decoupled:
        return jnp.logaddexp(own, jax.nn.logsumexp(others)) - own
    some = jnp.any(valid)
    others = jnp.where(some, others, 0.0)  # or the gradient of what does not count would not be finite
    return jnp.where(some, jax.nn.logsumexp(others) - own, 0.0)


def bpr_loss(user: Array, positive: Array, negatives: Array, l2_weight: Array | float) -> Array:
    """Bayesian personalised ranking of inner products (Rendle et al. 2009, BPR-OPT): what CML is compared with.

    mean_n -log sigma(<u, p> - <u, n>) + w / 2 (||u||^2 + ||p||^2 + mean_n ||n||^2).

    Args:
      user: Array[D].
      positive: Array[D].
      negatives: Array[N, D].
      l2_weight: w.

    Returns:
      Scalar.
    """
    pairs = jax.nn.softplus(negatives @ user - jnp.dot(user, positive))
    sizes = jnp.dot(user, user) + jnp.dot(positive, positive) + jnp.mean(jnp.sum(jnp.square(negatives), axis=1))
    return jnp.mean(pairs) + 0.5 * l2_weight * sizes


def gor(products: Array, weights: Array, dim: int, total: Callable[[Array], Array] = jnp.sum) -> Array:
    """Global Orthogonal Regularisation of non-matching pairs, in mean form (Zhang et al. 2017, section 3.2).

    M1^2 + max(0, M2 - 1/D), where M1 and M2 are the mean and the mean square of the inner products: two random points
    of the sphere have mean 0 and mean square 1/D.

    Args:
        products: Array[...], inner products of non-matching pairs.
        weights: Array[...] of 0 and 1, of the same shape; pairs of weight 0 are left out of the means.
        dim: D.
        total: the sum over the batch; see `sharding.total` where devices hold parts of it.

    Returns:
        Scalar; 0 where all weights are 0.
    """
    count = jnp.maximum(total(weights), 1.0)
    first = total(weights * products) / count
    second = total(weights * jnp.square(products)) / count
    return jnp.square(first) + jnp.maximum(0.0, second - 1.0 / dim)


def gor_sum(products: Array, weights: Array, dim: int, total: Callable[[Array], Array] = jnp.sum) -> Array:
    """The released code's form of the GOR term, for one kind of pair: sums where the paper has means.

    S1^2 + max(0, S2 - n/D), where S1 and S2 are the sum and the sum of squares over the n triplets of the largest inner
    product among the triplet's negatives (code of Tran et al. 2019). With B triplets the first part is B^2 times and
    the second B times what the mean form gives.

    Args:
        products: Array[B, N], inner products of the users, or of the positives, with their negatives.
        weights: Array[B, N] of 0 and 1; pairs of weight 0 are left out.
        dim: D.
        total: as for `gor`.

    Returns:
        Scalar; 0 where all weights are 0.
    """
    counted = jnp.max(weights, axis=1)
    largest = jnp.max(jnp.where(weights > 0, products, -jnp.inf), axis=1)
    largest = jnp.where(counted > 0, largest, 0.0)
    first, second = total(largest), total(jnp.square(largest))
    return jnp.square(first) + jnp.maximum(0.0, second - total(counted) / dim)
