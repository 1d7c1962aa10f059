"""Options of a data set: which columns are read, and what is done to the pairs; each declared once."""

import difflib
import math
from collections.abc import Mapping, Sequence
from typing import Any

from cml_jax.data import signals, splits, time_splits
from cml_jax.data.feature_options import FeatureOptions
from cml_jax.data.tables import KEYS, Columns
from cml_jax.data.text_options import TextOptions
from cml_jax.data.titles import TitleOptions
from cml_jax.errors import ConfigError
from cml_jax.options import AT_LEAST_0, Range, declared, one_of, options, static

FILTERS = ("once", "k_core")
SPLITS = ("given", *splits.SPLITS, *time_splits.BY_CUT)
VALID_FRACTION = 0.1
_RATIO = (3, 1, 1)


@options
class ColumnOptions:
    """Options of the columns."""

    user_column: str | None = static(None, "column of users, by name, or by number if there is no header; none: user")
    item_column: str | None = static(None, "column of items, by name, or by number if there is no header; none: item")
    rating_column: str | None = static(None, "column of ratings or counts")
    time_column: str | None = static(None, "column of times")
    weight_column: str | None = static(
        None,
        "column of positive weights of pairs; 'value' of npz, 'play count' of echonest, 'rating' of movielens",
    )
    kind_column: str | None = static(None, "column of kinds of interaction, such as view or buy")

    def named(self) -> dict[str, str | None]:
        """The names of columns that were chosen."""
        return {key: getattr(self, f"{key}_column") for key in KEYS}


@options
class FilterOptions:
    """Options of what is left out."""

    min_rating: float | None = static(
        None, "least rating or play count that makes a pair; none: as the name says, else all", signals.FINITE
    )
    min_user_items: int | None = static(None, "least items of a user; none: as the name says, else 0", AT_LEAST_0)
    min_item_users: int = static(0, "least users of an item", AT_LEAST_0)
    filter: str = static("once", "the two limits before: once | k_core", one_of(FILTERS))


@options
class SplitOptions:
    """Options of the split."""

    split: str | None = static(
        None,
        "given | all | ratio | leave_one_out | temporal_user | temporal_global | temporal_date | temporal_days; none: "
        "given if in parts, else ratio",
        one_of(SPLITS),
    )
    split_ratio: tuple[int, ...] = static(
        _RATIO,
        "train, validation, test",
        Range(
            lambda v: len(v) == 3 and all(type(s) is int and 0 <= s <= 1000 for s in v) and v[0] > 0 and v[2] > 0,
            "must be three integers up to 1000, for train, validation and test, and only that of validation may be 0",
        ),
    )
    split_seed: int = static(0, "seed of random splits, apart from the run's", AT_LEAST_0)
    valid_fraction: float = static(
        VALID_FRACTION,
        "share of train set aside for validation where there is none; 0: do without",
        Range(lambda v: 0 <= v < 1, "must be 0 or more and below 1"),
    )


@options
class DataOptions(
    SplitOptions,
    time_splits.TimeOptions,
    signals.SignalOptions,
    FilterOptions,
    ColumnOptions,
    TextOptions,
    FeatureOptions,
    TitleOptions,
):
    """Which columns are read, and what is done to the pairs.

    In this order: rows of a lower rating are dropped, equal pairs become one, items with few users and users with few
    items are dropped, and what is left is split. Where there are no validation pairs, some are carved from train.
    """

    def columns(self) -> Columns:
        """The columns to read."""
        user, item = self.user_column or "user", self.item_column or "item"
        return Columns(
            user,
            item,
            self.rating_column,
            self.time_column,
            self.min_rating,
            self.weight_column,
            self.kind_column,
            self.dislike_rating,
        )

    def check(self) -> None:
        """Raises ConfigError for what is unknown, contradicts itself or would have no effect, whatever the data."""
        for option in declared(type(self)):
            if option.name in ("item_features", "user_features", "item_titles"):
                continue  # from Python also the features and titles themselves
            option.check(getattr(self, option.name), f"dataset.{option.name}")
        for key, value, known in (("filter", self.filter, FILTERS), ("split", self.split, (None, *SPLITS))):
            if value not in known:
                raise unknown_choice(key, value, known)
        self.check_text()
        self.check_features()
        self.check_titles()
        signals.check(self)
        columns = self.columns()
        if columns.user == columns.item:
            raise ConfigError(f"dataset.user_column and dataset.item_column are both '{columns.user}'.")
        if self.filter == "k_core" and (self.min_user_items or 0) <= 1 and self.min_item_users <= 1:
            raise ConfigError(
                "dataset.filter = 'k_core' needs dataset.min_user_items or dataset.min_item_users above 1."
            )
        self.check_times(self.split)
        if self.split in ("given", "all", "leave_one_out", *time_splits.BY_CUT) and tuple(self.split_ratio) != _RATIO:
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
        for key in ("min_rating", "dislike_rating"):
            limit = getattr(self, key)
            # A least rating of 0 leaves out nothing that there is.
            if limit is None or (limit == 0 and key == "min_rating"):
                continue
            if not rated:
                raise ConfigError(f"dataset.{key} = {limit:g} does not fit {data}: it has none.")
            if named and self.rating_column is None:
                raise ConfigError(
                    f"dataset.rating_column and dataset.{key} go together: name the column that {limit:g} is for."
                )
        if named and self.rating_column is not None and not self.columns().by_rating:
            raise ConfigError(
                f"dataset.rating_column and dataset.min_rating go together: with '{self.rating_column}' name the least "
                f"rating of a like, or by dataset.dislike_rating the largest of a dislike; to weight pairs by it, give "
                f"it as dataset.weight_column."
            )


def data_options(values: Mapping[str, Any]) -> DataOptions:
    """The options by name; ConfigError for a name that is none."""
    names = [option.name for option in declared(DataOptions)]
    for name in values:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean dataset.{close[0]}?" if close else f"choose some of {', '.join(names)}."
            raise ConfigError(f"dataset.{name} is not an option; {hint}")
    return DataOptions(**values)


def unknown_choice(key: str, value: object, known: Sequence[str | None]) -> ConfigError:
    """The error for a value that is none of those known."""
    choices = ", ".join(sorted(choice for choice in known if choice))
    return ConfigError(f"dataset.{key} = '{value}' is unknown; choose one of {choices}.")
