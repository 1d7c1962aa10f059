"""Features as arrays of dataset.npz."""

import json
from typing import Any

import numpy as np

from cml_jax.data.features import KINDS, Feature, Features
from cml_jax.data.packed_ids import packed_ids, unpacked_ids


def packed_features(name: str, features: Features | None) -> dict[str, np.ndarray]:
    """Arrays whose names begin with `name`; none for None."""
    if features is None:
        return {}
    about = json.dumps([[feature.name, feature.kind] for feature in features.columns])
    arrays: dict[str, np.ndarray] = {name: np.frombuffer(about.encode("utf-8", "surrogatepass"), np.uint8)}
    for number, feature in enumerate(features.columns):
        arrays[f"{name}_{number}_values"] = feature.values
        arrays |= packed_ids(f"{name}_{number}_vocabulary", feature.vocabulary)
        if feature.indptr is not None:
            arrays[f"{name}_{number}_indptr"] = feature.indptr
        if feature.num_first is not None:
            arrays[f"{name}_{number}_num_first"] = np.array(feature.num_first, np.int64)
    return arrays


def unpacked_features(name: str, arrays: Any, num_rows: int) -> Features | None:
    """The inverse of `packed_features`.

    Raises:
        ValueError: the arrays do not fit together, or are not of this many rows.
    """
    if name not in arrays:
        return None
    columns = []
    for number, (column, kind) in enumerate(json.loads(arrays[name].tobytes().decode("utf-8", "surrogatepass"))):
        prefix = f"{name}_{number}"
        indptr = arrays.get(f"{prefix}_indptr")
        vocabulary = unpacked_ids(f"{prefix}_vocabulary", arrays)
        num_first = int(arrays[f"{prefix}_num_first"]) if f"{prefix}_num_first" in arrays else None
        feature = Feature(column, kind, arrays[f"{prefix}_values"], vocabulary, indptr, num_first)
        if not _is_whole(feature, num_rows):
            raise ValueError(f"feature {column!r} is damaged")
        columns.append(feature)
    return Features(tuple(columns))


def _is_whole(feature: Feature, num_rows: int) -> bool:
    values, indptr = feature.values, feature.indptr
    if feature.kind not in KINDS or (indptr is not None) != (feature.kind == "multi_hot"):
        return False
    if feature.num_rows != num_rows:
        return False
    if indptr is not None and (indptr[0] != 0 or indptr[-1] != len(values) or np.any(np.diff(indptr) < 0)):
        return False
    if feature.kind in ("numeric", "vector"):
        return values.dtype.kind == "f" and values.ndim == 1 + (feature.kind == "vector")
    least = -1 if feature.kind == "categorical" else 0
    return values.dtype.kind == "i" and bool(np.all((values >= least) & (values < len(feature.vocabulary))))
