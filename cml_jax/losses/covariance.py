"""The covariance of the points of a batch, and the term of collaborative metric learning that is made of it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from cml_jax.types import Array


def covariance(points: Array, weights: Array, total: Callable[[Array], Array] = jnp.sum) -> Array:
    """The covariance of points, mean_k (f_k - mean f) (f_k - mean f)^T.

    Args:
        points: Array[n, D].
        weights: Array[n] of 0 and 1; points of weight 0 are left out.
        total: the sum over the batch; see `sharding.total` where devices hold parts of it.

    Returns:
        Array[D, D]; 0 where all weights are 0.
    """
    count, of_each = jnp.maximum(total(weights), 1.0), jax.vmap(total)
    centred = points - (of_each((weights[:, None] * points).T) / count)[None, :]
    products = jnp.matmul((weights[:, None] * centred).T, centred, precision=jax.lax.Precision.HIGHEST)
    return jax.vmap(of_each)(products) / count


def covariance_penalty(points: Array, weights: Array, total: Callable[[Array], Array] = jnp.sum) -> Array:
    """Keeps the dimensions of the points from being correlated (Hsieh et al. 2017, section 3.3).

    sum_{i != j} C_ij^2 / N = (||C||_F^2 - ||diag(C)||_2^2) / N, where C is the covariance of N points. The paper prints
    the norm without its square, which would fall without bound as points move apart; the term is that of Cogswell et
    al. 2016, "Reducing Overfitting in Deep Networks by Decorrelating Representations", from which the paper has it.
    It is at most of the order of 1 / N, so that weights are large.

    Args:
        points: Array[n, D].
        weights: Array[n] of 0 and 1; N of them are 1, the other points are left out.
        total: as for `covariance`.

    Returns:
        Scalar; 0 where all weights are 0.
    """
    found = covariance(points, weights, total)
    apart = jnp.where(jnp.eye(len(found), dtype=bool), 0.0, found)
    return jnp.sum(jnp.square(apart)) / jnp.maximum(total(weights), 1.0)
