"""Approximate neighbours with faiss (extra `[ann]`): its indexes, and what they lose and gain against exact search."""

import importlib
import importlib.util
import time
from typing import Any, NamedTuple

import numpy as np

from cml_jax.errors import UserError

_SECONDS = 0.5  # each search is repeated for so long at least


class Hnsw(NamedTuple):
    """What an HNSW index is built and searched with.

    Attributes:
        m: links of a node; more take memory and raise recall.
        ef_construction: candidates looked at when a node is linked.
        ef_search: candidates looked at in a search.
    """

    m: int = 32
    ef_construction: int = 80
    ef_search: int = 128


def require_faiss() -> Any:
    """The module.

    Raises:
        UserError: it is not installed.
    """
    if importlib.util.find_spec("faiss") is None:
        raise UserError("faiss is not installed, so no index was written; install it with: pip install -e '.[ann]'.")
    return importlib.import_module("faiss")


def build_flat(items: np.ndarray, by_distance: bool = True) -> Any:
    """An exact index over ndarray[I, D], of squared Euclidean distances or of inner products."""
    faiss = require_faiss()
    index = (faiss.IndexFlatL2 if by_distance else faiss.IndexFlatIP)(items.shape[1])
    index.add(items)
    return index


def build_hnsw(items: np.ndarray, how: Hnsw, by_distance: bool = True) -> Any:
    """A graph of neighbours over ndarray[I, D], of the same."""
    faiss = require_faiss()
    metric = faiss.METRIC_L2 if by_distance else faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexHNSWFlat(items.shape[1], how.m, metric)
    index.hnsw.efConstruction = how.ef_construction
    index.add(items)
    index.hnsw.efSearch = how.ef_search
    return index


def compare(flat: Any, index: Any, users: np.ndarray, k: int) -> dict[str, float]:
    """Recall@k of an index against the flat one, and how much faster it is; both on one thread, all users at once."""
    faiss = require_faiss()
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        exact, exact_seconds = _timed(flat, users, k)
        found, seconds = _timed(index, users, k)
    finally:
        faiss.omp_set_num_threads(threads)
    hits = [len(np.intersect1d(a, b)) for a, b in zip(exact, found, strict=True)]
    return {
        "users": len(users),
        "k": k,
        "recall": float(np.mean(hits)) / k,
        "users_per_second": len(users) / seconds,
        "flat_users_per_second": len(users) / exact_seconds,
        "speed_up": exact_seconds / seconds,
    }


def _timed(index: Any, users: np.ndarray, k: int) -> tuple[np.ndarray, float]:
    """Neighbours, and the least seconds of a search."""
    _, ids = index.search(users, k)
    taken: list[float] = []
    while sum(taken) < _SECONDS:
        started = time.perf_counter()
        index.search(users, k)
        taken.append(time.perf_counter() - started)
    return ids, min(taken)
