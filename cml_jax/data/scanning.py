"""Rows of text and Parquet files in bounded memory, through Polars' lazy engine."""

import zlib
from pathlib import Path
from typing import NamedTuple

import polars as pl

from cml_jax.data.tables import KEYS, WEIGHT_SENTENCE, WEIGHTS, Columns, refuse_negative
from cml_jax.data.text_lines import TextLayout, count_blank_lines, find_bad_line, is_whole, line_of_row, packed_with
from cml_jax.errors import DataError

_ROW = "\0row"  # a name that no column has
# Dates of ISO 8601; the first value of a file decides which, so that a file of mixed forms is refused.
_DATE_FORMATS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f%#z", "%+")
# What reading can raise; for some damaged Parquet files Polars panics, which is no Exception.
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, EOFError, zlib.error)


class Rows(NamedTuple):
    """What was read of a file.

    Attributes:
        frame: columns user and item (Categorical) and, where asked for, time and weight (numbers), disliked (bool) and
            kind (Categorical).
        num_lines: rows of the file, before any was left out.
        num_empty: rows among them without a value in any column, which are skipped.
        times_are: 'numbers', 'dates' or None.
    """

    frame: pl.DataFrame
    num_lines: int
    num_empty: int
    times_are: str | None


class ScannedRows:
    """Rows of named columns that are read by column, in memory unless a subclass says where they stand."""

    def __init__(self, rows: pl.LazyFrame, label: str, blank: tuple[str, ...] = ()) -> None:
        """Takes the rows, what messages call them, and names of columns under which nothing may stand."""
        self.label = label
        self._blank = blank
        self._rows = rows
        self._dtypes = dict(rows.collect_schema())

    def read(self, wanted: Columns) -> Rows:
        """Reads the rows that are likes or dislikes by their rating, all where ratings do not decide.

        Rows are filtered while the file streams by, and raw ids become numbers of a dictionary at once, so memory
        holds the kept rows at some 16 bytes each, and every id once.

        Raises:
            DataError: a column that is not there, an id that is missing, or a rating, time or weight that is not one.
        """
        names: dict[str, str | None] = dict(zip(KEYS, wanted.names(), strict=True))
        for key, name in names.items():
            if name is not None and name not in self._dtypes:
                there = ", ".join(self._dtypes)
                raise DataError(
                    f"{self.label}: has no column '{name}' ({self._option(key)}); its columns are {there[:200]!r}."
                )
            if f"{name}_duplicated_0" in self._dtypes:
                raise DataError(f"{self.label}: has two columns '{name}' ({self._option(key)}); rename one of them.")
        columns = {"user": self._id("user", wanted.user), "item": self._id("item", wanted.item)}
        if wanted.rating is not None:
            columns["rating"] = self._number("rating", wanted.rating)
        if wanted.weight is not None:
            weight = self._number("weight", wanted.weight)
            columns["weight"] = pl.when(weight.is_between(*WEIGHTS)).then(weight)
        if wanted.dislike_rating is not None:
            columns["disliked"] = wanted.is_dislike(columns["rating"])
            if wanted.weight is not None:  # that of a dislike has no meaning
                columns["weight"] = pl.when(columns["disliked"]).then(1.0).otherwise(columns["weight"])
        if wanted.kind is not None:
            columns["kind"] = self._id("kind", wanted.kind)
        for name in self._blank:
            names[name] = name
            columns[name] = pl.col(name).is_null().replace(False, None)
        try:
            times_are = None
            if wanted.time is not None:
                columns["time"], times_are = self._time(wanted.time)
            is_empty = self._is_empty_row()
            num_lines, num_empty = (
                self._rows.select(pl.len().alias("lines"), is_empty.sum().alias("empty"))
                .collect(engine="streaming")
                .row(0)
            )
            self._check_whole(num_lines)
            if wanted.rating is not None and not wanted.by_rating:
                negative = self._rows.select((columns["rating"] < 0).sum()).collect(engine="streaming").item()
                refuse_negative(self.label, negative, wanted.rating)
            # Rows that cannot be used stay in, to be found and named below.
            usable = pl.all_horizontal(expression.is_not_null() for expression in columns.values())
            kept = ~usable | self._by_rating(wanted, columns)
            frame = self._rows.filter(~is_empty & kept).select(**columns).collect(engine="streaming")
            if frame.select(pl.any_horizontal(pl.all().is_null().any())).item():
                self._refuse_first(names, columns, ~is_empty & ~usable)
        except _UNREADABLE as error:
            raise self._unreadable(error) from error
        return Rows(frame.drop("rating", *self._blank, strict=False), num_lines, num_empty, times_are)

    def _by_rating(self, wanted: Columns, columns: dict[str, pl.Expr]) -> pl.Expr:
        """Whether rows are likes or dislikes; all are where there are no ratings, or they do not decide."""
        if "rating" not in columns or not wanted.by_rating:
            return pl.lit(True)
        like = wanted.is_like(columns["rating"])
        return like | columns["disliked"] if wanted.dislike_rating is not None else like

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
        number = pl.col(name).cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number)  # else null

    def _time(self, name: str) -> tuple[pl.Expr, str]:
        """Numbers as they are, dates and date-times as microseconds; and which of the two they are."""
        dtype, column = self._dtypes[name], pl.col(name)
        if dtype.is_integer():
            return column.cast(pl.Int64, strict=False), "numbers"
        if dtype == pl.Date or isinstance(dtype, pl.Datetime):
            return column.cast(pl.Datetime("us")).to_physical(), "dates"
        if dtype != pl.String:
            return self._number("time", name), "numbers"
        first = self._rows.select(column).drop_nulls().head(1).collect().to_series()
        if first.cast(pl.Float64, strict=False).is_not_null().any():
            if len(first[0]) > 15:  # more digits than float64 has
                return column.cast(pl.Int64, strict=False), "numbers"
            return self._number("time", name), "numbers"
        fitting = (f for f in _DATE_FORMATS if first.str.to_datetime(f, strict=False).is_not_null().any())
        parsed = column.str.to_datetime(next(fitting, "%+"), strict=False, time_unit="us")
        return parsed.to_physical(), "dates"

    def _refuse_first(self, names: dict[str, str | None], columns: dict[str, pl.Expr], bad: pl.Expr) -> None:
        """Raises DataError for the first row that cannot be used."""
        kind = {"user": "a user id", "item": "an item id", "rating": "a finite number", "time": "a time like the first"}
        kind["weight"] = WEIGHT_SENTENCE
        raw = {f"raw {key}": pl.col(name).cast(pl.String) for key, name in names.items() if name is not None}
        named = {f"good {key}": expression.is_not_null() for key, expression in columns.items()}
        # The conditions are evaluated with the rows around, for which reading was decided, not on the bad row alone.
        table = self._rows.with_columns(bad.alias("\0bad")).with_row_index(_ROW)
        first = table.select(_ROW, "\0bad", **raw, **named).filter("\0bad").head(1).collect().row(0, named=True)
        key = next(key for key in columns if not first[f"good {key}"])
        value = first[f"raw {key}"]
        what = "is empty" if not value else f"= {value[:60]!r} is not {kind.get(key, 'empty')}"
        raise DataError(
            f"{self.label}, {self._place(first[_ROW])}: column '{names[key]}' {what}; correct or remove it."
        )

    def _option(self, key: str) -> str:
        """How the column of a key of KEYS is named by the caller."""
        return f"{key}="

    def _is_empty_row(self) -> pl.Expr:
        """Whether a row is left out because there is nothing in it."""
        return pl.lit(False)

    def _check_whole(self, num_rows: int) -> None:
        """Raises DataError where fewer rows were read than there are."""

    def _place(self, row: int) -> str:
        """Where a row, counted from 0, stands."""
        return f"row {row + 1}"

    def _unreadable(self, error: BaseException) -> DataError:
        """The sentence for an error of Polars."""
        return DataError(f"{self.label}: cannot be read ({_reason(error)}).")


