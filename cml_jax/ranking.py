"""Exact masked top-k over the full catalogue, in chunks of users that fit a memory budget."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax.data.interactions import Interactions
from cml_jax.types import Array, Params

_MAX_CHUNK = 1024  # users; more gains nothing and makes the last, padded chunk wasteful
_BYTES_PER_SCORE = 12  # scores, their masked copy and the workspace of the sort


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
    affordable = memory_budget_mb * 2**20 / (_BYTES_PER_SCORE * params.items.shape[0])
    size = max(1, int(min(affordable, _MAX_CHUNK, len(users))))
    squared_norms = jnp.sum(jnp.square(params.items), axis=1)
    degrees = seen.degrees[users]
    order = np.argsort(degrees, kind="stable")
    for start in range(0, len(users), size):
        places = order[start : start + size]
        padded = np.resize(places, size)  # the last chunk repeats users, to keep the shape
        length = 1 << max(0, int(degrees[padded].max() - 1)).bit_length()
        mask = _padded_rows(seen, users[padded], length)
        ids = _rank(params, squared_norms, jnp.asarray(users[padded], jnp.int32), jnp.asarray(mask), k)
        yield places, ids[: len(places)]


def _padded_rows(seen: Interactions, users: np.ndarray, length: int) -> np.ndarray:
    """ndarray[c, length] int32 of the users' items, filled up with I, which a scatter in mode 'drop' leaves out."""
    column = np.arange(length)
    place = seen.indptr[users][:, None] + column
    inside = column < seen.degrees[users][:, None]
    padded = np.full(place.shape, seen.num_items, np.int32)
    padded[inside] = seen.items[place[inside]]
    return padded


@functools.partial(jax.jit, static_argnames="k")
def _rank(params: Params, squared_norms: Array, users: Array, mask: Array, k: int) -> Array:
    """ids Array[c, K] in ascending ||u - i||^2, computed as -2 <u, i> + ||i||^2, which differs by a constant of u."""
    # Full precision: the default of GPUs and TPUs rounds products to fewer bits, which reorders near neighbours.
    products = jnp.matmul(params.users[users], params.items.T, precision=jax.lax.Precision.HIGHEST)
    scores = 2.0 * products - squared_norms[None, :]
    row = jnp.arange(users.shape[0])[:, None]
    best, ids = jax.lax.top_k(scores.at[row, mask].set(-jnp.inf, mode="drop"), k)
    return jnp.where(best > -jnp.inf, ids, -1)
