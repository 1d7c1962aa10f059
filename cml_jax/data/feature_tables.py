"""Features of a data set's items and users, read and put into the order of its raw ids."""

import numpy as np
import polars as pl

from cml_jax.data import frames
from cml_jax.data.feature_files import ROW, Source, source_of
from cml_jax.data.feature_options import FeatureOptions, Wanted, wanted_columns
from cml_jax.data.feature_values import Cells, feature_of, guess
from cml_jax.data.features import KINDS, Features
from cml_jax.data.interactions import Dataset
from cml_jax.errors import DataError


def with_features(dataset: Dataset, options: FeatureOptions, columns: tuple[str | None, str | None]) -> Dataset:
    """The data set with the features that the options name, and notes about them.

    Args:
        dataset: filtered and split.
        options: `item_features` and `user_features` are paths or data, see `feature_files.source_of`.
        columns: names of the columns of users and of items in the interactions; None for the usual ones.

    Raises:
        DataError: features cannot be read, or are of other items or users altogether.
    """
    for kind, column, ids in zip(("user", "item"), columns, (dataset.user_ids, dataset.item_ids), strict=True):
        data = getattr(options, f"{kind}_features")
        if data is None:
            continue
        id_column = getattr(options, f"{kind}_feature_id") or column
        wanted = wanted_columns(getattr(options, f"{kind}_feature_columns"), f"{kind}_feature_columns")
        found, notes = features_of(source_of(data, kind, id_column), kind, id_column, wanted, ids)
        dataset = dataset._replace(notes=(*dataset.notes, *notes), **{f"{kind}_features": found})
    return dataset


def features_of(
    source: Source, kind: str, id_column: str | None, wanted: tuple[Wanted, ...], ids: np.ndarray
) -> tuple[Features, list[str]]:
    """Columns in the order of the raw ids, and sentences about what was read."""
    label, names = source.label, [name for name in source.rows.columns if name != ROW]
    id_name = source.id_column(kind, id_column)
    wanted = wanted or tuple(Wanted(name) for name in names if name != id_name)
    _check_names(source, kind, wanted, id_name, names)
    place_of, notes = _rows_of_ids(source, kind, id_name, [column.name for column in wanted], ids)
    taken, missing = pl.Series(place_of.clip(0)), pl.Series(place_of < 0)
    rows = source.rows.select(ROW, *(column.name for column in wanted))
    numbers = rows[ROW].gather(taken)
    features, said = [], []
    for column in wanted:
        series = rows[column.name].gather(taken.set(missing, None))
        typed = source.typed.get(column.name)
        filled = column if column.kind else (typed or guess(series))
        if column.separator is None and typed is not None and typed.kind == column.kind:
            filled = typed
        cells = Cells(series, label, lambda row: source.place(numbers[row]))
        feature, about = feature_of(cells, filled)
        features.append(feature)
        said.append(about if column.kind or typed else f"{about[:-1]}; kind guessed)")
    notes.insert(0, f"{label}: features of {kind}s by column '{id_name}': {', '.join(said)}.")
    return Features(tuple(features)), [*source.notes, *notes]


def _check_names(source: Source, kind: str, wanted: tuple[Wanted, ...], id_name: str, names: list[str]) -> None:
    if not wanted:
        raise DataError(f"{source.label}: has no column but '{id_name}'; features need one more.")
    for column in wanted:
        if column.name == id_name:
            raise DataError(f"dataset.{kind}_feature_columns: '{id_name}' is the column of raw ids; leave it out.")
        if column.name not in names:
            raise DataError(
                f"{source.label}: has no column '{column.name}' (dataset.{kind}_feature_columns); its columns are "
                f"{', '.join(names)[:200]!r}, and kinds {', '.join(KINDS)}."
            )


def _rows_of_ids(
    source: Source, kind: str, id_name: str, columns: list[str], ids: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """Place among the source's rows of each raw id's row, ndarray[n] int64, -1 where it has none; and sentences."""
    label = source.label
    raw, notes = frames.ids_of(source.rows[id_name], label)
    notes, written = list(notes), raw.cast(pl.String)
    empty = (written.is_null() | (written == "")).fill_null(True)
    if empty.any():
        row = source.rows[ROW][empty.arg_max() or 0]
        raise DataError(f"{label}, {source.place(row)}: column '{id_name}' is empty; give the {kind}'s raw id.")
    places = pl.Series("\0place", np.arange(len(written), dtype=np.int64))
    id_and_place = [written.alias("\0id"), places]
    rows = source.rows.select(columns).with_columns(id_and_place)
    distinct = rows.unique(["\0id", *columns], keep="first", maintain_order=True)
    if len(distinct) < len(rows):
        notes.append(f"{label}: merged {len(rows) - len(distinct):,} rows that are equal to others.")
    row_of = {str(value): row for row, value in enumerate(ids.tolist())}
    place_of, unknown = np.full(len(ids), -1, np.int64), 0
    for name, place in zip(distinct["\0id"], distinct["\0place"], strict=True):
        row = row_of.get(name)
        if row is None:
            unknown += 1
        elif place_of[row] >= 0:
            first, second = (source.place(source.rows[ROW][int(of)]) for of in (place_of[row], place))
            raise DataError(
                f"{label}, {second}: {kind} {name:.60} has other features than on {first}; keep one of the rows, or "
                f"name columns in which they agree by dataset.{kind}_feature_columns."
            )
        else:
            place_of[row] = place
    without = int(np.sum(place_of < 0))
    if without == len(ids):
        raise DataError(f"{label}: no row is of an {kind} of the data; check the ids.".replace("an user", "a user"))
    if without:
        notes.append(f"{label}: {without:,} of {len(ids):,} {kind}s have no row; their features are missing.")
    if unknown:
        notes.append(f"{label}: left out {unknown:,} rows of {kind}s that are not in the data.")
    return place_of, notes
