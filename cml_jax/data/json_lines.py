"""Files of JSON lines as rows of columns."""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from cml_jax.data import encodings, packing
from cml_jax.data.scanning import UNREADABLE, Rows, ScannedRows, reason_of
from cml_jax.data.tables import LIKE_RATINGS, RATING, Columns, unread_ratings, usual_names
from cml_jax.data.text_copies import copy_of
from cml_jax.data.text_options import TextOptions
from cml_jax.errors import DataError

_START = 2**18  # bytes by which the keys are told


class ScannedJsonLines(ScannedRows):
    """A file with one object a line, of which values are read as text by their keys.

    Attributes:
        path: the file.
        said: what was guessed, for the log.
    """

    def __init__(self, path: Path, wanted: Columns, text: TextOptions) -> None:
        """Unpacks the file where that is needed.

        Raises:
            DataError: there is no such file, or its first line is no object.
        """
        self.path = path
        self.said: tuple[str, ...] = ()
        self._file, self._copy = path, None
        super().__init__(pl.LazyFrame(), str(path), (), text)
        try:
            start = packing.start_of(path, _START)
            encoding = text.encoding or encodings.by_first_bytes(start)
            if encoding is None and not encodings.is_utf8_text(start):
                raise DataError(f"{path}: not UTF-8 text; set dataset.encoding.")
            if text.encoding is None and encoding not in (None, "utf-8-sig"):
                self.said = (f"encoding {encoding}",)
            if packing.packed_with(path) is not None or encoding is not None or self._skipped is not None:
                check = self._reason_of_line(wanted) if self._skipped is not None else None
                self._copy = copy_of(path, encoding, None, None, self._skipped, check)
                self._file = Path(self._copy.file.name)
            self._keys = self._first_keys()
            if not self._keys:
                raise self._no_object() or DataError(f"{path}: the file is empty; write one object of JSON a line.")
            asked, _ = usual_names(wanted, self._keys)
            names = dict.fromkeys(name for name in asked.names() if name is not None and name in self._keys)
            # Ratings that come later, for which there is a look as well.
            names |= dict.fromkeys(unread_ratings([*self._keys, RATING, *LIKE_RATINGS], asked.names()))
            self._rows = pl.scan_ndjson(self._file, schema=dict.fromkeys(names, pl.String))
            self._dtypes = dict(self._rows.collect_schema())
        except UNREADABLE as error:
            raise self._unreadable(error) from error

    def _lines(self) -> Iterator[tuple[int, str]]:
        """Numbers, from 1, and texts of lines that are not blank."""
        with self._file.open(encoding="utf-8", errors="replace", newline="\n") as text:
            yield from ((number, line) for number, line in enumerate(text, start=1) if line.strip())

    def _first_keys(self) -> list[str]:
        """Keys of the first objects, in order."""
        keys: dict[str, None] = {}
        for (_, line), _ in zip(self._lines(), range(100), strict=False):
            found = _object_of(line)
            keys |= dict.fromkeys(found if found is not None else ())
        return list(keys)

    def read(self, wanted: Columns) -> Rows:
        """Reads as rows of any origin are read; objects and lists are no values."""
        rows = super().read(wanted)
        wanted, _ = usual_names(wanted, self._dtypes)
        if self._has_nested(wanted):
            asked = [name for name in wanted.names() if name is not None]
            for number, line in self._lines():
                found = _object_of(line) or {}
                for name in asked:
                    if _is_nested(found.get(name)):
                        raise DataError(
                            f"{self.path}, line {number}: the value of '{name}' is {json.dumps(found[name])[:60]!r}; "
                            f"it must be a string or a number, so write what is meant under a key of its own."
                        )
        notes = [f"{self.label}: {', '.join(self.said)}."] if self.said else []
        return rows._replace(notes=(*notes, *rows.notes))

    def _has_nested(self, wanted: Columns) -> bool:
        """Whether some value may be nested, which its text tells only of those that may not be."""
        names = [name for name in wanted.names() if name is not None]
        begins = [pl.col(name).str.contains(r"^[\[{]|\x00").any() for name in names]
        return bool(self._rows.select(pl.any_horizontal(*begins)).collect(engine="streaming").item())

    def _reason_of_line(self, wanted: Columns) -> Any:
        """A function of a line's text that gives the reason for which it cannot be read, or None."""

        def reason(line: str) -> str | None:
            found = _object_of(line)
            if found is None:
                return "the line is no object of JSON"
            asked = [name for name in usual_names(wanted, found)[0].names() if name is not None]
            return next((f"'{name}' is no string or number" for name in asked if _is_nested(found.get(name))), None)

        return reason

    def first_rows(self, count: int) -> pl.DataFrame:
        """The first rows, all values as text."""
        found = [_object_of(line) or {} for (_, line), _ in zip(self._lines(), range(count), strict=False)]
        rows = [{key: _written(row.get(key)) for key in self._keys} for row in found]
        return pl.DataFrame(rows, schema=dict.fromkeys(self._keys, pl.String))

    def _columns(self) -> str:
        return f"the keys of its first objects are {', '.join(self._keys)[:200]!r}"

    def _option(self, key: str) -> str:
        return f"dataset.{key}_column"

    def _places(self, rows: Collection[int]) -> list[str]:
        wanted, lines = set(rows), {}
        for row, (number, _) in enumerate(self._lines()):
            if row in wanted:
                lines[row] = number
        return [f"line {lines.get(row, 0)}" for row in rows]

    def _no_object(self) -> DataError | None:
        """The sentence for the first line that is no object, if there is one."""
        for number, line in self._lines():
            if _object_of(line) is None:
                return DataError(
                    f"{self.path}, line {number}: not an object of JSON; write one object a line, or set "
                    f"dataset.bad_rows=skip."
                )
        return None

    def _unreadable(self, error: BaseException) -> DataError:
        reason = reason_of(error)
        if isinstance(error, OSError):
            return DataError(f"{self.path}: cannot be read ({error.strerror or reason}).")
        return self._no_object() or DataError(f"{self.path}: cannot be read as JSON lines ({reason}).")


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON, though Python writes it")


def _object_of(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line, parse_constant=_no_number)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _is_nested(value: Any) -> bool:
    """Whether a value is an object, a list, or text of half a character, which Polars reads as one of no meaning."""
    half = isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value)
    return half or isinstance(value, dict | list)


def _written(value: Any) -> str | None:
    return value if isinstance(value, str) or value is None else json.dumps(value, ensure_ascii=False)
