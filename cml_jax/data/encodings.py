"""Encodings of text files: those that their first bytes tell, and the one that bytes which are not UTF-8 are in."""

import codecs
from pathlib import Path
from typing import NamedTuple

from cml_jax.data import packing

_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before that of UTF-16, with which it begins
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# In text of one byte a character these stand for nothing, or for a letter that hardly any word has; other data,
# such as numbers in binary or text in other encodings, are full of them.
_IN_NO_TEXT = frozenset(b"\x00\x81\x8d\x8f\x90\x9d\xff")
_LETTERS = [bytes([letter]) for letter in range(256) if chr(letter).isascii() and chr(letter).isalpha()]
_OF_WINDOWS = frozenset(range(0x80, 0xA0))  # control characters in Latin-1, quotes and dashes in cp1252


class Guess(NamedTuple):
    """An encoding that was guessed.

    Attributes:
        encoding: its name.
        num_lines: lines that are not UTF-8, which the guess is about.
    """

    encoding: str
    num_lines: int


def is_utf8(encoding: str) -> bool:
    """Whether an encoding is UTF-8 under any of its names."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")


def by_first_bytes(start: bytes) -> str | None:
    """UTF-16 or UTF-32 where a mark, or the zeros of Latin letters, tell it; 'utf-8-sig' by its mark; else None."""
    for mark, name in _MARKS.items():
        if start.startswith(mark):
            return name
    sample = start[: len(start) // 2 * 2]
    zeros = [sample[place::2].count(0) / max(1, len(sample) // 2) for place in (0, 1)]
    if max(zeros) > 0.7 and min(zeros) < 0.1:
        return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
    return None


def is_utf8_text(start: bytes) -> bool:
    """Whether the first bytes of a file are UTF-8, whose last character may be cut off."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return True


def guess(path: Path) -> Guess | None:
    """The encoding of one byte a character that all of a file may be in; None where it is not to be told.

    That is Latin-1, or Windows' cp1252 where its quotes and dashes occur. A file of which many lines are UTF-8 with
    letters outside of ASCII is damaged UTF-8 instead; one whose lines have more letters outside of ASCII than in it
    is in another script.

    Raises:
        DataError: the file cannot be unpacked.
        OSError: it cannot be read.
    """
    bad, good, seen = 0, 0, set()
    num_high = num_letters = 0
    with packing.unpacked(path) as file:
        for line in file:
            if line.isascii():
                continue
            try:
                line.decode("utf-8")
                good += 1
            except UnicodeDecodeError:
                bad += 1
                num_high += len(line) - len(line.decode("ascii", "ignore"))
                num_letters += sum(map(line.count, _LETTERS))
            seen.update(line)
    if not bad or good * 10 > bad or seen & _IN_NO_TEXT or num_high > 4 + num_letters:
        return None
    return Guess("cp1252" if seen & _OF_WINDOWS else "latin-1", bad)
