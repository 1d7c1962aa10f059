"""Lists as tables of raw ids, and which items may stand in them."""

import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import polars as pl

from cml_jax.data.interactions import from_pairs
from cml_jax.errors import DataError, UserError
from cml_jax.models.points import distance_factors
from cml_jax.serving.lists import Lists, ranked_lists
from cml_jax.serving.raw_ids import RawIds, listed
from cml_jax.types import Array

_NAMED = 10  # users without a list that a sentence names


def allowed_items(ids: RawIds, allow: Any, deny: Any, left_out: np.ndarray) -> np.ndarray:
    """Numbers of the items that may be listed, ascending.

    Args:
        ids: of the items.
        allow: raw ids of the only ones; None for all.
        deny: raw ids of those that may not be listed, whether they are allowed or not; None for none.
        left_out: numbers of more that may not.

    Raises:
        DataError: an id is unknown, or no item is left.
    """
    allowed = np.arange(len(ids)) if allow is None else np.unique(ids.rows(allow))
    for denied in ([] if deny is None else [ids.rows(deny)], [left_out]):
        allowed = np.setdiff1d(allowed, np.concatenate([np.zeros(0, int), *denied]))
    if len(allowed) == 0:
        raise DataError("no item is left that may be listed; allow more items, or deny fewer.")
    return allowed


def neighbours(points: Array, ids: RawIds, name: Any, k: int, memory_budget_mb: float) -> pl.DataFrame:
    """The rows nearest to one row of a table of points, without itself."""
    rows = ids.rows(listed(name))
    if len(rows) != 1:
        raise DataError(f"neighbours are those of one {ids.kind}, not of {len(rows)}.")
    itself = from_pairs(np.zeros(1, int), rows, 1, len(ids))
    everything = np.arange(len(ids))
    ranking = distance_factors(points[rows], points)
    (found,) = ranked_lists(
        ranking, np.zeros(1, int), itself, count(k), allowed=everything, memory_budget_mb=memory_budget_mb
    )
    return table_of(pl.Series("of", rows), found, ids, ids.kind).drop("of")


def table_of(names: pl.Series, lists: Lists, ids: RawIds, column: str) -> pl.DataFrame:
    """Lists as rows: name, rank, raw id and score."""
    row, place = np.nonzero(lists.ids >= 0)
    columns = [
        names.gather(row),
        pl.Series("rank", place + 1, pl.Int32),
        ids.series(lists.ids[row, place], column),
        pl.Series("score", lists.scores[row, place], pl.Float32),
    ]
    return pl.DataFrame(columns)


def joined(tables: Iterator[pl.DataFrame]) -> pl.DataFrame:
    """The tables, one below the other.

    Raises:
        DataError: there is none.
    """
    parts = list(tables)
    if not parts:
        raise DataError("no user is given; give at least one.")
    return pl.concat(parts)


def count(k: Any) -> int:
    """A number of items, checked."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise UserError(f"k = {k!r} must be a whole number of 1 or more.")
    return int(k)


class Remarks:
    """What the reader of lists should know of them: items that nobody was trained on, users without a list."""

    def __init__(self, untrained: pl.Series, switch: str) -> None:
        """Takes the raw ids of items without a training pair, and how they are left out, for the sentence."""
        self._untrained, self._switch = untrained, switch
        self._rows, self._of_untrained, self._items, self._users = 0, 0, set[Any](), set[str]()

    def add(self, table: pl.DataFrame) -> None:
        """Counts the rows of a table of lists."""
        self._rows += table.height
        if len(self._untrained):
            found = table["item"].filter(table["item"].is_in(self._untrained.implode()))
            self._of_untrained += len(found)
            self._items.update(found.unique().to_list())
        if "user" in table.columns:
            self._users.update(map(str, table["user"].unique().to_list()))

    def sentences(self, users: Sequence[str] = ()) -> list[str]:
        """Sentences about all tables; `users` are those that were asked for."""
        found = []
        if self._of_untrained:
            found.append(
                f"{self._of_untrained:,} of {self._rows:,} rows are of items that nobody was trained on "
                f"({len(self._items):,} such items); {self._switch} leaves them out."
            )
        without = [name for name in dict.fromkeys(users) if name not in self._users]
        if without:
            names = ", ".join(name[:60] for name in without[:_NAMED]) + (", ..." if len(without) > _NAMED else "")
            have = "users have" if len(without) > 1 else "user has"
            found.append(f"{len(without):,} {have} no list, since nothing is left to recommend: {names}.")
        return found


def warn(sentences: Sequence[str]) -> None:
    """Warns whoever called the public method that calls this."""
    for sentence in sentences:
        warnings.warn(sentence, UserWarning, stacklevel=3)
