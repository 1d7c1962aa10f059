"""Tables split by row over the devices of one or several processes.

Each of P devices holds R / P rows of every table, with the optimizer's state of these rows. All devices draw the same
batch from the same keys. Rows are looked up by a masked gather of the local ones and a sum over devices, so a step
moves O((B + C) D) numbers between devices, whatever the size of the tables. What costs B C or B N is done for B / P
rows of the batch by each device. Functions that call `jax.lax.psum` or `jax.lax.axis_index` are for use inside
`jax.shard_map`.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from cml_jax.rowwise import Read, TableOptimizer
from cml_jax.types import Array, Batch, Params, PyTree, TrainState

AXIS = "shards"


def make_mesh(num_shards: int) -> Mesh:
    """The first P devices of all processes, as one axis."""
    return jax.make_mesh((num_shards,), (AXIS,), axis_types=(AxisType.Auto,), devices=jax.devices()[:num_shards])


def padded(num_rows: int, num_shards: int) -> int:
    """Rows of a table that P divides; those added hold zeros and are never read."""
    return -(-num_rows // num_shards) * num_shards


@struct.dataclass
class ShardedTable:
    """A table of which a device holds some rows, read like a whole one: `table[rows]`.

    Attributes:
        local: Array[R / P, ...]; the rows of device p are p R / P to (p + 1) R / P - 1.
    """

    local: Array

    def __getitem__(self, rows: Array) -> Array:
        """Array[...] int32, the same on every device -> rows Array[..., *], the same on every device."""
        place, is_local = _place(rows, self.local)
        return jax.lax.psum(_where_rows(is_local, self.local[place]), AXIS)


def _where_rows(mask: Array, rows: Array) -> Array:
    """Rows Array[..., *] where the mask Array[...] holds, zeros elsewhere."""
    return jnp.where(jnp.expand_dims(mask, tuple(range(mask.ndim, rows.ndim))), rows, 0.0)


def _place(rows: Array, local: Array) -> tuple[Array, Array]:
    """Where rows of the whole table stand in the local part (anywhere for others), and whether they do."""
    place = rows - jax.lax.axis_index(AXIS) * local.shape[0]
    is_local = (place >= 0) & (place < local.shape[0])
    return jnp.where(is_local, place, 0), is_local


def split(optimizer: TableOptimizer) -> TableOptimizer:
    """The same optimizer for a table of which this device holds some rows; gradients are those of the whole batch."""

    def read(rows, opt_state, table):
        place, is_local = _place(rows, table)
        inner = optimizer.read(place, opt_state, table)
        return Read(jax.lax.psum(_where_rows(is_local, inner.values), AXIS), inner)

    def write(grads, rows, read, opt_state, table):
        place, is_local = _place(rows, table)
        return optimizer.write(grads, jnp.where(is_local, place, table.shape[0]), read.state, opt_state, table)

    return optimizer._replace(read=read, write=write)


def local_slice(batch: PyTree) -> PyTree:
    """This device's B / P rows of a tree of Array[B, ...] that is the same on every device."""

    def part(x):
        size = x.shape[0] // jax.lax.axis_size(AXIS)
        return jax.lax.dynamic_slice_in_dim(x, jax.lax.axis_index(AXIS) * size, size)

    return jax.tree.map(part, batch)


def of_this_device(x: Array) -> Array:
    """What is the same everywhere, for this device's part of the work: gradients by it are summed over devices."""
    return x + (0 * jax.lax.axis_index(AXIS)).astype(x.dtype)  # what depends on the device is told apart by its type


def local_batch(batch: Batch) -> Batch:
    """This device's pairs of a batch; candidates, which pairs share, stay whole."""
    part = local_slice(batch._asdict() | {"others": None, "valid": None, "no_negative": None})
    others = batch.others if batch.shared else local_slice(batch.others)
    valid = batch.valid.map_pairs(local_slice) if batch.shared else local_slice(batch.valid)
    return Batch(**part | {"others": others, "valid": valid, "no_negative": batch.no_negative})


def all_gather(parts: PyTree) -> PyTree:
    """The rows of all devices, the same on every device: Array[B / P, ...] -> Array[B, ...]; bool or numbers."""

    def join(part):
        kind = jnp.int32 if part.dtype == bool else part.dtype
        whole = jnp.zeros_like(part, kind, (jax.lax.axis_size(AXIS) * len(part), *part.shape[1:]))
        start = jax.lax.axis_index(AXIS) * len(part)
        # A sum over zeros elsewhere, since the result of a gather is not known to be the same everywhere.
        whole = jax.lax.dynamic_update_slice_in_dim(whole, part.astype(kind), start, axis=0)
        return jax.lax.psum(whole, AXIS).astype(part.dtype)

    return jax.tree.map(join, parts)


def total(values: Array) -> Array:
    """The sum over the parts of the batch that the devices hold."""
    return jax.lax.psum(jnp.sum(values), AXIS)


def state_specs(state: TrainState) -> Any:
    """How a state is laid out: tables, what belongs to them and the snapshot by row, the rest on every device."""

    def by_row(tree):
        return jax.tree.map(lambda leaf: P(AXIS) if jnp.ndim(leaf) else P(), tree)

    def by_table(params):
        return None if params is None else Params(by_row(params.tables), replicated(params.dense))

    def replicated(tree):
        return jax.tree.map(lambda _: P(), tree)

    return replicated(state).replace(
        params=by_table(state.params),
        opt_state=by_row(state.opt_state),
        snapshot=by_row(state.snapshot),
        average=by_table(state.average),
    )


def shardings(specs: PyTree, num_shards: int) -> PyTree:
    """The specs on the mesh of P devices."""
    mesh = make_mesh(num_shards)
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs, is_leaf=lambda leaf: isinstance(leaf, P))


def replicate(tree: PyTree, num_shards: int) -> PyTree:
    """A copy of a tree of arrays on each of P devices; where P is 1, the tree as it is."""
    return tree if num_shards == 1 else jax.device_put(tree, NamedSharding(make_mesh(num_shards), P()))


def num_shards_of(table: Array) -> int:
    """P of a table that was laid out by `shardings`; 1 where one device holds it."""
    return len(table.sharding.device_set)


def gathered(tree: PyTree) -> PyTree:
    """A tree of arrays, whole on this process's first device."""
    leaves = jax.tree.leaves(tree)
    if not leaves or num_shards_of(leaves[0]) == 1:
        return tree
    copied = jax.jit(lambda x: x, out_shardings=NamedSharding(make_mesh(num_shards_of(leaves[0])), P()))(tree)
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), copied)
