"""Copies of text files as Polars reads them: unpacked, in UTF-8, one character between values, without bad rows."""

import csv
import errno
import io
import re
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cml_jax.data import encodings, packing
from cml_jax.data.dialects import Dialect
from cml_jax.data.skipped import Skipped
from cml_jax.data.text_options import WHITE_SPACE
from cml_jax.errors import DataError

_CONTROL = "\x1f\x1e\x1d\x1c\x02\x05\x06\x0e"  # one that does not occur in the file stands between values
_UNDECODED = re.compile("[\ud800-\udfff]")
_BLANKS = re.compile(r"[ \t\f\v]+")
_MOST_LINES = 100  # of a row whose quoted values hold line ends


class TextCopy(NamedTuple):
    """A copy; every line stands where it stood, and what is left out is a blank line.

    Attributes:
        file: the temporary file, deleted when it is closed.
        separator: the character between values.
        num_blanked: lines behind the first row that were made blank, and are counted elsewhere.
        num_comments: lines of comment.
    """

    file: Any
    separator: str
    num_blanked: int
    num_comments: int


class _OccursError(Exception):
    """The character that was to stand between values occurs in one."""


Check = Callable[[str], str | None]  # text of a line -> the reason for which it is bad, or None


def copy_of(
    path: Path,
    encoding: str | None,
    dialect: Dialect | None,
    comment: str | None,
    skipped: Skipped | None,
    check: Check | None = None,
    *,
    by_cr: bool = False,
) -> TextCopy:
    """Writes a copy beside other temporary files.

    Args:
        path: the file, packed or not.
        encoding: of what is in it; None for UTF-8.
        dialect: how its rows stand; None where only packing and encoding change.
        comment: what lines of comment begin with, or None.
        skipped: takes the account of bad rows, which are left out; None where they stay, to be refused.
        check: of lines that are no rows of values.
        by_cr: whether lines end with CR alone, for which LF is written.

    Raises:
        DataError: it cannot be unpacked or decoded, or there is no room for the copy.
        OSError: it cannot be read.
    """
    separator = dialect.separator if dialect else ""
    replaced = dialect is not None and (len(separator) > 1 or not separator.isascii())
    file = tempfile.NamedTemporaryFile("w+b", prefix="cml_jax-", suffix=".txt")  # noqa: SIM115
    try:
        with packing.unpacked(path) as unpacked:
            if encoding is None and not (replaced or comment or by_cr or skipped is not None):
                shutil.copyfileobj(unpacked, file, 2**20)
                file.flush()
                return TextCopy(file, separator, 0, 0)
        for between in _CONTROL if replaced else (separator,):
            file.seek(0)
            file.truncate()
            with packing.unpacked(path) as unpacked:
                copying = _Copying(path, encoding or "utf-8-sig", dialect, between, comment, skipped, check)
                try:
                    copying.run(unpacked, file, newline=None if by_cr else "\n")
                except _OccursError:
                    continue
            file.flush()
            return TextCopy(file, between, copying.num_blanked, copying.num_comments)
        raise DataError(f"{path}: holds control characters of all kinds, so that {separator!r} cannot be replaced.")
    except OSError as error:
        file.close()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(
                f"{path}: cannot be unpacked into {tempfile.gettempdir()} ({error.strerror}); set TMPDIR to a folder "
                f"with room, or unpack it yourself."
            ) from error
        raise
    except BaseException:
        file.close()
        raise


