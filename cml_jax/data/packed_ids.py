"""Raw ids, and other distinct values, as arrays of an npz file."""

from typing import Any

import numpy as np


def packed_ids(name: str, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Integers as they are; text as UTF-8 and the end of each id, since NumPy's own text is padded to the longest."""
    if ids.dtype.kind in "iu":
        return {name: ids}
    packed = [str(value).encode("utf-8", "surrogatepass") for value in ids.tolist()]
    ends = np.cumsum([len(value) for value in packed], dtype=np.int64)
    return {f"{name}_utf8": np.frombuffer(b"".join(packed), np.uint8), f"{name}_ends": ends}


def unpacked_ids(name: str, arrays: Any) -> np.ndarray:
    """The inverse of `packed_ids`."""
    if name in arrays:
        return arrays[name]
    packed, ends = arrays[f"{name}_utf8"].tobytes(), arrays[f"{name}_ends"].tolist()
    ids = np.empty(len(ends), object)
    ids[:] = [
        packed[start:end].decode("utf-8", "surrogatepass") for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
    return ids
