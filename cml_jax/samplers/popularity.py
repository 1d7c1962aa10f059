"""Negatives in proportion to popularity."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax import draws
from cml_jax.data.interactions import Interactions
from cml_jax.errors import ConfigError
from cml_jax.losses.base import takes_negatives
from cml_jax.options import Effect, options, static
from cml_jax.registry import Strategy
from cml_jax.samplers.base import BatchShape, Sampler, redraw_known_positives
from cml_jax.samplers.stage1 import (
    PopularityOptions,
    candidate_function,
    popularity_weights,
    with_log_probabilities,
)
from cml_jax.types import DeviceInteractions


@options
class PopularityNegativesOptions(PopularityOptions):
    """Options of negatives in proportion to popularity."""

    without_replacement: bool = static(
        False,
        "draw the batch's negatives without replacement, as the released code does",
        effect=Effect(takes_negatives, "a loss that takes negatives", enforced=True),
    )

    def num_distinct(self, chosen: Any) -> int:
        """The candidates, or the negatives of a batch drawn without replacement."""
        if takes_negatives(chosen) and self.without_replacement:
            return chosen.batch_size * chosen.num_negatives
        return super().num_distinct(chosen)

    def check_data(self, chosen: Any, train: Interactions) -> None:
        """Raises ConfigError where a batch needs more distinct negatives than there are."""
        super().check_data(chosen, train)
        count, drawable = self.num_distinct(chosen), int(np.count_nonzero(train.popularity))
        if self.without_replacement and count > drawable:
            raise ConfigError(
                f"sampler.without_replacement needs {count} negatives a step of the {drawable} items with a training "
                f"user; lower train.batch_size or model.num_negatives."
            )


def make(options: PopularityNegativesOptions, data: DeviceInteractions, shape: BatchShape) -> Sampler:
    """Each negative with probability proportional to popularity^exponent over the items not known as positives.

    Known positives are redrawn. A negative that still is one after 64 redraws makes its pair invalid; if the user's
    positives hold the share r of the weight, that happens with probability r^65. Items without training users have
    weight 0: they are never drawn, see `stage1.popularity_weights`.

    Without replacement, as the released code does it, the batch's B N negatives are first drawn without replacement;
    known positives among them are then redrawn one by one, with replacement. Candidates are those of stage 1.
    """
    needed = shape.batch_size * shape.num_negatives
    if options.without_replacement and shape.takes == "negatives" and needed > data.num_items:
        raise ConfigError(
            f"sampler.without_replacement needs {needed} negatives a step of {data.num_items} items; lower "
            f"train.batch_size or model.num_negatives."
        )

    num_candidates = options.candidates_among(data.num_items)

    def init():
        weights = popularity_weights(data.popularity, options.popularity_exponent, options.popularity_cap)
        ranks_catalogue = (options.without_replacement or shape.takes == "candidates") and not options.num_draws
        plain = weights if ranks_catalogue else None
        state = draws.make_weight_table(weights), plain
        return with_log_probabilities(options, weights, num_candidates, state)

    def sample(key, state, points, users, positives):
        del points, positives
        table, weights = state
        size = (users.shape[0], shape.num_negatives)
        count = math.prod(size)

        def uniforms(attempt, num_draws):
            return jax.random.uniform(jax.random.fold_in(key, attempt), (2, num_draws))

        if not options.without_replacement:
            negatives, found = draws.draw(uniforms(0, count), table), jnp.ones(count, bool)
        elif options.num_draws:
            negatives, found = draws.first_distinct(draws.draw(uniforms(0, options.num_draws), table), count)
        else:
            negatives, found = draws.gumbel_top_k(jax.random.fold_in(key, 0), weights, count)
        negatives, found = negatives.reshape(size), found.reshape(size)

        def propose(attempt):
            return draws.draw(uniforms(1 + attempt, count), table).reshape(size)

        return redraw_known_positives(data, users, negatives, found, propose), state

    return Sampler(init, sample, candidate_function(options, data, lambda state: state[0 if options.num_draws else 1]))


POPULARITY = Strategy("popularity", PopularityNegativesOptions, make)
