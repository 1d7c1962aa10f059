"""Exact masked top-k over the full catalogue, in chunks of users that fit a memory budget."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax.data.interactions import Interactions
from cml_jax.types import Array, Params

_MAX_CHUNK = 1024  # users a call; more gains nothing and makes the last, padded chunk wasteful
_CACHE_BYTES = {"cpu": 2**25}  # scores of the users that are ranked at once, where more is slower
_BLOCK = 64  # L of `_top_k`
_BYTES_PER_SCORE = 12  # scores, their masked copy and what is selected from


def top_k(
    params: Params, users: np.ndarray, seen: Interactions, k: int, *, memory_budget_mb: float = 512.0
) -> np.ndarray:
    """The k nearest items of each user that the user has not seen, nearest first; of equal distances the smaller id.

    Args:
        params: the embeddings.
        users: ndarray[n] of user row numbers.
        seen: interactions whose items are left out of the user's own list.
        k: K, at most I.
        memory_budget_mb: bound on the score matrix and its copies, in MiB; at least one user is ranked at a time.

    Returns:
        ndarray[n, K] int32; -1 where fewer than K unseen items exist.
    """
    ranked = np.empty((len(users), k), np.int32)
    for places, ids in ranked_chunks(params, users, seen, k, memory_budget_mb=memory_budget_mb):
        ranked[places] = ids
    return ranked


def ranked_chunks(
    params: Params, users: np.ndarray, seen: Interactions, k: int, *, memory_budget_mb: float = 512.0
) -> Iterator[tuple[np.ndarray, Array]]:
    """Yields (places ndarray[c] in `users`, ids Array[c, K]) until every user is ranked; arguments as for `top_k`.

    Users come in order of the number of items they have seen, so that the padded lists of a chunk are about equally
    long; lengths are rounded up to powers of two, which bounds the number of compiled shapes.
    """
    bytes_per_user = _BYTES_PER_SCORE * params.items.shape[0]
    in_cache = _CACHE_BYTES.get(jax.default_backend(), 2**28) // bytes_per_user
    at_once = max(1, int(min(memory_budget_mb * 2**20 / bytes_per_user, in_cache, _MAX_CHUNK, len(users))))
    size = min(_MAX_CHUNK // at_once, -(-len(users) // at_once)) * at_once
    items = _with_norms(params.items)
    degrees = seen.degrees[users]
    order = np.argsort(degrees, kind="stable")
    for start in range(0, len(users), size):
        places = order[start : start + size]
        padded = np.resize(places, size)  # the last chunk repeats users, to keep the shape
        length = 1 << max(0, int(degrees[padded].max() - 1)).bit_length()
        mask = _padded_rows(seen, users[padded], length)
        ids = _rank(params.users[users[padded]], items, jnp.asarray(mask), k, at_once=at_once, num_items=seen.num_items)
        yield places, ids[: len(places)]


def _padded_rows(seen: Interactions, users: np.ndarray, length: int) -> np.ndarray:
    """ndarray[c, length] int32 of the users' items, filled up with I, which is no item."""
    column = np.arange(length)
    place = seen.indptr[users][:, None] + column
    inside = column < seen.degrees[users][:, None]
    padded = np.full(place.shape, seen.num_items, np.int32)
    padded[inside] = seen.items[place[inside]]
    return padded


@jax.jit
def _with_norms(items: Array) -> Array:
    """Array[I, D] -> Array[I', D + 1] of (2 i, -||i||^2), I' in whole blocks: a product with (u, 1) gives all scores.

    What is filled up has the largest finite norm, so that no user is near it.
    """
    padding = -items.shape[0] % _BLOCK
    norms = jnp.pad(jnp.sum(jnp.square(items), axis=1), (0, padding), constant_values=jnp.finfo(jnp.float32).max)
    return jnp.concatenate([jnp.pad(2.0 * items, ((0, padding), (0, 0))), -norms[:, None]], axis=1)


@functools.partial(jax.jit, static_argnames=("k", "at_once", "num_items"))
def _rank(points: Array, items: Array, mask: Array, k: int, *, at_once: int, num_items: int) -> Array:
    """ids Array[c, K] in ascending ||u - i||^2, computed as -2 <u, i> + ||i||^2, which differs by a constant of u.

    A few users at a time, so that their scores stay in the cache.

    Args:
        points: Array[c, D] of the users.
        items: from `_with_norms`.
        mask: Array[c, length] int32; ids to leave out, and I or more for none.
        k: K.
        at_once: a divisor of c.
        num_items: I.
    """

    def rank_some(some):
        points, mask = some
        points = jnp.pad(points, ((0, 0), (0, 1)), constant_values=1.0)
        # Full precision: the default of GPUs and TPUs rounds products to fewer bits, which reorders near neighbours.
        scores = jnp.matmul(points, items.T, precision=jax.lax.Precision.HIGHEST)
        row = jnp.arange(points.shape[0])[:, None]
        best, ids = _top_k(scores.at[row, mask].set(-jnp.inf, mode="drop"), k)
        return jnp.where((best > -jnp.inf) & (ids < num_items), ids, -1)

    groups = (points.reshape(-1, at_once, points.shape[1]), mask.reshape(-1, at_once, mask.shape[1]))
    return jax.lax.map(rank_some, groups).reshape(-1, k)


def _top_k(scores: Array, k: int) -> tuple[Array, Array]:
    """The k largest of each row and their places, of equal ones the first: Array[c, I] -> Array[c, K] twice.

    Each of the k largest lies in one of the k blocks with the largest maxima (equal maxima: the first blocks), since
    each of these has an element that comes before all of any other block. That leaves K L + I / L to select from.

    Args:
        scores: I a multiple of L.
        k: K.
    """
    num_rows, size = scores.shape
    if size < 4 * k * _BLOCK:
        return jax.lax.top_k(scores, k)
    blocks = scores.reshape(num_rows, -1, _BLOCK)
    chosen = jnp.sort(jax.lax.top_k(jnp.max(blocks, axis=2), k)[1], axis=1)  # in order, so that ties keep theirs
    inside = jnp.take_along_axis(blocks, chosen[:, :, None], axis=1)  # [c, K, L]
    best, place = jax.lax.top_k(inside.reshape(num_rows, -1), k)
    return best, jnp.take_along_axis(chosen, place // _BLOCK, axis=1) * _BLOCK + place % _BLOCK
