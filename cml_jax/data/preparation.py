"""From a table to a Dataset: repeats, filters, the split and the validation part, wherever the table was read."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cml_jax.data import splits, tables
from cml_jax.data.interactions import Dataset, Interactions, from_pairs
from cml_jax.data.tables import KEYS, Columns, Table
from cml_jax.errors import ConfigError, DataError

FILTERS = ("once", "k_core")
SPLITS = ("given", *splits.SPLITS)
_RATIO, _VALID_FRACTION = (3, 1, 1), 0.1


class DataOptions(NamedTuple):
    """Which columns are read, and what is done to the pairs.

    In this order: rows of a lower rating are dropped, equal pairs become one, items with few users and users with few
    items are dropped, and what is left is split. Where there are no validation pairs, some are carved from train.

    Attributes:
        user_column: of data with named columns; 'user' where None.
        item_column: likewise; 'item' where None.
        rating_column: likewise; needed for min_rating.
        time_column: likewise; needed for splits by time.
        weight_column: likewise; positive numbers: the loss of a training pair is multiplied by its weight divided by
            the mean of all. Equal pairs' weights add up. Other data have one column that can be named here: 'value' of
            a matrix, 'play count' of echonest, 'rating' of MovieLens.
        min_rating: least rating, or play count, that makes a pair; 0 for all rows, whatever it is.
        min_user_items: users with fewer items are dropped.
        min_item_users: items with fewer users are dropped.
        filter: 'once', items first, or 'k_core': both again until nothing changes.
        split: 'given' for the parts that the data come in, or a key of `splits.SPLITS`.
        split_ratio: of train, validation and test.
        split_seed: of what is random in the split; apart from the run's seed, so that runs over seeds share one split.
        valid_fraction: share of each user's training items that become validation where there is no validation part; 0
            to do without.
    """

    user_column: str | None = None
    item_column: str | None = None
    rating_column: str | None = None
    time_column: str | None = None
    weight_column: str | None = None
    min_rating: float | None = None
    min_user_items: int | None = None
    min_item_users: int = 0
    filter: str = "once"
    split: str | None = None
    split_ratio: Sequence[int] = _RATIO
    split_seed: int = 0
    valid_fraction: float = _VALID_FRACTION

    def named(self) -> dict[str, str | None]:
        """The names of columns that were chosen."""
        return {key: getattr(self, f"{key}_column") for key in KEYS}

    def columns(self) -> Columns:
        """The columns to read."""
        user, item = self.user_column or "user", self.item_column or "item"
        return Columns(user, item, self.rating_column, self.time_column, self.min_rating or 0.0, self.weight_column)

    def check(self) -> None:
        """Raises ConfigError for what is unknown, contradicts itself or would have no effect, whatever the data."""
        for key, value, known in (("filter", self.filter, FILTERS), ("split", self.split, (None, *SPLITS))):
            if value not in known:
                raise unknown_choice(key, value, known)
        columns = self.columns()
        if columns.user == columns.item:
            raise ConfigError(f"dataset.user_column and dataset.item_column are both '{columns.user}'.")
        if self.filter == "k_core" and (self.min_user_items or 0) <= 1 and self.min_item_users <= 1:
            raise ConfigError(
                "dataset.filter = 'k_core' needs dataset.min_user_items or dataset.min_item_users above 1."
            )
        if self.split in ("given", "all", "leave_one_out") and tuple(self.split_ratio) != _RATIO:
            raise ConfigError(f"dataset.split_ratio has no effect with dataset.split = '{self.split}'; leave it out.")
        if math.gcd(*self.split_ratio) == 0:
            raise ConfigError("dataset.split_ratio must not be all 0.")

    def check_columns(self, data: str, *, named: bool, rated: bool, weight: str | None = None) -> None:
        """Raises ConfigError for columns that do not fit the data.

        Args:
            data: what the data are, for messages.
            named: whether they have columns to name.
            rated: whether they have ratings, or may have.
            weight: without named columns, what can be the weight; None where nothing can.
        """
        for key, column in self.named().items():
            if column is not None and not named and (key != "weight" or column != weight):
                there = f"its weight can be '{weight}'" if key == "weight" and weight else "it has no columns to name"
                raise ConfigError(f"dataset.{key}_column = '{column}' does not fit {data}: {there}.")
        if self.min_rating and not rated:
            raise ConfigError(f"dataset.min_rating = {self.min_rating:g} does not fit {data}: it has none.")
        if named and ((self.min_rating or 0) > 0) != (self.rating_column is not None):
            raise ConfigError(
                "dataset.rating_column and dataset.min_rating go together: name the column and the least rating to "
                "count."
            )


def unknown_choice(key: str, value: object, known: Sequence[str | None]) -> ConfigError:
    """The error for a value that is none of those known."""
    choices = ", ".join(sorted(choice for choice in known if choice))
    return ConfigError(f"dataset.{key} = '{value}' is unknown; choose one of {choices}.")


def prepare(table: Table, options: DataOptions, label: str, *, whole: str, valid: Table | None = None) -> Dataset:
    """Makes equal pairs one, filters, splits and sees to the validation part.

    Args:
        table: all pairs.
        options: what is done.
        label: what messages call the data.
        whole: the split of a table without parts, where the options name none.
        valid: pairs for validation, of the same raw ids; None where the split or carving gives them.

    Raises:
        DataError: nothing is left, or a part that must not be empty is.
    """
    name = options.split or (whole if table.parts is None else "given")
    try:
        table = tables.without_repeats(table)
        table = tables.keep_min_degrees(
            table, options.min_user_items or 0, options.min_item_users, repeat=options.filter == "k_core"
        )
        dataset = splits.split(table, name, options.split_ratio, options.split_seed)
    except DataError as error:
        raise DataError(f"{label}: {error}") from error
    if valid is not None:
        return _with_validation(dataset, valid, options)
    if dataset.valid.num_pairs == 0 and options.valid_fraction > 0:
        dataset = splits.carve_validation(dataset, options.valid_fraction, options.split_seed)
        if dataset.valid.num_pairs == 0:
            raise DataError(
                f"{label}: no user has enough training items to carve validation pairs from; add validation pairs, "
                f"raise dataset.valid_fraction (now {options.valid_fraction:g}), or set it to 0 to do without."
            )
    return dataset


def _with_validation(dataset: Dataset, valid: Table, options: DataOptions) -> Dataset:
    """The data set with validation pairs from elsewhere."""
    if dataset.valid.num_pairs:
        raise ConfigError("valid does not go with data that have a validation part of their own; leave it out.")
    if options.valid_fraction not in (0, _VALID_FRACTION):
        raise ConfigError(
            f"dataset.valid_fraction = {options.valid_fraction:g} has no effect where validation pairs are given; "
            f"leave it out."
        )
    pairs, notes = known_pairs_of(valid, dataset.user_ids, dataset.item_ids, "valid")
    keys = [part.users.astype(np.int64) * pairs.num_items + part.items for part in (pairs, dataset.train, dataset.test)]
    twice = np.flatnonzero(np.isin(keys[0], np.concatenate(keys[1:])))
    if len(twice):
        user, item = dataset.user_ids[pairs.users[twice[0]]], dataset.item_ids[pairs.items[twice[0]]]
        raise DataError(
            f"valid: item {item!s:.60} of user {user!s:.60} is also in another part of the data (as are "
            f"{len(twice) - 1:,} more pairs); keep each in one of them."
        )
    return dataset._replace(valid=pairs, notes=(*dataset.notes, *notes))


def known_pairs_of(
    table: Table, user_ids: np.ndarray, item_ids: np.ndarray, label: str
) -> tuple[Interactions, tuple[str, ...]]:
    """The pairs of a table as row numbers of raw ids that are known; ids that are written alike are the same.

    Args:
        table: the pairs.
        user_ids: ndarray[U] of raw ids.
        item_ids: ndarray[I] of raw ids.
        label: what messages call the table.

    Returns:
        The pairs of known users and items, and the table's notes with those about the pairs that were left out.

    Raises:
        DataError: no pair is left.
    """
    table = tables.without_repeats(table)
    users, items = (
        _rows_among(known, ids)[rows]
        for known, ids, rows in ((user_ids, table.user_ids, table.users), (item_ids, table.item_ids, table.items))
    )
    kept, notes = (users >= 0) & (items >= 0), list(table.notes)
    for kind, rows, of_table in (("user", users, table.users), ("item", items, table.items)):
        unknown = rows < 0
        if unknown.any():
            count = len(np.unique(of_table[unknown]))
            notes.append(f"{label}: dropped {unknown.sum():,} pairs of {count:,} {kind}s that are not in training.")
    if not kept.any():
        raise DataError(f"{label}: no pair is of a user and an item that are in training; check the ids.")
    return from_pairs(users[kept], items[kept], len(user_ids), len(item_ids)), tuple(notes)


def _rows_among(known: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Row number of each id among the known ones, ndarray[n] int64; -1 where it is not among them."""
    row_of = {str(value): row for row, value in enumerate(known.tolist())}
    return np.array([row_of.get(str(value), -1) for value in ids.tolist()], np.int64)
