"""Columns that people hold in memory, of data frames, Arrow tables, arrays and lists, as those of Polars.

pandas and pyarrow are not imported: whoever holds an object of theirs has done that.
"""

import datetime
import numbers
import sys
import uuid
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from cml_jax.data.tables import KEYS, Columns, unread_ratings, usual_names
from cml_jax.errors import DataError

POSITIONS = ("user", "item", "rating", "time")  # what the arrays of a tuple are
_ARROW = ("__arrow_c_stream__", "__arrow_c_array__")
_NUMBERS = (numbers.Integral, numbers.Real)
_KINDS = (bool, np.bool_, *_NUMBERS, str, bytes, uuid.UUID, datetime.datetime, datetime.date)
_EXACT = 2**53  # integers beyond may have been rounded when they became float64


def is_pandas(data: object, name: str) -> bool:
    """Whether data are of the class `name` of pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(data, getattr(pandas, name))


def is_frame(data: object) -> bool:
    """Whether data have columns: a data frame, an Arrow table, a dict or a tuple of columns."""
    if isinstance(data, pl.Series) or is_pandas(data, "Series"):
        return False
    known = isinstance(data, pl.DataFrame | pl.LazyFrame | Mapping | tuple) or is_pandas(data, "DataFrame")
    return known or any(hasattr(data, name) for name in _ARROW)


def frame_of(data: Any, columns: Columns, label: str) -> pl.DataFrame:
    """The columns that are asked for, with their names, of data for which `is_frame` holds; and unread ratings.

    Raises:
        DataError: a column is not there, or cannot be one of ids, numbers or times.
    """
    if isinstance(data, tuple):
        if not 2 <= len(data) <= len(POSITIONS):
            raise DataError(f"{label}: a tuple of {len(data)}; give two to four columns, {', '.join(POSITIONS)}.")
        data = dict(zip(POSITIONS, data, strict=False))
    elif not isinstance(data, pl.DataFrame | pl.LazyFrame | Mapping) and not is_pandas(data, "DataFrame"):
        data = _of_arrow(data, label)
    names = _names(data)
    columns, _ = usual_names(columns, [str(name) for name in names])
    wanted = {key: name for key, name in zip(KEYS, columns.names(), strict=True) if name is not None}
    found = _found(wanted, names, label)
    unread = {str(name): name for name in names if names.count(name) == 1}
    unread = {name: unread[name] for name in unread_ratings(unread, found)}
    if isinstance(data, pl.LazyFrame):
        try:
            data = data.select([*found.values(), *unread.values()]).collect()
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{label}: cannot be collected ({_first_line(error)}).") from error
    series = [series_of(data[there], name, label) for name, there in found.items()]
    if len({len(column) for column in series}) > 1:
        sizes = ", ".join(f"'{column.name}' has {len(column):,}" for column in series)
        raise DataError(f"{label}: columns must be equally long, but {sizes} values.")
    frame = pl.DataFrame(series)
    ratings = [_numbers_or_text(data[there], name, label) for name, there in unread.items()]
    return frame.with_columns(*(column for column in ratings if column is not None and len(column) == len(frame)))


def _numbers_or_text(values: Any, name: str, label: str) -> pl.Series | None:
    """A column that nobody asked for, None where it holds neither numbers nor text."""
    try:
        series = series_of(values, name, label)
        return series if series.dtype.is_numeric() or series.dtype == pl.String else None
    except DataError:
        pass
    try:  # such as numbers of the module decimal
        return pl.Series(name, [None if value is None else float(value) for value in values], pl.Float64)
    except (TypeError, ValueError):
        return None


def _of_arrow(data: Any, label: str) -> pl.DataFrame:
    try:
        frame = pl.DataFrame(data)
    except Exception as error:  # whatever the object that exports the data raises
        raise DataError(f"{label}: cannot be read as an Arrow table ({_first_line(error)}).") from error
    return frame


def _names(data: Any) -> list[Any]:
    if isinstance(data, pl.LazyFrame):
        return data.collect_schema().names()
    return list(data) if isinstance(data, Mapping) else list(data.columns)


def _found(wanted: dict[str, str], names: list[Any], label: str) -> dict[str, Any]:
    """The data's own name of each wanted column; names that are no strings are known by how they are written."""
    written = [str(name) for name in names]
    for key, name in wanted.items():
        if name not in written:
            there = ", ".join(written)
            raise DataError(f"{label}: no column '{name}'; the columns are {there[:200]!r}, name it by {key}=.")
        if written.count(name) > 1:
            raise DataError(f"{label}: has two columns '{name}' ({key}=); rename one of them.")
    return {name: names[written.index(name)] for name in wanted.values()}


