"""The training step: draw, differentiate with respect to the rows read, update and project just those."""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from cml_jax import batches, sharding
from cml_jax.candidate_mask import CandidateMask
from cml_jax.geometry import Constraint
from cml_jax.models.base import Model
from cml_jax.optimizers import dense_optimizer, table_optimizer
from cml_jax.rowwise import TableOptimizer
from cml_jax.samplers.base import Sampler
from cml_jax.strategies import Options
from cml_jax.types import Array, Batch, DeviceInteractions, Lookup, Params, Points, PyTree, StepMetrics, TrainState

AVERAGE_EVERY = 32  # steps; a pass over the tables for each would cost more than the steps
_NO_ROW = 2**31 - 1
Optimizers = dict[str, TableOptimizer]


def init_state(options: Options, data: DeviceInteractions, seed: Array | int) -> TrainState:
    """The model's parameters at the start, empty optimizer states, step 0.

    Where P > 1 tables are split by row over devices; their rows are those of P = 1, and rows of zeros.
    """
    if options.num_shards == 1:
        return _jitted_init_state(options, data, seed)
    specs = sharding.state_specs(jax.eval_shape(_init_state, options, data, seed))
    return jax.jit(_init_state, out_shardings=sharding.shardings(specs, options.num_shards))(options, data, seed)


def _init_state(options: Options, data: DeviceInteractions, seed: Array | int) -> TrainState:
    model, sampler = options.make_model(), options.make_sampler(data)
    params = model.init(_stream(seed, 0), data)
    params = params._replace(tables={name: _filled_up(table, options) for name, table in params.tables.items()})
    optimizers = table_optimizers(options, model, params, jnp.int32(0))
    return TrainState(
        step=jnp.int32(0),
        seed=jnp.asarray(seed, jnp.int32),
        params=params,
        opt_state={name: optimizers[name].init(table) for name, table in params.tables.items()},
        dense_opt_state=dense_optimizer(options.optimizer, jnp.int32(0)).init(params.dense),
        sampler_state=() if options.loss_takes == "batch" else sampler.init(),
        snapshot=None if _sees_live_items(options, sampler) else jnp.copy(params.tables["items"]),
        average=jax.tree.map(jnp.copy, params) if options.optimizer.average else None,
    )


_jitted_init_state = jax.jit(_init_state)


def _filled_up(table: Array, options: Options) -> Array:
    """The table with rows of zeros at its end, so that every device holds as many rows."""
    more = sharding.padded(table.shape[0], options.num_shards) - table.shape[0]
    return jnp.pad(table, ((0, more),) + ((0, 0),) * (table.ndim - 1)) if more else table


def make_step(options: Options) -> Callable[[TrainState, DeviceInteractions], tuple[TrainState, StepMetrics]]:
    """The step as a pure function (state, data) -> (state, StepMetrics); not jitted."""
    model = options.make_model()

    def step(state: TrainState, data: DeviceInteractions) -> tuple[TrainState, StepMetrics]:
        sampler = options.make_sampler(data)
        snapshot = _refreshed_snapshot(sampler, state)
        batch, sampler_state = draw_batch(options, model, sampler, data, state, snapshot)
        lookups, params = model.lookups(batch, data), state.params

        optimizers = table_optimizers(options, model, params, state.step)
        ids, counted = _of_tables(lookups, "ids"), _of_tables(lookups, "counted")
        reads = {name: optimizers[name].read(ids[name], state.opt_state[name], params.tables[name]) for name in ids}
        rows = {table: read.values for table, read in reads.items()}
        objective = functools.partial(_objective, options, model, lookups, batch)
        loss, (grads, dense_grads) = jax.value_and_grad(objective, argnums=(0, 1))(rows, params.dense)

        tables, opt_state = dict(params.tables), dict(state.opt_state)
        for table, read in reads.items():
            # What does not count is sent out of bounds, where the optimizer drops it.
            rows_written = jnp.where(counted[table], ids[table], _NO_ROW)
            written = optimizers[table].write(grads[table], rows_written, read, opt_state[table], tables[table])
            tables[table], opt_state[table] = written
        updates, dense_opt_state = dense_optimizer(options.optimizer, state.step).update(
            dense_grads, state.dense_opt_state, params.dense
        )
        state = dataclasses.replace(
            state,
            step=state.step + 1,
            params=Params(tables, optax.apply_updates(params.dense, updates)),
            opt_state=opt_state,
            dense_opt_state=dense_opt_state,
            sampler_state=sampler_state,
            snapshot=snapshot,
        )
        if options.optimizer.average:
            state = dataclasses.replace(state, average=_averaged(options, state, optimizers))
        return state, StepMetrics(loss, batch.no_negative)

    return step


