"""Any optax optimizer with per-element state, applied to the touched rows of a table only."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cml_jax.hashing import first_appearance
from cml_jax.types import Array, PyTree


class Read(NamedTuple):
    """Rows of a table as an optimizer hands them out."""

    values: Array  # [n, ...]
    state: PyTree  # the optimizer's state of these rows


class TableOptimizer(NamedTuple):
    """An optimizer of one embedding table.

    Attributes:
        init: table[R, ...] -> opt_state.
        read: (rows[n], opt_state, table) -> Read; rows in [0, R).
        write: (grads[n, ...], rows[n], read, opt_state, table) -> (table, opt_state), with what was read of the same
            rows. Gradients of equal rows are summed; entries whose row is now R or more are left out.
        flush: (opt_state, table) -> table; applies the pending updates of rows not touched since their last step.
        moments: (opt_state, table) -> the state of the optax optimizer, flushed; the same for all modes of rows.
        with_moments: (such a state, table) -> opt_state.
    """

    init: Callable[[Array], PyTree]
    read: Callable[[Array, PyTree, Array], Read]
    write: Callable[[Array, Array, Read, PyTree, Array], tuple[Array, PyTree]]
    flush: Callable[[PyTree, Array], Array]
    moments: Callable[[PyTree, Array], PyTree] = lambda opt_state, table: opt_state
    with_moments: Callable[[PyTree, Array], PyTree] = lambda moments, table: moments


def merge_rows(grads: Array, rows: Array, num_rows: int) -> tuple[Array, Array]:
    """Sums the gradients of equal rows.

    Args:
        grads: Array[n, ...].
        rows: Array[n] int32; num_rows or more marks entries to leave out.
        num_rows: R.

    Returns:
        merged Array[n, ...], at the first appearance of each row, and unique Array[n] int32, distinct; the places left
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
        project: norm constraint, Array[n, ...] -> the same, such as the `project` of a `geometry.Constraint`.

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

    def per_row(state):
        return optax.tree_utils.tree_map_params(
            transform, lambda _: True, state, transform_non_params=lambda _: False
        )  # the rest, such as step counters, is common to all rows

    def read(rows, opt_state, table):
        state = jax.tree.map(lambda is_row, leaf: leaf[rows] if is_row else leaf, per_row(opt_state), opt_state)
        return Read(table[rows], state)

    def write(grads, rows, read, opt_state, table):
        merged, unique = merge_rows(grads, rows, table.shape[0])
        updates, state = transform.update(merged, read.state, read.values)

        def put(new, leaf):
            return leaf.at[unique].set(new, mode="drop", unique_indices=True)

        opt_state = jax.tree.map(
            lambda is_row, new, leaf: put(new, leaf) if is_row else new, per_row(opt_state), state, opt_state
        )
        return put(project(read.values + updates), table), opt_state

    return TableOptimizer(init, read, write, lambda opt_state, table: table)


def dense(transform: optax.GradientTransformation, project: Callable[[Array], Array]) -> TableOptimizer:
    """The whole table at every step, as a plain optax loop does: the oracle of the others, and slow. Same arguments."""

    def write(grads, rows, read, opt_state, table):
        del read
        gradient = jnp.zeros_like(table).at[rows].add(grads, mode="drop")
        updates, opt_state = transform.update(gradient, opt_state, table)
        return project(table + updates), opt_state

    return TableOptimizer(
        transform.init,
        lambda rows, opt_state, table: Read(table[rows], ()),
        write,
        lambda opt_state, table: table,
    )


class CatchUpState(NamedTuple):
    """Adam's state, and up to which step each row has been brought."""

    adam: PyTree
    done: Array  # [R] int32


def catch_up(
    transform: optax.GradientTransformation, project: Callable[[Array], Array], learning_rate: Array | float
) -> TableOptimizer:
    """Adam on the touched rows whose other rows behave as dense Adam's do; they move when they are next touched.

    In a step without a gradient dense Adam decays a row's moments and moves it on by what is left of the first one.
    With m and v the moments after step t0, the k steps after it move a row by

        -rate m / sqrt(v) sum_j r^j c(t0 + j),  r = b1 / sqrt(b2),  c(s) = sqrt(1 - b2^s) / (1 - b1^s),  j = 1 .. k

    (epsilon is left out of the sum's terms; it is far below sqrt(v)). The sum is A(t0) - r^k A(t0 + k), where A(t) is
    that of all steps after t and stands in a table; c is 1 beyond the table's end. A constraint by projection is
    applied when the row is touched, not at each of the k steps.

    Args:
        transform: `optax.adam` with its default decays and this learning rate.
        project: as for `lazy`.
        learning_rate: of this step; where it changes over the steps, rows move by that of the step that moves them.
    """
    inner = lazy(transform, project)
    tail = jnp.asarray(_adam_tail())

    def bring(values, state, done):
        """Rows and their moments as they would stand after all steps so far."""
        get, put = optax.tree_utils.tree_get, optax.tree_utils.tree_set
        count, first, second = get(state, "count"), get(state, "mu"), get(state, "nu")
        missed = (count - done).astype(jnp.float32)
        last = tail.shape[0] - 1
        due = tail[jnp.minimum(done, last)] - _RATIO**missed * tail[jnp.minimum(count, last)]
        per_row = (-1,) + (1,) * (values.ndim - 1)
        values = values - learning_rate * due.reshape(per_row) * first / (jnp.sqrt(second) + _EPSILON)
        decayed = {"mu": first * (_B1**missed).reshape(per_row), "nu": second * (_B2**missed).reshape(per_row)}
        return Read(values, put(state, **decayed))

    def read(rows, opt_state, table):
        values, state = inner.read(rows, opt_state.adam, table)
        return bring(values, state, opt_state.done[rows])

    def write(grads, rows, read, opt_state, table):
        table, adam = inner.write(grads, rows, read, opt_state.adam, table)
        now = optax.tree_utils.tree_get(adam, "count")
        return table, CatchUpState(adam, opt_state.done.at[rows].set(now, mode="drop"))

    def flush(opt_state, table):
        return project(bring(table, opt_state.adam, opt_state.done).values)

    def moments(opt_state, table):
        return bring(table, opt_state.adam, opt_state.done).state

    def with_moments(moments, table):
        return CatchUpState(
            moments, jnp.full(table.shape[0], optax.tree_utils.tree_get(moments, "count"), dtype=jnp.int32)
        )

    def init(table):
        return with_moments(inner.init(table), table)

    return TableOptimizer(init, read, write, flush, moments, with_moments)


_B1, _B2, _EPSILON = 0.9, 0.999, 1e-8  # the defaults of optax.adam
_RATIO = _B1 / _B2**0.5


def _adam_tail(size: int = 20_000) -> np.ndarray:
    """A(t) = sum over j >= 1 of r^j c(t + j) for t in [0, size), see `catch_up`."""
    steps = np.arange(1, size + 400, dtype=np.float64)
    corrections = np.sqrt(1.0 - _B2**steps) / (1.0 - _B1**steps)
    powers = _RATIO ** np.arange(1, 401)  # 0.9^400 is below float64's rounding
    return np.convolve(corrections, powers[::-1], mode="valid")[:size].astype(np.float32)


ROW_MODES: dict[str, Callable[..., TableOptimizer]] = {  # name -> (transform, project, learning_rate) -> optimizer
    "catch_up": catch_up,
    "dense": lambda transform, project, learning_rate: dense(transform, project),
    "lazy": lambda transform, project, learning_rate: lazy(transform, project),
}
ONLY_FOR = {"catch_up": "adam"}  # row mode -> the one optimizer that it is written for
