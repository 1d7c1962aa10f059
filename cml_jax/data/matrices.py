"""Sparse users x items matrices, of files or in memory, as a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse

from cml_jax.data.part_files import files_of, parts_of
from cml_jax.data.tables import WEIGHT_SENTENCE, WEIGHTS, Columns, Table, rating_note, refuse_negative
from cml_jax.errors import DataError

VALUES = "value"  # name of the column that a matrix's values are


class Matrix(NamedTuple):
    """A matrix whose places are distinct.

    Attributes:
        entries: the entries, each place once.
        num_stored: entries there were before those of one place were added up.
    """

    entries: scipy.sparse.coo_array
    num_stored: int


def read_npz(path: Path, columns: Columns) -> Table:
    """Reads a users x items matrix as `scipy.sparse.save_npz` writes it; its values are the ratings.

    Raw ids are the numbers of rows and columns. Entries of one place are added up. Stored zeros are no pairs unless a
    threshold is set by which they are; negative values are refused unless one is set.

    Args:
        path: a .npz file, or a folder with train.npz, test.npz and perhaps valid.npz of one shape.
        columns: min_rating and dislike_rating are those of the values; weight is VALUES, for weights, or None.
    """
    files = files_of(path, "npz")
    matrices = [_load_matrix(file) for file in files]
    shape = matrices[0].entries.shape
    for file, matrix in zip(files, matrices, strict=True):
        if matrix.entries.shape != shape:
            raise DataError(f"{file}: has shape {matrix.entries.shape}, not {shape}; all parts must have one shape.")
    return table_of_matrices(matrices, columns, [str(file) for file in files], files)


def table_of_matrices(
    matrices: Sequence[Matrix], columns: Columns, labels: Sequence[str], files: Sequence[Path] = ()
) -> Table:
    """The places of the entries as pairs of row and column.

    Args:
        matrices: of one shape.
        columns: as for `read_npz`.
        labels: what messages call each matrix.
        files: of several files, each is a part.
    """
    entries = [matrix.entries for matrix in matrices]
    disliked = [
        np.zeros(e.nnz, bool) if columns.dislike_rating is None else columns.is_dislike(e.data) for e in entries
    ]
    if columns.by_rating:
        kept = [columns.is_like(e.data) | d for e, d in zip(entries, disliked, strict=True)]
    else:
        kept = [e.data != 0 for e in entries]
    user_ids, users = _numbered([e.row[k] for e, k in zip(entries, kept, strict=True)])
    item_ids, items = _numbered([e.col[k] for e, k in zip(entries, kept, strict=True)])
    parts = parts_of(files, [int(k.sum()) for k in kept])
    weights = None
    if columns.weight is not None:
        every = zip(entries, kept, disliked, labels, strict=True)
        weights = np.concatenate([_weights(e, k, d, label) for e, k, d, label in every])
    table = Table(users, items, user_ids, item_ids, parts=parts, weights=weights)
    if columns.dislike_rating is not None:
        table = table._replace(disliked=np.concatenate([d[k] for d, k in zip(disliked, kept, strict=True)]))
    for e, label in zip(entries, labels, strict=True):
        refuse_negative(label, 0 if columns.by_rating else int(np.sum(e.data < 0)), VALUES)
    stored, places = sum(matrix.num_stored for matrix in matrices), sum(e.nnz for e in entries)
    zeros_count = columns.by_rating and (
        columns.is_like(0.0) or (columns.dislike_rating is not None and columns.is_dislike(0.0))
    )
    pairs = places if zeros_count else sum(int(np.count_nonzero(e.data)) for e in entries)
    if stored > places:
        table = table.note(f"Added up {stored - places:,} entries to others of the same row and column.")
    if places > pairs:
        table = table.note(f"Skipped {places - pairs:,} stored zeros.")
    if columns.by_rating:
        return table.note(rating_note(table, pairs, VALUES, columns))
    return table


def _weights(entries: scipy.sparse.coo_array, kept: np.ndarray, disliked: np.ndarray, label: str) -> np.ndarray:
    """The values of the entries that are kept, 1 for dislikes; refused where another is no weight."""
    values = np.where(disliked, 1.0, entries.data.astype(np.float64))[kept]
    bad = np.flatnonzero((values < WEIGHTS[0]) | (values > WEIGHTS[1]))
    if len(bad):
        row, column, value = entries.row[kept][bad[0]], entries.col[kept][bad[0]], values[bad[0]]
        raise DataError(f"{label}: the value {value:g} in row {row}, column {column} is not {WEIGHT_SENTENCE}.")
    return values


def _numbered(ids: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Distinct ids, ascending, and the place among them of each of all ids."""
    distinct, places = np.unique(np.concatenate(ids), return_inverse=True)
    return distinct, places.astype(np.int32)


def _load_matrix(file: Path) -> Matrix:
    try:
        with file.open("rb") as opened:  # NumPy leaves a damaged archive open
            matrix = distinct_places(scipy.sparse.load_npz(opened))  # refuses pickled objects
    except PermissionError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).") from error
    except MemoryError as error:  # also where a damaged file claims to be huge
        raise DataError(f"{file}: needs more memory than there is.") from error
    except Exception as error:  # a damaged archive raises whatever its bytes lead to
        raise DataError(f"{file}: not a matrix of scipy.sparse.save_npz; write it with that.") from error
    return checked(matrix, str(file))


def distinct_places(matrix: Any) -> Matrix:
    """A matrix or array of SciPy, which stays as it is, with the entries of one place added up.

    Raises:
        Exception: some error of SciPy's, where the matrix is not consistent.
    """
    if matrix.format in ("bsr", "csc", "csr"):
        matrix.check_format(full_check=True)  # the conversion trusts the indices, and crashes where they are wrong
    entries = scipy.sparse.coo_array(matrix, copy=True)
    stored = entries.nnz
    entries.sum_duplicates()
    return Matrix(entries, stored)


def checked(matrix: Matrix, label: str) -> Matrix:
    """The matrix; DataError where it is not users x items or a value is no finite number."""
    entries = matrix.entries
    if entries.ndim != 2:
        raise DataError(f"{label}: has {entries.ndim} dimension(s); the matrix must be users x items.")
    if entries.data.dtype.kind not in "buif" or not np.all(np.isfinite(entries.data)):
        raise DataError(f"{label}: holds values that are not finite numbers; write ratings or ones.")
    return matrix