class _Copying:
    """One pass over the lines."""

    def __init__(
        self,
        path: Path,
        encoding: str,
        dialect: Dialect | None,
        between: str,
        comment: str | None,
        skipped: Skipped | None,
        check: Check | None,
    ) -> None:
        self.path = path
        self.check = check
        self.encoding = encoding
        self.separator = dialect.separator if dialect else ""
        self.quote = dialect.layout.quote if dialect else None
        self.multiline = dialect is not None and dialect.layout.multiline
        self.between = between
        self.comment = comment
        self.skipped = skipped
        self.num_blanked = self.num_comments = 0
        self.num_values = 0  # of the first row, and 0 before it

    def run(self, source: Any, target: Any, *, newline: str | None = "\n") -> None:
        text = io.TextIOWrapper(source, self.encoding, errors="surrogateescape", newline=newline)
        out = io.TextIOWrapper(target, "utf-8", newline="")
        if self.skipped is not None:
            self.skipped.clear()
        try:
            for line in self._lines(text):
                out.write(line)
            out.flush()
        except UnicodeError as error:
            raise DataError(
                f"{self.path}: not {self.encoding} text ({str(error)[:80]}); set dataset.encoding, or correct the file."
            ) from error
        finally:
            out.detach()
            text.detach()

    def _lines(self, text: Iterator[str]) -> Iterator[str]:
        ahead: deque[str] = deque()
        number = 0
        while line := (ahead.popleft() if ahead else next(text, "")):
            number += 1
            end = "\n" if line.endswith("\n") else ""
            value = line.removesuffix("\n").removesuffix("\r")
            if not line.isascii() and _UNDECODED.search(line):
                self._bad(number, f"not {self._named()} text")
                yield end
            elif self.comment and value.startswith(self.comment):
                self.num_comments += 1
                self.num_blanked += self.num_values > 0
                yield end
            elif not value:
                yield line
            elif self.check is not None:
                reason = self.check(value)
                if reason is not None:
                    self._bad(number, reason)
                yield line if reason is None else end
            elif self.skipped is None or not self.separator:
                self.num_values = self.num_values or 1
                yield self._replaced(value) + end if self.separator != self.between else line
            else:
                record = [line, *self._rest_of(line, text, ahead)]
                yield from self._checked(number, record, ahead)
                number += len(record) - 1

    def _rest_of(self, line: str, text: Iterator[str], ahead: deque[str]) -> list[str]:
        """Further lines of the row that begins with this one, by its quotes."""
        rest: list[str] = []
        if self.quote is None or not self.multiline or line.count(self.quote) % 2 == 0:
            return rest
        num_quotes = line.count(self.quote)
        while num_quotes % 2 and len(rest) < _MOST_LINES:
            following = ahead.popleft() if ahead else next(text, "")
            if not following:
                break
            rest.append(following)
            num_quotes += following.count(self.quote)
        return rest

    def _checked(self, number: int, record: list[str], ahead: deque[str]) -> Iterator[str]:
        """The row's lines, or blank ones where it is bad; of a row whose end cannot be told the first, and no other."""
        whole = "".join(record)
        values = None if not whole.isascii() and _UNDECODED.search(whole) else self._values(whole)
        reason = None
        if values is None:
            reason = "a quote opens or closes in the wrong place"
        elif self.num_values and len(values) > self.num_values:
            reason = f"more than {self.num_values} values"
        if reason is None and values is not None:
            self.num_values = self.num_values or len(values)
            for line in record:
                end = "\n" if line.endswith("\n") else ""
                value = line.removesuffix("\n").removesuffix("\r")
                yield self._replaced(value) + end if self.separator != self.between else line
            return
        self._bad(number, reason or "")
        if values is None:  # the others are read anew
            ahead.extendleft(reversed(record[1:]))
            del record[1:]
        self.num_blanked += (len(record) - 1) * (self.num_values > 0)
        yield from ("\n" if line.endswith("\n") else "" for line in record)

    def _values(self, record: str) -> list[str] | None:
        """The values of a row, None where its quotes are out of place."""
        line = record.removesuffix("\n").removesuffix("\r")
        if self.separator == WHITE_SPACE:
            return _BLANKS.split(line.strip(" \t\f\v"))
        if self.quote is None:
            return line.split(self.separator)
        if self.quote not in line:
            return line.split(self.separator)
        if line.count(self.quote) % 2:
            return None
        try:
            lines = [f"{part}\n" for part in record.replace("\r\n", "\n").replace("\r", " ").split("\n")]
            found = [
                row for row in csv.reader(lines, delimiter=self.separator, quotechar=self.quote, strict=True) if row
            ]
        except csv.Error:
            return None
        return found[0] if len(found) == 1 else None

    def _replaced(self, value: str) -> str:
        if self.between in value:
            raise _OccursError
        if self.separator == WHITE_SPACE:
            return _BLANKS.sub(self.between, value.strip(" \t\f\v"))
        return value.replace(self.separator, self.between)

    def _bad(self, number: int, reason: str) -> None:
        if self.skipped is None:
            raise DataError(f"{self.path}, line {number}: {reason}; set dataset.encoding, or correct the file.")
        self.skipped.add(reason, number)
        self.num_blanked += self.num_values > 0

    def _named(self) -> str:
        return "UTF-8" if encodings.is_utf8(self.encoding) else self.encoding