def _sees_live_items(options: Options, sampler: Sampler) -> bool:
    """Whether no snapshot of the items is needed: nothing looks at embeddings to draw candidates."""
    return sampler.refresh_every == 1 or options.loss_takes != "negatives"


def _refreshed_snapshot(sampler: Sampler, state: TrainState) -> Array | None:
    """The items' table as the sampler sees it at this step; None for the live one."""
    if sampler.refresh_every <= 1 or state.snapshot is None:
        return state.snapshot
    due = state.step % sampler.refresh_every == 0
    return jax.lax.cond(due, lambda: state.params.tables["items"], lambda: state.snapshot)


def draw_batch(
    options: Options,
    model: Model,
    sampler: Sampler,
    data: DeviceInteractions,
    state: TrainState,
    snapshot: Array | None = None,
) -> tuple[Batch, PyTree]:
    """The positives of a step, the sampler's negatives or candidates for them, dislikes, and what the model draws.

    Args:
        options: of the step.
        model: shows the sampler the metric space, and may draw something itself.
        sampler: of the options.
        data: training interactions.
        state: before the step; its seed and step decide every draw.
        snapshot: the items' table as the sampler sees it; None for the live one.

    Returns:
        The batch, and the sampler's state after it.
    """
    users, positives, filled, weights = batches.positives(_stream(state.seed, 1), state.step, data, options.batch_size)
    if options.loss_takes == "batch":
        others, valid = (jnp.zeros((options.batch_size, 0), kind) for kind in (jnp.int32, bool))
        trained, sampler_state = filled, state.sampler_state
    else:
        points = _points(options, model, state, snapshot)
        others, valid, sampler_state = _draw_others(options, sampler, data, state, points, (users, positives, filled))
        trained = valid.of_pairs() if isinstance(valid, CandidateMask) else jnp.any(valid, axis=1)
    no_negative = jnp.sum(filled & ~trained, dtype=jnp.int32)
    batch = Batch(users, positives, others, trained, valid, no_negative, weights)
    key = jax.random.fold_in(_stream(state.seed, 4), state.step)
    return batch._replace(drawn=model.draw(key, batch, data)), sampler_state


def _draw_others(
    options: Options,
    sampler: Sampler,
    data: DeviceInteractions,
    state: TrainState,
    points: Points,
    pairs: tuple[Array, Array, Array],
) -> tuple[Array, Array | CandidateMask, PyTree]:
    """`Batch.others` and `Batch.valid` of pairs, users, positives and whether there is one; the sampler's state."""
    users, positives, filled = pairs
    key = jax.random.fold_in(_stream(state.seed, 2), state.step)
    if options.loss_takes == "candidates":
        assert sampler.candidates is not None
        candidates, sampler_state = sampler.candidates(key, state.sampler_state, positives, filled)
        others, pair = candidates.ids, jnp.arange(options.batch_size, dtype=jnp.int32)
        valid = CandidateMask(data, candidates.ids, candidates.filled, None, users, filled, pair, candidates.correction)
    else:
        negatives, sampler_state = sampler.sample(key, state.sampler_state, points, users, positives)
        others = negatives.ids
        valid = jnp.broadcast_to((filled & negatives.valid)[:, None], others.shape)
    count = options.objective.num_dislikes
    if data.dislikes is not None and count:
        key = jax.random.fold_in(_stream(state.seed, 3), state.step)
        drawn, has = batches.dislikes_of(key, data.dislikes, users, filled, count)
        others, valid = batches.with_dislikes(others, valid, drawn, has)
    return others, valid, sampler_state


def _points(options: Options, model: Model, state: TrainState, snapshot: Array | None) -> Points:
    """The metric space as the sampler sees it."""
    tables = state.params.tables if snapshot is None else state.params.tables | {"items": snapshot}
    if options.num_shards > 1:
        tables = {name: sharding.ShardedTable(table) for name, table in tables.items()}
    dense = state.params.dense
    return Points(
        users=lambda ids: model.user_points(tables, dense, ids),
        items=lambda ids: model.item_points(tables, dense, ids),
        directions=lambda ids: model.directions(tables, dense, ids),
    )


def _of_tables(lookups: dict[str, Lookup], field: str) -> dict[str, Array]:
    """A field of the look-ups by table, flat: 'ids' or 'counted' of one role after the other."""
    found: dict[str, list[Array]] = {}
    for lookup in lookups.values():
        found.setdefault(lookup.table, []).append(getattr(lookup, field).ravel())
    return {table: jnp.concatenate(parts) for table, parts in found.items()}


