"""Text and Parquet files as rows of columns: how they stand is found first, and a copy is made where that is needed."""

import dataclasses
import re
from collections.abc import Collection
from pathlib import Path

import polars as pl

from cml_jax.data import dialects, encodings, packing
from cml_jax.data.scanning import UNREADABLE, Rows, ScannedRows, reason_of
from cml_jax.data.tables import Columns
from cml_jax.data.text_copies import copy_of
from cml_jax.data.text_lines import TextLayout, count_blank_lines, find_bad_line, is_whole, lines_of_rows
from cml_jax.data.text_options import PLAIN, TextOptions
from cml_jax.errors import DataError

_SEPARATOR_LINE = re.compile(r"\ufeff?(sep=(\S|\t))\r?\n")  # the first one, as Excel takes it
_START = 2**18  # bytes by which a file's dialect is told
_MARKED = "^\ufeff|\r([^\n]|$)"  # what ids hold where a file was put together, or has line ends of several kinds


class ScannedFile(ScannedRows):
    """A text file (with its layout) or a Parquet file (layout None) of which rows are read by column.

    Attributes:
        path: the file.
        said: what was guessed, for the log.
    """

    def __init__(
        self, path: Path, layout: TextLayout | None, text: TextOptions | None = None, wanted: Columns | None = None
    ) -> None:
        """Finds how the rows stand, and copies the file where Polars cannot read it as it is.

        Args:
            path: the file; text may be packed.
            layout: how files of this format mostly are; None for Parquet.
            text: how it is read. None takes the layout as it is.
            wanted: the columns that will be read, by which a header is told; with `text` only.

        Raises:
            DataError: there is no such file, or its columns cannot be told.
        """
        self.path = path
        self.said: tuple[str, ...] = ()
        self._usual = self._layout = layout
        self._wanted = wanted
        self._guess: encodings.Guess | None = None
        self._file, self._copy = path, None
        self._by_cr = False
        self._header: dict[str, str] = {}  # name of each column -> how the header has it
        if not path.is_file():
            raise DataError(f"{path}: no such file; give it with dataset.path.")
        text = text or PLAIN
        super().__init__(pl.LazyFrame(), str(path), () if layout is None else layout.blank, text)
        try:
            self._open(text)
        except UNREADABLE as error:
            raise self._unreadable(error) from error

    def _open(self, text: TextOptions) -> None:
        """Makes the rows, by a guess of the encoding if there is one."""
        if self._usual is not None:
            self._open_text(text, self._usual)
        self._rows = self._scan()
        self._dtypes = dict(self._rows.collect_schema())
        has_header = self._layout is not None and self._layout.header is None
        self._header = {name: name for name in self._dtypes} if has_header else {}
        if self._layout is not None and self._layout.typed:
            names = {name: name.partition(":")[0] for name in self._dtypes}
            asked = self._wanted.names() if self._wanted is not None else ()
            self._rows = self._rows.rename({name: short for name, short in names.items() if name not in asked})
            self._header = {short if name not in asked else name: name for name, short in names.items()}
            self._dtypes = dict(self._rows.collect_schema())

    def _open_text(self, text: TextOptions, usual: TextLayout) -> None:
        start = packing.start_of(self.path, _START)
        encoding = text.encoding or encodings.by_first_bytes(start)
        if encoding is None and not encodings.is_utf8_text(start):
            self._guess = self._guess or encodings.guess(self.path)
        if self._guess is not None:
            encoding = self._guess.encoding
        self.said = self._encoding_said(text, encoding)
        dialect = None
        whole = len(start) < _START
        decoded = start.decode(encoding or "utf-8", "replace")
        self._by_cr = "\r" in decoded and "\n" not in decoded
        if self._by_cr:
            decoded = decoded.replace("\r", "\n")
            self.said = ("lines that end with CR", *self.said)
        named = _SEPARATOR_LINE.match(decoded)
        if named and text.comment is None:
            text = dataclasses.replace(text, comment=named[1], separator=text.separator or named[2])
        lines = dialects.first_lines(decoded, text.comment, whole=whole)
        if self._wanted is not None and usual.header is None and lines:
            dialect = dialects.find(lines, usual, text, self._wanted, str(self.path))
            self.said = (*dialect.said, *self.said)
        elif text.comment or self._by_cr or self._skipped is not None:
            dialect = dialects.Dialect(usual, usual.separator, [], ())
        self._layout = dialect.layout if dialect else usual
        if not self._is_readable(encoding, dialect, text):
            plain = None if encoding is None or encodings.is_utf8(encoding) else encoding
            self._copy = copy_of(self.path, plain, dialect, text.comment, self._skipped, by_cr=self._by_cr)
            self._file, self._num_blanked = Path(self._copy.file.name), self._copy.num_blanked
            if dialect is not None:
                self._layout = self._layout._replace(separator=self._copy.separator)

    def _is_readable(self, encoding: str | None, dialect: dialects.Dialect | None, text: TextOptions) -> bool:
        """Whether Polars can read the file as it is."""
        if (
            text.comment
            or self._by_cr
            or self._skipped is not None
            or packing.packed_with(self.path) not in (None, "gzip")
        ):
            return False
        if encoding is not None and not encodings.is_utf8(encoding):
            return False
        return dialect is None or (len(dialect.separator) == 1 and dialect.separator.isascii())

    def _encoding_said(self, text: TextOptions, encoding: str | None) -> tuple[str, ...]:
        if text.encoding is not None or encoding in (None, "utf-8-sig"):
            return ()
        if self._guess is not None:
            return (f"encoding {encoding}, since {self._guess.num_lines:,} lines are not UTF-8",)
        return (f"encoding {encoding}",)

    def _scan(self) -> pl.LazyFrame:
        layout = self._layout
        if layout is None:
            return pl.scan_parquet(self.path, glob=False)
        return pl.scan_csv(
            self._file,
            separator=layout.separator,
            quote_char=layout.quote,
            has_header=layout.header is None,
            schema=None if layout.header is None else dict.fromkeys(layout.header, pl.String),
            # Without a header line, Polars would count the columns on a blank line.
            skip_lines=0 if layout.header is None else count_blank_lines(self._file),
            infer_schema=False,  # all columns are strings, so that ids stay what they are
            glob=False,
        )

    def resolved(self, wanted: Columns) -> Columns:
        """The columns that are asked for, those left at their defaults as the file has them."""
        return wanted if self._layout is None else dialects.resolved(wanted, self._layout, list(self._dtypes))

    def read(self, wanted: Columns) -> Rows:
        """Reads as rows of any origin are read; once more where only later lines show that they are not UTF-8."""
        try:
            rows = super().read(self.resolved(wanted))
        except DataError:
            if self._layout is None or self._text.encoding is not None or self._guess is not None:
                raise
            self._guess = encodings.guess(self.path)
            if self._guess is None:
                raise
            try:
                self._open(self._text)
            except UNREADABLE as error:
                raise self._unreadable(error) from error
            rows = super().read(self.resolved(wanted))
        notes = [f"{self.label}: {', '.join(self.said)}."] if self.said else []
        if self._copy is not None and self._copy.num_comments:
            notes.append(f"{self.label}: skipped {self._copy.num_comments:,} lines of comment.")
        return rows._replace(notes=(*notes, *rows.notes))

    def first_rows(self, count: int) -> pl.DataFrame:
        """The first rows, all columns as text."""
        try:
            rows = self._rows.filter(~self._is_empty_row()).head(count).collect()
        except UNREADABLE as error:
            raise self._unreadable(error) from error
        return rows.select(pl.all().cast(pl.String, strict=False))

    def _option(self, key: str) -> str:
        return f"dataset.{key}_column"

    def _unread_ratings(self, wanted: Columns) -> list[str]:
        if self._layout is not None and self._layout.is_numbered:  # where they mostly stand
            return [name for name in ("3",) if name in self._dtypes and name not in wanted.names()]
        return super()._unread_ratings(wanted)

    def _columns(self) -> str:
        if self._layout is None:
            return super()._columns()
        names = self._layout.header or list(self._dtypes)
        if self._layout.is_numbered:
            row = self.first_rows(1).row(0) if len(self.first_rows(1)) else ()
            return (
                f"it has no header, and its first line is {dialects.numbered([value or '' for value in row])}: name "
                f"columns by number"
            )
        return (
            f"its columns are {', '.join(names)!r:.100}: set dataset.user_column and dataset.item_column, or if that "
            f"line ({dialects.numbered(list(names), 4)}) is no header, dataset.header=False and columns by number"
        )

    def _is_empty_row(self) -> pl.Expr:
        """Whether nothing stands in a row, or the header once more."""
        if self._layout is None:
            return pl.lit(False)
        return pl.all_horizontal(pl.all().is_null()) | self._is_header()

    def _is_header(self) -> pl.Expr:
        """Whether a row is the header once more, perhaps behind a byte-order mark, as in files put together."""
        equal = [
            pl.col(name).str.strip_prefix("\ufeff").fill_null("") == written
            for name, written in self._header.items()
            if "_duplicated_" not in written
        ]
        return pl.all_horizontal(equal) if equal else pl.lit(False)

    def _counted(self, wanted: Columns) -> dict[str, pl.Expr]:
        """Repeated headers, ids with marks of line ends, and those of tab files that stand in quotes."""
        layout = self._layout
        if layout is None:
            return super()._counted(wanted)
        ids = [pl.col(name).str.contains(_MARKED) & ~self._is_header() for name in (wanted.user, wanted.item)]
        counted = {
            **super()._counted(wanted),
            "headers": self._is_header().sum(),
            "marked": pl.sum_horizontal(*(column.sum() for column in ids)),
        }
        if layout.header or layout.quote or layout.separator != "\t" or self._text.quote is not None:
            return counted
        in_quotes = [
            pl.col(name).str.starts_with('"') & pl.col(name).str.ends_with('"') & (pl.col(name).str.len_bytes() > 1)
            for name in (wanted.user, wanted.item)
        ]
        return {**counted, "quoted": pl.sum_horizontal(*(column.sum() for column in in_quotes))}

    def _notes(self, counts: dict[str, int]) -> list[str]:
        notes = super()._notes(counts)
        if counts.get("headers"):
            notes.append(f"{self.label}: skipped {counts['headers']:,} lines that are the header once more.")
        if counts.get("marked"):
            notes.append(
                f"{self.label}: {counts['marked']:,} ids begin with a byte-order mark or hold a carriage return, which "
                f"are a part of them; if the file is put together of several, correct it."
            )
        if counts.get("quoted"):
            notes.append(
                f"{self.label}: {counts['quoted']:,} ids stand in quotes, which are a part of them in tab files; if "
                f"they are not, set dataset.quote='\"'."
            )
        return notes

    def _check_whole(self, num_rows: int) -> None:
        if self._layout is not None and not is_whole(self._file, self._layout, num_rows):
            raise self._bad_text()

    def _places(self, rows: Collection[int]) -> list[str]:
        if self._layout is None:
            return super()._places(rows)
        return [f"line {line}" for line in lines_of_rows(self._file, self._layout, rows)]

    def _unreadable(self, error: BaseException) -> DataError:
        """The sentence for a file that cannot be read; for text it looks for the line itself."""
        reason = reason_of(error)
        if isinstance(error, OSError):
            return DataError(f"{self.path}: cannot be read ({error.strerror or reason}).")
        if self._layout is None:
            reason = "it is damaged" if isinstance(error, pl.exceptions.PanicException) else reason
            return DataError(f"{self.path}: cannot be read as Parquet ({reason}).")
        if isinstance(error, pl.exceptions.NoDataError):
            return DataError(f"{self.path}: the file is empty.")
        return self._bad_text()

    def _bad_text(self) -> DataError:
        found = find_bad_line(self._file, self._layout) if self._layout is not None else None
        if found:
            advice = "correct the file, or set dataset.bad_rows=skip"
            if "not UTF-8" in found:
                advice = "set dataset.encoding, or correct the file"
            elif "quote" in found:
                advice = "correct the file, or set dataset.quote=none if quotes mean nothing"
            return DataError(f"{self.path}, line {found}; {advice}.")
        return DataError(f"{self.path}: cannot be read as a table of text; check the separator and the quotes.")
