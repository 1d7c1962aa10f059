"""Batches of positives and the three negative samplers: uniform, popularity and two-stage.

A sampler is a pair of pure functions, as an optax transformation is: `init` prepares what depends on the data and the
hyperparameters alone, `sample` draws negatives for a batch and sees the embeddings as an argument, so it cannot hold
stale ones.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cml_jax import csr, draws, sharding
from cml_jax.geometry import to_sphere
from cml_jax.types import Array, DeviceInteractions, HParams, Params, PyTree, Spec

_MAX_REDRAWS = 64  # popularity: a negative not found by then is marked invalid
_TWO_STAGE_REDRAWS = 2  # two-stage: afterwards the weights of known positives are set to zero,
_ROWS_AT_A_TIME = 24  # for so many rows in one go
_CHUNK = 256  # rows of the second stage that a CPU's cache holds with all their candidates
_RELEASED_RETRIES = 10  # two-stage, 'retry_then_keep': afterwards a known positive is kept
OWN_POSITIVE = ("exclude", "uniform_draw")
KNOWN_POSITIVES = ("exclude", "retry_then_keep")


class Sampler(NamedTuple):
    """A strategy for drawing negatives.

    Attributes:
        init: () -> sampler_state.
        sample: (key, sampler_state, params, users[B], positives[B]) -> (negatives[B, N] int32, valid[B] bool).
            No valid negative is a known positive of its user, but for two_stage's 'retry_then_keep'; where valid is
            False the negatives mean nothing.
    """

    init: Callable[[], PyTree]
    sample: Callable[[Array, PyTree, Params, Array, Array], tuple[Array, Array]]


def steps_per_pass(num_pairs: int, batch_size: int) -> int:
    """Steps that see every training pair once; the last batch of a pass may be partly masked."""
    return -(-num_pairs // batch_size)


def positives(key: Array, step: Array, data: DeviceInteractions, batch_size: int) -> tuple[Array, Array, Array]:
    """The batch of training pairs of a step; every pass goes through all pairs once, in an order of its own.

    Args:
        key: PRNG key of the run, the same at every step.
        step: int32 scalar, from 0.
        data: training interactions.
        batch_size: B.

    Returns:
        users Array[B] int32, items Array[B] int32, valid Array[B] bool (False past the end of the pass).
    """
    per_pass = steps_per_pass(data.num_pairs, batch_size)
    place = (step % per_pass) * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
    valid = place < data.num_pairs
    pair = draws.permute(jax.random.fold_in(key, step // per_pass), jnp.where(valid, place, 0), data.num_pairs)
    return data.users[pair], data.items[pair], valid


def popularity_weights(popularity: Array, exponent: Array | float, cap: Array | float) -> Array:
    """Stage-1 weights, proportional to min(popularity, cap)^exponent; the largest is 1 (Tran et al. 2019, section 3).

    Array[I] -> Array[I]. Items without training users keep weight 0, for every exponent: there is nothing to say that
    they are negatives. Scaled before the power is taken, so that no exponent overflows.
    """
    counts = jnp.minimum(popularity, cap)
    return jnp.where(popularity > 0, (counts / jnp.max(counts)) ** exponent, 0.0)


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


def uniform(spec: Spec, data: DeviceInteractions, hparams: HParams) -> Sampler:
    """Each negative uniform over the items that are not known positives of the user; exact, nothing is rejected."""
    del hparams

    def sample(key, state, params, users, items):
        del state, params, items
        free = data.num_items - (data.indptr[users + 1] - data.indptr[users])
        shape = (users.shape[0], spec.num_negatives)
        rank = jax.random.randint(key, shape, 0, jnp.maximum(free, 1)[:, None])
        return csr.complement_element(data, users[:, None], rank), free > 0

    return Sampler(init=lambda: (), sample=sample)


def popularity(spec: Spec, data: DeviceInteractions, hparams: HParams) -> Sampler:
    """Each negative with probability proportional to popularity^exponent over the items not known as positives.

    Known positives are redrawn. A negative that still is one after 64 redraws makes its triplet invalid; if the user's
    positives hold the share r of the weight, that happens with probability r^65. Items without training users have
    weight 0: they are never drawn, see `popularity_weights`.

    With `spec.without_replacement`, as the released code does it, the batch's B N negatives are first drawn without
    replacement; known positives among them are then redrawn one by one, with replacement.
    """

    def init():
        weights = popularity_weights(data.popularity, hparams.popularity_exponent, hparams.popularity_cap)
        return draws.make_weight_table(weights), weights if spec.without_replacement and not spec.num_draws else None

    def sample(key, state, params, users, items):
        del params, items
        table, weights = state
        shape = (users.shape[0], spec.num_negatives)
        count = math.prod(shape)

        def uniforms(attempt, num_draws):
            return jax.random.uniform(jax.random.fold_in(key, attempt), (2, num_draws))

        if not spec.without_replacement:
            negatives, found = draws.draw(uniforms(0, count), table), jnp.ones(count, bool)
        elif spec.num_draws:
            negatives, found = draws.first_distinct(draws.draw(uniforms(0, spec.num_draws), table), count)
        else:
            negatives, found = draws.top_by_exponential_race(jax.random.fold_in(key, 0), weights, count)
        negatives, found = negatives.reshape(shape), found.reshape(shape)

        def redraw(attempt, negatives, pending):
            proposal = draws.draw(uniforms(1 + attempt, count), table).reshape(shape)
            return jnp.where(pending, proposal, negatives), pending & csr.contains(data, users[:, None], proposal)

        pending = ~found | csr.contains(data, users[:, None], negatives)
        negatives, pending = _redraw_until_done(redraw, negatives, pending, _MAX_REDRAWS)
        return negatives, ~jnp.any(pending, axis=1)

    return Sampler(init=init, sample=sample)


def two_stage(spec: Spec, data: DeviceInteractions, hparams: HParams) -> Sampler:
    """The paper's sampler: C candidates by popularity for the batch, then a draw weighted by 1 / q(s).

    s is the inner product of positive and candidate, see `stage2_weights`.

    Known positives of the user never count: the draw has the law of the weights with theirs set to zero. It is made
    by drawing from the weights with only the pair's own positive set to zero and drawing again on a hit, which avoids a
    look-up of all B C pairs; rows that still hit after a few rounds are drawn from their fully masked weights, some at
    a time. (On Gowalla at B = 256, C = 2000 the look-up of a round costs a tenth of the full mask.)

    A triplet is invalid where no candidate that is not a known positive has a positive inner product.

    Two options repeat what the released code does instead, and neither is what the paper says:
    `spec.own_positive = 'uniform_draw'`: where the pair's own positive is among the candidates its weight overflows,
    and the draw falls back, silently, to a uniform one over the candidates; so it does where no weight is positive. (In
    the released code rounding decides: where s^2 comes out above 1, for about a third of the items at D = 128, the
    positive is left out instead. The option falls back for all.)
    `spec.known_positives = 'retry_then_keep'`: a known positive is redrawn up to ten times, then kept as a negative.
    """
    keep = spec.known_positives == "retry_then_keep"

    def init():
        return make_candidate_state(spec, data, hparams)

    def sample(key, state, params, users, items):
        num_rounds = 1 + _RELEASED_RETRIES if keep else _TWO_STAGE_REDRAWS
        shape = (users.shape[0], spec.num_negatives)
        # All at once: on CPU a call of the generator costs as much as some thousand numbers.
        uniforms = jax.random.uniform(key, (2 * spec.num_draws + (num_rounds + 1) * math.prod(shape),))
        candidates, filled = draw_candidates(key, uniforms[: 2 * spec.num_draws], state, spec, data.num_items)
        uniforms = uniforms[2 * spec.num_draws :].reshape(num_rounds + 1, *shape).swapaxes(0, 1)
        points = to_sphere(params.items[candidates])

        def draw_slots(rows):
            return second_stage(rows, candidates, filled, points)

        rows = (users, items, to_sphere(params.items[items]), uniforms)
        slots, drawable = _row_by_row(draw_slots, rows, spec.num_shards)
        return candidates[slots], drawable

    def second_stage(rows, candidates, filled, points):
        users, items, anchors, uniforms = rows
        shape, num_rounds = (users.shape[0], spec.num_negatives), uniforms.shape[1] - 1
        similarity = anchors @ points.T  # [B, C]

        def make_tables(similarity, items, allowed):
            is_own = candidates[None, :] == items[:, None]
            weights = stage2_weights(similarity, allowed & ~is_own, spec.dim, hparams.similarity_cutoff)
            if spec.own_positive == "uniform_draw":
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

        pending = jnp.broadcast_to(drawable[:, None], shape)
        slots, pending = _redraw_until_done(redraw, jnp.zeros_like(pending, jnp.int32), pending, num_rounds)
        if keep:
            return slots, drawable

        def draw_from_the_rest(carry):
            slots, pending, drawable = carry
            rows = jnp.flatnonzero(jnp.any(pending, axis=1), size=_ROWS_AT_A_TIME, fill_value=shape[0])
            row = jnp.minimum(rows, shape[0] - 1)  # the fill stands for no row, and its results are dropped
            allowed = filled[None, :] & ~csr.known_positives(data, users[row], candidates)
            tables = make_tables(similarity[row], items[row], allowed)
            proposal = draws.draw_per_row(tables, uniforms[row, num_rounds])
            slots = slots.at[rows].set(jnp.where(pending[row], proposal, slots[row]), mode="drop")
            drawable = drawable.at[rows].set(tables.blocks[:, -1] > 0, mode="drop")
            return slots, pending.at[rows].set(False, mode="drop"), drawable

        # A loop rather than a branch, which under vmap would always run.
        slots, _, drawable = jax.lax.while_loop(lambda c: jnp.any(c[1]), draw_from_the_rest, (slots, pending, drawable))
        return slots, drawable

    return Sampler(init=init, sample=sample)


def _row_by_row(function: Callable[[PyTree], PyTree], rows: PyTree, num_shards: int) -> PyTree:
    """`function` of `rows`, a tree of Array[B, ...] treated row by row: some by each device, on CPU a few at a time."""
    if num_shards > 1:
        return sharding.joined(_row_by_row(function, sharding.my_part(rows), 1))
    size = jax.tree.leaves(rows)[0].shape[0]
    if size % _CHUNK:
        return function(rows)

    def in_chunks(rows):
        chunks = jax.tree.map(lambda x: x.reshape(-1, _CHUNK, *x.shape[1:]), rows)
        return jax.tree.map(lambda x: x.reshape(size, *x.shape[2:]), jax.lax.map(function, chunks))

    return jax.lax.platform_dependent(rows, cpu=in_chunks, default=function)


def _redraw_until_done(redraw, values: Array, pending: Array, max_rounds: int) -> tuple[Array, Array]:
    """Runs (attempt, values, pending) -> (values, pending) until nothing is pending, at most `max_rounds` times."""

    def unfinished(carry):
        attempt, _, pending = carry
        return (attempt < max_rounds) & jnp.any(pending)

    def one_round(carry):
        attempt, values, pending = carry
        return attempt + 1, *redraw(attempt, values, pending)

    _, values, pending = jax.lax.while_loop(unfinished, one_round, (jnp.int32(0), values, pending))
    return values, pending


def make_candidate_state(spec: Spec, data: DeviceInteractions, hparams: HParams) -> PyTree:
    """What `draw_candidates` needs: a weight table, or the plain weights where the whole catalogue is ranked."""
    weights = popularity_weights(data.popularity, hparams.popularity_exponent, hparams.popularity_cap)
    return draws.make_weight_table(weights) if spec.num_draws else weights


def draw_candidates(key: Array, uniforms: Array, state: PyTree, spec: Spec, num_items: int) -> tuple[Array, Array]:
    """Stage 1: C distinct candidates for the batch, drawn by popularity without replacement.

    Args:
        key: PRNG key, consumed where the whole catalogue is ranked (spec.num_draws = 0).
        uniforms: Array[2 spec.num_draws] in [0, 1), used otherwise.
        state: from `make_candidate_state`.
        spec: num_candidates and num_draws are used.
        num_items: I.

    Returns:
        candidates Array[C] int32, ascending, and filled Array[C] bool, False for slots left over at the end where fewer
        items can be drawn; these hold item I - 1.
    """
    if spec.num_draws:
        drawn = draws.draw(uniforms.reshape(2, -1), state)
        taken = draws.among_first_distinct(drawn, spec.num_candidates)
    else:
        drawn, taken = draws.top_by_exponential_race(jax.random.fold_in(key, 0), state, spec.num_candidates)
    in_order = jnp.sort(jnp.where(taken, drawn, num_items))[: spec.num_candidates]
    in_order = jnp.pad(in_order, (0, spec.num_candidates - in_order.shape[0]), constant_values=num_items)
    return jnp.minimum(in_order, num_items - 1), in_order < num_items


SAMPLERS = {"uniform": uniform, "popularity": popularity, "two_stage": two_stage}