class ScannedFile(ScannedRows):
    """A text file (with its layout) or a Parquet file (layout None) of which rows are read by column."""

    def __init__(self, path: Path, layout: TextLayout | None) -> None:
        """Raises DataError where there is no such file, or its columns cannot be told."""
        self.path = path
        self._layout = layout
        if not path.is_file():
            raise DataError(f"{path}: no such file; give it with dataset.path.")
        try:
            packed = packed_with(path) if layout is not None else None
            if packed is not None:
                raise DataError(f"{path}: is packed with {packed}; unpack it, or pack it with gzip.")
            super().__init__(self._scan(), str(path), () if layout is None else layout.blank)
        except _UNREADABLE as error:
            raise self._unreadable(error) from error

    def _scan(self) -> pl.LazyFrame:
        layout = self._layout
        if layout is None:
            return pl.scan_parquet(self.path, glob=False)
        return pl.scan_csv(
            self.path,
            separator=layout.separator,
            quote_char=layout.quote,
            has_header=layout.header is None,
            schema=None if layout.header is None else dict.fromkeys(layout.header, pl.String),
            # Without a header line, Polars would count the columns on a blank line.
            skip_lines=0 if layout.header is None else count_blank_lines(self.path),
            infer_schema=False,  # all columns are strings, so that ids stay what they are
            glob=False,
        )

    def _option(self, key: str) -> str:
        return f"dataset.{key}_column"

    def _is_empty_row(self) -> pl.Expr:
        return pl.lit(False) if self._layout is None else pl.all_horizontal(pl.all().is_null())

    def _check_whole(self, num_rows: int) -> None:
        if self._layout is not None and not is_whole(self.path, self._layout, num_rows):
            raise self._bad_text()

    def _place(self, row: int) -> str:
        if self._layout is None:
            return super()._place(row)
        return f"line {line_of_row(self.path, self._layout, row)}"

    def _unreadable(self, error: BaseException) -> DataError:
        """The sentence for a file that cannot be read; for text it looks for the line itself."""
        reason = _reason(error)
        if isinstance(error, OSError):
            return DataError(f"{self.path}: cannot be read ({error.strerror or reason}).")
        if self._layout is None:
            reason = "it is damaged" if isinstance(error, pl.exceptions.PanicException) else reason
            return DataError(f"{self.path}: cannot be read as Parquet ({reason}).")
        if isinstance(error, pl.exceptions.NoDataError):
            return DataError(f"{self.path}: the file is empty.")
        return self._bad_text()

    def _bad_text(self) -> DataError:
        found = find_bad_line(self.path, self._layout) if self._layout is not None else None
        if found:
            return DataError(f"{self.path}, line {found}; correct the file.")
        return DataError(f"{self.path}: cannot be read as a table of text; check the separator and the quotes.")


def _reason(error: BaseException) -> str:
    """The first line of an error's message, else its type."""
    return str(error).strip().splitlines()[0][:150] if str(error).strip() else type(error).__name__
