"""What a sampler is: a record of pure functions that draw negatives, or offer candidates, for a batch of positives."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from cml_jax.options import StrategyOptions, options
from cml_jax.types import Array, Points, PyTree

MAKE_ARGUMENTS = ("options", "data", "shape")


@options
class SamplerOptions(StrategyOptions):
    """Base of the options of samplers.

    Attributes:
        offers_candidates: whether the sampler has the function `candidates`.
    """

    offers_candidates: ClassVar[bool] = False


class BatchShape(NamedTuple):
    """What a step asks of a sampler.

    Attributes:
        batch_size: B.
        num_negatives: N.
        num_shards: P, devices that share the batch.
        takes: 'negatives' or 'candidates', see `losses.Loss`.
    """

    batch_size: int
    num_negatives: int = 1
    num_shards: int = 1
    takes: str = "negatives"


class Negatives(NamedTuple):
    """Negatives drawn for each pair of a batch.

    Attributes:
        ids: Array[B, N] int32 items.
        valid: Array[B] bool; where it is False the pair has no negatives, and its ids mean nothing.
    """

    ids: Array
    valid: Array


class Candidates(NamedTuple):
    """Items that all pairs of a batch are compared with.

    Attributes:
        ids: Array[C] int32 items, ascending.
        filled: Array[C] bool; False for slots left over at the end where fewer items can be drawn.
    """

    ids: Array
    filled: Array


class Sampler(NamedTuple):
    """A strategy for drawing negatives.

    Attributes:
        init: () -> state.
        sample: (key, state, points, users[B], positives[B]) -> (Negatives, state). No valid negative is a known
            positive of its user, unless an option says so.
        candidates: (key, state) -> (Candidates, state); None where the sampler offers none.
        refresh_every: steps between refreshes of the items that `points` shows; 1 for live ones, 0 for those at
            initialisation.
        scores_per_pair: numbers that `sample` holds for each pair, for an estimate of its memory.
    """

    init: Callable[[], PyTree]
    sample: Callable[[Array, PyTree, Points, Array, Array], tuple[Negatives, PyTree]]
    candidates: Callable[[Array, PyTree], tuple[Candidates, PyTree]] | None = None
    refresh_every: int = 1
    scores_per_pair: int = 0


def redraw_until_done(redraw, values: Array, pending: Array, max_rounds: int) -> tuple[Array, Array]:
    """Runs (attempt, values, pending) -> (values, pending) until nothing is pending, at most `max_rounds` times."""

    def unfinished(carry):
        attempt, _, pending = carry
        return (attempt < max_rounds) & jnp.any(pending)

    def one_round(carry):
        attempt, values, pending = carry
        return attempt + 1, *redraw(attempt, values, pending)

    _, values, pending = jax.lax.while_loop(unfinished, one_round, (jnp.int32(0), values, pending))
    return values, pending
