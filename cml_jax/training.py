"""The training step: draw, differentiate with respect to the gathered rows, update and project just those."""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from cml_jax import csr, losses, sampling, sharding
from cml_jax.geometry import CONSTRAINTS, points_of_inner_products
from cml_jax.rowwise import ROW_MODES, TableOptimizer
from cml_jax.types import Array, DeviceInteractions, HParams, Params, Spec, StepMetrics, TrainState

LOSSES = ("triplet", "softmax", "bpr")
LOSS_REDUCTIONS = ("mean", "sum")
GOR_FORMS = ("mean", "sum")
AVERAGE_EVERY = 32  # steps; a pass over the tables for each would cost more than the steps
_NO_ROW = 2**31 - 1
OPTIMIZERS = {"adagrad": optax.adagrad, "adam": optax.adam, "rmsprop": optax.rmsprop, "sgd": optax.sgd}


class _Drawn(NamedTuple):
    """What a step works on, before any embedding is looked up.

    The items besides the positives are the batch's own negatives, Array[B, N], or the shared candidates, Array[C].
    """

    users: Array  # [B] int32
    positives: Array  # [B] int32
    others: Array  # [B, N] or [C] int32
    trained: Array  # [B] bool; triplets that count
    valid: Array  # [B, N] or [B, C] bool; pairs of a user and another item that count
    no_negative: Array  # int32 scalar


def init_state(spec: Spec, data: DeviceInteractions, hparams: HParams, seed: Array | int) -> TrainState:
    """Gaussian rows of expected squared norm init_scale^2 under the constraint, empty optimizer states, step 0.

    Where P > 1 every device makes its own part of the tables; their rows are those of P = 1, and rows of zeros.
    """
    if spec.num_shards == 1:
        return _jitted_init_state(spec, data, hparams, seed)
    init = functools.partial(_init_state, spec)
    specs = sharding.state_specs(jax.eval_shape(init, data, hparams, seed))
    return jax.jit(init, out_shardings=sharding.shardings(specs, spec.num_shards))(data, hparams, seed)


def _init_state(spec: Spec, data: DeviceInteractions, hparams: HParams, seed: Array | int) -> TrainState:
    user_key, item_key = jax.random.split(_stream(seed, 0))

    def random_table(key, num_rows):
        deviation = hparams.init_scale / spec.dim**0.5
        rows = sharding.padded(num_rows, spec.num_shards)
        table = CONSTRAINTS[spec.constraint].project(deviation * jax.random.normal(key, (rows, spec.dim)))
        return jnp.where(jnp.arange(rows)[:, None] < num_rows, table, 0.0)

    params = Params(random_table(user_key, data.num_users), random_table(item_key, data.num_items))
    optimizer = _table_optimizer(spec, hparams, jnp.int32(0))
    return TrainState(
        step=jnp.int32(0),
        seed=jnp.asarray(seed, jnp.int32),
        params=params,
        opt_state=(optimizer.init(params.users), optimizer.init(params.items)),
        sampler_state=sampling.SAMPLERS[spec.sampler](spec, data, hparams).init(),
        snapshot=None if spec.refresh_every == 1 else jnp.copy(params.items),
        average=jax.tree.map(jnp.copy, params) if spec.average else None,
    )


_jitted_init_state = jax.jit(_init_state, static_argnums=0)


def make_step(spec: Spec):
    """The step as a pure function (state, data, hparams) -> (state, StepMetrics); not jitted."""
    draw = _draw_candidates if spec.loss == "softmax" else _draw_negatives

    def step(state: TrainState, data: DeviceInteractions, hparams: HParams) -> tuple[TrainState, StepMetrics]:
        snapshot = _refreshed_snapshot(spec, state)
        seen = state.params if snapshot is None else state.params._replace(items=snapshot)
        if spec.num_shards > 1:
            seen = sharding.whole(seen)
        drawn = draw(spec, data, hparams, state, seen)

        params = state.params
        optimizer = _table_optimizer(spec, hparams, state.step)
        item_ids = jnp.concatenate([drawn.positives, drawn.others.ravel()])
        user_read = optimizer.read(drawn.users, state.opt_state[0], params.users)
        item_read = optimizer.read(item_ids, state.opt_state[1], params.items)
        rows = (user_read.values, item_read.values)
        loss, (user_grads, item_grads) = jax.value_and_grad(_batch_loss)(rows, drawn, spec, hparams)

        # What does not count is sent out of bounds, where the optimizer leaves it out.
        counted = jnp.any(drawn.valid, axis=0) if drawn.others.ndim == 1 else drawn.valid
        user_ids = jnp.where(drawn.trained, drawn.users, _NO_ROW)
        counted = jnp.concatenate([drawn.trained, counted.ravel()])
        item_ids = jnp.where(counted, item_ids, _NO_ROW)

        users, user_state = optimizer.write(user_grads, user_ids, user_read, state.opt_state[0], params.users)
        items, item_state = optimizer.write(item_grads, item_ids, item_read, state.opt_state[1], params.items)
        state = dataclasses.replace(
            state,
            step=state.step + 1,
            params=Params(users, items),
            opt_state=(user_state, item_state),
            snapshot=snapshot,
        )
        if spec.average:
            state = dataclasses.replace(state, average=_averaged(state, optimizer, hparams))
        return state, StepMetrics(loss, drawn.no_negative)

    return step


