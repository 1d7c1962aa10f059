"""Columns of rows that Polars reads lazily, as ids, numbers and times."""

import polars as pl

from cml_jax.data import time_forms
from cml_jax.data.skipped import Skipped
from cml_jax.data.text_options import PLAIN, SKIP, TextOptions
from cml_jax.data.time_forms import TimeForm
from cml_jax.errors import DataError

# Text of a negative number, also with a comma before its fraction, and with a dash for the sign.
_NEGATIVE = r"^\s*[-\u2212\u2013]\s*[0.,]*[1-9][\d.,]*([eE][-+]?\d+)?\s*$"
_SAMPLE = 1000  # values by which the form of times is told


class ScannedColumns:
    """Columns of rows by name, as expressions of what is read of them; null where it cannot be."""

    def __init__(
        self, rows: pl.LazyFrame, label: str, blank: tuple[str, ...] = (), text: TextOptions | None = None
    ) -> None:
        """Takes the rows, what messages call them, names of columns under which nothing may stand, and how to read."""
        self.label = label
        self._text = text or PLAIN
        self._skipped = Skipped() if self._text.bad_rows == SKIP else None
        self._num_blanked = 0  # rows that were made empty, and are counted elsewhere
        self._blank = blank
        self._rows = rows
        self._dtypes = dict(rows.collect_schema())

    def _id(self, key: str, name: str) -> pl.Expr:
        dtype = self._dtypes[name]
        if not (dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum)):
            raise DataError(
                f"{self.label}: column '{name}' ({self._option(key)}) is of type {dtype}; ids must be integers or text."
            )
        text = pl.col(name).cast(pl.String)
        return pl.when(text != "").then(text).cast(pl.Categorical)  # an empty id is a missing one

    def _number(self, key: str, name: str) -> pl.Expr:
        dtype = self._dtypes[name]
        if not (dtype.is_numeric() or dtype == pl.String):
            raise DataError(f"{self.label}: column '{name}' ({self._option(key)}) is of type {dtype}, not of numbers.")
        value = pl.col(name)
        if dtype == pl.String:
            value = value.str.strip_chars()
            if self._text.decimal != ".":  # a point would stand before thousands then
                value = pl.when(~value.str.contains(".", literal=True)).then(value)
                value = value.str.replace(self._text.decimal, ".", literal=True)
        number = value.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number)  # else null

    def _time(self, name: str) -> TimeForm:
        """Numbers as they are, dates and date-times as microseconds."""
        dtype, column, pattern = self._dtypes[name], pl.col(name), self._text.time_format
        if dtype == pl.Date or isinstance(dtype, pl.Datetime):
            if pattern is not None:
                raise DataError(
                    f"{self.label}: dataset.time_format has no effect on column '{name}', which is of type {dtype}; "
                    f"leave it out."
                )
            return time_forms.form_of_dates(column, getattr(dtype, "time_unit", "us"))
        if pattern is None and dtype.is_integer():
            return TimeForm(time_forms.NUMBERS, column.cast(pl.Int64, strict=False), pl.lit(False))
        if dtype != pl.String and not (pattern is not None and dtype.is_integer()):
            return TimeForm(time_forms.NUMBERS, self._number("time", name), pl.lit(False))
        column = column.cast(pl.String)
        sample = self._rows.select(column).drop_nulls().head(_SAMPLE).collect().to_series()
        return time_forms.form_of_text(column, sample, pattern, self._text.decimal)

    def _may_be_negative(self, name: str) -> bool:
        return self._dtypes[name].is_numeric() or self._dtypes[name] == pl.String

    def _is_negative(self, name: str) -> pl.Expr:
        """Whether numbers are negative, however text writes their fraction and their sign."""
        column = pl.col(name)
        return column.str.contains(_NEGATIVE) if self._dtypes[name] == pl.String else column < 0

    def _columns(self) -> str:
        """The columns that there are, in words."""
        return f"its columns are {', '.join(self._dtypes)[:200]!r}"

    def _option(self, key: str) -> str:
        """How the column of a key of KEYS is named by the caller."""
        return f"{key}="
