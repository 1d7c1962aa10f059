"""Interactions as a table, one row a pair, between the readers and the split; and the filters that work on it."""

from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from cml_jax.data.counting import count_rows, refuse_beyond_32_bits, repeated
from cml_jax.errors import DataError

PARTS = ("train", "valid", "test")
KEYS = ("user", "item", "rating", "time", "weight", "kind")  # of the columns that can be named
RATING = "rating"  # a column of this name, in any case, may hold no negative numbers where no option names it
# Of columns of these names negative numbers are counted, where no option names them.
LIKE_RATINGS = ("feedback", "label", "preference", "ratings", "score", "stars", "value", "vote")
# What columns of ids are called, in lower case and without '_', where they are not called as in KEYS.
_USUAL = {
    "user": ("user", "userid", "uid"),
    "item": ("item", "itemid", "iid", "movieid", "productid", "artistid", "songid", "bookid"),
}
WEIGHTS = (1e-30, 1e30)  # least and largest weight of a row: sums and quotients are float32 numbers then
WEIGHT_SENTENCE = "a weight, which is a positive number from 1e-30 to 1e30"


class Columns(NamedTuple):
    """Which columns of a file are read, and by which rating a row is a pair that is liked or disliked.

    Attributes:
        user, item: names of the columns of raw ids.
        rating: name of a column of numbers, or None.
        time: name of a column of numbers, dates or date-times, or None.
        min_rating: least rating, or play count, of a pair; None where ratings do not decide, or `dislike_rating` alone.
        weight: name of a column of positive numbers, or None.
        kind: name of a column of kinds of interaction, or None.
        dislike_rating: largest rating of a dislike; None where there are none.
    """

    user: str = "user"
    item: str = "item"
    rating: str | None = None
    time: str | None = None
    min_rating: float | None = None
    weight: str | None = None
    kind: str | None = None
    dislike_rating: float | None = None

    def names(self) -> tuple[str | None, ...]:
        """The names in the order of KEYS."""
        return self.user, self.item, self.rating, self.time, self.weight, self.kind

    @property
    def by_rating(self) -> bool:
        """Whether ratings decide which rows are pairs."""
        return self.min_rating is not None or self.dislike_rating is not None

    def is_like(self, rating: Any) -> Any:
        """Whether ratings, an array or an expression of Polars, are those of likes, where ratings decide."""
        if self.min_rating is not None:
            return rating >= self.min_rating
        return rating > self._above

    def is_dislike(self, rating: Any) -> Any:
        """Whether ratings, an array or an expression of Polars, are those of dislikes, which there are."""
        return rating <= self.dislike_rating

    def like_rule(self) -> str:
        """The ratings of likes, in words."""
        return f"at least {self.min_rating:g}" if self.min_rating is not None else f"more than {self._above:g}"

    @property
    def _above(self) -> float:
        # Without a threshold of likes a negative number may not become one.
        return max(0.0, self.dislike_rating or 0.0)


