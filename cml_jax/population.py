"""Populations: M members that differ in seed and in traced hyperparameters, trained by one compiled program.

The data are shared by the members, and so is the step that they are at; everything else has a leading axis M.

A member's draws are those of the same run alone. On accelerators the members are the batch axis of one program, and
their embeddings are those of runs alone but for rounding; a draw on the border between two candidates may then fall on
the other side. On CPU the program takes a chunk of steps of one member after the other: a batch axis is not faster
there (0.9 to 1.2 times the time, two-stage, B = 64 and 256, M = 4 to 16), and this way the results are those of runs
alone to the bit. (Slicing and stacking the members' states makes it a fourth slower than runs in turn with M = 16 and a
hundred steps a dispatch, so on CPU `experiments.sweep` calls the program of one member for each instead.)
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from cml_jax import training
from cml_jax.losses import blocks
from cml_jax.strategies import Options
from cml_jax.types import Array, Batch, DeviceInteractions, PyTree, StepMetrics, TrainState

# The step is one for all, so that what happens every n steps stays a branch: under a batch axis both sides would run.
_STATE_AXES: Any = TrainState(
    step=None,  # pyright: ignore[reportArgumentType]
    seed=0,  # pyright: ignore[reportArgumentType]
    params=0,  # pyright: ignore[reportArgumentType]
    opt_state=0,  # pyright: ignore[reportArgumentType]
    dense_opt_state=0,
    sampler_state=0,
    snapshot=0,  # pyright: ignore[reportArgumentType]
    average=0,  # pyright: ignore[reportArgumentType]
)


@jax.jit
def init_population(data: DeviceInteractions, options: Options, seeds: Array) -> TrainState:
    """Fresh states.

    Args:
        data: shared by all.
        options: every traced number Array[M]; num_shards is 1.
        seeds: Array[M] int32.

    Returns:
        A TrainState whose leaves but `step` are Array[M, ...].
    """

    def init(one):
        own, seed = one
        return training.init_state(own, data, seed)

    one_by_one = functools.partial(jax.lax.map, init)
    states = jax.lax.platform_dependent((options, seeds), cpu=one_by_one, default=jax.vmap(init))
    return dataclasses.replace(states, step=jnp.int32(0))


def population_step(states: TrainState, data: DeviceInteractions, options: Options) -> tuple[TrainState, StepMetrics]:
    """`training.make_step` for M members: states and numbers of Array[M] -> states and StepMetrics of Array[M]."""

    def step(state, options):
        return training.make_step(options)(state, data)

    return jax.vmap(step, in_axes=(_STATE_AXES, 0), out_axes=(_STATE_AXES, 0))(states, options)


@functools.partial(jax.jit, static_argnames="num_steps", donate_argnames="states")
def run_population_steps(
    states: TrainState, data: DeviceInteractions, options: Options, *, num_steps: int
) -> tuple[TrainState, StepMetrics]:
    """`num_steps` steps in one dispatch; the states are donated, the metrics are Array[M, num_steps] each."""

    def together(states, options):
        states, metrics = jax.lax.scan(lambda s, _: population_step(s, data, options), states, length=num_steps)
        return states, jax.tree.map(jnp.transpose, metrics)

    def in_turn(states, options):
        def run(one):
            state, own = one
            step, state = training.make_step(own), dataclasses.replace(state, step=states.step)
            state, metrics = jax.lax.scan(lambda s, _: step(s, data), state, length=num_steps)
            return dataclasses.replace(state, step=None), metrics

        after, metrics = jax.lax.map(run, (dataclasses.replace(states, step=None), options))
        return dataclasses.replace(after, step=states.step + num_steps), metrics

    return jax.lax.platform_dependent(states, options, cpu=in_turn, default=together)


def member(tree: PyTree, index: int) -> PyTree:
    """One member's part of a tree of Array[M, ...]."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def stacked(trees: Sequence[PyTree]) -> PyTree:
    """Trees of M members as one of Array[M, ...]."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def stacked_states(states: Sequence[TrainState]) -> TrainState:
    """States of M members at the same step as that of a population."""
    together = stacked([dataclasses.replace(state, step=None) for state in states])
    return dataclasses.replace(together, step=states[0].step)


def member_state(states: TrainState, index: int) -> TrainState:
    """One member's state, as if it had been trained alone."""
    return dataclasses.replace(member(dataclasses.replace(states, step=None), index), step=states.step)


def member_bytes(options: Options, data: DeviceInteractions) -> int:
    """About the memory that one more member takes, mostly above it.

    Its state before and after some steps and in a checkpoint, its best parameters twice, and what a step needs
    meanwhile: some numbers for each pair of the batch and item that it is compared with, and some copies of each row
    looked up.
    """
    state = jax.eval_shape(training.init_state, options, data, 0)

    def looked_up(state, data, options):
        model, sampler = options.make_model(), options.make_sampler(data)
        batch, _ = training.draw_batch(options, model, sampler, data, state)
        rows = [state.params.tables[lookup.table][lookup.ids] for lookup in model.lookups(batch, data).values()]
        return rows, jnp.zeros(_compared_at_once(batch)), jnp.zeros((options.batch_size, sampler.scores_per_pair))

    one_device = dataclasses.replace(options, num_shards=1)
    needed = jax.eval_shape(looked_up, state, data, one_device)
    return 3 * _bytes(state) + 2 * _bytes(state.params) + 24 * sum(leaf.size for leaf in jax.tree.leaves(needed))


def _compared_at_once(batch: Batch) -> int:
    """Pairs of rows whose similarities are in memory at once, mostly of a user and another item."""
    num_pairs, num_others = batch.users.size, batch.others.size
    if not num_others:  # the batch is compared with itself
        return num_pairs**2
    return blocks.similarities_at_once(num_pairs, num_others) if batch.shared else num_others


def _bytes(tree: PyTree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
