"""Neighbours, the items of users and the users of items: some of them for a step, all of them for ranking."""

import functools
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from cml_jax import csr
from cml_jax.losses.base import Loss
from cml_jax.models.base import is_of_more_than_negatives
from cml_jax.models.points import PointOptions
from cml_jax.options import AT_LEAST_1, options, static
from cml_jax.types import Array, Batch, DeviceInteractions

_BLOCK = 2**15  # pairs whose points are in memory at once


@options
class NeighbourOptions(PointOptions):
    """Options of models whose steps read neighbours of users and items."""

    similarities: ClassVar[tuple[str, ...]] = ("distance",)

    num_neighbours: int = static(
        5, "K, items of a user, or users of an item, that are drawn for a pair where there are more", AT_LEAST_1
    )

    @classmethod
    def objection(cls, loss: Loss) -> str:
        """Objects to losses that take candidates, or have a term of the points themselves."""
        more = is_of_more_than_negatives(loss)
        return "moves a user for each item, which {loss} does not allow" if more else ""


class Neighbours(NamedTuple):
    """Neighbours of some users or items.

    Attributes:
        ids: Array[..., K] int32.
        found: Array[..., K] bool; places that hold one.
    """

    ids: Array
    found: Array


def _places(degree: Array, offsets: Array) -> tuple[Array, Array]:
    """Places in lists of these degrees, and which there are: all of up to K, or one from each K-th part of more."""
    count = offsets.shape[-1]
    slot = jnp.broadcast_to(jnp.arange(count, dtype=jnp.int32), offsets.shape)
    place = jnp.floor((slot + offsets) * (degree / count)).astype(jnp.int32)
    return jnp.where(degree <= count, slot, jnp.minimum(place, degree - 1)), slot < degree


def spread(indptr: Array, members: Array, rows: Array, offsets: Array, without: Array | None = None) -> Neighbours:
    """Neighbours of rows: all of a list of up to K, or one from each K-th part of a longer list.

    Args:
        indptr: Array[R + 1] int32; the list of row r is members[indptr[r]:indptr[r + 1]].
        members: Array[nnz] int32.
        rows: Array[...] int32.
        offsets: Array[..., K] in [0, 1); where in its part each neighbour stands.
        without: Array[...] int32; the place in each list of a member that is left out. None for none.
    """
    first = indptr[rows][..., None]
    degree = indptr[rows + 1][..., None] - first
    place, found = _places(degree if without is None else degree - 1, offsets)
    if without is not None:
        place += place >= without[..., None]
    return Neighbours(members[jnp.where(found, first + place, 0)], found)


def spread_of_histories(histories: Array, count: int) -> Neighbours:
    """The same at the middle of each part, for histories Array[n, I] bool: Neighbours of Array[n, K]."""
    ends = jnp.cumsum(histories, axis=1, dtype=jnp.int32)
    place, found = _places(ends[:, -1:], jnp.full((len(histories), count), 0.5))
    ids = jax.vmap(jnp.searchsorted)(ends, place + 1)
    return Neighbours(jnp.where(found, ids, 0).astype(jnp.int32), found)


def draw(
    key: Array, indptr: Array, members: Array, rows: Array, count: int, without: Array | None = None
) -> Neighbours:
    """K neighbours of rows by stratified draws, in which all of a list are equally likely, so that means are unbiased.

    Args:
        key: PRNG key, consumed.
        indptr: as for `spread`.
        members: as for `spread`.
        rows: Array[...] int32.
        count: K.
        without: as for `spread`.
    """
    return spread(indptr, members, rows, jax.random.uniform(key, (*rows.shape, count)), without)


def draw_without_positives(key: Array, batch: Batch, data: DeviceInteractions, count: int) -> Neighbours:
    """K items of the user of each pair of a batch, without the pair's positive; arguments as for `draw`."""
    first, end = data.indptr[batch.users], data.indptr[batch.users + 1]
    place = csr.bisect(first, end, data.max_degree, lambda j: data.items[j] < batch.positives)
    return draw(key, data.indptr, data.items, batch.users, count, without=place - first)


def mean_of(points: Array, found: Array) -> Array:
    """The mean of the neighbours that there are, 0 where there is none: Array[..., K, D], Array[..., K] -> [..., D]."""
    total = jnp.sum(jnp.where(found[..., None], points, 0.0), axis=-2)
    return total / jnp.maximum(jnp.sum(found, axis=-1), 1)[..., None]


@functools.partial(jax.jit, static_argnames="num_rows")
def means(points: Array, rows: Array, members: Array, *, num_rows: int) -> Array:
    """Means of all neighbours of each row, 0 where it has none.

    Args:
        points: Array[R, D]; of the members.
        rows: Array[nnz] int32; pair j is of row rows[j] and member members[j].
        members: Array[nnz] int32.
        num_rows: how many rows there are.

    Returns:
        Array[num_rows, D].
    """
    size = max(1, min(_BLOCK, len(rows)))
    more = -len(rows) % size
    rows = jnp.pad(rows, (0, more), constant_values=num_rows)  # out of bounds, where they are dropped
    blocks = rows.reshape(-1, size), jnp.pad(members, (0, more)).reshape(-1, size)

    def add(total, block):
        return total.at[block[0]].add(points[block[1]], mode="drop"), None

    total, _ = jax.lax.scan(add, jnp.zeros((num_rows, points.shape[1])), blocks)
    degrees = jnp.zeros(num_rows).at[rows].add(1.0, mode="drop")
    return total / jnp.maximum(degrees, 1.0)[:, None]


def means_of_histories(points: Array, histories: Array) -> Array:
    """The same for histories Array[n, R] bool: Array[R, D] -> Array[n, D]."""
    total = jnp.matmul(histories.astype(points.dtype), points, precision=jax.lax.Precision.HIGHEST)
    return total / jnp.maximum(jnp.sum(histories, axis=1, keepdims=True), 1)
