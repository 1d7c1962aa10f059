"""Any optax optimizer with per-element state, applied to the touched rows of a table only."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from cml_jax.hashing import first_appearance
from cml_jax.types import Array, PyTree


class TableOptimizer(NamedTuple):
    """An optimizer of one embedding table.

    Attributes:
        init: table[R, D] -> opt_state.
        update: (grads[n, D], rows[n], opt_state, table) -> (table, opt_state). Gradients of equal rows are summed;
            entries whose row is R or more are left out.
    """

    init: Callable[[Array], PyTree]
    update: Callable[[Array, Array, PyTree, Array], tuple[Array, PyTree]]


def merge_rows(grads: Array, rows: Array, num_rows: int) -> tuple[Array, Array]:
    """Sums the gradients of equal rows.

    Args:
        grads: Array[n, D].
        rows: Array[n] int32; num_rows or more marks entries to leave out.
        num_rows: R.

    Returns:
        merged Array[n, D], at the first appearance of each row, and unique Array[n] int32, distinct; the places left
        over hold numbers of R or more, which a scatter in mode 'drop' leaves out.
    """
    place = jnp.arange(rows.shape[0], dtype=jnp.int32)
    first = first_appearance(rows)
    merged = jax.ops.segment_sum(grads, first, rows.shape[0])
    return merged, jnp.where((first == place) & (rows < num_rows), rows, num_rows + place)


def lazy(transform: optax.GradientTransformation, project: Callable[[Array], Array]) -> TableOptimizer:
    """Gathers the touched rows and their state, updates and projects them, and scatters them back.

    Rows outside the batch keep their value and their moments; counters are common to all rows. With Adam that is
    LazyAdam: a row's moments decay when it is touched, not at every step, and it does not drift in between.

    Args:
        transform: optax optimizer; every state leaf that belongs to a parameter must have the parameter's shape.
        project: norm constraint, Array[n, D] -> Array[n, D], the `project` of a `geometry.Constraint`.

    Raises:
        ValueError: by `init`, if the optimizer's state is not per element (adafactor, for example).
    """

    def init(table):
        state = transform.init(table)

        def check(leaf):
            if leaf.shape != table.shape:
                raise ValueError(
                    f"Row-wise updates need per-element optimizer state; got a leaf of shape {leaf.shape} for a table "
                    f"of shape {table.shape}."
                )
            return leaf

        return optax.tree_utils.tree_map_params(transform, check, state)

    def update(grads, rows, opt_state, table):
        merged, unique = merge_rows(grads, rows, table.shape[0])

        def take(leaf):
            return leaf.at[unique].get(mode="fill", fill_value=0, unique_indices=True)

        def put(new, leaf):
            return leaf.at[unique].set(new, mode="drop", unique_indices=True)

        per_row = optax.tree_utils.tree_map_params(
            transform, lambda _: True, opt_state, transform_non_params=lambda _: False
        )  # the rest, such as step counters, is common to all rows
        row_state = jax.tree.map(lambda is_row, leaf: take(leaf) if is_row else leaf, per_row, opt_state)
        updates, row_state = transform.update(merged, row_state, take(table))
        new_rows = project(take(table) + updates)
        opt_state = jax.tree.map(
            lambda is_row, new, leaf: put(new, leaf) if is_row else new, per_row, row_state, opt_state
        )
        return put(new_rows, table), opt_state

    return TableOptimizer(init, update)


def dense(transform: optax.GradientTransformation, project: Callable[[Array], Array]) -> TableOptimizer:
    """The whole table at every step, as a plain optax loop would: the oracle of `lazy`, and slow. Same arguments."""

    def update(grads, rows, opt_state, table):
        gradient = jnp.zeros_like(table).at[rows].add(grads, mode="drop")
        updates, opt_state = transform.update(gradient, opt_state, table)
        return project(table + updates), opt_state

    return TableOptimizer(transform.init, update)


ROW_MODES = {"lazy": lazy, "dense": dense}
