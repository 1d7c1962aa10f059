"""Features of items that training has not seen, in terms of what the others have."""

from typing import Any

import numpy as np

from cml_jax.data.feature_files import source_of
from cml_jax.data.feature_options import Wanted
from cml_jax.data.feature_tables import features_of
from cml_jax.data.features import Feature, Features
from cml_jax.data.tables import rows_among
from cml_jax.errors import DataError


def appended(
    features: Features, data: Any, kind: str, ids: np.ndarray, id_column: str | None = None
) -> tuple[Features, tuple[str, ...]]:
    """Columns with further rows at their end, and sentences about those.

    Vocabularies and what numbers are standardised by stay as they are, and other values are missing.

    Args:
        features: of the items, or users, that there are.
        data: features of the further ones, in columns of the same names, see `feature_files.source_of`; None for none.
        kind: 'item' or 'user'.
        ids: ndarray[n]; raw ids of the further ones.
        id_column: the column of raw ids; None for the usual ones.

    Raises:
        DataError: the data cannot be read, a column is missing, or a cell is not of its kind.
    """
    if data is None:
        return Features(tuple(_extended(old, _missing(old, len(ids))) for old in features.columns)), ()
    wanted = tuple(Wanted(column.name, column.kind) for column in features.columns)
    found, notes = features_of(source_of(data, kind, id_column), kind, id_column, wanted, ids)
    columns = []
    for old, new in zip(features.columns, found.columns, strict=True):
        if old.indptr is not None or old.kind == "categorical":
            known = _by_vocabulary(new, old.vocabulary)
            lost = int((new.values >= 0).sum() - (known.values >= 0).sum())
            if lost:
                notes.append(f"{lost:,} values of '{old.name}' of new {kind}s are unknown to the model and left out.")
            new = known
        elif new.values.shape[1:] != old.values.shape[1:]:
            raise DataError(
                f"{kind}_features: vectors '{old.name}' have {new.values.shape[1]:,} numbers, and those of the model "
                f"{old.values.shape[1]:,}; give as many."
            )
        columns.append(_extended(old, new))
    return Features(tuple(columns)), tuple(notes)


def _missing(like: Feature, count: int) -> Feature:
    """So many rows without a value."""
    if like.indptr is not None:
        return like._replace(values=like.values[:0], indptr=np.zeros(count + 1, np.int64))
    nothing = -1 if like.kind == "categorical" else np.nan
    return like._replace(values=np.full((count, *like.values.shape[1:]), nothing, like.values.dtype))


def _by_vocabulary(feature: Feature, vocabulary: np.ndarray) -> Feature:
    """Codes as places in another vocabulary; values that are not in it are missing."""
    codes = np.append(rows_among(vocabulary, feature.vocabulary), -1)[feature.values].astype(np.int32)
    if feature.indptr is None:
        return feature._replace(values=codes, vocabulary=vocabulary)
    before = np.concatenate([[0], np.cumsum(codes >= 0)]).astype(np.int64)
    return feature._replace(values=codes[codes >= 0], vocabulary=vocabulary, indptr=before[feature.indptr])


def _extended(old: Feature, new: Feature) -> Feature:
    values = np.concatenate([old.values, new.values])
    first = old.num_rows if old.num_first is None and old.kind == "numeric" else old.num_first
    if old.indptr is None or new.indptr is None:
        return old._replace(values=values, num_first=first)
    return old._replace(values=values, indptr=np.concatenate([old.indptr, old.indptr[-1] + new.indptr[1:]]))
