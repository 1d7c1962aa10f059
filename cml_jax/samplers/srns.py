"""SRNS, robust negative sampling: a memory of near items for every user, and the variance of their scores."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cml_jax.errors import ConfigError
from cml_jax.geometry import squared_distance
from cml_jax.hashing import first_appearance
from cml_jax.options import AT_LEAST_1, FINITE_AT_LEAST_0, POSITIVE, Range, options, static, traced
from cml_jax.registry import Strategy
from cml_jax.samplers.base import BatchShape, Negatives, Sampler, SamplerOptions
from cml_jax.samplers.uniform import uniform_negatives
from cml_jax.types import Array, DeviceInteractions

_EMPTY = -1


@options
class SrnsOptions(SamplerOptions):
    """Options of SRNS."""

    memory_size: int = static(8, "S1 of SRNS: items in the memory of a user", AT_LEAST_1)
    num_explored: int = static(
        8, "S2 of SRNS: uniform draws that may enter the memory when its user is seen", AT_LEAST_1
    )
    variance_weight: float = traced(
        1.0, "alpha of SRNS: weight of the standard deviation of an item's scores", FINITE_AT_LEAST_0
    )
    memory_temperature: float = traced(
        1.0, "tau of SRNS: the lower, the nearer the items that stay in the memory", POSITIVE
    )
    score_history: int = static(
        5, "scores of an item whose standard deviation counts", Range(lambda v: v >= 2, "must be 2 or more")
    )

    def check(self, chosen: Any) -> None:
        """Raises ConfigError where a pair has more negatives than its user's memory has items."""
        if chosen.num_negatives > self.memory_size:
            raise ConfigError(
                f"model.num_negatives = {chosen.num_negatives} is above sampler.memory_size = {self.memory_size} of "
                f"sampler.name = 'srns'; lower it, or raise the memory."
            )


class Memory(NamedTuple):
    """What the sampler keeps of every user.

    Attributes:
        items: Array[U, S1] int32; -1 where empty.
        scores: Array[U, S1, T]; scores of these items when the user was last seen, the latest at the end.
    """

    items: Array
    scores: Array


def make(options: SrnsOptions, data: DeviceInteractions, shape: BatchShape) -> Sampler:
    """Negatives of high score and of high variance (Ding et al. 2020, "Simplify and robustify negative sampling").

    The negative of user u is the item of the memory M_u with the largest score + alpha std(its last T scores): an item
    that is far below its best at times is no false negative, whose score stays high (eq. 4). Then M_u and S2 uniform
    draws compete for S1 places, without replacement and in proportion to exp(score / tau) (eq. 3, by Gumbel noise).
    Scores are -||u - i||^2. The paper's deviation is over epochs; here it is over the last T batches that the user was
    in. No item is a known positive. Where a user is several times in a batch, the first decides the memory.
    """

    def init():
        size = data.num_users, options.memory_size
        return Memory(jnp.full(size, _EMPTY, jnp.int32), jnp.zeros((*size, options.score_history), jnp.float32))

    def sample(key, state, points, users, positives):
        del positives
        draw_key, keep_key = jax.random.split(key)
        fresh, valid = uniform_negatives(draw_key, data, users, max(options.memory_size, options.num_explored))
        empty = state.items[users] == _EMPTY
        known = jnp.where(empty, fresh[:, : options.memory_size], state.items[users])
        pool = jnp.concatenate([known, fresh[:, : options.num_explored]], axis=1)
        anchors = points.users(users)
        anchors = (
            anchors if anchors.ndim == 3 else anchors[:, None, :]
        )  # of several points of a user the nearest counts
        apart = squared_distance(anchors[:, :, None, :], points.items(pool)[:, None, :, :])
        scores = -jnp.min(apart, axis=1)  # [B, S1 + S2]

        # An item that is new has had the score that it has now.
        before = jnp.where(empty[:, :, None], scores[:, : options.memory_size, None], state.scores[users])
        before = jnp.concatenate(
            [before, jnp.repeat(scores[:, options.memory_size :, None], options.score_history, axis=2)], axis=1
        )
        history = jnp.concatenate([before[:, :, 1:], scores[:, :, None]], axis=2)
        worth = scores + options.variance_weight * jnp.std(history, axis=2)
        _, best = jax.lax.top_k(worth[:, : options.memory_size], shape.num_negatives)

        noisy = scores / options.memory_temperature + jax.random.gumbel(keep_key, scores.shape)
        # Each item once, or the nearest one would fill the memory in time.
        _, kept = jax.lax.top_k(jnp.where(_repeats(pool), -jnp.inf, noisy), options.memory_size)
        is_first = first_appearance(users) == jnp.arange(users.shape[0])
        row = jnp.where(is_first & valid, users, data.num_users)  # the others are dropped
        state = Memory(
            state.items.at[row].set(jnp.take_along_axis(pool, kept, axis=1), mode="drop"),
            state.scores.at[row].set(jnp.take_along_axis(history, kept[:, :, None], axis=1), mode="drop"),
        )
        return Negatives(jnp.take_along_axis(known, best, axis=1), valid), state

    return Sampler(init, sample, scores_per_pair=options.memory_size + options.num_explored)


def _repeats(items: Array) -> Array:
    """Whether an item of a row stands further left, too: Array[B, n] -> Array[B, n] bool."""
    equal = items[:, :, None] == items[:, None, :]
    left = jnp.triu(jnp.ones(equal.shape[1:], bool), 1)
    return jnp.any(equal & left[None], axis=1)


SRNS = Strategy("srns", SrnsOptions, make)
