"""Stage 2 of two-stage sampling: a draw from the candidates, weighted by the inner product with the positive."""

import jax
import jax.numpy as jnp

from cml_jax import csr, draws
from cml_jax.losses.base import takes_negatives
from cml_jax.options import Effect, Range, one_of, options, static, traced
from cml_jax.samplers.base import Candidates, redraw_until_done
from cml_jax.samplers.stage1 import PopularityOptions
from cml_jax.types import Array, DeviceInteractions

_ROWS_AT_A_TIME = 24  # pairs drawn from fully masked weights in one go
OWN_POSITIVE = ("exclude", "uniform_draw")
KNOWN_POSITIVES = ("exclude", "retry_then_keep")
CUTOFF_RANGE = Range(lambda v: 0 < v <= 1, "must be above 0 and at most 1")
_STAGE_2 = Effect(takes_negatives, "a loss that takes negatives")
_STAGE_2_ONLY = _STAGE_2._replace(enforced=True)


@options
class Stage2Options(PopularityOptions):
    """Options of stage 2, beside those of stage 1."""

    similarity_cutoff: float = traced(
        0.1,
        "upper bound of the inner product in the stage-2 weight; 1: no cut-off",
        CUTOFF_RANGE,
        _STAGE_2,
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


def keeps_known_positives(options: Stage2Options) -> bool:
    """Whether a known positive that is drawn again and again becomes a negative, as in the released code."""
    return options.known_positives == "retry_then_keep"


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


def draw_slots(
    rows: tuple[Array, Array, Array, Array],
    candidates: Candidates,
    vectors: Array,
    data: DeviceInteractions,
    options: Stage2Options,
) -> tuple[Array, Array]:
    """Draws negatives for some pairs from the candidates, weighted by 1 / q(s) (Tran et al. 2019, eq. 3).

    Args:
        rows: users Array[b] and positives Array[b] int32, unit vectors of the positives Array[b, D], and uniforms
            Array[b, rounds + 1, N] in [0, 1): a draw for each round, and one from fully masked weights.
        candidates: Array[C].
        vectors: Array[C, D], unit vectors of the candidates.
        data: training interactions.
        options: cut-off, and what is done with positives.

    Returns:
        Places Array[b, N] int32 in the candidates, and Array[b] bool: False where no candidate can be drawn.
    """
    users, items, anchors, uniforms = rows
    ids, filled = candidates.ids, candidates.filled
    size, num_rounds = (users.shape[0], uniforms.shape[2]), uniforms.shape[1] - 1
    similarity = anchors @ vectors.T  # [B, C]

    def make_tables(similarity, items, allowed):
        is_own = ids[None, :] == items[:, None]
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
        hit = csr.contains(data, users[:, None], ids[proposal])
        return jnp.where(pending, proposal, slots), pending & hit

    pending = jnp.broadcast_to(drawable[:, None], size)
    slots, pending = redraw_until_done(redraw, jnp.zeros_like(pending, jnp.int32), pending, num_rounds)
    if keeps_known_positives(options):
        return slots, drawable

    def draw_from_the_rest(carry):
        slots, pending, drawable = carry
        rows = jnp.flatnonzero(jnp.any(pending, axis=1), size=_ROWS_AT_A_TIME, fill_value=size[0])
        row = jnp.minimum(rows, size[0] - 1)  # the fill stands for no row, and its results are dropped
        allowed = filled[None, :] & ~csr.known_positives(data, users[row], ids)
        tables = make_tables(similarity[row], items[row], allowed)
        proposal = draws.draw_per_row(tables, uniforms[row, num_rounds])
        slots = slots.at[rows].set(jnp.where(pending[row], proposal, slots[row]), mode="drop")
        drawable = drawable.at[rows].set(tables.blocks[:, -1] > 0, mode="drop")
        return slots, pending.at[rows].set(False, mode="drop"), drawable

    # A loop rather than a branch, which under vmap would always run.
    slots, _, drawable = jax.lax.while_loop(lambda c: jnp.any(c[1]), draw_from_the_rest, (slots, pending, drawable))
    return slots, drawable