@functools.partial(jax.jit, static_argnames="spec")
def settled(state: TrainState, hparams: HParams, *, spec: Spec) -> Params:
    """The tables to be evaluated, with what rows = 'catch_up' still owes to rows that were not touched lately.

    With `spec.average` they are an exponential moving average of the tables (Polyak and Juditsky 1992), sampled every
    `AVERAGE_EVERY` steps with a window of `hparams.average_steps`, and until then their plain mean: what draws and
    batches add to the rows is averaged away, at a learning rate that still makes progress.
    """
    live = _settled(state, _table_optimizer(spec, hparams, state.step))
    if state.average is None:
        return live
    return jax.tree.map(lambda a, b: jnp.where(state.step < AVERAGE_EVERY, a, b), live, state.average)


def _settled(state: TrainState, optimizer: TableOptimizer) -> Params:
    return Params(*map(optimizer.settle, state.opt_state, state.params))


def _averaged(state: TrainState, optimizer: TableOptimizer, hparams: HParams) -> Params | None:
    """The average of the tables after this step."""
    weight = AVERAGE_EVERY / jnp.minimum(jnp.maximum(hparams.average_steps, AVERAGE_EVERY), state.step)

    def moved():
        return jax.tree.map(lambda mean, now: mean + weight * (now - mean), state.average, _settled(state, optimizer))

    return jax.lax.cond(state.step % AVERAGE_EVERY == 0, moved, lambda: state.average)


def embeddings(params: Params, constraint: str, loss: str) -> Params:
    """The points of the metric space that the tables stand for; what is ranked, evaluated and exported.

    Array[U, D] and Array[I, D]; of a model of inner products, loss 'bpr', D + 1, see `points_of_inner_products`.
    """
    if loss == "bpr":
        return Params(*points_of_inner_products(*params))
    embed = CONSTRAINTS[constraint].embed
    return Params(embed(params.users), embed(params.items))


@functools.partial(jax.jit, static_argnames=("spec", "num_steps"), donate_argnames="state")
def run_steps(
    state: TrainState, data: DeviceInteractions, hparams: HParams, *, spec: Spec, num_steps: int
) -> tuple[TrainState, StepMetrics]:
    """`num_steps` steps in one dispatch; the state is donated, the metrics are Array[num_steps] each."""
    step = make_step(spec)

    def run(state, data, hparams):
        return jax.lax.scan(lambda s, _: step(s, data, hparams), state, length=num_steps)

    if spec.num_shards > 1:
        specs, everywhere = sharding.state_specs(state), jax.sharding.PartitionSpec()
        run = jax.shard_map(
            run,
            mesh=sharding.make_mesh(spec.num_shards),
            in_specs=(specs, everywhere, everywhere),
            out_specs=(specs, everywhere),
        )
    return run(state, data, hparams)


def _stream(seed: Array | int, number: int) -> Array:
    """The key of one of the run's independent streams: 0 initialisation, 1 order of the pairs, 2 negatives."""
    return jax.random.fold_in(jax.random.key(seed), number)


def _table_optimizer(spec: Spec, hparams: HParams, step: Array) -> TableOptimizer:
    rate = hparams.learning_rate * jnp.maximum(0.0, 1.0 - step / hparams.decay_steps)
    optimizer = ROW_MODES[spec.rows](OPTIMIZERS[spec.optimizer](rate), CONSTRAINTS[spec.constraint].project, rate)
    return sharding.split(optimizer) if spec.num_shards > 1 else optimizer


