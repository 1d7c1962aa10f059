"""Raw ids of users or items, by their names and by their row numbers."""

import difflib
import functools
import numbers
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from cml_jax.errors import DataError

_COMPARED = 20_000  # names that an unknown one is compared with at most
_EXACT = 2**53  # whole numbers from here on may have been rounded when they became floats
_SINGLE = (str, bytes, bytearray, memoryview, numbers.Number, uuid.UUID)  # iterating bytes would give other ids


class RawIds:
    """The raw ids behind the row numbers of a table; an id is looked up by how it is written, so 7 and '7' are one."""

    def __init__(self, values: np.ndarray, kind: str) -> None:
        """Takes ndarray[n] of distinct ids, integers or str objects, and 'user' or 'item' for messages."""
        self.values, self.kind = values, kind

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.values)

    @functools.cached_property
    def _row_of(self) -> dict[str, int]:
        return {str(value): row for row, value in enumerate(self.values.tolist())}

    def __contains__(self, name: Any) -> bool:
        """Whether a name is known."""
        return self._written(name) in self._row_of

    def _written(self, name: Any) -> str:
        """The text of a name; of a float, '7' or '7.0', whichever is known."""
        text = written(name, self.kind)
        if isinstance(name, float | np.floating) and str(float(name)) in self._row_of:
            if text in self._row_of:
                raise DataError(f"{self.kind} {name!r} may be {text!r} or {str(float(name))!r}; give it as text.")
            return str(float(name))
        return text

    def split_known(self, names: Any) -> tuple[np.ndarray, list[str]]:
        """Row numbers of the known names, ndarray[n] int64 in their order, and the names that are not known.

        Args:
            names: one name, or names of the types that `written` takes.

        Raises:
            DataError: what is given is no name, nor several of them.
        """
        as_text = [self._written(name) for name in listed(names)]
        rows = [self._row_of[name] for name in as_text if name in self._row_of]
        return np.array(rows, np.int64), [name for name in as_text if name not in self._row_of]

    def rows(self, names: Any) -> np.ndarray:
        """Row numbers of the names, ndarray[n] int64; `names` as for `split_known`.

        Raises:
            DataError: a name is not known, or is none.
        """
        rows, unknown = self.split_known(names)
        if unknown:
            raise self.unknown(unknown[0])
        return rows

    def unknown(self, name: str) -> DataError:
        """The error for a name that is not known, with close ones."""
        among = list(self._row_of)
        if len(among) > _COMPARED:
            among = [known for known in among if known[:3] == name[:3]][:_COMPARED]
        close = difflib.get_close_matches(name[:60], among, n=3)
        hint = f"did you mean {' or '.join(repr(known) for known in close)}?" if close else "it was not in training."
        return DataError(f"{self.kind} {name[:60]!r} is unknown to the model; {hint}")

    def series(self, rows: np.ndarray, name: str) -> pl.Series:
        """Raw ids of rows, as a column."""
        dtype = {"i": pl.Int64, "u": pl.UInt64}.get(self.values.dtype.kind, pl.String)
        return pl.Series(name, self.values[rows].tolist(), dtype=dtype)


def written(name: Any, kind: str = "id") -> str:
    """The text of a raw id.

    Args:
        name: text, UTF-8 bytes, an integer, a float that is one, or a UUID; of Python or NumPy.
        kind: what messages call it.

    Raises:
        DataError: it is of another type, or cannot be an id.
    """
    if isinstance(name, np.generic | np.ndarray) and not isinstance(name, str | bytes) and name.ndim == 0:
        name = name.item()
    if isinstance(name, str):
        return str.__str__(
            name
        )  # one of NumPy's becomes a str without losing NULs at its end, as str() and item() would
    if isinstance(name, bytes | bytearray | memoryview):
        try:
            return bytes(name).decode()
        except UnicodeDecodeError as error:
            raise DataError(f"{kind} {bytes(name)[:60]!r} is not UTF-8 text; give the text of the raw id.") from error
    if isinstance(name, uuid.UUID) or (isinstance(name, numbers.Integral) and not isinstance(name, bool)):
        return str(name if isinstance(name, uuid.UUID) else int(name))
    if isinstance(name, float) and name.is_integer() and abs(name) < _EXACT:
        return str(int(name))
    raise _refusal(name)


def listed(names: Any) -> list[Any]:
    """Names as a list; a single one becomes a list of one.

    Raises:
        DataError: it is neither a name nor a collection of names.
    """
    if isinstance(names, _SINGLE) or (isinstance(names, np.ndarray) and names.ndim == 0):
        return [names]
    # Iterating one of these gives names of columns or keys, which may be those of other ids.
    if isinstance(names, Mapping) or hasattr(names, "columns") or not isinstance(names, Iterable):
        raise _refusal(names)
    return list(names)


def _refusal(name: Any) -> DataError:
    shown = " ".join(repr(name)[:60].split())
    return DataError(
        f"{shown} is neither a raw id nor a list of them; an id is text or a whole number, not {type(name).__name__}."
    )
