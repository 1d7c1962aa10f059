"""File formats to tables. Every error names the file, and the line where there is one."""

import functools
import os
from pathlib import Path

import numpy as np
import polars as pl
import scipy.sparse

from cml_jax.data.adjacency import read_adjacency
from cml_jax.data.scanning import Rows, ScannedFile
from cml_jax.data.tables import PARTS, Columns, Table, encode
from cml_jax.data.text_lines import TextLayout
from cml_jax.errors import DataError


def read_echonest(path: Path, columns: Columns) -> Table:
    """Reads the Echo Nest Taste Profile's raw triplets: user, song and play count, separated by tabs, no header.

    The full file has 48 million lines; the play-count filter is applied while it streams by.

    Args:
        path: the file, or the folder that holds train_triplets.txt.
        columns: min_rating is the least play count.
    """
    file = path / "train_triplets.txt" if path.is_dir() else path
    layout = TextLayout("\t", ("user", "item", "play count"), quote=None)
    return _read_files([file], layout, Columns(rating="play count", min_rating=columns.min_rating))


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


def read_movielens(path: Path, columns: Columns) -> Table:
    """Reads a MovieLens release: u.data (100K), ratings.dat (1M, 10M) or ratings.csv (20M and later).

    Args:
        path: one of these files, or the folder that holds one.
        columns: min_rating is the least rating.
    """
    candidates = [path / name for name in _MOVIELENS] if path.is_dir() else [path]
    files = [file for file in candidates if file.is_file() and file.name in _MOVIELENS]
    if not files:
        raise DataError(f"{path}: neither u.data, ratings.dat nor ratings.csv of a MovieLens release is there.")
    if len(files) > 1:
        raise DataError(f"{path}: holds {' and '.join(file.name for file in files)}; give one of the files.")
    layout, names = _MOVIELENS[files[0].name]
    return _read_files(files, layout, Columns(*names, columns.min_rating))


def read_columns(path: Path, columns: Columns, *, suffix: str, layout: TextLayout | None) -> Table:
    """Reads columns by name from one file, or from a folder with train, test and perhaps valid files.

    Args:
        path: the file or the folder.
        columns: names and the least rating.
        suffix: of the folder's files: 'csv', 'tsv' or 'parquet'.
        layout: of text; None for Parquet.
    """
    return _read_files(_files_of(path, suffix), layout, columns)


def _read_files(files: list[Path], layout: TextLayout | None, columns: Columns) -> Table:
    """One table of all files; of several, each is a part."""
    read = [ScannedFile(file, layout).read(*columns) for file in files]
    users, user_ids = encode(pl.concat([rows.frame["user"] for rows in read]))
    items, item_ids = encode(pl.concat([rows.frame["item"] for rows in read]))
    times = _same_times(files, read) if columns.time is not None else None
    table = Table(users, items, user_ids, item_ids, times, _parts(files, [len(rows.frame) for rows in read]))
    num_empty = sum(rows.num_empty for rows in read)
    if num_empty:
        table = table.note(f"Skipped {num_empty:,} empty lines.")
    if columns.min_rating:
        return table.note(
            _kept(table, sum(rows.num_lines for rows in read) - num_empty, columns.rating, columns.min_rating)
        )
    return table


def _kept(table: Table, total: int, rating: str | None, min_rating: float) -> str:
    return f"Kept {table.num_pairs:,} of {total:,} pairs with a {rating} of at least {min_rating:g}."


def _same_times(files: list[Path], read: list[Rows]) -> np.ndarray:
    """The times of all files; refused where some are dates and some are numbers."""
    for file, rows in zip(files, read, strict=True):
        if rows.times_are != read[0].times_are:
            raise DataError(
                f"{file}: times are {rows.times_are}, but {read[0].times_are} in {files[0]}; write them alike."
            )
    times = [rows.frame["time"] for rows in read]
    if len({part.dtype for part in times}) > 1:
        times = [part.cast(pl.Float64) for part in times]
    return pl.concat(times).to_numpy()


