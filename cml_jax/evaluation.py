"""Full-catalogue evaluation: ranking and metrics to {name: value}."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax import csr, metrics
from cml_jax.data.counting import NUM_DECILES, popularity_deciles
from cml_jax.data.interactions import Interactions
from cml_jax.ranking import ranked_chunks
from cml_jax.types import Array, DeviceInteractions, Ranking


class Evaluation(NamedTuple):
    """Metrics of one model on one set of held-out interactions.

    Attributes:
        values: name -> value, for example 'ndcg@50'; means over users, and 'coverage@k' and 'gini@k' of all lists.
        users: ndarray[n]; the users that were scored: those with at least one held-out item.
        per_user: name -> ndarray[n]; what the means in `values` were taken of, not a number for users left out of one.
        by_popularity: name -> a value for each tenth of the training pairs, that of the rarest items first, None where
            nobody holds one out; see `popularity_deciles`. Empty where it was not asked for.
    """

    values: dict[str, float]
    users: np.ndarray
    per_user: dict[str, np.ndarray]
    by_popularity: dict[str, list[float | None]]


def evaluate(
    ranking: Ranking,
    train: Interactions,
    seen: Interactions,
    held_out: Interactions,
    *,
    ks: Sequence[int],
    users: np.ndarray | None = None,
    memory_budget_mb: float = 512.0,
    enough_held_out: bool = False,
    by_popularity: bool = False,
) -> Evaluation:
    """Ranks the whole catalogue for each user, without the items seen, and compares with the items held out.

    Args:
        ranking: of all users and items, as a model gives it.
        train: training interactions; their popularity counts define MMR.
        seen: interactions left out of the lists, usually train, and valid too where test is held out.
        held_out: relevant items.
        ks: cut-offs.
        users: ndarray of users to score; all by default. Users without a held-out item are left out. Where nobody is
            left, there are no metrics at all.
        memory_budget_mb: see `ranking.top_k`.
        enough_held_out: leaves users with fewer than k held-out items out of precision, recall, hit rate and NDCG at k,
            as LibCML does. Where nobody has as many, there is no such metric.
        by_popularity: NDCG at the largest cut-off of each tenth of the items too, see `popularity_deciles`: only the
            held-out items of the tenth count as relevant, users without one are left out, the lists are the same.
    """
    users = np.arange(held_out.num_users) if users is None else users
    users = users[held_out.degrees[users] > 0]
    if len(users) == 0:
        return Evaluation({}, users, {}, {})
    ks = tuple(sorted(set(ks)))
    relevant = held_out.to_device()
    popularity = jnp.asarray(train.popularity, jnp.float32)
    deciles = popularity_deciles(train.popularity)
    in_deciles = _counts_by_group(held_out, deciles) if by_popularity else None
    by_decile: list[np.ndarray] = []
    exposure = {k: np.zeros(held_out.num_items, np.int64) for k in ks}
    per_user: dict[str, np.ndarray] = {}

    chunks = ranked_chunks(ranking, users, seen, ks[-1], memory_budget_mb=memory_budget_mb)
    for places, ids, _ in chunks:
        scores = _score(relevant, popularity, jnp.asarray(users[places], jnp.int32), ids, ks)
        for name, values in scores.items():
            per_user.setdefault(name, np.empty(len(users), np.float32))[places] = values
        if in_deciles is not None:
            here = users[places]
            found = _ndcg_by_group(relevant, deciles, in_deciles[here], jnp.asarray(here, jnp.int32), ids)
            by_decile.append(np.asarray(found))
        listed = np.asarray(ids)
        for k in ks:
            shown = listed[:, :k]
            exposure[k] += np.bincount(shown[shown >= 0], minlength=held_out.num_items)

    if enough_held_out:
        per_user = _of_users_with_enough(per_user, held_out.degrees[users])
    values = {name: float(np.nanmean(array, dtype=np.float64)) for name, array in per_user.items()}
    values |= {f"coverage@{k}": metrics.coverage(exposure[k]) for k in ks}
    values |= {f"gini@{k}": metrics.gini(exposure[k]) for k in ks}
    groups = {f"ndcg@{ks[-1]}": [_mean_of_numbers(row) for row in np.vstack(by_decile).T]} if by_decile else {}
    return Evaluation(values, users, per_user, groups)


def _mean_of_numbers(values: np.ndarray) -> float | None:
    values = values[~np.isnan(values)]
    return float(values.mean(dtype=np.float64)) if len(values) else None


def _of_users_with_enough(per_user: dict[str, np.ndarray], degrees: np.ndarray) -> dict[str, np.ndarray]:
    """Not a number in the place of values at k of users with fewer than k held-out items."""
    found = {}
    for name, values in per_user.items():
        kind, k = name.split("@")
        enough = (degrees >= int(k)) | (kind not in metrics.OF_SETS)
        if enough.any():
            found[name] = np.where(enough, values, np.nan)
    return found


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


def _counts_by_group(held_out: Interactions, groups: np.ndarray) -> np.ndarray:
    """Held-out items of each user in each group, ndarray[U, G] int32; groups ndarray[I] in [0, G)."""
    key = held_out.users * np.int64(NUM_DECILES) + groups[held_out.items]
    counts = np.bincount(key, minlength=NUM_DECILES * held_out.num_users)
    return counts.astype(np.int32).reshape(-1, NUM_DECILES)


@jax.jit
def _ndcg_by_group(relevant: DeviceInteractions, groups: Array, counts: Array, users: Array, ids: Array) -> Array:
    """NDCG of lists with the relevant items of each group alone.

    Args:
        relevant: held-out items.
        groups: Array[I] in [0, G), the group of each item.
        counts: Array[c, G], relevant items of each user in each group.
        users: Array[c] int32.
        ids: Array[c, K], the lists.

    Returns:
        Array[c, G], not a number where a user has no relevant item in a group.
    """
    hits = (ids >= 0) & csr.contains(relevant, users[:, None], ids)

    def ndcg(group_and_count):
        group, count = group_and_count
        value = jax.vmap(metrics.ndcg)(hits & (groups[ids] == group), count)
        return jnp.where(count > 0, value, jnp.nan)

    return jax.lax.map(ndcg, (jnp.arange(NUM_DECILES), counts.T)).T
