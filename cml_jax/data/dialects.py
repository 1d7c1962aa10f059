"""How values stand in a text file, told by its first lines: separator, quotes, and whether a line names the columns."""

import csv
import re
from collections.abc import Sequence
from typing import NamedTuple

from cml_jax.data.tables import KEYS, Columns, usual_names
from cml_jax.data.text_lines import TextLayout
from cml_jax.data.text_options import WHITE_SPACE, TextOptions
from cml_jax.errors import DataError

_SEPARATORS = ("\t", "::", ";", "|", ",", WHITE_SPACE)  # in the order in which they are tried
_OF_CSV = (";", "\t", "|", ",")
_NUM_LINES = 200
_BLANKS = re.compile(r"[ \t\f\v]+")
_NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")
_DATE = re.compile(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}\b.*|\d{1,2}[./]\d{1,2}[./]\d{2,4}\b.*")
_QUOTED_VALUE = r'(?:"(?:[^"]|"")*"|[^"\t]*)'
_QUOTED_LINE = re.compile(f"{_QUOTED_VALUE}(?:\t{_QUOTED_VALUE})*")


class Dialect(NamedTuple):
    """How values stand in a file.

    Attributes:
        layout: the same as a layout, but for the separator.
        separator: one or more characters, or WHITE_SPACE.
        rows: values of the first lines, the header's among them.
        said: what was guessed, for the log.
    """

    layout: TextLayout
    separator: str
    rows: list[list[str]]
    said: tuple[str, ...]


def first_lines(text: str, comment: str | None, *, whole: bool) -> list[str]:
    """The first lines of a text that are neither blank nor comments.

    Args:
        text: the beginning of a file.
        comment: what lines of comment begin with, or None.
        whole: whether the text is all of the file; else its last line may be cut off.
    """
    lines = text.removeprefix("\ufeff").split("\n")
    lines = [line.removesuffix("\r") for line in (lines if whole or len(lines) == 1 else lines[:-1])]
    return [line for line in lines if line and not (comment and line.startswith(comment))][:_NUM_LINES]


def find(lines: Sequence[str], usual: TextLayout, text: TextOptions, wanted: Columns, label: str) -> Dialect:
    """The dialect of a file whose columns are to be named by a header or by number.

    Args:
        lines: as `first_lines` gives them.
        usual: how files of this format mostly are; its separator is '' where there is no such thing.
        text: what the caller says; the rest is guessed.
        wanted: the columns that are asked for.
        label: what messages call the file.

    Raises:
        DataError: the separator cannot be told, or whether there is a header.
    """
    said = []
    separator = text.separator_text()
    if separator is None:
        separator = _separator(lines, usual, text, wanted, label)
        if separator != usual.separator:
            said.append(f"separator {_written(separator)}")
    quote, in_line = _quote(lines, separator, usual, text)
    if quote is not None and in_line:
        said.append(f"quotes {quote} around values")
    rows = _split(lines, separator, quote)
    header = text.header
    if header is None:
        header = _has_header(rows, usual, wanted, label)
    names = None
    if not header:
        names = tuple(str(number) for number in range(1, len(rows[0]) + 1))
        said.append("no header" + _columns_said(wanted))
    layout = TextLayout(separator, names, quote, multiline=not in_line, typed=usual.typed)
    return Dialect(layout, separator, rows, tuple(said))


def resolved(wanted: Columns, layout: TextLayout, names: Sequence[str]) -> Columns:
    """The columns that are asked for, those left at their defaults as the file has them."""
    if layout.header is not None and layout.is_numbered:
        user, item = "1", "2"
    elif layout.typed:
        user, item = "user_id", "item_id"
    else:
        return wanted
    return wanted._replace(
        user=user if wanted.user == "user" and "user" not in names else wanted.user,
        item=item if wanted.item == "item" and "item" not in names else wanted.item,
    )


def numbered(values: Sequence[str], limit: int = 12) -> str:
    """Values of a line with the numbers of their columns, for messages."""
    shown = ", ".join(f"{place} {value[:20]!r:.24}" for place, value in enumerate(values[:limit], start=1))
    return shown[:150] + (" ..." if len(values) > limit else "")


def _columns_said(wanted: Columns) -> str:
    guessed = [(number, key) for number, key in ((1, "user"), (2, "item")) if getattr(wanted, key) == key]
    if len(guessed) == 2:
        return ": columns 1 and 2 are users and items"
    return "".join(f": column {number} is {key}s" for number, key in guessed)


def _written(separator: str) -> str:
    return {"\t": "tab", WHITE_SPACE: "white space"}.get(separator, repr(separator))


def _split(lines: Sequence[str], separator: str, quote: str | None) -> list[list[str]]:
    if not lines:
        return [[]]
    if separator == WHITE_SPACE:
        return [_BLANKS.split(line.strip(" \t\f\v")) for line in lines]
    if quote is None or len(separator) > 1:
        return [line.split(separator) for line in lines]
    csv.field_size_limit(2**31 - 1)
    return list(csv.reader([line.replace("\r", " ") + "\n" for line in lines], delimiter=separator, quotechar=quote))


