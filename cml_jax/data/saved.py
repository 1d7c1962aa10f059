"""dataset.npz of a workdir: raw ids, and what is known of each user, so that a model is useful without its data set."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cml_jax.data.interactions import Dataset, Interactions
from cml_jax.errors import DataError
from cml_jax.files import replacing

_PARTS = ("train", "valid")


class SavedDataset(NamedTuple):
    """A data set without its test part.

    Attributes:
        train, valid: Interactions of the same users and items.
        user_ids: ndarray[U]; raw id of each user, of integers or of str objects.
        item_ids: ndarray[I]; raw id of each item.
        sha256: of the whole data set, see `Dataset.sha256`.
    """

    train: Interactions
    valid: Interactions
    user_ids: np.ndarray
    item_ids: np.ndarray
    sha256: str


def save_dataset(path: Path, dataset: Dataset, sha256: str) -> None:
    """Writes ids, training and validation pairs, unless the file holds this data set already.

    Args:
        path: the file; what is there is replaced, once the new one is whole.
        dataset: what is saved, but for its test part and its notes.
        sha256: of the data set.

    Raises:
        OSError: it cannot be written.
    """
    try:
        if load_dataset(path).sha256 == sha256:
            return
    except DataError:
        pass  # not there, or to be replaced
    arrays: dict[str, Any] = {"sha256": np.frombuffer(sha256.encode(), np.uint8)}
    for name, ids in (("user_ids", dataset.user_ids), ("item_ids", dataset.item_ids)):
        arrays |= _packed_ids(name, ids)
    for name in _PARTS:
        part: Interactions = getattr(dataset, name)
        arrays |= {f"{name}_indptr": part.indptr, f"{name}_items": part.items}
    if dataset.train.weights is not None:
        arrays["train_weights"] = dataset.train.weights
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_dataset(path: Path) -> SavedDataset:
    """Reads what `save_dataset` wrote.

    Raises:
        DataError: the file is not there, cannot be read, or is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            user_ids, item_ids = (_unpacked_ids(name, arrays) for name in ("user_ids", "item_ids"))
            train, valid = (
                Interactions(arrays[f"{name}_indptr"], arrays[f"{name}_items"], len(item_ids)) for name in _PARTS
            )
            if "train_weights" in arrays:
                train = train._replace(weights=arrays["train_weights"])
            sha256 = arrays["sha256"].tobytes().decode()
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file; it holds the ids, so start the run again in its workdir, which writes it."
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # whatever the zip layers raise for damaged files
        raise _damaged(path) from error
    weights = train.weights
    if weights is not None and (len(weights) != train.num_pairs or not np.all((weights > 0) & np.isfinite(weights))):
        raise _damaged(path)
    for part in (train, valid):
        whole = len(part.indptr) == len(user_ids) + 1 and part.indptr[0] == 0 and part.indptr[-1] == len(part.items)
        if not whole or np.any(part.degrees < 0) or not np.all((part.items >= 0) & (part.items < len(item_ids))):
            raise _damaged(path)
    return SavedDataset(train, valid, user_ids, item_ids, sha256)


def _damaged(path: Path) -> DataError:
    return DataError(f"{path}: damaged; delete it and start the run again in its workdir, which writes it anew.")


def _packed_ids(name: str, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Integers as they are; text as UTF-8 and the end of each id, since NumPy's own text is padded to the longest."""
    if ids.dtype.kind in "iu":
        return {name: ids}
    packed = [str(value).encode("utf-8", "surrogatepass") for value in ids.tolist()]
    ends = np.cumsum([len(value) for value in packed], dtype=np.int64)
    return {f"{name}_utf8": np.frombuffer(b"".join(packed), np.uint8), f"{name}_ends": ends}


def _unpacked_ids(name: str, arrays: Any) -> np.ndarray:
    """The inverse of `_packed_ids`."""
    if name in arrays:
        return arrays[name]
    packed, ends = arrays[f"{name}_utf8"].tobytes(), arrays[f"{name}_ends"].tolist()
    ids = np.empty(len(ends), object)
    ids[:] = [
        packed[start:end].decode("utf-8", "surrogatepass") for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
    return ids