def _by_role(lookups: dict[str, Lookup], by_table: dict[str, Array]) -> dict[str, Array]:
    """What belongs to each role of what was read of each table, in the shape of the role's ids."""
    found, start = {}, dict.fromkeys(by_table, 0)
    for role, (table, ids, *_) in lookups.items():
        own = by_table[table][start[table] : start[table] + ids.size]
        found[role] = own.reshape(*ids.shape, *own.shape[1:])
        start[table] += ids.size
    return found


def _objective(
    options: Options,
    model: Model,
    lookups: dict[str, Lookup],
    batch: Batch,
    rows: dict[str, Array],
    dense: PyTree,
) -> Array:
    """Loss over the B slots of the batch by weight, those left out counting 0, plus the model's penalty.

    Rows are by table.
    """
    total = jnp.sum
    points = _by_role(lookups, {table: _constraint(model, table).embed(found) for table, found in rows.items()})
    if options.num_shards > 1:
        total = sharding.total
        here = {True: sharding.of_this_device, False: sharding.local_slice}
        points = {role: here[lookups[role].shared](x) for role, x in points.items()}
        batch = sharding.local_batch(batch)
    found = model.loss(points, dense, batch)
    if found.ndim:
        each = found if batch.weights is None else batch.weights * found
        found = jnp.where(batch.trained, each, 0.0)
    loss = total(found)
    if options.objective.loss_reduction == "mean":
        loss /= options.batch_size
    return loss + model.penalty(points, dense, batch, total)


def _constraint(model: Model, table: str) -> Constraint:
    return model.constraints.get(table, Constraint())


def table_optimizers(options: Options, model: Model, params: Params, step: Array) -> Optimizers:
    """The optimizer of each table at a step."""
    return {
        name: table_optimizer(options.optimizer, step, _constraint(model, name).project, options.num_shards)
        for name in params.tables
    }


@jax.jit
def evaluation_params(state: TrainState, options: Options) -> Params:
    """The parameters to be evaluated: pending updates of rows = 'catch_up' are applied.

    With an average they are an exponential moving average (Polyak and Juditsky 1992), sampled every `AVERAGE_EVERY`
    steps with a window of `average_steps`, and until then the live ones: what draws and batches add to the rows is
    averaged away, at a learning rate that still makes progress.
    """
    live = _flushed(state, table_optimizers(options, options.make_model(), state.params, state.step))
    if state.average is None:
        return live
    return jax.tree.map(lambda a, b: jnp.where(state.step < AVERAGE_EVERY, a, b), live, state.average)


def _flushed(state: TrainState, optimizers: Optimizers) -> Params:
    tables = state.params.tables
    return state.params._replace(
        tables={name: optimizers[name].flush(state.opt_state[name], table) for name, table in tables.items()}
    )


def _averaged(options: Options, state: TrainState, optimizers: Optimizers) -> Params | None:
    """The average of the parameters after this step."""
    window = jnp.maximum(options.optimizer.average_steps, AVERAGE_EVERY)
    weight = AVERAGE_EVERY / jnp.minimum(window, state.step)

    def moved():
        return jax.tree.map(lambda mean, now: mean + weight * (now - mean), state.average, _flushed(state, optimizers))

    return jax.lax.cond(state.step % AVERAGE_EVERY == 0, moved, lambda: state.average)


@functools.partial(jax.jit, static_argnames="num_steps", donate_argnames="state")
def run_steps(
    state: TrainState, data: DeviceInteractions, options: Options, *, num_steps: int
) -> tuple[TrainState, StepMetrics]:
    """`num_steps` steps in one dispatch; the state is donated, the metrics are Array[num_steps] each."""

    def run(state, data, options):
        step = make_step(options)
        return jax.lax.scan(lambda s, _: step(s, data), state, length=num_steps)

    if options.num_shards > 1:
        specs, everywhere = sharding.state_specs(state), jax.sharding.PartitionSpec()
        run = jax.shard_map(
            run,
            mesh=sharding.make_mesh(options.num_shards),
            in_specs=(specs, everywhere, everywhere),
            out_specs=(specs, everywhere),
        )
    return run(state, data, options)


def _stream(seed: Array | int, number: int) -> Array:
    """The key of a stream of draws: 0 initialisation, 1 order of the pairs, 2 negatives, 3 dislikes, 4 the model's."""
    return jax.random.fold_in(jax.random.key(seed), number)
