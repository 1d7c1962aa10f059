"""What a sampler is: a record of pure functions that draw negatives, or offer candidates, for a batch of positives."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from cml_jax import csr, sharding
from cml_jax.options import StrategyOptions, options
from cml_jax.types import Array, DeviceInteractions, Points, PyTree

MAKE_ARGUMENTS = ("options", "data", "shape")
_MAX_REDRAWS = 64  # a negative not found by then is marked invalid
_CHUNK = 256  # pairs whose similarities with all candidates a CPU's cache holds


@options
class SamplerOptions(StrategyOptions):
    """Base of the options of samplers.

    Attributes:
        offers_candidates: whether the sampler has the function `candidates`.
    """

    offers_candidates: ClassVar[bool] = False

    def candidates_of(self, batch_size: int, num_items: int) -> int:
        """C for so many pairs and items, where the sampler has candidates."""
        del batch_size, num_items
        return 0


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
        log_probability: Array[C]; logarithm of the probability to be a candidate, where it is to be corrected for
            (logQ). None where it is not.
    """

    ids: Array
    filled: Array
    log_probability: Array | None = None

    @property
    def correction(self) -> Array | None:
        """What is added to the logit of each candidate, Array[C]; None for nothing."""
        return None if self.log_probability is None else -self.log_probability


class Sampler(NamedTuple):
    """A strategy for drawing negatives.

    Attributes:
        init: () -> state.
        sample: (key, state, points, users[B], positives[B]) -> (Negatives, state). No valid negative is a known
            positive of its user, unless an option says so.
        candidates: (key, state, positives[B], filled[B]) -> (Candidates, state); positives of slots that are not
            filled are no part of the batch. None where the sampler offers none.
        refresh_every: steps between refreshes of the items that `points` shows; 1 for live ones, 0 for those at
            initialisation.
        scores_per_pair: numbers that `sample` holds for each pair, for an estimate of its memory.
    """

    init: Callable[[], PyTree]
    sample: Callable[[Array, PyTree, Points, Array, Array], tuple[Negatives, PyTree]]
    candidates: Callable[[Array, PyTree, Array, Array], tuple[Candidates, PyTree]] | None = None
    refresh_every: int = 1
    scores_per_pair: int = 0


def row_by_row(function: Callable[[PyTree], PyTree], rows: PyTree, num_shards: int) -> PyTree:
    """`function` of `rows`, a tree of Array[B, ...] treated row by row: some by each device, on CPU a few at a time."""
    if num_shards > 1:
        return sharding.all_gather(row_by_row(function, sharding.local_slice(rows), 1))
    size = jax.tree.leaves(rows)[0].shape[0]
    if size % _CHUNK:
        return function(rows)

    def in_chunks(rows):
        chunks = jax.tree.map(lambda x: x.reshape(-1, _CHUNK, *x.shape[1:]), rows)
        return jax.tree.map(lambda x: x.reshape(size, *x.shape[2:]), jax.lax.map(function, chunks))

    return jax.lax.platform_dependent(rows, cpu=in_chunks, default=function)


def redraw_known_positives(
    data: DeviceInteractions, users: Array, negatives: Array, found: Array | bool, propose: Callable[[Array], Array]
) -> Negatives:
    """Draws negatives again where they are known positives of their user, or are not found yet.

    Args:
        data: training interactions.
        users: Array[B] int32.
        negatives: Array[B, N] int32.
        found: Array[B, N] bool, or True; False where there is no negative yet.
        propose: number of a redraw, from 0 -> Array[B, N] int32.

    Returns:
        Negatives; a pair is invalid of which one is still missing after 64 redraws.
    """

    def redraw(attempt, negatives, pending):
        proposal = propose(attempt)
        return jnp.where(pending, proposal, negatives), pending & csr.contains(data, users[:, None], proposal)

    pending = jnp.logical_not(found) | csr.contains(data, users[:, None], negatives)
    negatives, pending = redraw_until_done(redraw, negatives, pending, _MAX_REDRAWS)
    return Negatives(negatives, ~jnp.any(pending, axis=1))


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
