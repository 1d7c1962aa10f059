"""What is known of items or users besides the interactions: columns by row number, on the host and on the device."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from flax import struct

from cml_jax.errors import DataError
from cml_jax.types import Array

KINDS = ("categorical", "multi_hot", "numeric", "vector")


class Feature(NamedTuple):
    """One column, a value for each of n items or users.

    Attributes:
        name: of the column.
        kind: one of KINDS.
        values: by kind

            * categorical: ndarray[n] int32, places in the vocabulary, -1 where the value is missing;
            * multi_hot: ndarray[nnz] int32, places in the vocabulary; those of row r, each once, in the order of the
              file, are values[indptr[r]:indptr[r + 1]];
            * numeric: ndarray[n] float64, as in the file, NaN where missing;
            * vector: ndarray[n, F] float32, a row of NaN where missing.
        vocabulary: ndarray[S], distinct values, ascending: integers, or str objects. Empty for numbers.
        indptr: ndarray[n + 1] int64 of a multi_hot feature; None for others.
        num_first: rows by which numbers are standardised, which came before others; None for all.
    """

    name: str
    kind: str
    values: np.ndarray
    vocabulary: np.ndarray
    indptr: np.ndarray | None = None
    num_first: int | None = None

    @property
    def num_rows(self) -> int:
        """n."""
        return len(self.values) if self.indptr is None else len(self.indptr) - 1

    @property
    def missing(self) -> np.ndarray:
        """ndarray[n] bool; rows without a value."""
        if self.indptr is not None:
            return np.diff(self.indptr) == 0
        if self.kind == "categorical":
            return self.values < 0
        return np.asarray(np.isnan(self.values).reshape(self.num_rows, -1).any(axis=1))


class Features(NamedTuple):
    """Columns of the items, or of the users, of a data set; row r of each is of raw id r.

    Attributes:
        columns: at least one, of equal numbers of rows.
    """

    columns: tuple[Feature, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(feature.name for feature in self.columns)

    @property
    def num_rows(self) -> int:
        """n."""
        return self.columns[0].num_rows

    def column(self, name: str) -> Feature:
        """One column; DataError where there is none of that name."""
        for feature in self.columns:
            if feature.name == name:
                return feature
        raise DataError(f"no feature is named {name!r}; there are {', '.join(self.names)}.")

    def pieces(self) -> Iterator[bytes]:
        """Yields what a digest of the features is made of."""
        for feature in self.columns:
            yield f"{feature.name}\0{feature.kind}\0{feature.values.shape}\0".encode()
            yield np.ascontiguousarray(feature.values, feature.values.dtype.newbyteorder("<")).tobytes()
            if feature.indptr is not None:
                yield feature.indptr.astype("<i8").tobytes()
            if feature.num_first is not None:
                yield f"first {feature.num_first}".encode()
            yield "\0".join(map(str, feature.vocabulary.tolist())).encode("utf-8", "surrogatepass")

    def value_names(self) -> np.ndarray:
        """ndarray of str objects; what each row of a table of values stands for, see `DeviceFeatures.sizes`."""
        names = [
            f"{feature.name}\0{value}"
            for kind in ("categorical", "multi_hot")
            for feature in self.columns
            if feature.kind == kind
            for value in (*feature.vocabulary.tolist(), "\0")  # the last for what is missing
        ]
        return np.array(names, object)

    def to_device(self) -> "DeviceFeatures":
        """Copies the columns to the default device; numbers are standardised, see `standardised`."""
        of_kind = {kind: [f for f in self.columns if f.kind == kind] for kind in KINDS}
        numbers = (*of_kind["numeric"], *of_kind["vector"])
        return DeviceFeatures(
            categorical={f.name: jnp.asarray(_with_missing(f)) for f in of_kind["categorical"]},
            multi_hot={f.name: _sets(f) for f in of_kind["multi_hot"]},
            numeric={f.name: jnp.asarray(standardised(f.values, f.num_first)) for f in of_kind["numeric"]},
            vector={f.name: jnp.asarray(np.nan_to_num(f.values, nan=0.0)) for f in of_kind["vector"]},
            missing={f.name: jnp.asarray(f.missing) for f in numbers if f.missing.any()},
            sizes=tuple((f.name, len(f.vocabulary)) for f in (*of_kind["categorical"], *of_kind["multi_hot"])),
        )


@struct.dataclass
class DeviceSets:
    """A multi-hot column on the device.

    Attributes:
      indptr: Array[n + 1] int32.
      values: Array[nnz] int32; those of row r are `values[indptr[r]:indptr[r + 1]]`.
      longest: largest number of values of a row, at least 1; static.
    """

    indptr: Array
    values: Array
    longest: int = struct.field(pytree_node=False)

    def rows(self, ids: Array) -> tuple[Array, Array]:
        """The values of rows, padded to the longest.

        Args:
            ids: Array[B] int32.

        Returns:
            Array[B, longest] int32, 0 where there is none, and Array[B, longest] bool, whether there is one.
        """
        place = self.indptr[ids][:, None] + jnp.arange(self.longest, dtype=jnp.int32)[None]
        there = place < self.indptr[ids + 1][:, None]
        return jnp.where(there, jnp.take(self.values, place, mode="fill", fill_value=0), 0), there


@struct.dataclass
class DeviceFeatures:
    """Features on the device, by name of the column; built by `Features.to_device`.

    Attributes:
      categorical: Array[n] int32 each, place in the vocabulary; its size where missing, so that a table of embeddings
        has a row more than the vocabulary.
      multi_hot: `DeviceSets` each.
      numeric: Array[n] float32 each, of mean 0 and standard deviation 1 over the rows that have a value; 0 where
        missing.
      vector: Array[n, F] float32 each, as read; 0 where missing.
      missing: Array[n] bool, for those of numeric and vector in which a value is missing.
      sizes: name and size of the vocabulary of each categorical and multi-hot column; static.
    """

    categorical: dict[str, Array]
    multi_hot: dict[str, DeviceSets]
    numeric: dict[str, Array]
    vector: dict[str, Array]
    missing: dict[str, Array]
    sizes: tuple[tuple[str, int], ...] = struct.field(pytree_node=False)

    @property
    def num_rows(self) -> int:
        """n."""
        for column in (*self.categorical.values(), *self.numeric.values(), *self.vector.values()):
            return column.shape[0]
        return next(iter(self.multi_hot.values())).indptr.shape[0] - 1


def standardised(values: np.ndarray, num_first: int | None = None) -> np.ndarray:
    """Numbers ndarray[n] less their mean, divided by their standard deviation, as float32; NaN becomes 0.

    Mean and deviation (of the population, not of a sample) are over the values that are there, of the first rows where
    their number is given; where all of these are equal, or none is there, the result is 0.
    """
    known = values[:num_first]
    known = known[~np.isnan(known)]
    if len(known) == 0 or known.min() == known.max():
        return np.zeros(len(values), np.float32)
    largest = np.abs(known).max()  # squares must not overflow
    scaled = known / largest
    return np.nan_to_num((values / largest - scaled.mean()) / scaled.std(), nan=0.0).astype(np.float32)


def digest_of(features: Features) -> bytes:
    """SHA-256 of names, kinds, values and vocabularies."""
    digest = hashlib.sha256()
    for piece in features.pieces():
        digest.update(len(piece).to_bytes(8, "little") + piece)
    return digest.digest()


def _with_missing(feature: Feature) -> np.ndarray:
    return np.where(feature.values < 0, len(feature.vocabulary), feature.values).astype(np.int32)


def _sets(feature: Feature) -> DeviceSets:
    assert feature.indptr is not None
    longest = max(1, int(np.diff(feature.indptr).max(initial=0)))
    values = feature.values if len(feature.values) else np.zeros(1, np.int32)  # nothing can be taken of an empty array
    return DeviceSets(jnp.asarray(feature.indptr, jnp.int32), jnp.asarray(values, jnp.int32), longest)
