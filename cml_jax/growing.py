"""A trained model as the start of another on grown data: where rows of known ids go, and where new ones begin."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse

from cml_jax import training
from cml_jax.data.features import Features
from cml_jax.data.interactions import Dataset, Interactions
from cml_jax.data.tables import rows_among
from cml_jax.errors import ConfigError, DataError
from cml_jax.geometry import Constraint
from cml_jax.keys import unused
from cml_jax.models import MODELS, Model
from cml_jax.options import declared
from cml_jax.strategies import Options
from cml_jax.table_kinds import KINDS, kinds_of_tables
from cml_jax.types import Array, Params, PyTree, TrainState


class Moments(NamedTuple):
    """The state of an optimizer.

    Attributes:
        tables: table -> the state of the optax optimizer, flushed; leaves of the table's shape are by row.
        dense: that of the dense parameters.
    """

    tables: dict[str, PyTree]
    dense: PyTree


class Old(NamedTuple):
    """A trained model that another one starts from.

    Attributes:
        name: where it is from, for sentences.
        options: of the model.
        params: its tables have a row for each raw id.
        user_ids: ndarray[U]; raw ids.
        item_ids: ndarray[I]; raw ids.
        moments: of its optimizer; None where they are not known.
        why_not: where they are not known, the reason, as the end of a sentence.
        item_features: what it knows of its items; None for nothing.
        user_features: likewise of its users.
    """

    name: str
    options: Options
    params: Params
    user_ids: np.ndarray
    item_ids: np.ndarray
    moments: Moments | None = None
    why_not: str = ""
    item_features: Features | None = None
    user_features: Features | None = None


class _Rows(NamedTuple):
    """Where the rows of one kind, users or items, come from.

    Attributes:
        of_old: ndarray[n] int64; row of the old model, -1 for a new id.
        placed: ndarray[n] bool; known, or new with a known neighbour.
        num_old: rows of the old model.
    """

    of_old: np.ndarray
    placed: np.ndarray
    num_old: int

    @property
    def known(self) -> np.ndarray:
        """ndarray[n] bool."""
        return self.of_old >= 0


def check_same_model(options: Options, old: Options, name: str) -> None:
    """Raises ConfigError where rows of the old model mean something else than those of the new one.

    That is where the model's name or a static option of it differs: the dimension, the norm constraint, a number of
    vectors.
    """
    now, there = options.values(), old.values()
    keys = ["model.name", *(f"model.{o.name}" for o in declared(MODELS[options.model.name].options) if not o.traced)]
    of_no_effect = {option.key for option in unused(options, {key: now[_name_of(key)] for key in keys})}
    for key in keys:
        name_of = _name_of(key)
        if key not in of_no_effect and now[name_of] != there.get(name_of):
            raise ConfigError(
                f"config.{key} = {now[name_of]!r}, and that of {name} is {there.get(name_of)!r}; give config.{key} = "
                f"{there.get(name_of)!r}, or leave config.init_from out."
            )


def _name_of(key: str) -> str:
    return "model" if key == "model.name" else key.removeprefix("model.")


def grown_state(fresh: TrainState, options: Options, dataset: Dataset, old: Old) -> tuple[TrainState, tuple[str, ...]]:
    """A state before the first step that goes on with what an old model has learned.

    Rows of known raw ids are those of the old model, to the bit, with the moments of the optimizer where they are
    known, and so are dense parameters. A new user starts at the mean of the points of its known items, a new item at
    that of its known users, within the constraint; then, once more, those that have neighbours among the new ones
    placed so far. The rest, and every new row of other tables, stay as they are in the fresh state. Users of several
    points start around the mean by a fresh row, since equal points would stay equal. Step, draws and schedules are
    those of a new run; an average starts at the parameters.

    Args:
        fresh: from `training.init_state`, on the devices that the result is to be on.
        options: of the new run.
        dataset: of the new run.
        old: the old model.

    Returns:
        The state, and sentences for the log.

    Raises:
        ConfigError: the models differ.
        DataError: they have no raw id in common.
    """
    check_same_model(options, old.options, old.name)
    model = options.make_model()
    kinds = kinds_of_tables(model)
    rows = {
        "user": _rows(old.user_ids, dataset.user_ids),
        "item": _rows(old.item_ids, dataset.item_ids),
    }
    if not any(of.known.any() for of in rows.values()):
        raise DataError(f"no user and no item of {old.name} is in the data; check the ids, or leave init_from out.")
    of_values = _rows_of_values(dataset, old) if model.of_features is not None else {}
    kinds, rows = kinds | {table: table for table in of_values}, rows | of_values
    tables = {}
    for table, array in fresh.params.tables.items():
        tables[table] = _moved(np.asarray(array), np.asarray(old.params.tables[table]), rows, kinds[table], table)
    rows = _place(model, tables, rows, dataset.train)
    params = Params(
        {table: _like(array, fresh.params.tables[table]) for table, array in tables.items()},
        jax.tree.map(_kept_dense, fresh.params.dense, old.params.dense),
    )
    opt_state, dense_opt_state, about = _moments(fresh, options, params, old, rows, kinds)
    state = dataclasses.replace(
        fresh,
        params=params,
        opt_state=opt_state,
        dense_opt_state=dense_opt_state,
        snapshot=None if fresh.snapshot is None else jnp.copy(params.tables["items"]),
        average=None if fresh.average is None else jax.tree.map(jnp.copy, params),
    )
    return state, _sentences(old.name, {kind: rows[kind] for kind in KINDS}, about)


def _rows(old_ids: np.ndarray, ids: np.ndarray) -> _Rows:
    of_old = rows_among(old_ids, ids)
    return _Rows(of_old, of_old >= 0, len(old_ids))


def _rows_of_values(dataset: Dataset, old: Old) -> dict[str, _Rows]:
    """Where rows of the tables of values of features come from, by table.

    Raises:
        ConfigError: the columns differ.
    """
    found = {}
    for kind in KINDS:
        now, there = (getattr(data, f"{kind}_features") for data in (dataset, old))
        columns = [{(f.name, f.kind) for f in of.columns} if of is not None else set() for of in (now, there)]
        if columns[0] != columns[1]:
            raise ConfigError(
                f"config.init_from does not fit: {old.name} learned from other columns of {kind} features; give the "
                f"same, or leave config.init_from out."
            )
        if now is not None and there is not None:
            found[f"{kind}_values"] = _rows(there.value_names(), now.value_names())
    return found


def _moved(fresh: np.ndarray, old: np.ndarray, rows: Mapping[str, _Rows], kind: str | None, table: str) -> np.ndarray:
    """A fresh array by row in which the rows of known ids are those of the old one."""
    if fresh.shape[1:] != old.shape[1:] or (kind is None and len(fresh) != len(old)):
        raise ConfigError(
            f"config.init_from does not fit: rows of the table '{table}' are of shape {old.shape} there and of "
            f"{fresh.shape} here."
        )
    if kind is None:
        return old
    moved, of_old, known = np.array(fresh), rows[kind].of_old, rows[kind].known
    moved[: len(of_old)][known] = old[of_old[known]]
    return moved


def _kept_dense(fresh: Array, old: Array) -> Array:
    if jnp.shape(fresh) != jnp.shape(old):
        raise ConfigError(
            f"config.init_from does not fit: a dense parameter is of shape {jnp.shape(old)} there and of "
            f"{jnp.shape(fresh)} here."
        )
    return _like(old, fresh)


def _like(values: PyTree, like: Array) -> Array:
    """An array of its own, laid out over devices as another one."""
    return jnp.copy(jax.device_put(jnp.asarray(values, like.dtype), like.sharding))


def _place(
    model: Model, tables: dict[str, np.ndarray], rows: dict[str, _Rows], train: Interactions
) -> dict[str, _Rows]:
    """Writes the rows of new users and items that have placed neighbours into the tables, in two rounds."""
    sizes = (train.num_users, train.num_items)
    pairs = scipy.sparse.csr_array((np.ones(train.num_pairs, np.float32), train.items, train.indptr), shape=sizes)
    neighbours = {"user": pairs, "item": pairs.T.tocsr()}
    points = {kind: _points(model, tables, kind, rows[kind]) for kind in KINDS}
    known = points["item" if rows["item"].placed.any() else "user"]
    scale = float(np.sqrt(np.square(known).sum() / np.any(known, axis=1).sum()))
    for _ in range(2):
        points = {kind: _points(model, tables, kind, rows[kind]) for kind in KINDS}
        after = dict(rows)
        for kind, other in (KINDS, KINDS[::-1]):
            new = np.flatnonzero(~rows[kind].placed)
            counts = neighbours[kind][new] @ rows[other].placed.astype(np.float32)
            new, counts = new[counts > 0], counts[counts > 0]
            if len(new) == 0:
                continue
            means = (neighbours[kind][new] @ points[other]) / counts[:, None]
            tables[f"{kind}s"][new] = _within(model, f"{kind}s", means, tables[f"{kind}s"][new], scale)
            placed = rows[kind].placed.copy()
            placed[new] = True
            after[kind] = rows[kind]._replace(placed=placed)
        rows = after
    return rows


def _points(model: Model, tables: Mapping[str, np.ndarray], kind: str, rows: _Rows) -> np.ndarray:
    """ndarray[n, D]; points of the placed rows, zeros for the others; of several points of a user the mean."""
    table = f"{kind}s"
    points = np.array(jax.jit(_constraint(model, table).embed)(tables[table][: len(rows.placed)]))
    points = points.mean(axis=1) if points.ndim == 3 else points
    points[~rows.placed] = 0.0
    return points


def _within(model: Model, table: str, means: np.ndarray, fresh: np.ndarray, scale: float) -> np.ndarray:
    """Rows of a table at the means of points, within its constraint."""
    rows = means + np.zeros_like(fresh) if fresh.ndim == 2 else means[:, None, :] + fresh
    return np.asarray(jax.jit(_constraint(model, table).parametrize)(rows, scale))


def _constraint(model: Model, table: str) -> Constraint:
    return model.constraints.get(table, Constraint())


def _moments(
    fresh: TrainState,
    options: Options,
    params: Params,
    old: Old,
    rows: Mapping[str, _Rows],
    kinds: Mapping[str, str | None],
) -> tuple[dict[str, PyTree], PyTree, str]:
    """States of the optimizer of tables and of the dense part, and a sentence about them."""
    reason = old.why_not
    if old.moments is not None and old.options.optimizer.name != options.optimizer.name:
        reason = f"those of {old.name} are of {old.options.optimizer.name}"
    if old.moments is None or reason:
        return fresh.opt_state, fresh.dense_opt_state, f"The optimizer starts anew: {reason}."
    opt_state = {}
    optimizers = training.table_optimizers(options, options.make_model(), params, fresh.step)
    for table, array in params.tables.items():

        def carried(new, before, table=table, array=array):
            if jnp.shape(new) != array.shape:
                return _like(before, new)  # a counter
            return _like(_moved(np.asarray(new), np.asarray(before), rows, kinds[table], table), new)

        moments = jax.tree.map(
            carried, optimizers[table].moments(fresh.opt_state[table], array), old.moments.tables[table]
        )
        opt_state[table] = jax.tree.map(
            lambda leaf, like: _like(leaf, like), optimizers[table].with_moments(moments, array), fresh.opt_state[table]
        )
    dense = jax.tree.map(_kept_dense, fresh.dense_opt_state, old.moments.dense)
    return opt_state, dense, f"The optimizer goes on with the moments of {old.name}."


def _sentences(name: str, rows: Mapping[str, _Rows], about: str) -> tuple[str, ...]:
    """What was kept, where new rows start and what was dropped, with counts."""
    known = " and ".join(f"{of.known.sum():,} of {len(of.known):,} {kind}s" for kind, of in rows.items())
    parts = [f"Starting from {name}: {known} are known"]
    for kind, other in (KINDS, KINDS[::-1]):
        of = rows[kind]
        placed, alone = int((of.placed & ~of.known).sum()), int((~of.placed).sum())
        if placed:
            parts.append(f"{placed:,} new {kind}s start at the mean of their {other}s' points")
        if alone:
            parts.append(f"{alone:,} new {kind}s without such {other}s start at random")
    gone = {kind: of.num_old - int(of.known.sum()) for kind, of in rows.items()}
    if any(gone.values()):
        dropped = " and ".join(f"{count:,} {kind}s" for kind, count in gone.items() if count)
        parts.append(f"dropped {dropped} that are not in the data any more")
    return "; ".join(parts) + ".", about
