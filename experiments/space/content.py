"""All that a page shows of a trained model, as plain values and arrays."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from cml_jax.data.features import Feature
from cml_jax.errors import UserError
from cml_jax.serving.recommender import Recommender
from cml_jax.types import Factors
from experiments.reports import style
from experiments.space import maps, negatives, shown, users
from experiments.space.shown import Shown

GROUPS = maps.CLUSTERS - 1  # values of a feature that have a colour of their own; the others share one
_MOST_FEATURES = 12
_TITLES = ("title", "name")


class Wanted(NamedTuple):
    """What a page is to hold.

    Attributes:
        users: raw ids of users to show in any case.
        num_users: users shown, where their lists leave room.
        num_pair_users: of these the first, whose negatives are shown.
        max_items: items shown at most.
        maps: names among `maps.MAPS`.
        k: length of a list.
        neighbours: of an item.
    """

    users: tuple[Any, ...] = ()
    num_users: int = 500
    num_pair_users: int = 30
    max_items: int = 50_000
    maps: tuple[str, ...] = ("pca",)
    k: int = 20
    neighbours: int = 12


def make(model: Recommender, name: str, wanted: Wanted) -> dict[str, Any]:
    """The content of a page.

    Args:
        model: what is shown.
        name: of the data set.
        wanted: how much of it.

    Raises:
        UserError: a user is unknown, a map cannot be drawn, or there are too few items.
    """
    maps.check(wanted.maps)
    if len(model.item_ids) < 3:
        raise UserError(f"the model has {len(model.item_ids)} items, of which there is no map; three are needed.")
    stage1 = negatives.draw_stage1(model)
    listed = users.describe(model, users.choose(model, list(wanted.users), wanted.num_users), wanted.k)
    listed = _that_fit(listed, stage1.ids, wanted)
    # A user that is asked for may have no training item, and then has no positive either.
    of_pairs = [place for place, user in enumerate(listed) if len(user.history)][: wanted.num_pair_users]
    drawn = {place: negatives.describe(model, stage1, listed[place]) for place in of_pairs}
    named = np.concatenate([stage1.ids, *(user.named for user in listed)])
    items = shown.choose(model.train.popularity, named, wanted.max_items)
    points = model.item_points[items.rows]
    ids, distances = shown.neighbours(points, wanted.neighbours, model.memory_budget_mb)
    user_points = np.asarray(model.user_points)[[user.row for user in listed]]
    user_points = user_points.mean(axis=1) if user_points.ndim == 3 else user_points
    held = np.asarray(points)
    return {
        "about": _about(model, name, items, listed, stage1),
        "colours": {key: method.colour for key, method in style.METHODS.items()},
        "maps": [_map(maps.draw(of, held, user_points)) for of in wanted.maps],
        "items": {
            "id": _texts(model.item_ids.values[items.rows]),
            "title": _titles(model, items.rows),
            "popularity": model.train.popularity[items.rows].astype(np.int32),
            "cluster": maps.clusters(held),
            "features": _features(model, items.rows),
            "numNeighbours": ids.shape[1],
            "neighbours": ids.astype(np.int32),
            "distances": distances,
        },
        "users": [_user(model, items, user) for user in listed],
        "negatives": _negatives(items, stage1, drawn),
    }


def _that_fit(listed: list[users.Listed], candidates: np.ndarray, wanted: Wanted) -> list[users.Listed]:
    """The first users, two at least, whose items leave half of the places to others."""
    named, kept = set(candidates.tolist()), []
    for user in listed:
        named.update(user.named.tolist())
        if len(named) > wanted.max_items // 2 and len(kept) >= 2:
            break
        kept.append(user)
    return kept


def _about(
    model: Recommender, name: str, items: Shown, listed: Sequence[users.Listed], stage1: negatives.Stage1
) -> dict[str, Any]:
    options = model.options
    ranking = model.ranking
    is_distance = isinstance(ranking, Factors) and ranking.offsets is not None
    return {
        "name": style.data_name(name),
        "model": options.model.name,
        "loss": options.loss.name,
        "sampler": options.sampler.name,
        "step": model.step,
        "metrics": {
            part: {name: value for name, value in values.items() if math.isfinite(value)}
            for part, values in model.metrics.items()
        },
        "numItems": len(model.item_ids),
        "numUsers": len(model.user_ids),
        "numUsersShown": len(listed),
        "dim": int(stage1.directions.shape[1]),
        "scoreIsSquaredDistance": is_distance,
        "notes": [note for note in (items.note, *model.notes) if note],
    }


def _map(drawn: maps.Map) -> dict[str, Any]:
    found: dict[str, Any] = {"name": drawn.name, "x": drawn.items[:, 0], "y": drawn.items[:, 1]}
    if drawn.users is not None:
        found |= {"userX": drawn.users[:, 0], "userY": drawn.users[:, 1]}
    if drawn.spread is not None:
        found["spread"] = list(drawn.spread)
    return found


def _texts(values: np.ndarray) -> list[str]:
    return [str(value) for value in values.tolist()]


def _titles(model: Recommender, rows: np.ndarray) -> list[str] | None:
    """Titles of items, else of a feature that is called so; None where there is none."""
    if model.item_titles is not None:
        return _texts(model.item_titles[rows])
    for feature in model.item_features.columns if model.item_features else ():
        if feature.name.lower() in _TITLES and feature.kind == "categorical":
            written = [*_texts(feature.vocabulary), ""]
            return [written[code] for code in feature.values[rows].tolist()]
    return None


def _features(model: Recommender, rows: np.ndarray) -> list[dict[str, Any]]:
    """Columns that items can be coloured by: groups, or numbers."""
    columns = [] if model.item_features is None else model.item_features.columns
    found = []
    for feature in [column for column in columns if column.kind != "vector"][:_MOST_FEATURES]:
        if feature.kind == "numeric":
            found.append({"name": feature.name, "values": feature.values[rows].astype(np.float32)})
        else:
            found.append(_groups(feature, rows))
    return found


def _groups(feature: Feature, rows: np.ndarray) -> dict[str, Any]:
    """The most frequent values, and which each item has: GROUPS for another one, GROUPS + 1 for none."""
    if feature.indptr is None:
        codes = feature.values[rows].astype(np.int64)
    else:  # of several values the first
        start, end = feature.indptr[rows], feature.indptr[rows + 1]
        first = np.minimum(start, max(len(feature.values) - 1, 0))
        codes = np.where(end > start, feature.values[first] if len(feature.values) else -1, -1)
    counts = np.bincount(codes[codes >= 0], minlength=len(feature.vocabulary))
    chosen = np.argsort(-counts, kind="stable")[: min(GROUPS, int(np.count_nonzero(counts)))]
    number = np.full(len(feature.vocabulary) + 1, GROUPS, np.uint8)
    number[chosen] = np.arange(len(chosen))
    number[-1] = GROUPS + 1  # that of -1
    return {"name": feature.name, "groups": _texts(feature.vocabulary[chosen]), "codes": number[codes]}


def _user(model: Recommender, items: Shown, user: users.Listed) -> dict[str, Any]:
    return {
        "id": str(model.user_ids.values[user.row]),
        "numHistory": user.num_history,
        "history": items.places(user.history),
        "heldOut": items.places(user.held_out),
        "items": items.places(user.items),
        "scores": user.scores.astype(np.float32),
        "reasons": items.places(user.reasons),
        "distances": user.distances,
    }


def _negatives(items: Shown, stage1: negatives.Stage1, drawn: dict[int, negatives.Drawn]) -> dict[str, Any]:
    options = stage1.options
    return {
        "candidates": items.places(stage1.ids),
        "correction": stage1.correction,
        "edges": negatives.EDGES.tolist(),
        "cutoff": float(np.float32(options.similarity_cutoff)),
        "stage1Exponent": float(np.float32(options.popularity_exponent)),
        "exponent": stage1.exponent,
        "temperature": stage1.temperature,
        "notes": list(stage1.notes),
        "users": [
            {"user": place, "cosine": found.cosine, "pairs": [_pair(items, pair) for pair in found.pairs]}
            for place, found in drawn.items()
        ],
    }


def _pair(items: Shown, pair: negatives.Pair) -> dict[str, Any]:
    return {
        "positive": int(items.place_of[pair.positive]),
        "similarity": pair.similarity,
        "known": pair.known.astype(np.uint8),
        "heldOut": pair.held_out.astype(np.uint8),
        "knownSimilarity": pair.known_similarity,
        "heldOutSimilarity": pair.held_out_similarity,
        "summaries": pair.summaries,
        "histograms": pair.histograms,
    }