class Table(NamedTuple):
    """Pairs of a user and an item in the order of their file.

    Attributes:
        users: ndarray[n] int32; row of each pair's user in user_ids.
        items: ndarray[n] int32; row of each pair's item in item_ids.
        user_ids: ndarray[U]; raw ids, ascending.
        item_ids: ndarray[I]; raw ids, ascending.
        times: ndarray[n] of numbers; when the pair came to be, in the file's own unit; None where unknown.
        parts: ndarray[n] int8; place in PARTS of the part each pair is given to; None where the split is to be made.
        notes: sentences about what was done, for the log.
        weights: ndarray[n] float64, positive; how much each pair counts in training. None for equal ones.
        disliked: ndarray[n] bool; pairs that are dislikes. None where all are likes.
        kinds: ndarray[n] int32; row of each pair's kind in kind_names. None where there are no kinds.
        kind_names: names of the kinds.
        time_unit: 'us' for dates, which are microseconds since 1970; None for numbers, until `times.with_unit`.
    """

    users: np.ndarray
    items: np.ndarray
    user_ids: np.ndarray
    item_ids: np.ndarray
    times: np.ndarray | None = None
    parts: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    weights: np.ndarray | None = None
    disliked: np.ndarray | None = None
    kinds: np.ndarray | None = None
    kind_names: tuple[str, ...] = ()
    time_unit: str | None = None

    @property
    def num_pairs(self) -> int:
        """Number of rows."""
        return len(self.users)

    def pair_keys(self) -> np.ndarray:
        """ndarray[n] int64; a number for each pair, ascending by user, then item."""
        return self.users.astype(np.int64) * len(self.item_ids) + self.items

    def note(self, sentence: str) -> "Table":
        """The table with one more note."""
        return self._replace(notes=(*self.notes, sentence))

    def where(self, kept: np.ndarray) -> "Table":
        """The pairs chosen by ndarray[n] bool, and of users and items those that still have a pair."""
        users, user_ids = _compact(self.users[kept], self.user_ids)
        items, item_ids = _compact(self.items[kept], self.item_ids)
        of_rows = ("times", "parts", "weights", "disliked", "kinds")
        chosen = {name: None if getattr(self, name) is None else getattr(self, name)[kept] for name in of_rows}
        return self._replace(users=users, items=items, user_ids=user_ids, item_ids=item_ids, **chosen)


