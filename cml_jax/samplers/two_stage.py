"""Two-stage sampling: candidates by popularity, then a draw weighted by the inner product with the positive."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from cml_jax import csr, draws, sharding
from cml_jax.options import AT_LEAST_0, Effect, Range, one_of, options, static, traced
from cml_jax.registry import Strategy
from cml_jax.samplers.base import BatchShape, Negatives, Sampler, redraw_until_done
from cml_jax.samplers.stage1 import (
    PopularityOptions,
    candidate_function,
    draw_candidates,
    init_candidates,
    popularity_weights,
    takes_negatives,
)
from cml_jax.types import Array, DeviceInteractions, PyTree

_REDRAWS = 2  # afterwards the weights of known positives are set to zero,
_ROWS_AT_A_TIME = 24  # for so many rows in one go
_CHUNK = 256  # rows of the second stage that a CPU's cache holds with all their candidates
_RELEASED_RETRIES = 10  # with 'retry_then_keep'; afterwards a known positive is kept
OWN_POSITIVE = ("exclude", "uniform_draw")
KNOWN_POSITIVES = ("exclude", "retry_then_keep")
_STAGE_2 = Effect(takes_negatives, "a loss that takes negatives")
_STAGE_2_ONLY = _STAGE_2._replace(enforced=True)


@options
class TwoStageOptions(PopularityOptions):
    """Options of two-stage sampling."""

    similarity_cutoff: float = traced(
        0.1,
        "upper bound of the inner product in the stage-2 weight; 1: no cut-off",
        Range(lambda v: 0 < v <= 1, "must be above 0 and at most 1"),
        _STAGE_2,
    )
    refresh_every: int = static(
        1, "steps between refreshes of what stage 2 sees; 1: live, 0: frozen at the start", AT_LEAST_0, _STAGE_2
    )
    own_positive: str = static(
        "exclude",
        "where the positive is a candidate: exclude | uniform_draw; the latter as the released code does",
        one_of(OWN_POSITIVE),
        _STAGE_2_ONLY,
    )
    known_positives: str = static(
        "exclude",
        "known positives of the user: exclude | retry_then_keep; the latter as the released code does",
        one_of(KNOWN_POSITIVES),
        _STAGE_2_ONLY,
    )

    def num_distinct(self, chosen: Any) -> int:
        """The candidates."""
        del chosen
        return self.num_candidates


def stage2_weights(similarity: Array, usable: Array, dim: int, cutoff: Array | float) -> Array:
    """Weights 1 / q(s) of the second stage, scaled so that the largest of a row is 1 (Tran et al. 2019, eq. 3).

    q(s) is the density of the inner product s of two random points of the sphere, proportional to
    (1 - s^2)^((D - 3) / 2). A weight is computed relative to the largest of its row, as the power of a ratio of at most
    1, since 1 / q overflows float32 for s near 1; s is clipped at `cutoff`, as distance-weighted sampling does (Wu et
    al. 2017), because the nearest candidates are mostly false negatives.

    Args:
        similarity: Array[..., C], inner products of unit vectors.
        usable: Array[..., C] bool; candidates that may be drawn.
        dim: D.
        cutoff: upper bound of s; 1 for none.

    Returns:
        Array[..., C]; 0 where not usable or s <= 0; all 0 in a row without a usable candidate of s > 0.
    """
    clipped = jnp.where(usable, jnp.minimum(similarity, jnp.minimum(cutoff, 1.0 - 1e-6)), -1.0)
    nearest = jnp.maximum(jnp.max(clipped, axis=-1, keepdims=True), 0.0)
    positive = jnp.maximum(clipped, 0.0)
    ratio = (1.0 - nearest) * (1.0 + nearest) / ((1.0 - positive) * (1.0 + positive))
    # ratio^((D - 3) / 2) by multiplications: the exponent is known and a whole number or a half.
    power = jax.lax.integer_pow(ratio, (dim - 3) // 2)
    return jnp.where(clipped > 0, power if dim % 2 else power * jnp.sqrt(ratio), 0.0)


def make(options: TwoStageOptions, data: DeviceInteractions, shape: BatchShape) -> Sampler:
    """The paper's sampler: C candidates by popularity for the batch, then a draw weighted by 1 / q(s).

    s is the inner product of positive and candidate, see `stage2_weights`.

    Known positives of the user never count: the draw has the law of the weights with theirs set to zero. It is made
    by drawing from the weights with only the pair's own positive set to zero and drawing again on a hit, which avoids a
    look-up of all B C pairs; rows that still hit after a few rounds are drawn from their fully masked weights, some at
    a time. (On Gowalla at B = 256, C = 2000 the look-up of a round costs a tenth of the full mask.)

    A pair is invalid where no candidate that is not a known positive has a positive inner product.

    Two options repeat what the released code does instead, and neither is what the paper says:
    `own_positive = 'uniform_draw'`: where the pair's own positive is among the candidates its weight overflows,
    and the draw falls back, silently, to a uniform one over the candidates; so it does where no weight is positive. (In
    the released code rounding decides: where s^2 comes out above 1, for about a third of the items at D = 128, the
    positive is left out instead. The option falls back for all.)
    `known_positives = 'retry_then_keep'`: a known positive is redrawn up to ten times, then kept as a negative.
    """
    num_draws, num_candidates = options.num_draws, min(options.num_candidates, data.num_items)
    keep = options.known_positives == "retry_then_keep"

    def init():
        weights = popularity_weights(data.popularity, options.popularity_exponent, options.popularity_cap)
        return init_candidates(weights, options.num_draws)

    def sample(key, state, points, users, positives):
        num_rounds = 1 + _RELEASED_RETRIES if keep else _REDRAWS
        size = (users.shape[0], shape.num_negatives)
        # All at once: on CPU a call of the generator costs as much as some thousand numbers.
        uniforms = jax.random.uniform(key, (2 * num_draws + (num_rounds + 1) * math.prod(size),))
        candidates, filled = draw_candidates(
            key, uniforms[: 2 * num_draws], state, num_candidates, num_draws, data.num_items
        )
        uniforms = uniforms[2 * num_draws :].reshape(num_rounds + 1, *size).swapaxes(0, 1)
        vectors = points.directions(candidates)

        def draw_slots(rows):
            return second_stage(rows, candidates, filled, vectors)

        rows = (users, positives, points.directions(positives), uniforms)
        slots, drawable = _row_by_row(draw_slots, rows, shape.num_shards)
        return Negatives(candidates[slots], drawable), state

    def second_stage(rows, candidates, filled, vectors):
        users, items, anchors, uniforms = rows
        size, num_rounds = (users.shape[0], shape.num_negatives), uniforms.shape[1] - 1
        similarity = anchors @ vectors.T  # [B, C]

        def make_tables(similarity, items, allowed):
            is_own = candidates[None, :] == items[:, None]
            weights = stage2_weights(similarity, allowed & ~is_own, vectors.shape[1], options.similarity_cutoff)
            if options.own_positive == "uniform_draw":
                overflows = jnp.any(is_own & filled[None, :], axis=1, keepdims=True)
                falls_back = overflows | ~jnp.any(weights > 0, axis=1, keepdims=True)
                weights = jnp.where(falls_back, allowed.astype(weights.dtype), weights)
            return draws.make_row_tables(weights)

        tables = make_tables(similarity, items, jnp.broadcast_to(filled[None, :], similarity.shape))
        drawable = tables.blocks[:, -1] > 0

        def redraw(attempt, slots, pending):
            proposal = draws.draw_per_row(tables, uniforms[:, attempt])
            hit = csr.contains(data, users[:, None], candidates[proposal])
            return jnp.where(pending, proposal, slots), pending & hit

        pending = jnp.broadcast_to(drawable[:, None], size)
        slots, pending = redraw_until_done(redraw, jnp.zeros_like(pending, jnp.int32), pending, num_rounds)
        if keep:
            return slots, drawable

        def draw_from_the_rest(carry):
            slots, pending, drawable = carry
            rows = jnp.flatnonzero(jnp.any(pending, axis=1), size=_ROWS_AT_A_TIME, fill_value=size[0])
            row = jnp.minimum(rows, size[0] - 1)  # the fill stands for no row, and its results are dropped
            allowed = filled[None, :] & ~csr.known_positives(data, users[row], candidates)
            tables = make_tables(similarity[row], items[row], allowed)
            proposal = draws.draw_per_row(tables, uniforms[row, num_rounds])
            slots = slots.at[rows].set(jnp.where(pending[row], proposal, slots[row]), mode="drop")
            drawable = drawable.at[rows].set(tables.blocks[:, -1] > 0, mode="drop")
            return slots, pending.at[rows].set(False, mode="drop"), drawable

        # A loop rather than a branch, which under vmap would always run.
        slots, _, drawable = jax.lax.while_loop(lambda c: jnp.any(c[1]), draw_from_the_rest, (slots, pending, drawable))
        return slots, drawable

    return Sampler(
        init,
        sample,
        candidate_function(options, data, lambda state: state),
        refresh_every=options.refresh_every,
        scores_per_pair=num_candidates,
    )


def _row_by_row(function: Callable[[PyTree], PyTree], rows: PyTree, num_shards: int) -> PyTree:
    """`function` of `rows`, a tree of Array[B, ...] treated row by row: some by each device, on CPU a few at a time."""
    if num_shards > 1:
        return sharding.all_gather(_row_by_row(function, sharding.local_slice(rows), 1))
    size = jax.tree.leaves(rows)[0].shape[0]
    if size % _CHUNK:
        return function(rows)

    def in_chunks(rows):
        chunks = jax.tree.map(lambda x: x.reshape(-1, _CHUNK, *x.shape[1:]), rows)
        return jax.tree.map(lambda x: x.reshape(size, *x.shape[2:]), jax.lax.map(function, chunks))

    return jax.lax.platform_dependent(rows, cpu=in_chunks, default=function)


TWO_STAGE = Strategy("two_stage", TwoStageOptions, make)
