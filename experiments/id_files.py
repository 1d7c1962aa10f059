"""Raw ids as commands are given them: in a flag, or in a file, which may be a table that was written before."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
from absl import flags

from cml_jax.data.packing import plain_name, unpacked
from cml_jax.errors import DataError
from cml_jax.serving.raw_ids import RawIds, written

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_OBJECTS = (".jsonl", ".ndjson")
_BLANK_ENDS = r'^\s|\s$|["\n\r,]|^$'  # what `CommaSeparated` needs quotes for


class CommaSeparated(flags.ListParser):
    """Values with commas between them, as in a line of csv; blanks are part of a value."""

    def parse(self, argument: str | list[str]) -> list[str]:
        """The values.

        Raises:
            ValueError: a quote has no end.
        """
        if isinstance(argument, list):
            return argument
        try:
            return [value for row in csv.reader([argument], strict=True) for value in row]
        except csv.Error as error:
            raise ValueError(
                f"not values with commas between them ({error}); put quotes around a value that holds a quote, and "
                f"double it."
            ) from error


def quoted(table: pl.DataFrame) -> pl.DataFrame:
    """A table to be printed: text that holds what would not show, or a comma, stands in quotes, as a flag takes it."""

    def quote(column: str) -> pl.Expr:
        text = pl.col(column)
        in_quotes = pl.lit('"') + text.str.replace_all('"', '""', literal=True) + pl.lit('"')
        return pl.when(text.str.contains(_BLANK_ENDS)).then(in_quotes).otherwise(text).alias(column)

    names = [name for name in ("user", "item") if table.schema.get(name) == pl.String]
    return table.with_columns(quote(name) for name in names)


def as_known(ids: RawIds, names: Sequence[str]) -> list[str]:
    """Names as the model knows them: as they are or, where that is unknown, without blanks around."""
    return [name if name in ids or name.strip() not in ids else name.strip() for name in names]


def read_ids(path: Path, ids: RawIds, columns: Sequence[str]) -> list[str]:
    """Raw ids of a file: one a line, or a column of a csv, tsv, jsonl or parquet file; packed or not.

    Args:
        path: its name tells whether it may be a table. A csv or tsv file whose first line names no such column, or is
            an id, holds ids, one a line. Lines that are blank are skipped, blanks around an id are part of it.
        ids: of the model.
        columns: names that the column may have, the most wanted first.

    Raises:
        DataError: it cannot be read, or holds no id.
    """
    suffix = Path(plain_name(path.name)).suffix.lower()
    try:
        if suffix == ".parquet":
            found = _of_parquet(path, columns)
        else:
            with unpacked(path) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
                found = _of_text(text.read(), suffix, path, columns, ids)
    except OSError as error:
        reason = error.strerror or " ".join(str(error).split())[:150]
        raise DataError(f"{path}: cannot be read ({reason}); give a file of raw ids, one a line.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 text; give a file of raw ids, one a line.") from error
    except (pl.exceptions.PolarsError, csv.Error, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise DataError(f"{path}: not a whole {suffix[1:]} file ({reason}); write it again.") from error
    names = as_known(ids, [written(value, ids.kind) for value in found])
    names = [name for name in names if name.strip() or name in ids]
    if not names:
        raise DataError(f"{path}: the file is empty; give raw ids, one a line.")
    return names


def _of_text(text: str, suffix: str, path: Path, columns: Sequence[str], ids: RawIds) -> list[Any]:
    first_line = text.split("\n", 1)[0].removesuffix("\r")
    if suffix in _OBJECTS:
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        there = {name: None for row in rows if isinstance(row, dict) for name in row}
        name = _column(list(there), path, columns)
        if any(not isinstance(row, dict) or row.get(name) is None for row in rows):
            raise DataError(f"{path}: a line has no {name!r}; give one to each.")
        return [row[name] for row in rows]
    if suffix in _SEPARATORS and first_line not in ids:
        rows = _rows(text, _SEPARATORS[suffix])
        header = next(rows, [])
        if any(name in header for name in columns):
            place = header.index(_column(header, path, columns))
            return [_value(row, place, path, number) for number, row in enumerate(rows, 2) if row]
    if "\n" not in text:
        text = text.replace("\r", "\n")
    return [line.removesuffix("\r") for line in text.split("\n")]


def _rows(text: str, separator: str) -> Iterator[list[str]]:
    """Records of a text with separators; csv.Error where quotes are not closed as they should be."""
    csv.field_size_limit(2**31 - 1)
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)


def _value(row: list[str], place: int, path: Path, number: int) -> str:
    if place >= len(row):
        raise DataError(f"{path}, record {number}: has {len(row)} values, and none of an id; write the file again.")
    return row[place]


def _of_parquet(path: Path, columns: Sequence[str]) -> list[Any]:
    name = _column(pl.read_parquet_schema(path), path, columns)
    values = pl.read_parquet(path, columns=[name])[name]
    if values.null_count():
        raise DataError(f"{path}: column {name!r} has {values.null_count():,} missing values; leave such rows out.")
    return values.to_list()


def _column(there: Sequence[str] | dict[str, Any], path: Path, columns: Sequence[str]) -> str:
    """The column of ids: one that is looked for, or the only one."""
    for name in columns:
        if name in there:
            return name
    if len(there) == 1:
        return next(iter(there))
    raise DataError(f"{path}: has no column {columns[0]!r}; its columns are {', '.join(there)[:200]!r}.")
