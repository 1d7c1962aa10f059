"""Cells of a column of any type as the values of a feature: codes, sets of codes, numbers or vectors."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import polars as pl

from cml_jax.data.feature_options import Wanted
from cml_jax.data.features import Feature
from cml_jax.data.tables import encode
from cml_jax.errors import DataError

_SETS = "|"  # what separates the values of a cell of text, if nothing else is said
_NUMBERS = r"[\s,;|]+"  # likewise of vectors: whatever no number holds
_SOME_SETS = 0.1  # share of cells with a separator from which on a column of text is taken for sets
_LARGEST = float(np.finfo(np.float32).max)


class Cells(NamedTuple):
    """The cells of a column, one for each row of the data set.

    Attributes:
        series: pl.Series[n]; null where missing.
        label: what messages call the source.
        place: row -> where its cell stands.
    """

    series: pl.Series
    label: str
    place: Callable[[int], str]

    def error(self, row: int, what: str) -> DataError:
        """The error for the cell of a row."""
        value = str(self.series[row])
        return DataError(f"{self.label}, {self.place(row)}: column '{self.series.name}' = {value[:60]!r} {what}")


def guess(series: pl.Series) -> Wanted:
    """The kind that a column is likely of, by its type and, where it is text, by its values."""
    dtype, name = series.dtype, series.name
    if isinstance(dtype, pl.List | pl.Array):
        numbers = isinstance(dtype, pl.Array) or (dtype.inner is not None and dtype.inner.is_float())  # pyright: ignore
        return Wanted(name, "vector" if numbers and _inner(dtype).is_numeric() else "multi_hot")
    if dtype.is_numeric() or dtype.is_temporal():
        return Wanted(name, "numeric")
    if dtype == pl.String:
        there = series.filter(series != "")
        if len(there) and _are_numbers(there):
            return Wanted(name, "numeric")
        if there.str.contains(_SETS, literal=True).sum() > _SOME_SETS * len(there):
            return Wanted(name, "multi_hot", _SETS)
    return Wanted(name, "categorical")


def _inner(dtype: pl.DataType) -> pl.DataType:
    inner = getattr(dtype, "inner", None)
    return inner if isinstance(inner, pl.DataType) else inner()  # pyright: ignore[reportOptionalCall]


def _are_numbers(text: pl.Series) -> bool:
    """Whether all are finite numbers, none with a leading zero, as codes have it."""
    numbers = text.cast(pl.Float64, strict=False)
    coded = text.str.contains(r"^\s*[+-]?0\d")
    return bool(numbers.is_finite().fill_null(False).all()) and not coded.any()


def feature_of(cells: Cells, wanted: Wanted) -> tuple[Feature, str]:
    """A column's values as those of a kind, and a few words about them.

    Raises:
        DataError: a cell cannot be of the kind.
    """
    assert wanted.kind is not None
    feature, about = _MAKERS[wanted.kind](cells, wanted.separator)
    return feature, f"{wanted.name} {wanted.kind} ({about})"


def _categorical(cells: Cells, separator: str | None) -> tuple[Feature, str]:
    del separator
    text = _text(cells)
    there = text.is_not_null().to_numpy()
    codes = np.full(len(text), -1, np.int32)
    codes[there], vocabulary = encode(text.drop_nulls().cast(pl.Categorical))
    return Feature(text.name, "categorical", codes, vocabulary), f"{len(vocabulary):,} values"


def _text(cells: Cells) -> pl.Series:
    """Cells as they are written; empty ones are missing."""
    series = cells.series
    if series.dtype.is_nested() or series.dtype in (pl.Object, pl.Binary):
        raise DataError(
            f"{cells.label}: column '{series.name}' is of type {series.dtype}, which is not categorical; read it as "
            f"another kind, or leave it out by naming the columns."
        )
    text = series.cast(pl.String)
    return text.set(text == "", None)


def _multi_hot(cells: Cells, separator: str | None) -> tuple[Feature, str]:
    series, by = cells.series, ""
    if not series.dtype.is_nested():
        separator = separator or _SETS
        by = f" between {separator!r}"
        series = _text(cells).str.split(separator).list.eval(pl.element().str.strip_chars(" \t"))
    elif not isinstance(series.dtype, pl.List | pl.Array) or _inner(series.dtype).is_nested():
        raise DataError(f"{cells.label}: column '{series.name}' is of type {series.dtype}; a multi_hot one has lists.")
    if isinstance(series.dtype, pl.Array):
        series = series.arr.to_list()
    one = pl.DataFrame({"row": np.arange(len(series), dtype=np.int64), "value": series}).explode("value")
    one = one.with_columns(pl.col("value").cast(pl.String))
    one = one.filter(pl.col("value").is_not_null() & (pl.col("value") != ""))
    once = one.unique(maintain_order=True)
    codes, vocabulary = encode(once["value"].cast(pl.Categorical))
    counts = np.bincount(once["row"].to_numpy(), minlength=len(series))
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    about = f"{len(vocabulary):,} values{by}"
    if len(once) < len(one):
        about += f", {len(one) - len(once):,} of them repeated in a cell and counted once"
    return Feature(cells.series.name, "multi_hot", codes, vocabulary, indptr), about


def _numeric(cells: Cells, separator: str | None) -> tuple[Feature, str]:
    del separator
    series, unit = cells.series, ""
    if series.dtype == pl.Date or isinstance(series.dtype, pl.Datetime):
        numbers = series.cast(pl.Datetime("us")).to_physical() / 86_400e6
        unit = ", days since 1970-01-01"
    elif series.dtype.is_numeric() or series.dtype in (pl.String, pl.Boolean, pl.Null):
        text = series.dtype == pl.String
        series = series.set(series == "", None) if text else series
        numbers = (series.str.strip_chars() if text else series).cast(pl.Float64, strict=False)
    else:
        raise DataError(f"{cells.label}: column '{series.name}' is of type {series.dtype}, not of numbers.")
    bad = (series.is_not_null() & numbers.is_null()) | numbers.is_infinite().fill_null(False)
    if bad.any():
        raise cells.error(bad.arg_max() or 0, "is not a finite number; correct it, or read the column as categorical.")
    values = numbers.fill_null(float("nan")).cast(pl.Float64).to_numpy()
    known = values[~np.isnan(values)]
    about = f"{known.min():g} to {known.max():g}" if len(known) else "no value"
    return Feature(series.name, "numeric", values, _nothing()), about + unit


def _vector(cells: Cells, separator: str | None) -> tuple[Feature, str]:
    series = cells.series
    if series.dtype == pl.String:
        text = series.set(series == "", None).str.strip_chars(" \t[]()")
        apart = text.str.split(separator) if separator else text.str.replace_all(_NUMBERS, " ").str.split(" ")
        parts = apart.list.eval(pl.element().filter(pl.element() != ""))
        numbers = parts.list.eval(pl.element().str.strip_chars().cast(pl.Float64, strict=False))
    elif isinstance(series.dtype, pl.List | pl.Array) and _inner(series.dtype).is_numeric():
        as_list = series.arr.to_list() if isinstance(series.dtype, pl.Array) else series
        numbers = as_list.cast(pl.List(pl.Float64))
    else:
        raise DataError(f"{cells.label}: column '{series.name}' is of type {series.dtype}, not of vectors.")
    lengths = numbers.list.len()
    width = lengths.drop_nulls()[0] if lengths.null_count() < len(lengths) else 0
    if width == 0:
        raise DataError(f"{cells.label}: column '{series.name}' holds no vector; leave it out by naming the columns.")
    other = (lengths != width).fill_null(False)
    if other.any():
        row = other.arg_max() or 0
        raise cells.error(row, f"has {lengths[row]:,} numbers, the first has {width:,}; vectors must be equally long.")
    there = numbers.is_not_null().to_numpy()
    values = np.full((len(series), width), np.nan, np.float32)
    flat = numbers.drop_nulls().explode().to_numpy().reshape(-1, width)
    bad = ~(np.abs(flat) <= _LARGEST).all(axis=1)
    if bad.any():
        raise cells.error(int(np.flatnonzero(there)[np.argmax(bad)]), "is not a vector of finite float32 numbers.")
    values[there] = flat
    return Feature(series.name, "vector", values, _nothing()), f"{width:,} numbers"


def _nothing() -> np.ndarray:
    return np.zeros(0, np.int64)


_MAKERS = {"categorical": _categorical, "multi_hot": _multi_hot, "numeric": _numeric, "vector": _vector}