def _separator(lines: Sequence[str], usual: TextLayout, text: TextOptions, wanted: Columns, label: str) -> str:
    """The usual separator where it fits, else the first one by which all lines have equally many values."""
    quote = None if text.quote == "none" else text.quote or usual.quote

    def rows(separator: str) -> list[list[str]]:
        if len(separator) > 1 or not separator.isascii():
            return _split(lines, separator, None)
        needed = separator != "\t" or text.quote is not None or _needs_quotes(lines)
        return _split(lines, separator, quote if needed else None)

    if usual.separator:
        found = rows(usual.separator)
        if len(found[0]) > 1 and (_is_even(found) or {wanted.user, wanted.item} <= set(found[0])):
            return usual.separator
    for separator in _OF_CSV if usual.separator else _SEPARATORS:
        if (separator != text.decimal) and _is_even(rows(separator)):
            return separator
    if not usual.separator and lines:
        raise DataError(
            f"{label}: what separates its values cannot be told; its first line is {lines[0][:100]!r}: set "
            f"dataset.separator, dataset.comment to skip lines like that, or correct those of more or fewer values."
        )
    return usual.separator or ","


def _is_even(rows: list[list[str]]) -> bool:
    """Whether all rows have equally many values, two or more; the last may be cut off."""
    widths = {len(row) for row in (rows[:-1] if len(rows) > 2 else rows)}
    return len(widths) == 1 and min(widths) > 1


def _quote(lines: Sequence[str], separator: str, usual: TextLayout, text: TextOptions) -> tuple[str | None, bool]:
    """The quote character, and whether it was guessed, so that no quoted value may go over the end of a line."""
    if text.quote is not None:
        return (None if text.quote == "none" else text.quote), False
    if len(separator) > 1 or not separator.isascii() or usual.quote is None:
        return None, False
    if separator == "\t":
        return ('"', True) if _needs_quotes(lines) else (None, False)
    return usual.quote, False


def _needs_quotes(lines: Sequence[str]) -> bool:
    """Whether quotes of a tab file mean something.

    Tab files usually have no quotes with a meaning, and titles may begin and end with one. They have one if each stands
    in its place and the lines cannot be read without: some value holds a tab, and tabs alone give lines of different
    numbers of values; or if all names of columns are quoted.
    """
    if not any('"' in line for line in lines) or not all(_QUOTED_LINE.fullmatch(line) for line in lines):
        return False
    values = [re.findall(f"(?:^|\t)({_QUOTED_VALUE})(?=\t|$)", line) for line in lines]
    if len({line.count("\t") for line in lines}) > 1 and any("\t" in value for row in values for value in row):
        return True
    return all(value.startswith('"') and len(value) > 1 for value in values[0])


def _has_header(rows: list[list[str]], usual: TextLayout, wanted: Columns, label: str) -> bool:
    """Whether the first row names the columns; refused where that would be a guess that can lose the row."""
    first, rest = rows[0], rows[1:]
    if usual.typed or not first or usual_names(wanted, first)[1]:
        return True
    asked = {key: name for key, name in zip(KEYS, wanted.names(), strict=True) if name is not None}
    there = [name for name in asked.values() if name in first]
    like_data = _is_like_data(first, rest)
    if {"user", "item"} & set(there):
        return True
    chosen = [name for key, name in asked.items() if name != key]
    ambiguous = (
        f"{label}: its first line is {numbered(first)}, which may be names of columns or data; set dataset.header."
    )
    by_number = bool(chosen) and all(name.isdigit() and 1 <= int(name) <= len(first) for name in chosen)
    if by_number and like_data and not _counts_up(first):
        return False
    if there:
        if any(_recurs(first, rest, first.index(name)) for name in there) or (
            like_data and all(any(map(str.isdigit, name)) for name in there)
        ):
            raise DataError(ambiguous)
        return True
    if not like_data and by_number:
        raise DataError(ambiguous)
    return not like_data


def _is_like_data(first: list[str], rest: list[list[str]]) -> bool:
    """Whether the first row holds a number where the others do, or a value that stands below it again."""
    for place, value in enumerate(first):
        below = [row[place] for row in rest if place < len(row)]
        if _is_value(value) and (not below or sum(map(_is_value, below)) * 2 > len(below)):
            return True
    return any(value and _recurs(first, rest, place) for place, value in enumerate(first))


def _counts_up(first: list[str]) -> bool:
    """Whether the first row is 0, 1, 2 ... or 1, 2, 3 ..., which are names of columns that had none."""
    return any(first == [str(number) for number in range(start, start + len(first))] for start in (0, 1))


def _recurs(first: list[str], rest: list[list[str]], place: int) -> bool:
    """Whether the value stands again in its column, and not in a repeated header."""
    return any(row[place] == first[place] for row in rest if place < len(row) and row != first)


def _is_value(text: str) -> bool:
    text = text.strip()
    return bool(_NUMBER.fullmatch(text) or _DATE.fullmatch(text))
