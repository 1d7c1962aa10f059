"""Full-catalogue evaluation: ranking and metrics to {name: value}."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax import csr, metrics, ranking
from cml_jax.data.interactions import Interactions
from cml_jax.types import Array, DeviceInteractions, Params


class Evaluation(NamedTuple):
    """Metrics of one model on one set of held-out interactions.

    Attributes:
        values: name -> value, for example 'ndcg@50'; means over users, and 'coverage@k' and 'gini@k' of all lists.
        users: ndarray[n]; the users that were scored: those with at least one held-out item.
        per_user: name -> ndarray[n]; what the means in `values` were taken of.
    """

    values: dict[str, float]
    users: np.ndarray
    per_user: dict[str, np.ndarray]


def evaluate(
    params: Params,
    train: Interactions,
    seen: Interactions,
    held_out: Interactions,
    *,
    ks: Sequence[int],
    users: np.ndarray | None = None,
    memory_budget_mb: float = 512.0,
) -> Evaluation:
    """Ranks the whole catalogue for each user, without the items seen, and compares with the items held out.

    Args:
        params: the embeddings.
        train: training interactions; their popularity counts define MMR.
        seen: interactions left out of the lists, usually train, and valid too where test is held out.
        held_out: relevant items.
        ks: cut-offs.
        users: ndarray of users to score; all by default. Users without a held-out item are left out.
        memory_budget_mb: see `ranking.top_k`.
    """
    users = np.arange(held_out.num_users) if users is None else users
    users = users[held_out.degrees[users] > 0]
    ks = tuple(sorted(set(ks)))
    relevant = held_out.to_device()
    popularity = jnp.asarray(train.popularity, jnp.float32)
    exposure = {k: np.zeros(held_out.num_items, np.int64) for k in ks}
    per_user: dict[str, np.ndarray] = {}

    chunks = ranking.ranked_chunks(params, users, seen, ks[-1], memory_budget_mb=memory_budget_mb)
    for places, ids, _ in chunks:
        scores = _score(relevant, popularity, jnp.asarray(users[places], jnp.int32), ids, ks)
        for name, values in scores.items():
            per_user.setdefault(name, np.empty(len(users), np.float32))[places] = values
        listed = np.asarray(ids)
        for k in ks:
            shown = listed[:, :k]
            exposure[k] += np.bincount(shown[shown >= 0], minlength=held_out.num_items)

    values = {name: float(np.mean(array, dtype=np.float64)) for name, array in per_user.items()}
    values |= {f"coverage@{k}": metrics.coverage(exposure[k]) for k in ks}
    values |= {f"gini@{k}": metrics.gini(exposure[k]) for k in ks}
    return Evaluation(values, users, per_user)


@functools.partial(jax.jit, static_argnames="ks")
def _score(
    relevant: DeviceInteractions, popularity: Array, users: Array, ids: Array, ks: tuple[int, ...]
) -> dict[str, Array]:
    """Metrics of ranked lists: ids Array[c, K] -> name -> Array[c]."""
    hits = (ids >= 0) & csr.contains(relevant, users[:, None], ids)
    num_relevant = relevant.indptr[users + 1] - relevant.indptr[users]
    scores = {}
    for k in ks:
        for name, metric in metrics.USER_METRICS.items():
            scores[f"{name}@{k}"] = jax.vmap(metric)(hits[:, :k], num_relevant)
        scores[f"mmr@{k}"] = jax.vmap(metrics.median_popularity, in_axes=(0, None))(ids[:, :k], popularity)
    return scores
