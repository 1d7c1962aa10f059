"""The loss of pairs that share their candidates, and its gradient, in one pass over blocks of pairs."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cml_jax import csr
from cml_jax.candidate_mask import CandidateMask
from cml_jax.losses.base import Loss, Pooled
from cml_jax.types import Array, PyTree

# Similarities of a block of pairs and all candidates: what the last cache of a CPU or an accelerator holds.
_CPU_BLOCK, _BLOCK = 2**20, 2**22


class Pairs(NamedTuple):
    """What a loss of shared candidates is differentiated by.

    Attributes:
        users: Array[b, D], as they are compared.
        own: Array[b]; similarities of users and positives.
        factors: Array[b]; of the pairs' losses.
    """

    users: Array
    own: Array
    factors: Array


def total_loss(
    loss: Loss, all_pairs: Callable[[Array, Array], Array], pairs: Pairs, candidates: Array, mask: CandidateMask
) -> Array:
    """Sums the losses of pairs that share their candidates, by their factors; memory grows with b + n, not with b n.

    The gradient is found together with the value, block by block: similarities are computed once, and what a block
    holds of them stays in the cache.

    Args:
        loss: of a pair.
        all_pairs: similarities of users and candidates, Array[b, D], Array[n, D] -> Array[b, n].
        pairs: points of users and so on.
        candidates: Array[n, D], as they are compared.
        mask: which candidates count for which pairs.

    Returns:
        Scalar.
    """
    if loss.pooled is None or all_pairs is not inner_products:
        of_block = functools.partial(_block, loss, all_pairs)
    else:
        of_block = functools.partial(_pooled_block, loss.pooled)

    def in_blocks_of(size):
        return lambda pairs, candidates, mask: _in_blocks(of_block, pairs, candidates, mask, size)

    value, gradient = jax.lax.platform_dependent(
        *jax.lax.stop_gradient((pairs, candidates)),
        mask,
        cpu=in_blocks_of(_CPU_BLOCK),
        default=in_blocks_of(_BLOCK),
    )
    return _with_gradient(value, gradient, (pairs, candidates))


def similarities_at_once(num_pairs: int, num_candidates: int) -> int:
    """Similarities that are in memory at once on an accelerator."""
    return min(num_pairs * num_candidates, max(_BLOCK, num_candidates))


def inner_products(users: Array, candidates: Array) -> Array:
    """<u, c> of all pairs: Array[b, D], Array[n, D] -> Array[b, n]."""
    return users @ candidates.T


def corrected(loss: Loss, similarities: Array, correction: Array | None) -> Array:
    """Similarities Array[..., n] that make a loss add `correction` to the logits of shared candidates, Array[n]."""
    if correction is None:
        return similarities
    assert loss.pooled is not None
    return similarities + jnp.broadcast_to(correction / loss.pooled.scale, similarities.shape)


@jax.custom_vjp
def _with_gradient(value: Array, gradient: PyTree, point: PyTree) -> Array:
    """The value of a function at a point, where its gradient is known."""
    del gradient, point
    return value


_with_gradient.defvjp(
    lambda value, gradient, point: (value, gradient),
    lambda gradient, cotangent: (None, None, jax.tree.map(lambda slope: cotangent * slope, gradient)),
)


def _in_blocks(
    of_block: Callable[..., tuple[Array, tuple[Pairs, Array]]],
    pairs: Pairs,
    candidates: Array,
    mask: CandidateMask,
    size: int,
) -> tuple[Array, tuple[Pairs, Array]]:
    """The value and the gradient by pairs and candidates; a block has `size` similarities or fewer, or one pair."""
    places = mask.places()
    num_pairs, rows = pairs.users.shape[0], max(1, size // candidates.shape[0])
    if num_pairs <= rows:
        return of_block(pairs, candidates, mask, places)
    num_blocks = -(-num_pairs // rows)
    rows = -(-num_pairs // num_blocks)

    def split(leaf):
        filled_up = jnp.pad(leaf, ((0, num_blocks * rows - num_pairs),) + ((0, 0),) * (leaf.ndim - 1))
        return filled_up.reshape(num_blocks, rows, *leaf.shape[1:])

    def step(carry, block):
        here, by_pair = block
        value, (of_pairs, of_candidates) = of_block(here, candidates, mask.map_pairs(lambda _: by_pair), places)
        return (carry[0] + value, carry[1] + of_candidates), of_pairs

    start = jnp.zeros_like(pairs.own, shape=()), jnp.zeros_like(candidates)
    (total, of_candidates), of_pairs = jax.lax.scan(step, start, jax.tree.map(split, (pairs, mask.by_pair())))
    of_pairs = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:])[:num_pairs], of_pairs)
    return total, (of_pairs, of_candidates)


def _block(
    loss: Loss,
    all_pairs: Callable[[Array, Array], Array],
    pairs: Pairs,
    candidates: Array,
    mask: CandidateMask,
    places: csr.Places,
) -> tuple[Array, tuple[Pairs, Array]]:
    """A block of any loss, differentiated by similarities first."""
    similarities, back = jax.vjp(all_pairs, pairs.users, candidates)
    similarities = mask.fill(corrected(loss, similarities, mask.correction), places)
    counts = similarities > -jnp.inf
    similarities = jnp.where(counts, similarities, 0.0)  # so that no loss has to do with infinity

    def weighted(own, similarities):
        each = jax.vmap(loss.example)(own, similarities, counts)
        return jnp.dot(pairs.factors, each), each

    slopes = jax.value_and_grad(weighted, argnums=(0, 1), has_aux=True)
    (value, each), (of_own, of_similarities) = slopes(pairs.own, similarities)
    of_users, of_candidates = back(of_similarities)
    return value, (Pairs(of_users, of_own, each), of_candidates)


def _pooled_block(
    pooled: Pooled, pairs: Pairs, candidates: Array, mask: CandidateMask, places: csr.Places
) -> tuple[Array, tuple[Pairs, Array]]:
    """A block of inner products s and a loss f(own, l), l = log sum_n exp(c s_n).

    df / du = f' c / z sum_n e_n n, where e_n = exp(c s_n - max), z = sum_n e_n, and f' is the derivative by l; likewise
    for n: two products with e, which is written once.
    """
    scaled = pooled.scale * pairs.users
    logits = inner_products(scaled, candidates)
    if mask.correction is not None:
        logits += mask.correction[None, :]
    logits = mask.fill(logits, places)
    largest = jnp.max(logits, axis=1, keepdims=True)
    some = largest > -jnp.inf
    largest = jnp.where(some, largest, 0.0)
    terms = jnp.exp(logits - largest)
    sums = jnp.where(some, jnp.sum(terms, axis=1, keepdims=True), 1.0)

    def of_log_sums(own, log_sums):
        each = jnp.where(some[:, 0], jax.vmap(pooled.combine)(own, log_sums), 0.0)
        return jnp.dot(pairs.factors, each), each

    slopes = jax.value_and_grad(of_log_sums, argnums=(0, 1), has_aux=True)
    log_sums = (jnp.log(sums) + largest)[:, 0]
    (value, each), (of_own, of_log_sum) = slopes(pairs.own, log_sums)
    weights = of_log_sum[:, None] / sums
    of_users = pooled.scale * weights * (terms @ candidates)
    return value, (Pairs(of_users, of_own, each), terms.T @ (weights * scaled))
