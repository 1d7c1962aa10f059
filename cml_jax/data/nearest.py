"""The items that share most users with an item, and the users that share most items: neighbours in their graphs."""

from collections.abc import Iterator

import numpy as np
import scipy.sparse

from cml_jax.data.interactions import Interactions, from_pairs

_PRODUCTS = 2**24  # pairs of an item with an item of one of its users that are in memory at once, in number


def nearest_items(pairs: Interactions, count: int) -> np.ndarray:
    """The K items nearest to each item by the users they share, nearest first, of equal ones the smaller id.

    Two items are as near as a step of LightGCN's propagation to users and back takes from one to the other (He et al.,
    SIGIR 2020): the sum over the users u of both of 1 / (d_u sqrt(d_i d_j)), where d are numbers of pairs. So users of
    few items say more, and popular items are no nearer for being popular.

    Args:
        pairs: of users and items; their weights do not count.
        count: K.

    Returns:
        ndarray[I, K] int32; where fewer items share a user with an item, its own id in the remaining places.
    """
    of_user, of_item = (1.0 / np.sqrt(np.maximum(degrees, 1)) for degrees in (pairs.degrees, pairs.popularity))
    values = of_user[pairs.users] * of_item[pairs.items]
    by_user = scipy.sparse.csr_array((values, pairs.items, pairs.indptr), (pairs.num_users, pairs.num_items))
    by_item = by_user.T.tocsr()
    found = np.repeat(np.arange(pairs.num_items, dtype=np.int32)[:, None], count, axis=1)
    for block in _blocks(pairs):
        nearness = (by_item[block] @ by_user).astype(np.float32)  # so that nothing is nearer by rounding
        for item, start, end in zip(range(block.start, block.stop), nearness.indptr, nearness.indptr[1:], strict=False):
            best = _best(nearness.indices[start:end], nearness.data[start:end], item, count)
            found[item, : len(best)] = best
    return found


def nearest_users(pairs: Interactions, count: int) -> np.ndarray:
    """The K users nearest to each user by the items they share, ndarray[U, K] int32, as `nearest_items` finds items.

    Its time grows with the sum of the squared numbers of users of the items, which popular items make long.
    """
    return nearest_items(from_pairs(pairs.items, pairs.users, pairs.num_items, pairs.num_users), count)


NEAREST = {"item": nearest_items, "user": nearest_users}


def _blocks(pairs: Interactions) -> Iterator[slice]:
    """Items in blocks that have as many products as fit, or of one item."""
    work = np.bincount(pairs.items, pairs.degrees[pairs.users], pairs.num_items)
    ends, start = np.cumsum(work), 0
    while start < pairs.num_items:
        done = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, done + _PRODUCTS, side="right")))
        yield slice(start, end)
        start = end


def _best(ids: np.ndarray, nearness: np.ndarray, item: int, count: int) -> np.ndarray:
    """Up to K of the ids ndarray[n], the nearest first, without the item itself."""
    ids, nearness = ids[ids != item], nearness[ids != item]
    if len(ids) > count:
        near = nearness >= np.partition(nearness, -count)[-count]
        ids, nearness = ids[near], nearness[near]
    return ids[np.lexsort((ids, -nearness))][:count]
