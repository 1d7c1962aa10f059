"""Random draws as pure functions: a stateless permutation, weighted draws from a large and from many small tables."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax.csr import bisect
from cml_jax.hashing import avalanche, first_appearance
from cml_jax.types import Array

_ROUNDS = 8
_COUNTED_BLOCKS = 512  # up to here, comparing with all is faster than a binary search


def permute(key: Array, position: Array, size: int) -> Array:
    """Places of a random permutation of range(size), computed without storing the permutation.

    A Feistel network is a bijection of the 2^b numbers that b bits hold; applying it until the value is below `size`
    (cycle walking) makes it a bijection of range(size). One pass over the data needs O(B) work a step and no memory.

    Args:
        key: PRNG key, consumed; the same key must serve all positions of one permutation.
        position: Array[...] int32 in [0, size).
        size: number of elements, at most 2^31 - 1.

    Returns:
        Array[...] int32; distinct positions give distinct values.
    """
    bits = max(6, math.ceil(math.log2(size)))  # halves of fewer bits mix too little
    low_bits = bits // 2
    high_bits = bits - low_bits
    round_keys = jax.random.bits(key, (_ROUNDS,), jnp.uint32)

    def encrypt(value):
        # Halves of unequal width swap their widths each round, so an even number of rounds restores them.
        width, other = low_bits, high_bits
        for r in range(_ROUNDS):
            high, low = value >> width, value & jnp.uint32(2**width - 1)
            mixed = high ^ (avalanche(low + round_keys[r]) & jnp.uint32(2**other - 1))
            value = (low << other) | mixed
            width, other = other, width
        return value

    def outside(value):
        return jnp.any(value >= size)

    def walk(value):
        return jnp.where(value >= size, encrypt(value), value)

    return jax.lax.while_loop(outside, walk, encrypt(position.astype(jnp.uint32))).astype(jnp.int32)


class WeightTable(NamedTuple):
    """Weights of I elements, cut into blocks of L for draws in O(log I).

    Two levels keep float32 exact enough for any I: a sum runs over one block or over the blocks, never over all of I.
    """

    blocks: Array  # [ceil(I / L)] float32; running sum of the blocks' weights
    inside: Array  # [ceil(I / L), L] float32; running sum within each block


def make_weight_table(weights: Array) -> WeightTable:
    """Prepares Array[I] of non-negative weights, not all zero, for `draw`."""
    size = weights.shape[0]
    length = math.ceil(math.sqrt(size))
    padded = jnp.pad(weights, (0, -size % length)).reshape(-1, length)
    inside = _running_sum(padded.T).T
    return WeightTable(blocks=_running_sum(inside[:, -1]), inside=inside)


def _running_sum(values: Array) -> Array:
    """Running sum over the first axis, one after the other: adding 0 changes nothing, so weight 0 is never drawn.

    `jnp.cumsum` adds in an order of its own, in which the sums of a long row are not even monotone.
    """
    start = jnp.zeros(values.shape[1:], values.dtype)
    return jax.lax.scan(lambda total, value: (total + value, total + value), start, values)[1]


def draw(uniforms: Array, table: WeightTable) -> Array:
    """Independent draws, with replacement, in proportion to the weights.

    Args:
        uniforms: Array[2, ...] in [0, 1): one for the block and one for the place inside of each draw.
        table: prepared weights.

    Returns:
        Array[...] int32 in [0, I); never an element of weight 0.
    """
    shape, num_blocks = uniforms.shape[1:], table.blocks.shape[0]
    if num_blocks <= _COUNTED_BLOCKS:
        target = _below(uniforms[0].reshape(-1) * table.blocks[-1], table.blocks[-1])
        block = jnp.sum(table.blocks[:, None] <= target[None, :], axis=0, dtype=jnp.int32).reshape(shape)
    else:
        block = _search(table.blocks, jnp.zeros(shape, jnp.int32), num_blocks, uniforms[0])
    length = table.inside.shape[1]
    return block * length + _search(table.inside.reshape(-1), block * length, length, uniforms[1])


def _search(sums: Array, start: Array, length: int, uniform: Array) -> Array:
    """Offset of the first running sum above `uniform` times the total, in sums[start:start + length]."""
    total = sums[start + length - 1]
    target = _below(uniform * total, total)
    return bisect(start, start + length, length, lambda j: sums[j] <= target) - start


def _below(target: Array, total: Array) -> Array:
    """`target`, but less than `total` even where rounding made them equal, so that a search finds a positive weight."""
    return jnp.minimum(target, total * (1.0 - 2.0**-23))


class RowTables(NamedTuple):
    """One small weight table per row, cut into J strided blocks of L slots, for repeated draws.

    Slot l J + j is element l of block j. Sums over a block then run over a major axis, which compilers turn into vector
    instructions; a sum over the minor axis would be one addition after the other.
    """

    blocks: Array  # [B, J] float32; running sum of the blocks' weights
    weights: Array  # [B, L, J] float32


def make_row_tables(weights: Array) -> RowTables:
    """Prepares Array[B, C] of non-negative weights for `draw_per_row`; no running sum over C is made."""
    num_rows, num_slots = weights.shape
    num_blocks = _num_blocks(num_slots)
    padded = jnp.pad(weights, ((0, 0), (0, -num_slots % num_blocks))).reshape(num_rows, -1, num_blocks)
    # The barrier keeps the weights from being computed twice, for the sums and for the draws.
    padded = jax.lax.optimization_barrier(padded)
    return RowTables(blocks=jnp.cumsum(jnp.sum(padded, axis=1), axis=1), weights=padded)


def _num_blocks(num_slots: int) -> int:
    """About the square root of C, whole vectors of eight where C is large, and little to pad."""
    step = 8 if num_slots >= 256 else 1
    root = math.sqrt(num_slots)
    candidates = range(step * max(1, round(root / step / 1.5)), round(1.5 * root) + 1, step)
    return min(candidates, key=lambda blocks: (-num_slots % blocks, abs(blocks - root)))


def draw_per_row(tables: RowTables, uniform: Array) -> Array:
    """Draws from each row's table by two-level inverse CDF: block sums first, then inside the block.

    Args:
        tables: prepared weights of B rows and C slots.
        uniform: Array[B, N] in [0, 1).

    Returns:
        Array[B, N] int32 in [0, C); a slot of positive weight wherever the row has one, else 0.
    """
    num_blocks = tables.weights.shape[2]
    total = tables.blocks[:, -1:]
    target = _below(uniform * total, total)  # [B, N]
    block = _first_above(tables.blocks[:, None, :], target)  # [B, N]
    before = jnp.take_along_axis(jnp.pad(tables.blocks, ((0, 0), (1, 0))), block, axis=1)
    chosen = jnp.take_along_axis(tables.weights, block[:, None, :], axis=2)  # [B, L, N]
    inside = jnp.cumsum(jnp.swapaxes(chosen, 1, 2), axis=2)  # [B, N, L]
    slot = _first_above(inside, _below(jnp.maximum(target - before, 0.0), inside[:, :, -1]))
    return jnp.where(total > 0, slot * num_blocks + block, 0)


def _first_above(sums: Array, target: Array) -> Array:
    """Index of the first of non-decreasing sums Array[..., L] above target Array[...]; L - 1 where none is."""
    return jnp.minimum(jnp.sum(sums <= target[..., None], axis=-1, dtype=jnp.int32), sums.shape[-1] - 1)


def among_first_distinct(ids: Array, count: int) -> Array:
    """Which draws are the first `count` distinct values, each where it first appears; in O(R).

    Independent draws with the repeats dropped have exactly the law of draws one by one without replacement.

    Args:
        ids: Array[R] int32 draws, not negative.
        count: C.

    Returns:
        Array[R] bool; fewer than C are True where fewer values are distinct.
    """
    is_new = first_appearance(ids) == jnp.arange(ids.shape[0])
    return is_new & (_running_count(is_new) <= count)


def _running_count(flags: Array) -> Array:
    """Array[R] bool -> Array[R] float32 of whole numbers, by two small products; a running sum is slow on CPU."""
    size = flags.shape[0]
    length = math.ceil(math.sqrt(size))
    rows = jnp.pad(flags, (0, -size % length)).reshape(-1, length).astype(jnp.float32)
    inside = jnp.dot(rows, jnp.triu(jnp.ones((length, length))), precision="highest")
    before = jnp.dot(jnp.tril(jnp.ones((len(rows), len(rows))), -1), inside[:, -1], precision="highest")
    return (inside + before[:, None]).reshape(-1)[:size]


def first_distinct(ids: Array, count: int) -> tuple[Array, Array]:
    """The first `count` distinct values in order of appearance, see `among_first_distinct`.

    Returns:
        values Array[C] int32 and valid Array[C] bool, False for slots left over where fewer were distinct.
    """
    chosen = jnp.flatnonzero(among_first_distinct(ids, count), size=count, fill_value=ids.shape[0])
    valid = chosen < ids.shape[0]
    return ids[jnp.minimum(chosen, ids.shape[0] - 1)], valid


def gumbel_top_k(key: Array, weights: Array, count: int) -> tuple[Array, Array]:
    """`count` draws without replacement in O(I): the largest of log-weights plus Gumbel noise.

    The order is that of draws one by one (Efraimidis and Spirakis 2006).

    Args:
        key: PRNG key, consumed.
        weights: Array[I], non-negative.
        count: C, at most I.

    Returns:
        values Array[C] int32 and valid Array[C] bool, False where fewer than C weights are positive.
    """
    scores, values = jax.lax.top_k(jnp.log(weights) + jax.random.gumbel(key, weights.shape), count)
    return values, scores > -jnp.inf


def num_draws_needed(weights: np.ndarray, count: int) -> int:
    """Independent draws that hold `count` distinct elements but for a chance of about 1e-9; host side.

    With R draws the number of distinct elements has mean sum(1 - exp(-R p)) and variance below
    sum(exp(-R p) (1 - exp(-R p))); R is the smallest for which mean - 6 sd >= count.

    Args:
        weights: ndarray[I], non-negative.
        count: C.

    Returns:
        R, or 0 where that would be more than I draws: ranking the whole catalogue is then cheaper.
    """
    p = weights / weights.sum()

    def enough(draws: int) -> bool:
        seen = -np.expm1(-draws * p)
        return seen.sum() - 6.0 * math.sqrt((seen * (1.0 - seen)).sum()) >= count

    low, high = count, len(weights)
    if not enough(high):
        return 0
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
