"""Where in a text file a row stands, for error messages; in plain Python, and only once something is wrong."""

import csv
import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple


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


def _open(path: Path, mode: str, **options: Any) -> Any:
    """Opens a file that may be compressed, as Polars does."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, mode, **options) if is_gzip else path.open(mode, **options)


def _records(path: Path, layout: TextLayout) -> Iterator[tuple[int, list[str]]]:
    """Yields (line from 1 on which the record starts, fields); undecodable bytes are replaced."""
    csv.field_size_limit(2**31 - 1)
    quoting = csv.QUOTE_NONE if layout.quote is None else csv.QUOTE_MINIMAL
    with _open(path, "rt", encoding="utf-8-sig", errors="replace", newline="\n") as text:
        lines = (line.replace("\r\n", "\n").replace("\r", " ") for line in text)
        reader = csv.reader(lines, delimiter=layout.separator, quotechar=layout.quote, quoting=quoting)
        start = 1
        for fields in reader:
            yield start, fields
            start = reader.line_num + 1


def line_of_row(path: Path, layout: TextLayout, row: int) -> int:
    """Line, from 1, of a row counted from 0; lines that are blank before the first one are not rows, later ones are."""
    begun = False
    row += layout.header is None
    for line, fields in _records(path, layout):
        begun = begun or bool(fields)
        if begun:
            if row == 0:
                return line
            row -= 1
    return 0


def find_bad_line(path: Path, layout: TextLayout) -> str | None:
    """The number of the first line that is not UTF-8, or has another number of fields, and what is wrong with it."""
    try:
        with _open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError:
                    return f"{number}: not UTF-8 text"
        num_fields = len(layout.header) if layout.header else 0
        for number, fields in _records(path, layout):
            num_fields = num_fields or len(fields)
            if fields and len(fields) != num_fields:
                return f"{number}: has {len(fields)} fields, not {num_fields}"
    except (csv.Error, OSError, EOFError):
        return None
    return None
