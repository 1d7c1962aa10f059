"""Item-item graph: of each item those that most of its users have, too, and draws from it."""

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from cml_jax.data.interactions import Interactions
from cml_jax.types import Array, ItemGraph

_ROWS = 512  # items whose counts are in memory at once


def nearest_items(train: Interactions, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The items of the largest cosine of the columns of the interactions, as of item-KNN (Sarwar et al. 2001).

    Args:
        train: n pairs; weights do not count.
        count: K.

    Returns:
        ids ndarray[I, K] int32, nearest first, and cosines ndarray[I, K] float32. Where an item has common users with
        fewer than K others, the rest are itself with a cosine of 0.
    """
    ones = np.ones(train.num_pairs, np.float32)
    of_users = scipy.sparse.csr_matrix((ones, train.items, train.indptr), (train.num_users, train.num_items))
    # Columns of unit length: an item's row of the product then holds its cosines.
    scaled = of_users @ scipy.sparse.diags_array(1.0 / np.sqrt(np.maximum(train.popularity, 1)).astype(np.float32))
    of_items = scaled.T.tocsr()
    ids = np.repeat(np.arange(train.num_items, dtype=np.int32)[:, None], count, axis=1)
    cosines = np.zeros((train.num_items, count), np.float32)
    for first in range(0, train.num_items, _ROWS):
        block = scipy.sparse.csr_array(of_items[first : first + _ROWS] @ scaled)
        for row in range(block.shape[0]):
            own = slice(block.indptr[row], block.indptr[row + 1])
            others = block.indices[own] != first + row
            found, values = block.indices[own][others], block.data[own][others]
            best = np.lexsort((found, -values))[:count]
            ids[first + row, : len(best)], cosines[first + row, : len(best)] = found[best], values[best]
    return ids, cosines


def of_train(train: Interactions, count: int) -> ItemGraph:
    """The graph on the default device; an item without neighbours has itself.

    Args:
        train: the pairs that it is of.
        count: K.
    """
    ids, cosines = nearest_items(train, count)
    ends = np.cumsum(cosines, axis=1, dtype=np.float64)
    return ItemGraph(jnp.asarray(ids), jnp.asarray(ends / np.maximum(ends[:, -1:], 1e-12), jnp.float32))


def neighbours_of(key: Array, graph: ItemGraph, items: Array) -> Array:
    """Draws a neighbour of each item in proportion to its cosine: Array[B] int32 -> Array[B] int32.

    Args:
        key: PRNG key, consumed.
        graph: of all items.
        items: Array[B] int32.
    """
    point = jax.random.uniform(key, items.shape)
    place = jnp.sum(graph.ends[items] <= point[:, None], axis=1)
    return jnp.take_along_axis(graph.ids[items], jnp.minimum(place, graph.ids.shape[1] - 1)[:, None], axis=1)[:, 0]
