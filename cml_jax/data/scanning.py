"""Rows of text and Parquet files in bounded memory, through Polars' lazy engine."""

import csv
from pathlib import Path
from typing import NamedTuple

import polars as pl

from cml_jax.errors import DataError


class TextLayout(NamedTuple):
    """How rows stand in a text file.

    Attributes:
        separator: one character.
        header: names of the columns of a file without a header line; None where the first line names them.
        quote: character around values that hold the separator, or None.
    """

    separator: str
    header: tuple[str, ...] | None = None
    quote: str | None = '"'


class ScannedFile:
    """A text file (with its layout) or a Parquet file (layout None) of which rows are read by column."""

    def __init__(self, path: Path, layout: TextLayout | None) -> None:
        """Raises DataError where there is no such file, or its header cannot be read."""
        self.path = path
        self._layout = layout
        if not path.is_file():
            raise DataError(f"{path}: no such file; give it with dataset.path.")
        try:
            self._rows = self._scan()
            self._dtypes = dict(self._rows.collect_schema())
        except pl.exceptions.PolarsError as error:
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
            infer_schema=False,  # all columns are strings, so that ids stay what they are
            glob=False,
        )

    def num_rows(self) -> int:
        """Rows of the file, blank lines apart."""
        return self._rows.filter(~self._is_blank()).select(pl.len()).collect(engine="streaming").item()

    def read(self, user: str, item: str, rating: str | None, time: str | None, min_rating: float) -> pl.DataFrame:
        """Reads the rows whose rating is at least `min_rating`, all where that is 0; blank lines are skipped.

        Rows are filtered while the file streams by, and raw ids become numbers of a dictionary at once, so memory
        holds the kept rows at some 16 bytes each, and every id once.

        Returns:
            Columns user and item (Categorical) and, where asked for, time (a number).

        Raises:
            DataError: a column that is not there, an id that is missing, or a rating or time that is not a number.
        """
        wanted = {"user": user, "item": item, "rating": rating, "time": time}
        for key, name in wanted.items():
            if name is not None and name not in self._dtypes:
                there = ", ".join(self._dtypes)
                raise DataError(f"{self.path}: has no column '{name}' (dataset.{key}_column); its columns are {there}.")
        columns = {"user": self._id("user", user), "item": self._id("item", item)}
        if rating is not None:
            columns["rating"] = self._number("rating", rating)
        if time is not None:
            columns["time"] = self._time(time)
        # Rows that cannot be used stay in, to be found and named below.
        usable = pl.all_horizontal(expression.is_not_null() for expression in columns.values())
        kept = ~usable | (columns["rating"] >= min_rating) if min_rating else pl.lit(True)
        try:
            frame = self._rows.filter(~self._is_blank() & kept).select(**columns).collect(engine="streaming")
            if frame.select(pl.any_horizontal(pl.all().is_null().any())).item():
                self._refuse_first(wanted, columns, ~self._is_blank() & ~usable)
        except pl.exceptions.PolarsError as error:
            raise self._unreadable(error) from error
        return frame.drop("rating", strict=False)

    def _is_blank(self) -> pl.Expr:
        return pl.all_horizontal(pl.col(name).is_null() for name in self._dtypes)

    def _id(self, key: str, name: str) -> pl.Expr:
        dtype = self._dtypes[name]
        if not (dtype.is_integer() or dtype in (pl.String, pl.Categorical, pl.Enum)):
            raise DataError(
                f"{self.path}: column '{name}' (dataset.{key}_column) is of type {dtype}; ids must be integers or text."
            )
        return pl.col(name).cast(pl.String).cast(pl.Categorical)

    def _number(self, key: str, name: str) -> pl.Expr:
        dtype = self._dtypes[name]
        if not (dtype.is_numeric() or dtype == pl.String):
            raise DataError(f"{self.path}: column '{name}' (dataset.{key}_column) is of type {dtype}, not of numbers.")
        number = pl.col(name).cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number)  # else null

    def _time(self, name: str) -> pl.Expr:
        """Integers as they are, other numbers as floats, dates and date-times as microseconds."""
        dtype = self._dtypes[name]
        if dtype.is_integer():
            return pl.col(name).cast(pl.Int64)
        if dtype.is_temporal():
            return pl.col(name).cast(pl.Datetime("us")).to_physical()
        if dtype != pl.String:
            return self._number("time", name)
        first = self._rows.select(pl.col(name)).drop_nulls().head(1).collect().to_series()
        if first.cast(pl.Int64, strict=False).is_not_null().any():
            return pl.col(name).cast(pl.Int64, strict=False)
        if first.cast(pl.Float64, strict=False).is_not_null().any():
            return self._number("time", name)
        return pl.col(name).str.to_datetime(strict=False, time_unit="us").to_physical()

    def _refuse_first(self, wanted: dict[str, str | None], columns: dict[str, pl.Expr], bad: pl.Expr) -> None:
        """Raises DataError for the first row that cannot be used."""
        kind = {"user": "a user id", "item": "an item id", "rating": "a finite number", "time": "a time"}
        named = {f"is {key}": expression for key, expression in columns.items()}
        raw = {f"raw {key}": pl.col(name).cast(pl.String) for key, name in wanted.items() if name is not None}
        first = (
            self._rows.with_row_index("row")
            .filter(bad)
            .head(1)
            .select("row", **raw, **named)
            .collect()
            .row(0, named=True)
        )
        key = next(key for key in columns if first[f"is {key}"] is None)
        value = first[f"raw {key}"]
        where = (
            f"row {first['row'] + 1}" if self._layout is None else f"line {first['row'] + 1 + self._num_header_lines()}"
        )
        what = "is empty" if value is None else f"= '{value}' is not {kind[key]}"
        raise DataError(f"{self.path}, {where}: column '{wanted[key]}' {what}; correct or remove the line.")

    def _num_header_lines(self) -> int:
        return int(self._layout is not None and self._layout.header is None)

    def _unreadable(self, error: Exception) -> DataError:
        """The sentence for a file that Polars refuses; for text it looks for the line itself."""
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if self._layout is None:
            return DataError(f"{self.path}: cannot be read as Parquet ({reason}).")
        if self.path.stat().st_size == 0:
            return DataError(f"{self.path}: the file is empty.")
        num_fields = len(self._layout.header) if self._layout.header else 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    text = line.decode("utf-8-sig").rstrip("\r\n")
                except UnicodeDecodeError:
                    return DataError(f"{self.path}, line {number}: not UTF-8 text; convert the file to UTF-8.")
                if self._layout.quote is None:
                    fields = len(text.split(self._layout.separator))
                else:
                    fields = len(next(csv.reader([text], delimiter=self._layout.separator), []))
                num_fields = num_fields or fields
                if fields > num_fields:
                    return DataError(
                        f"{self.path}, line {number}: has {fields} fields, not {num_fields}; correct the line."
                    )
        return DataError(f"{self.path}: cannot be read as a table of text ({reason}).")
