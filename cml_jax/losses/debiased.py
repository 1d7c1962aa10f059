"""The debiased contrastive loss, which reckons with positives among the candidates that nobody knows of."""

import jax
import jax.numpy as jnp

from cml_jax.losses.base import Loss
from cml_jax.losses.softmax import TemperatureOptions
from cml_jax.options import Range, options, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array

_LEAST = 1e-30  # of a sum of exponentials by the largest one, so that its logarithm is finite


@options
class DebiasedOptions(TemperatureOptions):
    """Options of the debiased contrastive loss."""

    positive_share: float = traced(
        0.01,
        "share of the candidates that the debiased loss takes for unknown positives",
        Range(lambda v: 0 <= v < 1, "must be 0 or more and below 1"),
    )


def debiased_loss(
    own: Array, others: Array, valid: Array, temperature: Array | float, positive_share: Array | float
) -> Array:
    """-log( e^p / (e^p + N g) ), g = max((mean_c e^c - r e^p) / (1 - r), e^(-1/t))  (Chuang et al. 2020, eqs. 7 and 8).

    p = cos(u, p) / t, likewise c of N valid candidates, of which the share r is taken for positives like p: their part
    of the mean is taken out. With r = 0 it is the softmax with the positive in the sum.

    Args:
        own: scalar, cos(u, p).
        others: Array[C], cos(u, c).
        valid: Array[C] bool.
        temperature: t.
        positive_share: r.

    Returns:
        Scalar; 0 where no candidate is valid.
    """
    count = jnp.sum(valid)
    own, others = own / temperature, jnp.where(valid | (count == 0), others / temperature, -jnp.inf)
    largest = jax.lax.stop_gradient(jnp.maximum(own, jnp.max(others)))
    mean = jnp.sum(jnp.exp(others - largest)) / jnp.maximum(count, 1)
    unbiased = (mean - positive_share * jnp.exp(own - largest)) / (1.0 - positive_share)
    least = jnp.maximum(jnp.exp(-1.0 / temperature - largest), _LEAST)
    log_sum = jnp.log(jnp.maximum(count, 1) * jnp.maximum(unbiased, least)) + largest
    return jnp.where(count > 0, jax.nn.softplus(log_sum - own), 0.0)


def make(options: DebiasedOptions) -> Loss:
    """The debiased contrastive loss with its numbers."""

    def example(own, others, valid):
        return debiased_loss(own, others, valid, options.temperature, options.positive_share)

    return Loss(example, similarity="cosine", takes="candidates")


DEBIASED = Strategy("debiased", DebiasedOptions, make)
