"""Sampled softmax over the candidates of stage 1: the soft form of two-stage sampling's second stage."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from cml_jax import defaults
from cml_jax.errors import ConfigError
from cml_jax.losses.base import Loss, Pooled, log_sum_of_valid
from cml_jax.options import POSITIVE, Effect, Range, StrategyOptions, one_of, options, static, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array

POSITIVES = ("one", "batch_mean")


@options
class TemperatureOptions(StrategyOptions):
    """Options of losses that divide cosines by a temperature."""

    temperature: float = traced(
        0.12,
        "t of the softmax loss, which divides the cosines; none: follows from the density of the data",
        POSITIVE,
        rule=defaults.temperature,
    )


@options
class SoftmaxOptions(TemperatureOptions):
    """Options of the sampled softmax."""

    decoupled: bool = static(
        True, "leave the positive out of the softmax loss's sum (decoupled InfoNCE)", effect=Effect(enforced=True)
    )
    negative_exponent: float = traced(
        1.0,
        "e of the softmax loss's sum; above 1 popular items are listed more often; none: follows from the density of "
        "the data",
        POSITIVE,
        rule=defaults.negative_exponent,
    )
    temperature_degree_exponent: float = traced(
        0.0,
        "g of the softmax loss: the temperature of a user with d training pairs is t (d / mean of d)^g",
        Range(lambda v: -1 <= v <= 1, "must be from -1 to 1"),
    )
    positives: str = static(
        "one",
        "what is drawn to the user of a pair: one | batch_mean; the latter is all of its positives in the batch",
        one_of(POSITIVES),
        Effect(enforced=True),
    )

    def check(self, chosen: Any) -> None:
        """Raises ConfigError where positives are to be pooled and the model or the temperatures do not allow it."""
        if self.positives != "one" and "batch" not in chosen.model.options.takes:
            raise ConfigError(
                f"model.positives = '{self.positives}' does not go with model.name = '{chosen.model.name}'; use "
                f"model.name = 'cml'."
            )
        if self.positives != "one" and self.temperature_degree_exponent:
            raise ConfigError(
                f"model.positives = '{self.positives}' takes one temperature for all users; set "
                f"model.temperature_degree_exponent = 0."
            )


def softmax_loss(
    own: Array,
    others: Array,
    valid: Array,
    temperature: Array | float,
    decoupled: bool = False,
    negative_exponent: Array | float = 1.0,
) -> Array:
    """Sampled softmax (InfoNCE): every candidate weighted at once instead of one drawn by stage 2.

    e log(exp(cos(u, p) / t) + sum_c exp(cos(u, c) / t)) - cos(u, p) / t, c over the valid candidates; with e = 1 the
    cross entropy of the softmax.

    Decoupled, the positive is not in the sum (Yeh et al. 2022, "Decoupled Contrastive Learning", eq. 6): it is then
    drawn to the user with the same force however near it already is. An exponent e other than 1 is that of the
    negative part in the bilateral softmax loss (BSL, Wu et al. 2024): the ratio of two temperatures.

    Args:
        own: scalar, cos(u, p).
        others: Array[C], cos(u, c).
        valid: Array[C] bool; False for empty slots and the user's known positives.
        temperature: t.
        decoupled: whether the positive is left out of the sum.
        negative_exponent: e.

    Returns:
        Scalar; 0 where no candidate is valid.
    """
    log_sum = log_sum_of_valid(others / temperature, valid)
    value = of_log_sum(own, log_sum, temperature, decoupled, negative_exponent)
    return jnp.where(jnp.any(valid), value, 0.0)


def of_log_sum(
    own: Array, log_sum: Array, temperature: Array | float, decoupled: bool, negative_exponent: Array | float
) -> Array:
    """The sampled softmax of cos(u, p) and log sum_c exp(cos(u, c) / t); scalars."""
    own = own / temperature
    if decoupled:
        return negative_exponent * log_sum - own
    # e log(exp(own) + sum) - own; with e = 1 the last term is exactly 0.
    return negative_exponent * jax.nn.softplus(log_sum - own) + (negative_exponent - 1.0) * own


def mean_of_positives(own: Array, together: Array, temperature: Array | float) -> Array:
    """t log mean_j exp(cos(u, j) / t) over a user's positives j in the batch (BSL, Wu et al. 2024, as in their code).

    The nearest of them are drawn to the user most, so that a noisy one costs less.

    Args:
        own: Array[B], cos(u, p) of the pairs of the batch.
        together: Array[b, B] bool; of each pair those of the same user, itself among them.
        temperature: t.

    Returns:
        Array[b].
    """
    log_sums = jax.nn.logsumexp(jnp.where(together, own[None, :] / temperature, -jnp.inf), axis=1)
    return temperature * (log_sums - jnp.log(jnp.sum(together, axis=1)))


def make(options: SoftmaxOptions) -> Loss:
    """The sampled softmax with its numbers.

    A user of more pairs likes more of the candidates than is known, so that with g > 0 it leans less on the nearest.
    """
    numbers = options.temperature, options.decoupled, options.negative_exponent

    def example(own, others, valid):
        return softmax_loss(own, others, valid, *numbers)

    def combine(own, log_sum):
        return of_log_sum(own, log_sum, *numbers)

    pool = None
    if options.positives == "batch_mean":
        pool = functools.partial(mean_of_positives, temperature=options.temperature)
    pooled = Pooled(1.0 / options.temperature, combine)

    def user_factor(relative_degree):
        return relative_degree**-options.temperature_degree_exponent

    return Loss(example, similarity="cosine", takes="candidates", pooled=pooled, pool=pool, user_factor=user_factor)


SOFTMAX = Strategy("softmax", SoftmaxOptions, make)
