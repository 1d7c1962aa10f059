"""Sampled softmax over the candidates of stage 1: the soft form of two-stage sampling's second stage."""

import jax
import jax.numpy as jnp

from cml_jax import defaults
from cml_jax.losses.base import Loss, Pooled
from cml_jax.options import POSITIVE, Effect, StrategyOptions, options, static, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array


@options
class SoftmaxOptions(StrategyOptions):
    """Options of the sampled softmax."""

    temperature: float = traced(
        0.12,
        "t of the softmax loss, which divides the cosines; none: follows from the density of the data",
        POSITIVE,
        rule=defaults.temperature,
    )
    decoupled: bool = static(
        True, "leave the positive out of the softmax loss's sum (decoupled InfoNCE)", effect=Effect(enforced=True)
    )


def softmax_loss(own: Array, others: Array, valid: Array, temperature: Array | float, decoupled: bool = False) -> Array:
    """Sampled softmax (InfoNCE): every candidate weighted at once instead of one drawn by stage 2.

    -log( exp(cos(u, p) / t) / (exp(cos(u, p) / t) + sum_c exp(cos(u, c) / t)) ), c over the valid candidates.

    Decoupled, the positive is not in the sum (Yeh et al. 2022, "Decoupled Contrastive Learning", eq. 6): it is then
    drawn to the user with the same force however near it already is.

    Args:
        own: scalar, cos(u, p).
        others: Array[C], cos(u, c).
        valid: Array[C] bool; False for empty slots and the user's known positives.
        temperature: t.
        decoupled: whether the positive is left out of the sum.

    Returns:
        Scalar; 0 where no candidate is valid.
    """
    some = jnp.any(valid)
    # Where no candidate is valid the sum is that of zeros, or the gradient of what does not count would not be finite.
    others = jnp.where(valid | ~some, others / temperature, -jnp.inf)
    return jnp.where(some, of_log_sum(own, jax.nn.logsumexp(others), temperature, decoupled), 0.0)


def of_log_sum(own: Array, log_sum: Array, temperature: Array | float, decoupled: bool) -> Array:
    """The sampled softmax of cos(u, p) and log sum_c exp(cos(u, c) / t); scalars."""
    away = log_sum - own / temperature
    return away if decoupled else jax.nn.softplus(away)


def make(options: SoftmaxOptions) -> Loss:
    """The sampled softmax with its temperature."""

    def example(own, others, valid):
        return softmax_loss(own, others, valid, options.temperature, options.decoupled)

    def combine(own, log_sum):
        return of_log_sum(own, log_sum, options.temperature, options.decoupled)

    return Loss(example, similarity="cosine", takes="candidates", pooled=Pooled(1.0 / options.temperature, combine))


SOFTMAX = Strategy("softmax", SoftmaxOptions, make)