def read_npz(path: Path, columns: Columns) -> Table:
    """Reads a users x items matrix as `scipy.sparse.save_npz` writes it; its values are the ratings.

    Raw ids are the numbers of rows and columns. Stored zeros are no pairs; entries of one place are added up.

    Args:
        path: a .npz file, or a folder with train.npz, test.npz and perhaps valid.npz of one shape.
        columns: min_rating is the least value.
    """
    files = _files_of(path, "npz")
    matrices, stored = zip(*(_load_matrix(file) for file in files), strict=True)
    for file, matrix in zip(files, matrices, strict=True):
        if matrix.shape != matrices[0].shape:
            raise DataError(
                f"{file}: has shape {matrix.shape}, not {matrices[0].shape}; all parts must have one shape."
            )
    kept = [matrix.data >= columns.min_rating if columns.min_rating else matrix.data != 0 for matrix in matrices]
    user_ids, users = np.unique(
        np.concatenate([m.row[k] for m, k in zip(matrices, kept, strict=True)]), return_inverse=True
    )
    item_ids, items = np.unique(
        np.concatenate([m.col[k] for m, k in zip(matrices, kept, strict=True)]), return_inverse=True
    )
    parts = _parts(files, [int(k.sum()) for k in kept])
    table = Table(users.astype(np.int32), items.astype(np.int32), user_ids, item_ids, parts=parts)
    places, pairs = sum(m.nnz for m in matrices), sum(int(np.count_nonzero(m.data)) for m in matrices)
    if sum(stored) > places:
        table = table.note(f"Added up {sum(stored) - places:,} entries to others of the same row and column.")
    if places > pairs:
        table = table.note(f"Skipped {places - pairs:,} stored zeros.")
    if columns.min_rating:
        return table.note(_kept(table, pairs, "value", columns.min_rating))
    return table


def _load_matrix(file: Path) -> tuple[scipy.sparse.coo_array, int]:
    """The matrix, each place once, and how many entries the file has."""
    try:
        with file.open("rb") as opened:  # NumPy leaves a damaged archive open
            matrix = scipy.sparse.load_npz(opened)  # refuses pickled objects
        if matrix.format in ("bsr", "csc", "csr"):
            matrix.check_format(full_check=True)  # the conversion trusts the indices, and crashes where they are wrong
        matrix = scipy.sparse.coo_array(matrix)
        stored = matrix.nnz
        matrix.sum_duplicates()
    except PermissionError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).") from error
    except MemoryError as error:  # also where a damaged file claims to be huge
        raise DataError(f"{file}: needs more memory than there is.") from error
    except Exception as error:  # a damaged archive raises whatever its bytes lead to
        raise DataError(f"{file}: not a matrix of scipy.sparse.save_npz; write it with that.") from error
    if matrix.ndim != 2:
        raise DataError(f"{file}: has {matrix.ndim} dimension(s); the matrix must be users x items.")
    if matrix.data.dtype.kind not in "buif" or not np.all(np.isfinite(matrix.data)):
        raise DataError(f"{file}: holds values that are not finite numbers; write ratings or ones.")
    return matrix, stored


def _files_of(path: Path, suffix: str) -> list[Path]:
    """The file itself, or a folder's train, valid and test files; valid may be missing and is then left out."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; dataset.path must be a .{suffix} file or a folder of them.")
    files = [path / f"{part}.{suffix}" for part in PARTS]
    for file in files:
        if not file.is_file() and (file.stem != "valid" or os.path.lexists(file)):
            raise DataError(f"{file}: no such file; a folder needs train.{suffix} and test.{suffix}, or give one file.")
    return [file for file in files if file.is_file()]


def _parts(files: list[Path], sizes: list[int]) -> np.ndarray | None:
    """Place in PARTS of each row, by the names of the files; None for a single file."""
    if len(files) == 1:
        return None
    return np.repeat(np.array([PARTS.index(file.stem) for file in files], np.int8), sizes)


READERS = {
    "adjacency": read_adjacency,
    "csv": functools.partial(read_columns, suffix="csv", layout=TextLayout(",")),
    "echonest": read_echonest,
    "movielens": read_movielens,
    "npz": read_npz,
    "parquet": functools.partial(read_columns, suffix="parquet", layout=None),
    "tsv": functools.partial(read_columns, suffix="tsv", layout=TextLayout("\t")),
}
NAMED_COLUMNS = ("csv", "parquet", "tsv")  # formats whose columns have names to choose
