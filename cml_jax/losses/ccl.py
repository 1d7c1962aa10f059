"""The cosine contrastive loss."""

import jax.numpy as jnp

from cml_jax.losses.base import Loss, mean_of_valid
from cml_jax.options import FINITE_AT_LEAST_0, Range, StrategyOptions, options, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array


@options
class CclOptions(StrategyOptions):
    """Options of the cosine contrastive loss."""

    cosine_margin: float = traced(
        0.4,
        "m of the ccl loss, the cosine from which on a candidate costs something",
        Range(lambda v: -1 <= v <= 1, "must be from -1 to 1"),
    )
    negative_weight: float = traced(150.0, "w of the ccl loss, of the mean over candidates", FINITE_AT_LEAST_0)


def cosine_contrastive_loss(
    own: Array, others: Array, valid: Array, cosine_margin: Array | float, negative_weight: Array | float
) -> Array:
    """1 - cos(u, p) + w mean_c max(0, cos(u, c) - m)  (Mao et al. 2021, "SimpleX", eq. 1).

    Args:
        own: scalar, cos(u, p).
        others: Array[C], cos(u, c).
        valid: Array[C] bool.
        cosine_margin: m.
        negative_weight: w.

    Returns:
        Scalar; 0 where no candidate is valid.
    """
    above = mean_of_valid(jnp.maximum(0.0, others - cosine_margin), valid)
    return jnp.where(jnp.any(valid), 1.0 - own + negative_weight * above, 0.0)


def make(options: CclOptions) -> Loss:
    """The cosine contrastive loss with its numbers."""

    def example(own, others, valid):
        return cosine_contrastive_loss(own, others, valid, options.cosine_margin, options.negative_weight)

    return Loss(example, similarity="cosine", takes="candidates")


CCL = Strategy("ccl", CclOptions, make)
