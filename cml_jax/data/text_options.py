"""Options of how text is read."""

import codecs

from cml_jax.data import time_forms
from cml_jax.errors import ConfigError
from cml_jax.options import Range, construct, one_of, options, static

REFUSE, SKIP = "refuse", "skip"
FIRST_NUMBERS = ("user", "count", "none")
WHITE_SPACE = "space"
_SEPARATORS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


def _is_encoding(name: str) -> bool:
    try:
        return "".encode(name) is not None and codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError, TypeError):
        return False


_QUOTE = Range(
    lambda v: v == "none" or (len(v) == 1 and v.isascii() and v.isprintable() and not v.isalnum()),
    "must be one character such as '\"', or 'none'",
)
_ONE_LINE = Range(lambda v: v != "" and "\n" not in v and "\r" not in v, "must be one or more characters of a line")


@options
class TextOptions:
    """Options of how text is read; what is none is guessed, and said in the log where it is not what is usual."""

    separator: str | None = static(
        None,
        "text: what separates values, such as ';', '::', tab, or space for any white space; none: guessed",
        _ONE_LINE,
    )
    header: bool | None = static(
        None, "text: whether the first line names the columns; if not, name them by number, from 1; none: guessed"
    )
    quote: str | None = static(
        None,
        "text: character around values that hold the separator, or 'none'; none: '\"', of tab files by need",
        _QUOTE,
    )
    encoding: str | None = static(
        None,
        "text: such as latin-1, utf-16; none: utf-8 or by the byte-order mark, latin-1 or cp1252 where it is not UTF-8",
        Range(_is_encoding, "is no encoding that Python knows, such as utf-8, latin-1, cp1252, utf-16"),
    )
    decimal: str = static(".", "text: '.' or ',' before the fraction of a number", one_of((".", ",")))
    comment: str | None = static(None, "text: what lines begin with that are skipped, such as '#'", _ONE_LINE)
    time_format: str | None = static(
        None,
        "pattern of strptime, such as '%d/%m/%Y %H:%M'; none: numbers and dates of ISO 8601 are read",
        Range(time_forms.is_pattern, "is no pattern of a date for strptime, such as '%d/%m/%Y %H:%M'"),
    )
    bad_rows: str = static(REFUSE, "rows that cannot be read: refuse | skip, which counts them", one_of((REFUSE, SKIP)))
    first_number: str | None = static(
        None,
        "adjacency: what a line's first number is: user | count of the items | none, if it is an item; in the last two "
        "the line's number is the user; none: user",
        one_of(FIRST_NUMBERS),
    )

    def separator_text(self) -> str | None:
        """The separator itself, WHITE_SPACE for any white space, or None."""
        return None if self.separator is None else _SEPARATORS.get(self.separator, self.separator)

    def check_text(self) -> None:
        """Raises ConfigError for options that contradict each other."""
        separator = self.separator_text()
        for key in ("decimal", "quote", "comment"):
            if separator is not None and getattr(self, key) == separator:
                raise ConfigError(f"dataset.{key} and dataset.separator are both {separator!r}.")
        if separator is not None and self.quote not in (None, "none") and (len(separator) > 1 or separator > "~"):
            raise ConfigError(
                f"dataset.quote = {self.quote!r} needs a separator of one ASCII character, not {separator!r}."
            )
        if self.comment is not None and self.quote is not None and self.comment == self.quote:
            raise ConfigError(f"dataset.comment and dataset.quote are both {self.quote!r}.")

    def check_text_of(self, data: str, allowed: tuple[str, ...]) -> None:
        """Raises ConfigError for options that have no effect on the data.

        Args:
            data: what the data are, for messages.
            allowed: names of those that have.
        """
        for name in TextOptions.__dataclass_fields__:
            if name not in allowed and getattr(self, name) != getattr(PLAIN, name):
                raise ConfigError(f"dataset.{name} = {getattr(self, name)!r} has no effect on {data}; leave it out.")


ALL_TEXT = tuple(name for name in TextOptions.__dataclass_fields__ if name != "first_number")
OF_VALUES = ("decimal", "time_format", "bad_rows")  # of columns that hold text, wherever they stand
PLAIN = construct(TextOptions, {})  # what is guessed, and refused where it cannot be
