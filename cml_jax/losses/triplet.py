"""The triplet hinge of collaborative metric learning."""

import jax.numpy as jnp

from cml_jax.losses.base import Loss
from cml_jax.options import POSITIVE, StrategyOptions, options, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array


@options
class TripletOptions(StrategyOptions):
    """Options of the triplet hinge."""

    margin: float = traced(1.0, "m of the triplet and the squared loss, in units of squared distance", POSITIVE)


def triplet_loss(own: Array, others: Array, valid: Array, margin: Array | float) -> Array:
    """Triplet hinge on squared distances; of several negatives the one closest to the user counts.

    max(0, m + d(u, p)^2 - min_n d(u, n)^2)  (Hsieh et al. 2017, eq. 1; Tran et al. 2019, eq. 1).

    Args:
        own: scalar, -d(u, p)^2.
        others: Array[N], -d(u, n)^2.
        valid: Array[N] bool.
        margin: m, in units of squared distance.

    Returns:
        Scalar; 0 where no negative is valid.
    """
    return jnp.maximum(0.0, margin - own + jnp.max(jnp.where(valid, others, -jnp.inf)))


def make(options: TripletOptions) -> Loss:
    """The triplet hinge with its margin."""

    def example(own, others, valid):
        return triplet_loss(own, others, valid, options.margin)

    return Loss(example, similarity="distance", scale=options.margin, hinge=triplet_loss)


TRIPLET = Strategy("triplet", TripletOptions, make)
