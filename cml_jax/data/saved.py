"""dataset.npz of a workdir: raw ids, and what is known of each user, so that a model is useful without its data set."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cml_jax.data.features import Features
from cml_jax.data.interactions import Dataset, Interactions
from cml_jax.data.packed_ids import packed_ids, unpacked_ids
from cml_jax.data.saved_features import packed_features, unpacked_features
from cml_jax.errors import DataError
from cml_jax.files import replacing

_PARTS = ("train", "valid")
_FEATURES = ("item_features", "user_features")


class SavedDataset(NamedTuple):
    """A data set without its test part.

    Attributes:
        train, valid: Interactions of the same users and items.
        user_ids: ndarray[U]; raw id of each user, of integers or of str objects.
        item_ids: ndarray[I]; raw id of each item.
        sha256: of the whole data set, see `Dataset.sha256`.
        item_features: as of `Dataset`.
        user_features: likewise.
        dislikes: as of `Dataset`.
        item_titles: likewise.
    """

    train: Interactions
    valid: Interactions
    user_ids: np.ndarray
    item_ids: np.ndarray
    sha256: str
    item_features: Features | None = None
    user_features: Features | None = None
    dislikes: Interactions | None = None
    item_titles: np.ndarray | None = None


def save_dataset(path: Path, dataset: Dataset, sha256: str) -> None:
    """Writes ids, titles, features, training and validation pairs and dislikes, unless the file holds them already.

    Titles that it holds stay where the data set has none.

    Args:
        path: the file; what is there is replaced, once the new one is whole.
        dataset: what is saved, but for its test part and its notes.
        sha256: of the data set.

    Raises:
        OSError: it cannot be written.
    """
    try:
        there = load_dataset(path)
        if there.sha256 == sha256 and (dataset.item_titles is None or _equal(there.item_titles, dataset.item_titles)):
            return
    except DataError:
        pass  # not there, or to be replaced
    arrays: dict[str, Any] = {"sha256": np.frombuffer(sha256.encode(), np.uint8)}
    for name, ids in (("user_ids", dataset.user_ids), ("item_ids", dataset.item_ids)):
        arrays |= packed_ids(name, ids)
    for name in (*_PARTS, "dislikes"):
        part: Interactions | None = getattr(dataset, name)
        if part is None:
            continue
        arrays |= {f"{name}_indptr": part.indptr, f"{name}_items": part.items}
    if dataset.train.weights is not None:
        arrays["train_weights"] = dataset.train.weights
    for name in _FEATURES:
        arrays |= packed_features(name, getattr(dataset, name))
    if dataset.item_titles is not None:
        arrays |= packed_ids("item_titles", dataset.item_titles)
    with replacing(path) as beside, beside.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_dataset(path: Path) -> SavedDataset:
    """Reads what `save_dataset` wrote.

    Raises:
        DataError: the file is not there, cannot be read, or is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            user_ids, item_ids = (unpacked_ids(name, arrays) for name in ("user_ids", "item_ids"))
            train, valid, dislikes = (
                Interactions(arrays[f"{name}_indptr"], arrays[f"{name}_items"], len(item_ids))
                if name in _PARTS or f"{name}_indptr" in arrays
                else None
                for name in (*_PARTS, "dislikes")
            )
            assert train is not None and valid is not None
            if "train_weights" in arrays:
                train = train._replace(weights=arrays["train_weights"])
            features = [
                unpacked_features(name, arrays, len(ids))
                for name, ids in zip(_FEATURES, (item_ids, user_ids), strict=True)
            ]
            titles = unpacked_ids("item_titles", arrays) if "item_titles_ends" in arrays else None
            sha256 = arrays["sha256"].tobytes().decode()
    except FileNotFoundError as error:
        raise DataError(
            f"{path}: no such file; it holds the ids, so start the run again in its workdir, which writes it."
        ) from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except Exception as error:  # whatever the zip layers raise for damaged files
        raise _damaged(path) from error
    if titles is not None and len(titles) != len(item_ids):
        raise _damaged(path)
    weights = train.weights
    if weights is not None and (len(weights) != train.num_pairs or not np.all((weights > 0) & np.isfinite(weights))):
        raise _damaged(path)
    for part in (train, valid, *([dislikes] if dislikes is not None else [])):
        whole = len(part.indptr) == len(user_ids) + 1 and part.indptr[0] == 0 and part.indptr[-1] == len(part.items)
        if not whole or np.any(part.degrees < 0) or not np.all((part.items >= 0) & (part.items < len(item_ids))):
            raise _damaged(path)
    return SavedDataset(train, valid, user_ids, item_ids, sha256, features[0], features[1], dislikes, titles)


def _equal(there: np.ndarray | None, titles: np.ndarray) -> bool:
    return there is not None and there.tolist() == titles.tolist()


def _damaged(path: Path) -> DataError:
    return DataError(f"{path}: damaged; delete it and start the run again in its workdir, which writes it anew.")
