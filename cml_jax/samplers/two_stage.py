"""Two-stage sampling: candidates by popularity, then a draw weighted by the inner product with the positive."""

import math
from typing import Any

import jax
import jax.numpy as jnp

from cml_jax.losses.base import takes_negatives, takes_others
from cml_jax.options import AT_LEAST_0, Effect, options, static
from cml_jax.registry import Strategy
from cml_jax.samplers.annealing import TABLE_EVERY, AnnealingOptions
from cml_jax.samplers.base import BatchShape, Negatives, Sampler, row_by_row
from cml_jax.samplers.stage1 import (
    candidate_function,
    draw_candidates,
    init_candidates,
    popularity_weights,
    with_log_probabilities,
)
from cml_jax.samplers.stage2 import draw_slots, keeps_known_positives
from cml_jax.types import DeviceInteractions

_REDRAWS = 2  # rounds before the weights of known positives are set to zero
_RELEASED_RETRIES = 10  # with 'retry_then_keep'; afterwards a known positive is kept


@options
class TwoStageOptions(AnnealingOptions):
    """Options of two-stage sampling."""

    refresh_every: int = static(
        1,
        "steps between refreshes of what stage 2 sees; 1: live, 0: frozen at the start",
        AT_LEAST_0,
        Effect(takes_negatives, "a loss that takes negatives"),
    )

    def draws_candidates(self, chosen: Any) -> bool:
        """Whatever the loss takes of it: negatives are drawn from them too."""
        return takes_others(chosen)


def make(options: TwoStageOptions, data: DeviceInteractions, shape: BatchShape) -> Sampler:
    """The paper's sampler: C candidates by popularity for the batch, then a draw weighted by 1 / q(s).

    s is the inner product of positive and candidate, see `stage2.stage2_weights`.

    Known positives of the user never count: the draw has the law of the weights with theirs set to zero. It is made
    by drawing from the weights with only the pair's own positive set to zero and drawing again on a hit, which avoids a
    look-up of all B C pairs; rows that still hit after a few rounds are drawn from their fully masked weights, some at
    a time. (On Gowalla at B = 256, C = 2000 the look-up of a round costs a tenth of the full mask.)

    A pair is invalid where no candidate that is not a known positive has a positive inner product.

    Cut-off and exponent may move to other values in the course of a run, see `annealing`.

    Two options repeat what the released code does instead, and neither is what the paper says:
    `own_positive = 'uniform_draw'`: where the pair's own positive is among the candidates its weight overflows,
    and the draw falls back, silently, to a uniform one over the candidates; so it does where no weight is positive. (In
    the released code rounding decides: where s^2 comes out above 1, for about a third of the items at D = 128, the
    positive is left out instead. The option falls back for all.)
    `known_positives = 'retry_then_keep'`: a known positive is redrawn up to ten times, then kept as a negative.
    """
    num_draws, num_candidates = options.num_draws, options.candidates_among(data.num_items)
    num_rounds = 1 + _RELEASED_RETRIES if keeps_known_positives(options) else _REDRAWS

    def stage1_weights(options):
        return popularity_weights(data.popularity, options.popularity_exponent, options.popularity_cap)

    anneals = options.ends_elsewhere and shape.takes == "negatives"

    def init():
        weights = stage1_weights(options)
        state = with_log_probabilities(options, weights, num_candidates, init_candidates(weights, num_draws))
        return (state, jnp.int32(0)) if anneals else state

    def sample(key, state, points, users, positives):
        if not anneals:
            return draw_negatives(options, key, state, points, users, positives), state
        stage1, step = state
        now = options.at(step)
        if options.anneals_exponent:
            due = step % TABLE_EVERY == 0
            stage1 = jax.lax.cond(due, lambda: init_candidates(stage1_weights(now), num_draws), lambda: stage1)
        return draw_negatives(now, key, stage1, points, users, positives), (stage1, step + 1)

    def draw_negatives(options, key, stage1, points, users, positives):
        size = (users.shape[0], shape.num_negatives)
        # All at once: on CPU a call of the generator costs as much as some thousand numbers.
        uniforms = jax.random.uniform(key, (2 * num_draws + (num_rounds + 1) * math.prod(size),))
        of_stage1, of_stage2 = uniforms[: 2 * num_draws], uniforms[2 * num_draws :]
        candidates = draw_candidates(key, of_stage1, stage1, num_candidates, num_draws, data.num_items)
        vectors = points.directions(candidates.ids)

        def draw(rows):
            return draw_slots(rows, candidates, vectors, data, options)

        of_stage2 = of_stage2.reshape(num_rounds + 1, *size).swapaxes(0, 1)
        rows = (users, positives, points.directions(positives), of_stage2)
        slots, drawable = row_by_row(draw, rows, shape.num_shards)
        return Negatives(candidates.ids[slots], drawable)

    return Sampler(
        init,
        sample,
        candidate_function(options, data, lambda state: state),
        refresh_every=options.refresh_every,
        scores_per_pair=num_candidates,
    )


TWO_STAGE = Strategy("two_stage", TwoStageOptions, make)
