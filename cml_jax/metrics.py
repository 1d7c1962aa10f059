"""Ranking metrics of one user, vmapped by the caller, and metrics of popularity bias over all users.

A ranked list is described by hits Array[K] bool, nearest first, and num_relevant, the user's number of held-out items.
The cut-off k is the length of the list given.
"""

import jax.numpy as jnp
import numpy as np

from cml_jax.types import Array


def _discounts(k: int) -> Array:
    return 1.0 / jnp.log2(jnp.arange(k) + 2.0)


def precision(hits: Array, num_relevant: Array) -> Array:
    """Hits over k."""
    del num_relevant
    return jnp.mean(hits.astype(jnp.float32))


def recall(hits: Array, num_relevant: Array) -> Array:
    """Hits over the number of relevant items."""
    return jnp.sum(hits) / num_relevant


def hit_rate(hits: Array, num_relevant: Array) -> Array:
    """1 if any item is relevant."""
    del num_relevant
    return jnp.any(hits).astype(jnp.float32)


def ndcg(hits: Array, num_relevant: Array) -> Array:
    """DCG with gain 1 and discount 1 / log2(rank + 1), over that of the best list of length k."""
    discounts = _discounts(hits.shape[0])
    ideal = jnp.sum(jnp.where(jnp.arange(hits.shape[0]) < num_relevant, discounts, 0.0))
    return jnp.sum(hits * discounts) / ideal


def average_precision(hits: Array, num_relevant: Array) -> Array:
    """Sum of the precisions at the hits over min(k, number of relevant items), so that a perfect list scores 1."""
    ranks = jnp.arange(hits.shape[0]) + 1.0
    at_hits = jnp.sum(hits * jnp.cumsum(hits) / ranks)
    return at_hits / jnp.minimum(hits.shape[0], num_relevant)


def reciprocal_rank(hits: Array, num_relevant: Array) -> Array:
    """1 / rank of the first hit; 0 without a hit."""
    del num_relevant
    return jnp.max(hits / (jnp.arange(hits.shape[0]) + 1.0))


def median_popularity(ids: Array, popularity: Array) -> Array:
    """Median popularity count of a recommended list; its mean over users is MMR (Tran et al. 2019, section 4).

    Args:
        ids: Array[K] int32; -1 marks empty places, which do not count.
        popularity: Array[I], training users of each item.
    """
    counts = jnp.where(ids >= 0, popularity[ids], jnp.nan)
    return jnp.nan_to_num(jnp.nanmedian(counts))


OF_SETS = ("ndcg", "recall", "precision", "hit_rate")  # those that LibCML takes of users with k relevant items or more

USER_METRICS = {
    "ndcg": ndcg,
    "map": average_precision,
    "recall": recall,
    "precision": precision,
    "hit_rate": hit_rate,
    "mrr": reciprocal_rank,
}


def coverage(exposure: np.ndarray) -> float:
    """Share of the catalogue that is recommended to anyone; exposure ndarray[I] counts how often each item is."""
    return float(np.mean(exposure > 0))


def gini(exposure: np.ndarray) -> float:
    """Gini index of exposure ndarray[I]: 0 where all items are recommended equally often, near 1 where few are."""
    ascending = np.sort(exposure).astype(np.float64)
    size, total = len(ascending), ascending.sum()
    if total == 0:
        return 0.0
    return float(2.0 * np.sum(np.arange(1, size + 1) * ascending) / (size * total) - (size + 1) / size)