def series_of(values: Any, name: str, label: str) -> pl.Series:
    """One column as a series of its values, whose missing ones are null.

    Args:
        values: a series, an array with one axis or a list.
        name: of the column.
        label: what messages call the data.

    Raises:
        DataError: it is no column, or holds values of several types.
    """
    if is_pandas(values, "Series") or is_pandas(values, "Index"):
        return _of_pandas(values, name, label)
    try:
        if isinstance(values, pl.Series) or any(hasattr(values, protocol) for protocol in _ARROW):
            series = pl.Series(name, values)
            return _of_objects(series.to_list(), name, label) if series.dtype == pl.Object else series
    except Exception as error:  # whatever the object that exports the data raises
        raise DataError(f"{label}: column '{name}' cannot be read ({_first_line(error)}).") from error
    if isinstance(values, list) or np.ma.isMaskedArray(values):
        return _of_objects(list(values.tolist() if np.ma.isMaskedArray(values) else values), name, label)
    if isinstance(values, str | bytes) or not hasattr(values, "__array__"):
        raise DataError(
            f"{label}: column '{name}' is of type {type(values).__name__}; give a series, an array or a list."
        )
    return _of_array(np.asarray(values), name, label)


def _of_array(array: np.ndarray, name: str, label: str) -> pl.Series:
    if array.ndim != 1:
        raise DataError(f"{label}: column '{name}' has shape {array.shape}; a column has one axis.")
    if array.dtype.kind in "biu":
        return pl.Series(name, array.astype(array.dtype.newbyteorder("=")))
    if array.dtype.kind == "f":
        return pl.Series(name, array.astype(np.float64), nan_to_null=True)
    if array.dtype.kind == "M":
        unit = "ns" if np.datetime_data(array.dtype)[0] == "ns" else "us"  # of finer digits a note is made
        return pl.Series(name, array.astype(f"datetime64[{unit}]"))
    return _of_objects(array.tolist(), name, label)


def _of_pandas(values: Any, name: str, label: str) -> pl.Series:
    if hasattr(values.dtype, "categories"):
        codes = pl.Series(np.asarray(values.array.codes, np.int64))
        return series_of(values.dtype.categories, name, label).gather(codes.set(codes < 0, None))
    missing = np.asarray(values.isna())
    there = values[~missing]
    # A date-time with a zone becomes the moment in UTC.
    array = there.to_numpy(dtype=f"datetime64[{_unit(values.dtype)}]") if values.dtype.kind == "M" else there.to_numpy()
    there = _of_array(array, name, label)
    if not missing.any():
        return there
    places = pl.Series(np.cumsum(~missing) - 1)
    return there.gather(places.set(pl.Series(missing), None))


def _unit(dtype: Any) -> str:
    """Of date-times of pandas, with a zone or without."""
    return getattr(dtype, "unit", None) or np.datetime_data(dtype)[0]


def _of_objects(values: list[Any], name: str, label: str) -> pl.Series:
    """A series of Python objects; None and NaN are missing ones, and a UUID stays an object."""
    values = [None if isinstance(value, float) and value != value else value for value in values]
    types = {type(value) for value in values if value is not None}
    kinds = {next((kind for kind in _KINDS if issubclass(found, kind)), found) for found in types}
    if len(kinds - {numbers.Integral}) > 1 or (numbers.Integral in kinds and not kinds <= {*_NUMBERS}):
        found = " and ".join(sorted(found.__name__ for found in types))
        raise DataError(f"{label}: column '{name}' holds values of the types {found}; make them one type.")
    if kinds and kinds <= {*_NUMBERS}:  # NumPy's numbers are none of Python's
        as_python = float if numbers.Real in kinds else int
        values = [None if value is None else as_python(value) for value in values]
    try:
        return pl.Series(name, values, dtype=pl.Object if kinds == {uuid.UUID} else None, strict=True)
    except Exception as error:  # whatever the values raise
        raise DataError(f"{label}: column '{name}' cannot be read ({_first_line(error)}).") from error


def ids_of(series: pl.Series, label: str) -> tuple[pl.Series, tuple[str, ...]]:
    """Raw ids as integers or text, and notes about what they were.

    Raises:
        DataError: a value cannot be an id.
    """
    name, dtype = series.name, series.dtype
    if dtype == pl.Object:
        note = f"{label}: the ids of column '{name}' are UUIDs; their text is the raw id."
        written = [None if value is None else str(value) for value in series.to_list()]
        return pl.Series(name, written, dtype=pl.String), (note,)
    if dtype.is_float():
        series = series.cast(pl.Float64).fill_nan(None)
        bad = ~((series == series.floor()) & (series.abs() < _EXACT)).fill_null(True)
        if bad.any():
            row = bad.arg_max() or 0
            raise DataError(
                f"{label}, row {row + 1}: column '{name}' = {series[row]} is no id; ids must be integers below 2^53, "
                f"if they are of type {dtype}, or text."
            )
        note = f"{label}: the ids of column '{name}' are whole numbers of type {dtype}; they are read as integers."
        return series.cast(pl.Int64), (note,)
    if dtype.is_integer() and series.cast(pl.Int64, strict=False).null_count() > series.null_count():
        try:
            return series.cast(pl.UInt64), ()
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{label}: column '{name}' holds integers of more than 64 bits; make them text.") from error
    return (series.cast(pl.String) if dtype == pl.Null else series), ()


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:150] if str(error).strip() else type(error).__name__
