"""Users of a page: what they had, what is recommended to them, and what of the history is nearest to that."""

from typing import Any, NamedTuple

import numpy as np
import polars as pl

from cml_jax.serving.recommender import Recommender

REASONS = 3  # items of the history for each recommended one
LONGEST = 300  # items of a history that are shown


class Listed(NamedTuple):
    """A user, with numbers of items in the catalogue.

    Attributes:
        row: of the user.
        history: ndarray[h] of training items, those with most users first, LONGEST at most.
        num_history: of all training items.
        held_out: ndarray of validation items, LONGEST at most.
        items: ndarray[k]; recommended, best first.
        scores: ndarray[k] float32.
        reasons: ndarray[k, REASONS] of the nearest items of the whole history, -1 where there are fewer.
        distances: ndarray[k, REASONS] float32 to them.
    """

    row: int
    history: np.ndarray
    num_history: int
    held_out: np.ndarray
    items: np.ndarray
    scores: np.ndarray
    reasons: np.ndarray
    distances: np.ndarray

    @property
    def named(self) -> np.ndarray:
        """Numbers of all items that are named."""
        parts = (self.history, self.held_out, self.items, self.reasons.ravel())
        return np.unique(np.concatenate([part[part >= 0] for part in parts]))


def choose(model: Recommender, wanted: list[Any], count: int) -> np.ndarray:
    """Rows of the users that are asked for by raw id, then of others drawn at random, up to a number of users.

    Raises:
        UserError: an id is unknown.
    """
    rows = model.user_ids.rows(list(dict.fromkeys(wanted))) if wanted else np.zeros(0, np.int64)
    others = np.setdiff1d(np.flatnonzero(model.train.degrees > 0), rows)
    more = max(0, min(count - len(rows), len(others)))
    drawn = np.sort(np.random.default_rng(0).choice(others, more, replace=False))
    return np.concatenate([rows, drawn])


def describe(model: Recommender, rows: np.ndarray, k: int) -> list[Listed]:
    """What is shown of users, by their rows; lists are those of `Recommender.recommend`."""
    names = model.user_ids.values[rows].tolist()
    table = pl.concat(list(model.recommend_in_blocks(names, k)))
    places = {str(name): place for place, name in enumerate(names)}
    of_user = np.array([places[str(name)] for name in table["user"].to_list()], np.int64)
    items, scores = model.item_ids.rows(table["item"]), table["score"].to_numpy()
    points, popularity = np.asarray(model.item_points), model.train.popularity
    return [
        _listed(model, int(row), points, popularity, items[of_user == place], scores[of_user == place])
        for place, row in enumerate(rows)
    ]


def _listed(
    model: Recommender, row: int, points: np.ndarray, popularity: np.ndarray, items: np.ndarray, scores: np.ndarray
) -> Listed:
    history, held_out = (np.asarray(part.row(row), np.int64) for part in (model.train, model.valid))
    reasons = np.full((len(items), REASONS), -1)
    distances = np.full((len(items), REASONS), np.inf, np.float32)
    if len(history):
        for place, item in enumerate(items):
            away = np.linalg.norm(points[history] - points[item], axis=1)
            nearest = np.argsort(away, kind="stable")[:REASONS]
            reasons[place, : len(nearest)], distances[place, : len(nearest)] = history[nearest], away[nearest]
    first = np.argsort(-popularity[history], kind="stable")[:LONGEST]
    return Listed(row, history[first], len(history), held_out[:LONGEST], items, scores, reasons, distances)