def _compact(rows: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Renumbers rows such that the ids that are not in use are left out."""
    used = count_rows(rows, len(ids)) > 0
    return (np.cumsum(used, dtype=np.int32) - 1)[rows], ids[used]


def encode(column: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Numbers the distinct raw ids of a categorical column in ascending order.

    Ids that all are integers, written without leading zeros or signs of plus, become integers; the rest stay strings.

    Args:
        column: of dtype Categorical and length n, without nulls.

    Returns:
        rows ndarray[n] int32 and ids ndarray[distinct], so that ids[rows] is the column.
    """
    distinct = column.unique()
    refuse_beyond_32_bits({"distinct ids of one kind": len(distinct)})
    names = distinct.cast(pl.String)
    numbers = names.cast(pl.Int64, strict=False)
    ids = numbers if (numbers.cast(pl.String) == names).fill_null(False).all() else names
    order = ids.arg_sort()
    codes = distinct.to_physical().gather(order).to_numpy()
    row_of_code = np.zeros(codes.max(initial=0) + 1, np.int32)
    row_of_code[codes] = np.arange(len(order), dtype=np.int32)
    return row_of_code[column.to_physical().to_numpy()], ids.gather(order).to_numpy()


def rating_note(table: Table, total: int, rating: str | None, columns: Columns) -> str:
    """Sentence about the rows of `total` that are likes and dislikes by their rating."""
    if table.disliked is None:
        return f"Kept {table.num_pairs:,} of {total:,} pairs whose {rating} is {columns.like_rule()}."
    dislikes = int(table.disliked.sum())
    return (
        f"Kept {table.num_pairs - dislikes:,} of {total:,} pairs whose {rating} is {columns.like_rule()}, and "
        f"{dislikes:,} dislikes of {columns.dislike_rating:g} or less; left out "
        f"{total - table.num_pairs:,} between."
    )


def usual_names(wanted: Columns, names: Collection[str]) -> tuple[Columns, tuple[str, ...]]:
    """The columns that are asked for, where one of ids is left at its default and missing the one of a usual name.

    Args:
        wanted: the columns.
        names: of the columns that there are.

    Returns:
        The columns, and what was guessed, in words.
    """
    said = []
    for key, usual in _USUAL.items():
        others = [name for name in names if name not in wanted and _plain(name) in usual]
        if getattr(wanted, key) == key and key not in names and len(others) == 1:
            wanted = wanted._replace(**{key: others[0]})
            said.append(f"column '{others[0]}' is {key}s")
    return wanted, tuple(said)


def _plain(name: str) -> str:
    return name.strip().lower().replace("_", "").replace(" ", "").replace("-", "")


def unread_ratings(names: Iterable[str], read: Collection[str | None]) -> list[str]:
    """Names among those of columns that are mostly ratings' and that no option names."""
    return [name for name in names if name.strip().lower() in (RATING, *LIKE_RATINGS) and name not in read]


def refuse_negative(label: str, count: int, rating: str) -> None:
    """Raises DataError where ratings are negative and no option says what that means."""
    if count:
        raise DataError(
            f"{label}: {count:,} pairs have a negative {rating}, which is no like; set dataset.min_rating, the least "
            f"{rating} of a like, or dataset.dislike_rating, the largest of a dislike, or leave these pairs out."
        )


def without_repeats(table: Table) -> Table:
    """Equal pairs become one: the earliest, where times are known, else the first of the file; weights add up.

    Raises:
        DataError: a pair stands in two parts.
    """
    rows = repeated(table.pair_keys)
    if len(rows) == 0:
        return table
    key = table.users[rows].astype(np.int64) * len(table.item_ids) + table.items[rows]
    times = None if table.times is None else table.times[rows]
    order = np.argsort(key, kind="stable") if times is None else np.lexsort((times, key))
    in_order, order = key[order], rows[order]
    again = np.concatenate([[False], in_order[1:] == in_order[:-1]])
    if table.parts is not None:
        parts = table.parts[order]
        torn = again & np.concatenate([[False], parts[1:] != parts[:-1]])
        if torn.any():
            second = order[np.argmax(torn)]
            user, item = table.user_ids[table.users[second]], table.item_ids[table.items[second]]
            raise DataError(
                f"item {item!s:.60} of user {user!s:.60} is in two parts of the data; keep it in one of them."
            )
    kept = np.ones(table.num_pairs, bool)
    kept[order[again]] = False
    if table.weights is None:
        return table.where(kept).note(f"Dropped {again.sum():,} repeated pairs.")
    summed = table.weights.copy()
    summed[order[~again]] = np.add.reduceat(table.weights[order], np.flatnonzero(~again))
    return (
        table._replace(weights=summed)
        .where(kept)
        .note(f"Dropped {again.sum():,} repeated pairs, their weights added up.")
    )


def keep_min_degrees(
    table: Table, min_user_items: int, min_item_users: int, *, repeat: bool, training_only: bool = False
) -> Table:
    """Drops items with few users, then users with few items.

    Args:
        table: without repeated pairs.
        min_user_items: users with fewer items are dropped; the paper takes 10, once (Tran et al. 2019, section 4.1).
        min_item_users: items with fewer users are dropped first.
        repeat: until nothing is dropped any more (the k-core), instead of once each.
        training_only: whether only pairs of the table's training part count, which are what was known at the time.

    Raises:
        DataError: nothing is left.
    """
    least = 0 if training_only else 1  # every user and item of a table has a pair
    if min_user_items <= least and min_item_users <= least:
        return table
    rounds, before = 0, table
    while True:
        size = table.num_pairs
        table = table.where(_degrees(table, table.items, training_only)[table.items] >= min_item_users)
        table = table.where(_degrees(table, table.users, training_only)[table.users] >= min_user_items)
        rounds += 1
        if not repeat or table.num_pairs == size:
            break
    rule = f"at least {min_user_items} items a user and {min_item_users} users an item"
    rule += " in training" if training_only else ""
    if table.num_pairs == 0:
        raise DataError(f"no pair is left by the filter ({rule}); lower dataset.min_user_items or min_item_users.")
    how = f"{rounds} rounds until nothing changed" if repeat else "one pass, items first"
    return table.note(
        f"Filter ({rule}; {how}): {table.num_pairs:,} of {before.num_pairs:,} pairs, {len(table.user_ids):,} of "
        f"{len(before.user_ids):,} users, {len(table.item_ids):,} of {len(before.item_ids):,} items are left."
    )


def _degrees(table: Table, rows: np.ndarray, training_only: bool) -> np.ndarray:
    """Number of pairs, or of training pairs, of each of the rows of one kind of id."""
    return count_rows(rows[table.parts == 0] if training_only else rows, int(rows.max(initial=0)) + 1)


def rows_among(known: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Row number of each id among the known ones, ndarray[n] int64; -1 where it is not among them."""
    row_of = {str(value): row for row, value in enumerate(known.tolist())}
    return np.array([row_of.get(str(value), -1) for value in ids.tolist()], np.int64)
