"""File formats to tables. Every error names the file, and the line where there is one."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from cml_jax.data import matrices
from cml_jax.data.adjacency import read_adjacency
from cml_jax.data.json_lines import ScannedJsonLines
from cml_jax.data.packing import plain_name
from cml_jax.data.part_files import files_of, one_of_them, packed_files, parts_of, unread_note
from cml_jax.data.scanned_files import ScannedFile
from cml_jax.data.scanning import Rows
from cml_jax.data.tables import Columns, Table, encode, rating_note
from cml_jax.data.text_lines import TextLayout
from cml_jax.data.text_options import ALL_TEXT, OF_VALUES, PLAIN, TextOptions
from cml_jax.errors import DataError


def read_echonest(path: Path, columns: Columns, text: TextOptions = PLAIN) -> Table:
    """Reads the Echo Nest Taste Profile's raw triplets: user, song and play count, separated by tabs, no header.

    The full file has 48 million lines; the play-count filter is applied while it streams by.

    Args:
        path: the file, or the folder that holds train_triplets.txt; packed or not.
        columns: min_rating is the least play count.
        text: encoding, comment and bad_rows count.
    """
    file = path
    if path.is_dir():
        found = packed_files(path, "train_triplets.txt")
        file = one_of_them(path, found) or path / "train_triplets.txt"
    layout = TextLayout("\t", ("user", "item", "play count"), quote=None)
    return _read_files([file], layout, columns._replace(user="user", item="item", rating="play count", time=None), text)


_MOVIELENS = {  # file -> how its rows stand, and its columns of user, item, rating and time
    "u.data": (TextLayout("\t", ("user", "item", "rating", "time"), quote=None), ("user", "item", "rating", "time")),
    # '::' separates; with ':' as the separator every second column is empty.
    "ratings.dat": (
        TextLayout(
            ":",
            ("user", "first ::", "item", "second ::", "rating", "third ::", "time"),
            quote=None,
            blank=("first ::", "second ::", "third ::"),
        ),
        ("user", "item", "rating", "time"),
    ),
    "ratings.csv": (TextLayout(","), ("userId", "movieId", "rating", "timestamp")),
}


def read_movielens(path: Path, columns: Columns, text: TextOptions = PLAIN) -> Table:
    """Reads a MovieLens release: u.data (100K), ratings.dat (1M, 10M) or ratings.csv (20M and later).

    Args:
        path: one of these files, or the folder that holds one; packed or not.
        columns: min_rating is the least rating.
        text: encoding, comment and bad_rows count.
    """
    candidates = [file for name in _MOVIELENS for file in packed_files(path, name)] if path.is_dir() else [path]
    files = [file for file in candidates if file.is_file() and plain_name(file.name) in _MOVIELENS]
    if not files:
        raise DataError(f"{path}: neither u.data, ratings.dat nor ratings.csv of a MovieLens release is there.")
    if len(files) > 1:
        raise DataError(f"{path}: holds {' and '.join(file.name for file in files)}; give one of the files.")
    layout, names = _MOVIELENS[plain_name(files[0].name)]
    user, item, rating, time = names
    return _read_files(files, layout, columns._replace(user=user, item=item, rating=rating, time=time), text)


def read_columns(
    path: Path, columns: Columns, text: TextOptions = PLAIN, *, suffix: str, layout: TextLayout | None
) -> Table:
    """Reads columns by name or number from one file, or from a folder with train, test and perhaps valid files.

    Args:
        path: the file or the folder; text may be packed.
        columns: names, or numbers where there is no header, and the least rating.
        text: how text is read; what is none is guessed.
        suffix: of the folder's files: 'csv', 'tsv' or 'parquet'.
        layout: how rows mostly stand in text of this format; None for Parquet.
    """
    files = files_of(path, suffix)
    return table_of_rows([ScannedFile(file, layout, text, columns).read(columns) for file in files], columns, files)


def read_json_lines(path: Path, columns: Columns, text: TextOptions = PLAIN) -> Table:
    """Reads a file with one object a line, whose keys are named by `columns`; or a folder of parts.

    Args:
        path: the file or the folder; packed or not.
        columns: names of keys, and the least rating.
        text: encoding, time_format and bad_rows count.
    """
    files = files_of(path, "jsonl", ("ndjson",))
    return table_of_rows([ScannedJsonLines(file, columns, text).read(columns) for file in files], columns, files)


def _read_files(files: list[Path], layout: TextLayout | None, columns: Columns, text: TextOptions) -> Table:
    """One table of all files, whose layout is fixed; of several, each is a part."""
    read = [ScannedFile(file, layout, text).read(columns) for file in files]
    return table_of_rows(read, columns, files)


def table_of_rows(read: list[Rows], columns: Columns, files: Sequence[Path] = ()) -> Table:
    """One table of all rows that were read of files or, without files, of data in memory.

    Args:
        read: the rows of each file.
        columns: by which they were read.
        files: the files; of several, each is a part.
    """
    users, user_ids = encode(pl.concat([rows.frame["user"] for rows in read]))
    items, item_ids = encode(pl.concat([rows.frame["item"] for rows in read]))
    times = _same_times(files, read) if columns.time is not None else None
    parts = parts_of(files, [len(rows.frame) for rows in read])
    weights = pl.concat([rows.frame["weight"] for rows in read]).to_numpy() if columns.weight is not None else None
    time_unit = "us" if columns.time is not None and read[0].times_are == "dates" else None
    table = Table(users, items, user_ids, item_ids, times, parts, weights=weights, time_unit=time_unit)
    if columns.dislike_rating is not None:
        table = table._replace(disliked=pl.concat([rows.frame["disliked"] for rows in read]).to_numpy())
    if columns.kind is not None:
        kinds, names = encode(pl.concat([rows.frame["kind"] for rows in read]))
        table = table._replace(kinds=kinds, kind_names=tuple(map(str, names.tolist())))
    for rows in read:
        table = table._replace(notes=(*table.notes, *rows.notes))
    num_empty = sum(rows.num_empty for rows in read)
    if num_empty:
        table = table.note(f"Skipped {num_empty:,} empty lines.")
    if columns.by_rating and columns.rating is not None:
        total = sum(rows.num_lines for rows in read) - num_empty
        numbered = columns.rating is not None and columns.rating.isdigit()
        rating = f"column {columns.rating}" if numbered else columns.rating
        return table.note(rating_note(table, total, rating, columns))
    return table


def _same_times(files: Sequence[Path], read: list[Rows]) -> np.ndarray:
    """The times of all files; refused where some are dates and some are numbers."""
    for file, rows in zip(files, read, strict=bool(files)):
        if rows.times_are != read[0].times_are:
            raise DataError(
                f"{file}: times are {rows.times_are}, but {read[0].times_are} in {files[0]}; write them alike."
            )
    times = [rows.frame["time"] for rows in read]
    if len({part.dtype for part in times}) > 1:
        times = [part.cast(pl.Float64) for part in times]
    return pl.concat(times).to_numpy()


def _without_text(reader: Callable[[Path, Columns], Table]) -> Callable[[Path, Columns, TextOptions], Table]:
    return lambda path, columns, text: reader(path, columns)


_TAB = TextLayout("\t")
# How rows mostly stand in the files of a format; '' where the separator has to be told in any case.
LAYOUTS = {
    "csv": TextLayout(","),
    "inter": TextLayout("\t", quote=None, typed=True),
    "text": TextLayout(""),
    "tsv": _TAB,
}


class Description(NamedTuple):
    """What a file of columns holds, without reading all of it.

    Attributes:
        path: the file.
        columns: names of its columns, or their numbers where it has no header.
        said: what was guessed of it.
        rows: its first rows, as text.
    """

    path: Path
    columns: list[str]
    said: tuple[str, ...]
    rows: pl.DataFrame


def describe(
    format: str, path: Path, columns: Columns, text: TextOptions = PLAIN, *, num_rows: int = 5
) -> list[Description]:
    """What the files of a format with named columns hold; nothing for other formats.

    Args:
        format: a key of READERS.
        path: the file or folder.
        columns: the columns that would be read.
        text: how text is read.
        num_rows: how many rows are shown.

    Raises:
        DataError: a file is not there, or its columns cannot be told.
    """
    if format not in NAMED_COLUMNS:
        return []
    described = []
    for file in files_of(path, "txt" if format == "text" else format, ("ndjson",) if format == "jsonl" else ()):
        if format == "jsonl":
            scanned = ScannedJsonLines(file, columns, text)
        else:
            scanned = ScannedFile(file, LAYOUTS.get(format), text, columns)
        rows = scanned.first_rows(num_rows)
        described.append(Description(file, rows.columns, scanned.said, rows))
    return described


READERS = {
    "adjacency": read_adjacency,
    "csv": functools.partial(read_columns, suffix="csv", layout=LAYOUTS["csv"]),
    "echonest": read_echonest,
    "inter": functools.partial(read_columns, suffix="inter", layout=LAYOUTS["inter"]),
    "jsonl": read_json_lines,
    "movielens": read_movielens,
    "npz": _without_text(matrices.read_npz),
    "parquet": functools.partial(read_columns, suffix="parquet", layout=None),
    "text": functools.partial(read_columns, suffix="txt", layout=LAYOUTS["text"]),
    "tsv": functools.partial(read_columns, suffix="tsv", layout=LAYOUTS["tsv"]),
}
NAMED_COLUMNS = ("csv", "inter", "jsonl", "parquet", "text", "tsv")  # formats whose columns have names to choose
# What of the other formats can be the weight, by the name that the column has here.
WEIGHT_OF = {"echonest": "play count", "movielens": "rating", "npz": matrices.VALUES}
_OF_FIXED = ("encoding", "comment", "bad_rows")
# Options of text that have an effect on a format; all of them where a format is not named.
TEXT_OF = {
    "adjacency": ("encoding", "comment", "first_number"),
    "csv": ALL_TEXT,
    "echonest": _OF_FIXED,
    "inter": ALL_TEXT,
    "jsonl": ("encoding", *OF_VALUES),
    "movielens": _OF_FIXED,
    "npz": (),
    "parquet": OF_VALUES,
    "text": ALL_TEXT,
    "tsv": ALL_TEXT,
}


def read(format: str, path: Path, columns: Columns, text: TextOptions = PLAIN) -> Table:
    """Reads a file or folder.

    Args:
        format: a key of READERS.
        path: the file or folder.
        columns: which columns are read, and from which rating on.
        text: how text is read.

    Raises:
        DataError: it cannot be read, or no pair is in it.
    """
    try:
        table = READERS[format](path, columns, text)
        suffixes = {"adjacency": ("txt",), "text": ("txt",), "jsonl": ("jsonl", "ndjson")}.get(format, (format,))
        for sentence in unread_note(path, suffixes):
            table = table.note(sentence)
    except OSError as error:  # a folder that must not be entered, or a name that is too long
        raise DataError(f"{error.filename or path}: cannot be read ({error.strerror or error}).") from error
    if table.num_pairs == 0:
        raise DataError(f"{path}: no pairs are left; check the file, and dataset.min_rating if it is set.")
    return table
