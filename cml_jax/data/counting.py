"""Counts, repeats and popularity, in blocks where NumPy would hold another copy of all rows or keys."""

from collections.abc import Callable, Iterator

import numpy as np

from cml_jax.errors import DataError

LARGEST = 2**31 - 1  # row number or place that the device's 32-bit integers hold
_BLOCK = 2**22
NUM_DECILES = 10  # groups of items by popularity


def refuse_beyond_32_bits(counts: dict[str, int]) -> None:
    """Raises DataError where there are more of something, by its name, than 32-bit integers can number."""
    for name, count in counts.items():
        if count > LARGEST:
            raise DataError(
                f"the data have {count:,} {name}, and at most {LARGEST:,} fit into the 32-bit integers of the device; "
                f"train on a part of them, or filter more (dataset.min_rating, min_user_items, min_item_users)."
            )


def blocks(length: int) -> Iterator[slice]:
    """Yields slices that cover a length."""
    for start in range(0, length, _BLOCK):
        yield slice(start, min(start + _BLOCK, length))


def count_rows(rows: np.ndarray, num_rows: int) -> np.ndarray:
    """How often each of the numbers below `num_rows` is in ndarray[n]: ndarray[num_rows] int64."""
    counts = np.zeros(num_rows, np.int64)
    for block in blocks(len(rows)):
        counts += np.bincount(rows[block], minlength=num_rows)  # which makes int64 of its argument
    return counts


def repeated(make_keys: Callable[[], np.ndarray]) -> np.ndarray:
    """Places, ascending, of the keys that are there more than once.

    Args:
        make_keys: () -> ndarray[n] of integers, a new one each time, so that there is one copy at a time.
    """
    in_order = make_keys()
    in_order.sort()
    again = in_order[1:] == in_order[:-1]
    if not again.any():
        return np.zeros(0, np.int64)
    several = np.unique(in_order[1:][again])
    del in_order, again
    keys, found = make_keys(), []
    for block in blocks(len(keys)):
        near = several[np.searchsorted(several, keys[block]).clip(max=len(several) - 1)]
        found.append(block.start + np.flatnonzero(near == keys[block]))
    return np.concatenate(found)


def popularity_deciles(popularity: np.ndarray) -> np.ndarray:
    """Items in ten groups of ascending popularity, each with about a tenth of the pairs.

    ndarray[I] -> ndarray[I] int32 in [0, 10). Groups of equally many items would put nearly all pairs into the last.
    """
    order = np.argsort(popularity, kind="stable")
    before = np.cumsum(popularity[order]) - popularity[order]
    deciles = np.empty(len(popularity), np.int32)
    deciles[order] = np.minimum(NUM_DECILES * before // max(popularity.sum(), 1), NUM_DECILES - 1)
    return deciles
