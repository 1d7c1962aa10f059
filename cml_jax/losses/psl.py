"""Pairwise softmax losses, in which a bounded function takes the place of the exponential."""

import jax.numpy as jnp

from cml_jax.losses.base import Loss, log_sum_of_valid
from cml_jax.losses.softmax import TemperatureOptions
from cml_jax.options import one_of, options, static
from cml_jax.registry import Strategy
from cml_jax.types import Array

_LEAST = 1e-30  # of a surrogate, so that its logarithm is finite
SURROGATES = {
    "tanh": lambda x: 1.0 + jnp.tanh(x),
    "atan": lambda x: 1.0 + jnp.arctan(x),
    "relu": lambda x: jnp.maximum(1.0 + x, 0.0),
}


@options
class PslOptions(TemperatureOptions):
    """Options of pairwise softmax losses."""

    surrogate: str = static(
        "relu", "what the psl loss takes for the exponential: atan | relu | tanh", one_of(SURROGATES)
    )


def pairwise_softmax_loss(own: Array, others: Array, valid: Array, temperature: Array | float, surrogate: str) -> Array:
    """log sum_c sigma((cos(u, c) - cos(u, p)) / 2)^(1 / t)  (PSL, Yang et al. 2024).

    sigma(x) is 1 + tanh(x), 1 + arctan(x) or max(0, 1 + x); with exp(x) it would be the decoupled softmax at the
    temperature 2 t. All are above the step function and below the exponential, so that the loss is a closer bound of
    NDCG, and false negatives weigh less.

    Args:
        own: scalar, cos(u, p).
        others: Array[C], cos(u, c).
        valid: Array[C] bool.
        temperature: t.
        surrogate: key of SURROGATES.

    Returns:
        Scalar; 0 where no candidate is valid.
    """
    terms = jnp.log(jnp.maximum(SURROGATES[surrogate](0.5 * (others - own)), _LEAST)) / temperature
    return jnp.where(jnp.any(valid), log_sum_of_valid(terms, valid), 0.0)


def make(options: PslOptions) -> Loss:
    """The pairwise softmax loss with its surrogate."""

    def example(own, others, valid):
        return pairwise_softmax_loss(own, others, valid, options.temperature, options.surrogate)

    return Loss(example, similarity="cosine", takes="candidates")


PSL = Strategy("psl", PslOptions, make)
