"""Ranked lists with scores, by any ranking, over all items or those allowed, in blocks of users."""

from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from cml_jax.data.interactions import Interactions
from cml_jax.ranking import ranked_chunks, select
from cml_jax.types import Factors, Ranking

_BLOCK = 1024  # users whose lists are held at once, at most
_BYTES_PER_ROW = 64  # of a list, as arrays and as a table


class Lists(NamedTuple):
    """Lists of a block of users.

    Attributes:
        users: the slice of all users that they belong to.
        ids: ndarray[c, K] int64, best first; -1 where fewer than K items are left.
        scores: ndarray[c, K] float32, such as -||u - i||^2; larger is better.
    """

    users: slice
    ids: np.ndarray
    scores: np.ndarray


def ranked_lists(
    ranking: Ranking,
    users: np.ndarray,
    seen: Interactions,
    k: int,
    *,
    allowed: np.ndarray,
    memory_budget_mb: float,
) -> Iterator[Lists]:
    """Yields the best items of users, block after block; of equal scores the smaller id comes first.

    Args:
        ranking: of all users and items.
        users: ndarray[n] of rows of the ranking.
        seen: a row for each row of the ranking; items left out of the user's own list.
        k: K; lists are shorter where fewer items are allowed.
        allowed: ndarray[m] of ascending item ids; the others are left out of the catalogue.
        memory_budget_mb: see `ranking.top_k`; of long lists fewer users make a block.
    """
    numbers = None
    if len(allowed) < seen.num_items:
        ranking, numbers = select(ranking, items=jnp.asarray(allowed)), np.full(seen.num_items, -1, np.int32)
        numbers[allowed] = np.arange(len(allowed))
    k = min(k, len(allowed))
    size = max(1, min(_BLOCK, int(memory_budget_mb * 2**20 / (_BYTES_PER_ROW * k))))
    for start in range(0, len(users), size):
        block = slice(start, min(start + size, len(users)))
        here = users[block]
        ids, scores = np.empty((len(here), k), np.int64), np.empty((len(here), k), np.float32)
        chunks = ranked_chunks(ranking, here, seen, k, memory_budget_mb=memory_budget_mb, numbers=numbers)
        for places, chunk, best in chunks:
            ids[places] = chunk
            scores[places] = best
        if isinstance(ranking, Factors) and ranking.offsets is not None:
            # Rounding must not make a distance negative; it keeps the order.
            scores = np.minimum(scores + np.asarray(jnp.take(ranking.offsets, here))[:, None], 0.0)
        yield Lists(block, np.where(ids >= 0, allowed[ids], -1), scores)
