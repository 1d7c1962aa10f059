"""Global Orthogonal Regularisation, a term of the whole batch."""

from collections.abc import Callable

import jax.numpy as jnp

from cml_jax.types import Array

GOR_FORMS = ("mean", "sum")


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


def gor_penalty(
    form: str,
    users: Array,
    positives: Array,
    others: Array,
    valid: Array,
    total: Callable[[Array], Array] = jnp.sum,
) -> Array:
    """The GOR term of a batch: that of the users and of the positives with the other items (Tran et al. 2019, eq. 5).

    Args:
        form: 'mean', see `gor`, or 'sum', see `gor_sum`.
        users: Array[B, D], points.
        positives: Array[B, D], points.
        others: Array[B, N, D], or Array[C, D] where all pairs share them.
        valid: Array[B, N] or Array[B, C] bool; pairs that count.
        total: as for `gor`.

    Returns:
        Scalar.
    """
    against = "bd,cd->bc" if others.ndim == 2 else "bd,bnd->bn"
    products = jnp.stack([jnp.einsum(against, anchors, others) for anchors in (users, positives)])
    weights = jnp.broadcast_to(valid, products.shape).astype(products.dtype)
    dim = users.shape[-1]
    if form == "mean":
        return gor(products, weights, dim, total)
    return sum(
        (gor_sum(some, weight, dim, total) for some, weight in zip(products, weights, strict=True)), jnp.zeros(())
    )
