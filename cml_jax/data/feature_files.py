"""Files and data in memory that hold features, as a table whose cells are still what they were."""

import os
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from cml_jax.data import dialects, encodings, frames, packing
from cml_jax.data.feature_options import Wanted
from cml_jax.data.scanned_files import ScannedFile
from cml_jax.data.tables import Columns
from cml_jax.data.text_lines import TextLayout
from cml_jax.data.text_options import TextOptions
from cml_jax.errors import DataError
from cml_jax.options import construct

ROW = "\0row"  # number of the row in the source; a name that no column has
_EMPTY = "\0empty"
_START = 2**18  # bytes by which a header is told
_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, EOFError, zlib.error)
_LAYOUTS = {
    ".csv": TextLayout(","),
    ".tsv": TextLayout("\t"),
    **dict.fromkeys((".txt", ".dat", ".item", ".user"), TextLayout("")),
}
_OTHERS = (".parquet", ".pq", ".jsonl", ".ndjson", ".npy", ".npz")
USUAL = {"item": ("item", "item_id", "movieId"), "user": ("user", "user_id", "userId")}
"""Columns of raw ids, if none is named."""
_FIRST = "1"  # the column where columns have no names
_RECBOLE = {"token": "categorical", "token_seq": "multi_hot", "float": "numeric", "float_seq": "vector"}
_KINDS = "a data frame, an Arrow table, a dict of columns or a path"


class Source(NamedTuple):
    """What features are read from.

    Attributes:
        rows: the columns, and ROW.
        label: what messages call it.
        place: number of a row -> where it stands.
        typed: column -> what its header says of it, of files that say it.
        notes: sentences about what was guessed.
        id_key: key that names the column of raw ids, for messages.
    """

    rows: pl.DataFrame
    label: str
    place: Callable[[int], str]
    typed: Mapping[str, Wanted]
    notes: tuple[str, ...] = ()
    id_key: str = ""

    def id_column(self, kind: str, chosen: str | None) -> str:
        """The column of raw ids; DataError where there is none."""
        usual = (chosen,) if chosen else (*USUAL[kind], _FIRST)
        for name in usual:
            if name in self.rows.columns:
                return name
        names = ", ".join(name for name in self.rows.columns if name != ROW)
        raise DataError(
            f"{self.label}: has no column '{usual[0]}' of raw ids; its columns are {names[:200]!r}, name it by "
            f"dataset.{self.id_key}."
        )


def source_of(data: Any, kind: str, id_column: str | None = None, key: str = "") -> Source:
    """All columns of features, or titles, that stand at a path or are held in memory.

    Args:
        data: a path; a data frame, an Arrow table, or a dict of columns, of which one with two axes is a vector.
        kind: 'item' or 'user'.
        id_column: of raw ids, by which a header is told; None for the usual ones.
        key: option that gives them; by default that of the features of the kind.

    Raises:
        DataError: it cannot be read.
    """
    label = key or f"{kind}_features"
    id_key = f"{label.removesuffix('s')}_id"
    if isinstance(data, str | os.PathLike):
        return _of_path(Path(data).expanduser(), kind, id_column, label)._replace(id_key=id_key)
    if not frames.is_frame(data) or isinstance(data, tuple):
        raise DataError(f"{label}: is of type {type(data).__name__}; give {_KINDS}.")
    return _source(_held(data, label), label)._replace(id_key=id_key)


def _source(rows: pl.DataFrame, label: str) -> Source:
    return Source(rows.with_row_index(ROW), label, lambda row: f"row {row + 1}", {})


def _held(data: Any, label: str) -> pl.DataFrame:
    if isinstance(data, pl.DataFrame | pl.LazyFrame):
        try:
            return data.lazy().collect()
        except pl.exceptions.PolarsError as error:
            raise DataError(f"{label}: cannot be collected ({_first_line(error)}).") from error
    if frames.is_pandas(data, "DataFrame"):
        named = [name for name in data.index.names if name is not None and name not in data.columns]
        data = data.reset_index(named) if named else data
    elif not isinstance(data, Mapping):
        try:
            return pl.DataFrame(data)
        except Exception as error:  # whatever the object that exports the data raises
            raise DataError(f"{label}: cannot be read as an Arrow table ({_first_line(error)}).") from error
    series = [_column(data[name], str(name), label) for name in data]
    sizes = {len(column) for column in series}
    if len(sizes) > 1:
        raise DataError(
            f"{label}: columns must be equally long, but have {' and '.join(map(str, sorted(sizes)))} rows."
        )
    return pl.DataFrame(series)


def _column(values: Any, name: str, label: str) -> pl.Series:
    if isinstance(values, np.ndarray) and values.ndim == 2 and values.dtype.kind in "biuf":
        return pl.Series(name, np.ascontiguousarray(values))
    return frames.series_of(values, name, label)


