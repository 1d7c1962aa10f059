"""Which items a page shows, and what is near them."""

from typing import NamedTuple

import numpy as np

from cml_jax.data.interactions import Interactions
from cml_jax.models.points import distance_factors
from cml_jax.serving.lists import ranked_lists
from cml_jax.types import Array

_ROWS = 2048  # whose differences are held at once


class Shown(NamedTuple):
    """Items of a page.

    Attributes:
        rows: ndarray[n] int64, ascending; their numbers in the catalogue.
        place_of: ndarray[I] int32; place in `rows` of every item, -1 for those that are not shown.
        note: a sentence about a sample; empty where all items are shown.
    """

    rows: np.ndarray
    place_of: np.ndarray
    note: str = ""

    def places(self, rows: np.ndarray) -> np.ndarray:
        """Places of items, ndarray[...] -> ndarray[...] int32; -1 where not shown or the number is -1."""
        return np.where(rows >= 0, self.place_of[rows], -1).astype(np.int32)


def choose(popularity: np.ndarray, needed: np.ndarray, max_items: int) -> Shown:
    """All items, or a sample of them, stratified by popularity.

    Args:
        popularity: ndarray[I]; training users of each.
        needed: numbers of items that are shown in any case.
        max_items: n at most, unless more are needed.
    """
    num_items = len(popularity)
    if num_items <= max_items:
        return Shown(np.arange(num_items), np.arange(num_items, dtype=np.int32))
    needed = np.unique(needed)
    others = np.setdiff1d(np.argsort(popularity, kind="stable"), needed, assume_unique=True)  # keeps the order
    count = max(0, max_items - len(needed))
    places = ((np.arange(count) + 0.5) * len(others) / max(count, 1)).astype(np.int64)
    rows = np.sort(np.concatenate([needed, others[places]]))
    place_of = np.full(num_items, -1, np.int32)
    place_of[rows] = np.arange(len(rows))
    every = len(others) / max(count, 1)
    note = (
        f"{len(rows):,} of {num_items:,} items are shown: the {len(needed):,} that users' lists and histories and the "
        f"candidates name, and of the others every {every:,.1f}th in the order of popularity. Neighbours are those "
        f"among the items shown."
    )
    return Shown(rows, place_of, note)


def neighbours(points: Array, k: int, memory_budget_mb: float) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest to each point, without itself, and their distances, ndarray[n, K] each, nearest first.

    As `Recommender.similar_items`, for all at once; distances are Euclidean.
    """
    count = len(points)
    itself = Interactions(np.arange(count + 1, dtype=np.int64), np.arange(count, dtype=np.int32), count)
    everything = np.arange(count)
    lists = ranked_lists(
        distance_factors(points, points),
        everything,
        itself,
        min(k, count - 1),
        allowed=everything,
        memory_budget_mb=memory_budget_mb,
    )
    ids = np.concatenate([part.ids for part in lists])
    held = np.asarray(points)
    distances = np.empty(ids.shape, np.float32)
    for start in range(0, count, _ROWS):  # from differences, since those of products are rounded near 0
        here = slice(start, start + _ROWS)
        distances[here] = np.linalg.norm(held[here, None] - held[ids[here]], axis=-1)
    return ids, distances
