"""Lines of text files in plain Python: where a row stands, for error messages, and whether all lines were read."""

import csv
import gzip
import itertools
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple


class TextLayout(NamedTuple):
    """How rows stand in a text file.

    Attributes:
        separator: one character.
        header: names of the columns of a file without a header line; None where the first line names them.
        quote: character around values that hold the separator, or None.
        blank: names among those of `header` under which nothing may stand.
        multiline: whether a quoted value may hold line ends.
        typed: whether the first line holds a type with each name, as in 'user_id:token'.
    """

    separator: str
    header: tuple[str, ...] | None = None
    quote: str | None = '"'
    blank: tuple[str, ...] = ()
    multiline: bool = True
    typed: bool = False

    @property
    def is_numbered(self) -> bool:
        """Whether the columns have numbers, from 1, in the place of names."""
        return self.header is not None and self.header[0] == "1"


def count_blank_lines(path: Path) -> int:
    """How many lines are blank before the first one that is not."""
    with _open(path, "rt", encoding="utf-8-sig", errors="replace", newline="\n") as text:
        return sum(1 for _ in itertools.takewhile(lambda line: line in ("\n", "\r\n"), text))


def _open(path: Path, mode: str, **options: Any) -> Any:
    """Opens a file that may be compressed with gzip, as Polars does."""
    with path.open("rb") as file:
        is_gzip = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, mode, **options) if is_gzip else path.open(mode, **options)


class _Record(NamedTuple):
    """A row of a text file: the line, from 1, on which it starts, its fields, and whether all its quotes are closed."""

    line: int
    fields: list[str]
    is_closed: bool


def _records(path: Path, layout: TextLayout, *, strict: bool = False) -> Iterator[_Record]:
    """Yields all rows; undecodable bytes are replaced. Strictly, a row with text behind a closing quote is the last."""
    csv.field_size_limit(2**31 - 1)
    quoting = csv.QUOTE_NONE if layout.quote is None else csv.QUOTE_MINIMAL
    num_quotes = 0

    def lines(text: Iterator[str]) -> Iterator[str]:
        nonlocal num_quotes
        for line in text:
            num_quotes += line.count(layout.quote) if layout.quote else 0
            yield line.replace("\r\n", "\n").replace("\r", " ")

    with _open(path, "rt", encoding="utf-8-sig", errors="replace", newline="\n") as text:
        reader = csv.reader(
            lines(text), delimiter=layout.separator, quotechar=layout.quote, quoting=quoting, strict=strict
        )
        start = 1
        try:
            for fields in reader:
                yield _Record(start, fields, num_quotes % 2 == 0)
                start, num_quotes = reader.line_num + 1, 0
        except csv.Error:
            yield _Record(start, [], False)


def is_whole(path: Path, layout: TextLayout, num_rows: int) -> bool:
    """Whether the rows that were counted, without a header line, are all there are.

    They are if there is one for each line. There may be fewer rows than lines where quoted values hold line ends, but
    then every quote must be in its place: one that is not makes Polars take the lines up to the next for one value.
    """
    if layout.quote is None:
        return True
    num_rows += layout.header is None
    num_lines, last = -count_blank_lines(path), b"\n"
    with _open(path, "rb") as file:
        while block := file.read(2**20):
            num_lines, last = num_lines + block.count(b"\n"), block[-1:]
    if num_lines + (last != b"\n") == num_rows:
        return True
    if not layout.multiline:
        return False
    records = itertools.dropwhile(lambda record: not record.fields, _records(path, layout, strict=True))
    is_closed = [record.is_closed for record in records]
    return all(is_closed) and len(is_closed) == num_rows


def lines_of_rows(path: Path, layout: TextLayout, rows: Collection[int]) -> list[int]:
    """Lines, from 1, of rows counted from 0; lines that are blank before the first one are not rows, later ones are."""
    row, left, lines = -(layout.header is None), set(rows), {}
    begun = False
    for record in _records(path, layout):
        begun = begun or bool(record.fields)
        if not begun:
            continue
        if row in left:
            lines[row] = record.line
            left.discard(row)
            if not left:
                break
        row += 1
    return [lines.get(row, 0) for row in rows]


def find_bad_line(path: Path, layout: TextLayout) -> str | None:
    """The number of the first line that is not UTF-8, not quoted well or of another number of fields; and which."""
    try:
        with _open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError:
                    return f"{number}: not UTF-8 text"
        num_fields = len(layout.header) if layout.header else 0
        for record in _records(path, layout, strict=True):
            if not record.is_closed or (not layout.multiline and any("\n" in value for value in record.fields)):
                return f"{record.line}: a quote opens or closes in the wrong place"
            num_fields = num_fields or len(record.fields)
            if record.fields and len(record.fields) != num_fields:
                return f"{record.line}: has {len(record.fields)} fields, not {num_fields}"
    except (OSError, EOFError, zlib.error):  # what a damaged gzip file raises
        return None
    return None
