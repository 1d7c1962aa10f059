"""Lists and their metrics once more, in plain NumPy and float64, written from the papers' formulas."""

import numpy as np


def top_k(users, items, seen, k):
    """Brute force: one list a user, -1 where too few items are left."""
    lists = []
    for u, point in enumerate(users):
        distance = ((items - point) ** 2).sum(axis=1)
        order = [i for i in np.argsort(distance, kind="stable") if i not in seen[u]]
        lists.append((order + [-1] * k)[:k])
    return np.array(lists)


def user_metrics(ranked, relevant, popularity):
    """Metrics of one list by their textbook definitions; -1 marks empty places."""
    k = len(ranked)
    relevant = set(relevant)
    hits = [i in relevant for i in ranked]
    dcg = sum(1 / np.log2(rank + 2) for rank, hit in enumerate(hits) if hit)
    ideal = sum(1 / np.log2(rank + 2) for rank in range(min(k, len(relevant))))
    precisions = [sum(hits[: rank + 1]) / (rank + 1) for rank, hit in enumerate(hits) if hit]
    first = hits.index(True) if any(hits) else None
    listed = [popularity[i] for i in ranked if i >= 0]
    return {
        "ndcg": dcg / ideal,
        "map": sum(precisions) / min(k, len(relevant)),
        "recall": sum(hits) / len(relevant),
        "precision": sum(hits) / k,
        "hit_rate": float(any(hits)),
        "mrr": 0.0 if first is None else 1 / (first + 1),
        "mmr": float(np.median(listed)),
    }


def gini(exposure):
    """Mean absolute difference over twice the mean."""
    exposure = np.asarray(exposure, float)
    return np.abs(exposure[:, None] - exposure).mean() / (2 * exposure.mean())
