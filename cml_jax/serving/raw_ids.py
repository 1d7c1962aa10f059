"""Raw ids of users or items, by their names and by their row numbers."""

import difflib
import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl

from cml_jax.errors import DataError

_COMPARED = 20_000  # names that an unknown one is compared with at most


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

    def split_known(self, names: Iterable[Any]) -> tuple[np.ndarray, list[str]]:
        """Row numbers of the known names, ndarray[n] int64 in their order, and the names that are not known."""
        written = [str(name) for name in names]
        rows = [self._row_of[name] for name in written if name in self._row_of]
        return np.array(rows, np.int64), [name for name in written if name not in self._row_of]

    def rows(self, names: Iterable[Any]) -> np.ndarray:
        """Row numbers of the names, ndarray[n] int64.

        Raises:
            DataError: a name is not known.
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
