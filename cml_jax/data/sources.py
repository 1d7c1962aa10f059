"""Data that people hold in Python, or as a path whose format is told by what is there, as a Dataset."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from cml_jax.data import frames, matrices, signals
from cml_jax.data.datasets import check_format, check_text, format_note
from cml_jax.data.formats import format_of
from cml_jax.data.interactions import Dataset, Interactions
from cml_jax.data.options import DataOptions
from cml_jax.data.preparation import known_pairs_of, prepare
from cml_jax.data.readers import read, table_of_rows
from cml_jax.data.scanning import ScannedRows
from cml_jax.data.tables import Table, usual_names
from cml_jax.data.text_options import OF_VALUES
from cml_jax.errors import ConfigError, DataError
from cml_jax.files import home_path

_KINDS = (
    "a pandas or Polars DataFrame, an Arrow table, a sparse matrix of SciPy, a tuple (users, items), a dict of "
    "columns, a path or Interactions"
)


def dataset_of(data: Any, *, valid: Any = None, **options: Any) -> Dataset:
    """Filters and splits data that are held in memory or stand at a path.

    Args:
        data: one of

            * a pandas DataFrame, a Polars DataFrame or LazyFrame, a table or record batch of pyarrow, or what else has
              the Arrow PyCapsule interface;
            * a dict of columns, or a tuple of them: users, items and perhaps ratings and times, which are then the
              columns 'user', 'item', 'rating' and 'time';
            * a sparse matrix or array of SciPy, users x items, or `Interactions`, with their weights if they have any:
              row numbers are the raw ids;
            * a path, of a format that `formats.format_of` knows.
        valid: validation pairs, as data of any of these kinds; of users and items that are not in training they are
            left out. None to have them split off or carved out of train.
        **options: fields of `DataOptions`. By default data that come in parts are split as given, and of others every
            pair is for training.

    Returns:
        The data set; raw ids are of the type that they have in the data.

    Raises:
        ConfigError: an option is unknown or does not fit the data.
        DataError: the data cannot be used.
    """
    how = DataOptions(**options)
    how.check()
    if valid is not None and how.split not in (None, "all", "given"):
        raise ConfigError(f"dataset.split = '{how.split}' does not go with valid; leave one of them out.")
    _check_text(data, how)
    table = _table(data, how, "data")
    held_out = None
    if valid is not None:
        held_out = _held_out(valid, dataclasses.replace(how, time_column=None, weight_column=None), "valid")
    return prepare(table, how, _label(data, "data"), whole="all", valid=held_out)


def known_pairs(
    data: Any, user_ids: np.ndarray, item_ids: np.ndarray, *, label: str = "data", **options: Any
) -> tuple[Interactions, tuple[str, ...]]:
    """Pairs of the users and items of a model, for its evaluation.

    Args:
        data: as for `dataset_of`, not in parts; equal pairs become one.
        user_ids: ndarray[U]; the model's raw ids, which are the same as the data's where they are written alike.
        item_ids: ndarray[I]; likewise.
        label: what messages call the data.
        **options: of the columns and of ratings and kinds, of `DataOptions`.

    Returns:
        The pairs as row numbers, and notes: how many pairs of how many unknown users and items were left out.

    Raises:
        ConfigError: an option is unknown or does not fit the data.
        DataError: the data cannot be used, or no pair is known.
    """
    how = DataOptions(**options)
    how.check()
    return known_pairs_of(_held_out(data, how, label), user_ids, item_ids, label)


def _format_of(path: Path, options: DataOptions) -> tuple[str, str]:
    named = bool(options.user_column or options.item_column)
    return format_of(path, named=named, lists=options.first_number is not None)


def _check_text(data: Any, options: DataOptions) -> None:
    """Raises ConfigError for options of text that have no effect."""
    if isinstance(data, str | os.PathLike):
        check_text(_format_of(home_path(data), options)[0], options)
    else:
        options.check_text_of("data in memory", OF_VALUES if frames.is_frame(data) else ())


def _label(data: Any, label: str) -> str:
    return str(home_path(data)) if isinstance(data, str | os.PathLike) else label


def _held_out(data: Any, options: DataOptions, label: str) -> Table:
    """The likes among data that are no parts of a whole."""
    table = _table(data, options, label)
    if table.parts is not None:
        raise DataError(f"{label}: comes in parts; give the path of one of the files.")
    return signals.likes_of(table, options, label)


def _table(data: Any, options: DataOptions, label: str) -> Table:
    """All pairs of data of any kind."""
    if isinstance(data, str | os.PathLike):
        return _of_path(home_path(data), options)
    if isinstance(data, Interactions) or scipy.sparse.issparse(data):
        table = _of_matrix(data, options, label)
    elif frames.is_frame(data):
        table = _of_frame(data, options, label)
    else:
        raise DataError(f"{label}: is of type {type(data).__name__}; give {_KINDS}.")
    if table.num_pairs == 0:
        raise DataError(f"{label}: no pairs are left; check the data, and min_rating if it is set.")
    return table


def _of_path(path: Path, options: DataOptions) -> Table:
    format, why = _format_of(path, options)
    check_format(format, options)
    return read(format, path, options.columns(), options).note(format_note(path, format, why))


def _of_matrix(data: Any, options: DataOptions, label: str) -> Table:
    columns = options.columns()
    if isinstance(data, Interactions):
        options.check_columns("Interactions", named=False, rated=False)
        columns = columns._replace(min_rating=None, weight=None if data.weights is None else matrices.VALUES)
        values = np.ones(data.num_pairs, np.int8) if data.weights is None else data.weights
        data = scipy.sparse.csr_array((values, data.items, data.indptr), shape=(data.num_users, data.num_items))
    else:
        options.check_columns("a sparse matrix", named=False, rated=True, weight=matrices.VALUES)
    try:
        matrix = matrices.distinct_places(data)
    except Exception as error:  # whatever SciPy raises for a matrix that was put together wrongly
        raise DataError(f"{label}: not a consistent sparse matrix ({str(error)[:150]}).") from error
    return matrices.table_of_matrices([matrices.checked(matrix, label)], columns, [label])


def _of_frame(data: Any, options: DataOptions, label: str) -> Table:
    options.check_columns("the data", named=True, rated=True)
    columns = options.columns()
    frame = frames.frame_of(data, columns, label)
    found, _ = usual_names(columns, frame.columns)
    user, user_notes = frames.ids_of(frame[found.user], label)
    item, item_notes = frames.ids_of(frame[found.item], label)
    rows = ScannedRows(frame.with_columns(user, item).lazy(), label, text=options).read(columns)
    table = table_of_rows([rows], columns)
    if isinstance(data, tuple):
        unused = [name for name in frames.POSITIONS[2 : len(data)] if name not in columns]
        if unused:
            table = table.note(f"{label}: not used are {' and '.join(unused)}, since no option names them.")
    return table._replace(
        user_ids=_as_held(table.user_ids, user.dtype.is_integer()),
        item_ids=_as_held(table.item_ids, item.dtype.is_integer()),
        notes=(*user_notes, *item_notes, *table.notes),
    )


def _as_held(ids: np.ndarray, were_integers: bool) -> np.ndarray:
    """Raw ids of the type that they have in the data, in the order that they would have in a file."""
    if were_integers and ids.dtype.kind == "O":  # beyond int64
        return np.array([int(value) for value in ids.tolist()], np.uint64)
    if not were_integers and ids.dtype.kind in "iu":
        return np.array([str(value) for value in ids.tolist()], object)
    return ids