def _of_path(path: Path, kind: str, id_column: str | None, key: str) -> Source:
    plain = packing.plain_name(path.name)
    suffix = Path(plain).suffix.lower()
    if suffix not in _LAYOUTS and (suffix not in _OTHERS or plain != path.name):
        known = ", ".join((*_LAYOUTS, *_OTHERS))
        raise DataError(f"{path}: its name does not tell the format of {key.split('_')[1]}; name it {known}.")
    if not path.is_file():
        raise DataError(f"{path}: no such file; give it with dataset.{key}.")
    try:
        if suffix in (".npy", ".npz"):
            return _source(_of_numpy(path, kind), str(path))
        if suffix in (".jsonl", ".ndjson"):
            return _source(_of_json_lines(path), str(path))
        file = _file(path, _LAYOUTS.get(suffix), id_column, USUAL[kind])
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    rows = file.all_rows()
    return _untyped(Source(rows, str(path), file.place, {}, file.notes()))


def _file(path: Path, layout: TextLayout | None, id_column: str | None, usual: tuple[str, ...]) -> "_File":
    """A file whose dialect is told by its first lines, unless its header is of RecBole's kind."""
    if layout is None:
        return _File(path, None)
    start = packing.start_of(path, _START)
    header = next(iter(dialects.first_lines(start.decode("utf-8", "replace"), None, whole=len(start) < _START)), "")
    if any(name.rpartition(":")[2] in _RECBOLE for name in header.split("\t")):
        return _File(path, TextLayout("\t", quote=None))
    # A name that is there, else one by which nothing is told.
    name = id_column or next((name for name in usual if name in header), usual[1])
    by_number = name.isdigit() and name not in header.split(layout.separator or None)
    return _File(path, layout, construct(TextOptions, {"header": False} if by_number else {}), Columns(name, name))


class _File(ScannedFile):
    """A text or Parquet file that is read whole."""

    def all_rows(self) -> pl.DataFrame:
        """Every row that is not empty, with its number as ROW."""
        self._num_headers = 0
        try:
            return self._all_rows()
        except DataError:  # perhaps a later line shows that the text is not UTF-8
            self._guess = None if self._layout is None or self._guess else encodings.guess(self.path)
            if self._guess is None:
                raise
        self._open(self._text)
        return self._all_rows()

    def _all_rows(self) -> pl.DataFrame:
        try:
            counts = self._rows.select(rows=pl.len(), headers=self._is_header().sum()).collect()
            num_rows, self._num_headers = counts.row(0)
            self._check_whole(num_rows)
            marked = self._rows.with_columns(self._is_empty_row().alias(_EMPTY)).with_row_index(ROW)
            return marked.filter(~pl.col(_EMPTY)).drop(_EMPTY).collect()
        except _UNREADABLE as error:
            raise self._unreadable(error) from error

    def place(self, row: int) -> str:
        """Where a row, counted from 0, stands."""
        return self._place(row)

    def notes(self) -> tuple[str, ...]:
        """What was guessed, as a sentence."""
        said = (f"{self.label}: {', '.join(self.said)}.",) if self.said else ()
        skipped = f"{self.label}: skipped {self._num_headers:,} lines that are the header once more."
        return (*said, skipped) if self._num_headers else said


def _untyped(source: Source) -> Source:
    """The source with 'genre:token_seq' in a header, as RecBole writes it, as the name 'genre' and its kind."""
    typed: dict[str, Wanted] = {}
    names: dict[str, str] = {}
    for column in source.rows.columns:
        name, _, type_ = column.rpartition(":")
        if name and type_ in _RECBOLE:
            names[column] = name
            kind = _RECBOLE[type_]
            typed[name] = Wanted(name, kind, " " if kind in ("multi_hot", "vector") else None)
    left = [names.get(column, column) for column in source.rows.columns]
    twice = sorted({name for name in left if left.count(name) > 1})
    if twice:
        raise DataError(f"{source.label}: has two columns '{twice[0]}'; rename one of them.")
    return source._replace(rows=source.rows.rename(names), typed=typed)


def _of_json_lines(path: Path) -> pl.DataFrame:
    try:
        return pl.read_ndjson(path, infer_schema_length=None)
    except _UNREADABLE as error:
        raise DataError(
            f"{path}: cannot be read as JSON lines ({_first_line(error)}); write an object a line."
        ) from error


def _of_numpy(path: Path, kind: str) -> pl.DataFrame:
    """Of npy the rows of one array, whose numbers are the raw ids; of npz arrays by name, one of them the raw ids."""
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            arrays = (
                {name: loaded[name] for name in loaded.files} if isinstance(loaded, np.lib.npyio.NpzFile) else loaded
            )
    except OSError:
        raise
    except Exception as error:  # whatever damaged bytes lead to
        raise DataError(f"{path}: cannot be read ({_first_line(error)}); write it with numpy.save or savez.") from error
    if not isinstance(arrays, dict):
        if arrays.ndim != 2:
            raise DataError(f"{path}: has shape {arrays.shape}; a vector an {kind} makes two axes.")
        arrays = {kind: np.arange(len(arrays)), path.stem: arrays}
    sizes = {name: array.shape[0] if array.ndim else 0 for name, array in arrays.items()}
    if len(set(sizes.values())) > 1:
        found = ", ".join(f"'{name}' {size:,}" for name, size in sizes.items())
        raise DataError(f"{path}: arrays must have equal numbers of rows, but have {found}.")
    return pl.DataFrame([_column(array, name, str(path)) for name, array in arrays.items()])


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0][:150] if str(error).strip() else type(error).__name__
