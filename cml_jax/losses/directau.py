"""Alignment and uniformity (DirectAU), a loss of the batch's own rows that needs no negatives."""

from collections.abc import Callable

import jax.numpy as jnp

from cml_jax.losses.base import Loss
from cml_jax.options import FINITE_AT_LEAST_0, StrategyOptions, options, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array


@options
class DirectauOptions(StrategyOptions):
    """Options of alignment and uniformity."""

    uniformity_weight: float = traced(
        1.0, "gamma of the directau loss, weight of the uniformity of a batch's users and items", FINITE_AT_LEAST_0
    )


def alignment(own: Array) -> Array:
    """||u - p||^2 of unit vectors, by cos(u, p): scalar -> scalar (Wang et al. 2022)."""
    return 2.0 - 2.0 * own


def uniformity(points: Array, whole: Array, apart: Array, total: Callable[[Array], Array] = jnp.sum) -> Array:
    """log mean exp(-2 ||x - y||^2) over pairs of rows of the batch (Wang et al. 2022).

    Args:
        points: Array[b, D], unit vectors; this device's part of those of the batch.
        whole: Array[B, D], those of the batch.
        apart: Array[b, B] bool; which of the former are compared with which of the latter.
        total: the sum over the batch; see `sharding.total` where devices hold parts of it.

    Returns:
        Scalar; 0 where no two rows are compared.
    """
    near = jnp.where(apart, jnp.exp(4.0 * (points @ whole.T) - 4.0), 0.0)
    count = total(apart)
    mean = jnp.where(count > 0, total(near) / jnp.maximum(count, 1), 1.0)
    return jnp.log(mean)


def make(options: DirectauOptions) -> Loss:
    """DirectAU (Wang et al., KDD 2022, "Towards representation alignment and uniformity in collaborative filtering"):

        mean ||u - p||^2 + gamma / 2 ( log mean exp(-2 ||u - v||^2) + log mean exp(-2 ||p - q||^2) )

    of users and items as unit vectors; (u, p) are the pairs of the batch, u and v the users, p and q the items of two
    different pairs. As in the authors' code, a user or an item that the batch has twice is compared with itself too:
    that adds 1 to the sum and nothing to the gradient, so that the others are pushed apart a little less.
    """

    def example(own, others, valid):
        del others, valid
        return alignment(own)

    def of_batch(points, whole, apart, total):
        return 0.5 * options.uniformity_weight * uniformity(points, whole, apart, total)

    return Loss(example, similarity="cosine", takes="batch", of_batch=of_batch)


DIRECTAU = Strategy("directau", DirectauOptions, make)
