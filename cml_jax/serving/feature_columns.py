"""Features and titles of the items of lists, and features of their users, as more columns of their table."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import polars as pl

from cml_jax.data.features import Feature, Features
from cml_jax.errors import DataError, UserError
from cml_jax.serving.raw_ids import RawIds

_BETWEEN = "|"  # values of a multi-hot feature
TITLE = "title"


class Known(Protocol):
    """What is asked of a `Recommender`."""

    @property
    def item_ids(self) -> RawIds:
        """Of the items."""
        ...

    @property
    def user_ids(self) -> RawIds:
        """Of the users."""
        ...

    @property
    def item_features(self) -> Features | None:
        """Of the items."""
        ...

    @property
    def user_features(self) -> Features | None:
        """Of the users."""
        ...

    @property
    def item_titles(self) -> np.ndarray | None:
        """Of the items."""
        ...


def joined(model: Known, table: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """A table with features of its items, or of its users where it has no column of items.

    Categorical features are text, or integers where all values are; those of multi-hot ones stand in one cell with '|'
    between them; numbers are as read. What is missing is null.

    Args:
        model: has the features.
        table: with a column item or user, as `recommend` and `similar_items` return it.
        names: of the features.

    Raises:
        UserError: a feature is not there, is a vector, or has the name of a column of the table.
    """
    kind = "item" if "item" in table.columns else "user"
    features = model.item_features if kind == "item" else model.user_features
    check_names(features, names, kind)
    ids = model.item_ids if kind == "item" else model.user_ids
    for name in names:
        if name in table.columns:
            raise UserError(f"the table has a column {name!r} already; leave the feature out.")
    rows = ids.rows(table[kind])
    return table.with_columns([_cells(features.column(name), rows) for name in names] if features else [])


def titled(model: Known, table: pl.DataFrame) -> pl.DataFrame:
    """A table of items with their titles in a column after theirs, null where an item has none.

    Raises:
        UserError: there are no titles, or the table has such a column, or none of items.
    """
    check_titles(model)
    assert model.item_titles is not None
    if "item" not in table.columns or TITLE in table.columns:
        why = f"has a column {TITLE!r} already" if TITLE in table.columns else "has no column 'item'"
        raise UserError(f"the table {why}; leave the titles out.")
    titles = [title or None for title in model.item_titles[model.item_ids.rows(table["item"])].tolist()]
    place = table.columns.index("item") + 1
    return table.clone().insert_column(place, pl.Series(TITLE, titles, dtype=pl.String))


def check_titles(model: Known) -> None:
    """Raises UserError where there are no titles."""
    if model.item_titles is None:
        raise UserError("the model has no titles of items; train with item_titles.")


def check_names(features: Features | None, names: Sequence[str], kind: str) -> None:
    """Raises UserError for a name that is no feature of a kind of raw ids, or whose values no cell holds."""
    if not names:
        raise UserError("no feature is named; name at least one.")
    if features is None:
        raise UserError(
            f"the model has no features of {kind}s, so there is no {names[0]!r}; train with {kind}_features."
        )
    for name in names:
        if features.column(name).kind == "vector":
            raise DataError(f"feature {name!r} is a vector, which no column of a list holds; leave it out.")


def _cells(feature: Feature, rows: np.ndarray) -> pl.Series:
    values = feature.values
    if feature.indptr is not None:
        written = [str(value) for value in feature.vocabulary.tolist()]
        spans = zip(feature.indptr[rows].tolist(), feature.indptr[rows + 1].tolist(), strict=True)
        cells = [_BETWEEN.join(written[code] for code in values[start:end]) or None for start, end in spans]
        return pl.Series(feature.name, cells, dtype=pl.String)
    if feature.kind == "numeric":
        return pl.Series(feature.name, values[rows], nan_to_null=True)
    codes = pl.Series(values[rows].astype(np.int64))
    dtype = pl.Int64 if feature.vocabulary.dtype.kind in "iu" else pl.String
    return pl.Series(feature.name, feature.vocabulary.tolist(), dtype=dtype).gather(codes.set(codes < 0, None))
