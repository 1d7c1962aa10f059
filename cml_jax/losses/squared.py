"""The squared loss of collaborative metric learning without sampling."""

import jax.numpy as jnp

from cml_jax.losses.base import Loss, mean_of_valid
from cml_jax.losses.triplet import MarginOptions
from cml_jax.options import options
from cml_jax.registry import Strategy
from cml_jax.types import Array


@options
class SquaredOptions(MarginOptions):
    """Options of the squared loss."""


def squared_loss(own: Array, others: Array, valid: Array, margin: Array | float) -> Array:
    """Mean squared difference of squared distances from the margin, over all negatives of a pair.

    mean_n (m + d(u, p)^2 - d(u, n)^2)^2  (Bao et al. 2022, "Rethinking Collaborative Metric Learning", the square in
    the place of the hinge). Negatives that are farther away than the margin cost something too.

    Args:
        own: scalar, -d(u, p)^2.
        others: Array[N], -d(u, n)^2.
        valid: Array[N] bool.
        margin: m, in units of squared distance.

    Returns:
        Scalar; 0 where no negative is valid.
    """
    return mean_of_valid(jnp.square(margin - own + others), valid)


def make(options: SquaredOptions) -> Loss:
    """The squared loss with its margin."""

    def example(own, others, valid):
        return squared_loss(own, others, valid, options.margin)

    def moments(own, mean, mean_square):
        above = options.margin - own
        return jnp.square(above) + 2.0 * above * mean + mean_square

    return Loss(example, similarity="distance", takes="candidates", scale=options.margin, moments=moments)


SQUARED = Strategy("squared", SquaredOptions, make)
