"""Ranked lists with scores, of any points, over all items or those allowed, in blocks of users."""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax.data.interactions import Interactions, keep_items, keep_users
from cml_jax.ranking import ranked_chunks
from cml_jax.types import Array, Params

_BLOCK = 1024  # users whose lists are held at once


class Lists(NamedTuple):
    """Lists of a block of users.

    Attributes:
        users: the slice of all users that they belong to.
        ids: ndarray[c, K] int64, nearest first; -1 where fewer than K items are left.
        scores: ndarray[c, K] float32, -||u - i||^2.
    """

    users: slice
    ids: np.ndarray
    scores: np.ndarray


def ranked_lists(
    users: Array, items: Array, seen: Interactions, k: int, *, allowed: np.ndarray, memory_budget_mb: float
) -> Iterator[Lists]:
    """Yields the nearest items of all users, block after block; of equal distances the smaller id comes first.

    Args:
        users: Array[n, D].
        items: Array[I, D].
        seen: n rows; items left out of the user's own list.
        k: K; lists are shorter where fewer items are allowed.
        allowed: ndarray[m] of ascending item ids; the others are left out of the catalogue.
        memory_budget_mb: see `ranking.top_k`.
    """
    if len(allowed) < items.shape[0]:
        items, seen = items[jnp.asarray(allowed)], keep_items(seen, allowed)
    k = min(k, len(allowed))
    for start in range(0, users.shape[0], _BLOCK):
        block = slice(start, min(start + _BLOCK, users.shape[0]))
        points, here = users[block], np.arange(block.start, block.stop)
        ids, scores = np.empty((len(here), k), np.int64), np.empty((len(here), k), np.float32)
        chunks = ranked_chunks(
            Params(points, items), here - start, keep_users(seen, here), k, memory_budget_mb=memory_budget_mb
        )
        norms = np.asarray(_squared_norms(points))
        for places, chunk, best in chunks:
            ids[places] = chunk
            # Rounding must not make a distance negative; it keeps the order.
            scores[places] = np.minimum(np.asarray(best) - norms[places, None], 0.0)
        yield Lists(block, np.where(ids >= 0, allowed[ids], -1), scores)


@jax.jit
def _squared_norms(points: Array) -> Array:
    return jnp.sum(jnp.square(points), axis=1)