def _refreshed_snapshot(spec: Spec, state: TrainState) -> Array | None:
    """Item embeddings as stage 2 sees them at this step; None for the live ones."""
    if spec.refresh_every <= 1 or state.snapshot is None:
        return state.snapshot
    due = state.step % spec.refresh_every == 0
    return jax.lax.cond(due, lambda: state.params.items, lambda: state.snapshot)


def _draw_negatives(spec: Spec, data: DeviceInteractions, hparams: HParams, state: TrainState, seen: Params) -> _Drawn:
    """Triplets: the positives of this step and the negatives that the sampler draws for them."""
    users, positives, filled = sampling.positives(_stream(state.seed, 1), state.step, data, spec.batch_size)
    key = jax.random.fold_in(_stream(state.seed, 2), state.step)
    sampler = sampling.SAMPLERS[spec.sampler](spec, data, hparams)
    negatives, valid = sampler.sample(key, state.sampler_state, seen, users, positives)
    trained = filled & valid
    return _Drawn(
        users=users,
        positives=positives,
        others=negatives,
        trained=trained,
        valid=jnp.broadcast_to(trained[:, None], negatives.shape),
        no_negative=jnp.sum(filled & ~valid, dtype=jnp.int32),
    )


def _draw_candidates(spec: Spec, data: DeviceInteractions, hparams: HParams, state: TrainState, seen: Params) -> _Drawn:
    """Positives of this step and stage 1's candidates, all of which will be weighted."""
    del hparams, seen
    users, positives, filled = sampling.positives(_stream(state.seed, 1), state.step, data, spec.batch_size)
    key = jax.random.fold_in(_stream(state.seed, 2), state.step)
    uniforms = jax.random.uniform(key, (2 * spec.num_draws,))
    candidates, drawn = sampling.draw_candidates(key, uniforms, state.sampler_state, spec, data.num_items)
    valid = filled[:, None] & drawn[None, :] & ~csr.known_positives(data, users, candidates)
    trained = jnp.any(valid, axis=1)
    return _Drawn(
        users=users,
        positives=positives,
        others=candidates,
        trained=trained,
        valid=valid,
        no_negative=jnp.sum(filled & ~trained, dtype=jnp.int32),
    )


def _batch_loss(rows: tuple[Array, Array], drawn: _Drawn, spec: Spec, hparams: HParams) -> Array:
    """Loss over the B slots of the batch, those left out counting 0, plus the weighted GOR term.

    Args:
        rows: users Array[B, D] and items Array[B + B N, D] or Array[B + C, D], the positives first.
        drawn: what the rows are.
        spec: loss, loss_reduction, gor, constraint and dim are used.
        hparams: margin, temperature, l2_weight, gor_weight.
    """
    embed = CONSTRAINTS[spec.constraint].embed
    users, items = embed(rows[0]), embed(rows[1])
    positives, others = items[: spec.batch_size], items[spec.batch_size :]
    others = others.reshape(*drawn.others.shape, spec.dim)  # [B, N, D] or [C, D]
    batch, total = (users, positives, drawn.trained, drawn.valid), jnp.sum
    if spec.num_shards > 1:
        batch, total = sharding.my_part(batch), sharding.total
        others = others if others.ndim == 2 else sharding.my_part(others)
    users, positives, trained, valid = batch
    if spec.loss == "softmax":
        each = jax.vmap(losses.softmax_loss, in_axes=(0, 0, None, 0, None, None))(
            users, positives, others, valid, hparams.temperature, spec.decoupled
        )
    elif spec.loss == "bpr":
        each = jax.vmap(losses.bpr_loss, in_axes=(0, 0, 0, None))(users, positives, others, hparams.l2_weight)
    else:
        each = jax.vmap(losses.triplet_loss, in_axes=(0, 0, 0, None))(users, positives, others, hparams.margin)
    loss = total(jnp.where(trained, each, 0.0))
    if spec.loss_reduction == "mean":
        loss /= spec.batch_size
    if spec.gor == "none":
        return loss
    against = "bd,cd->bc" if spec.loss == "softmax" else "bd,bnd->bn"
    products = jnp.stack([jnp.einsum(against, anchors, others) for anchors in (users, positives)])
    weights = jnp.broadcast_to(valid, products.shape).astype(products.dtype)
    if spec.gor == "mean":
        return loss + hparams.gor_weight * losses.gor(products, weights, spec.dim, total)
    return loss + hparams.gor_weight * sum(
        losses.gor_sum(some, weight, spec.dim, total) for some, weight in zip(products, weights, strict=True)
    )
