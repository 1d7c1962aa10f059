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

import jax
import jax.numpy as jnp

from cml_jax import training
from cml_jax.types import Array, DeviceInteractions, HParams, PyTree, Spec, StepMetrics, TrainState

# The step is one for all, so that what happens every n steps stays a branch: under a batch axis both sides would run.
_STATE_AXES = TrainState(step=None, seed=0, params=0, opt_state=0, sampler_state=0, snapshot=0, average=0)  # pyright: ignore


@functools.partial(jax.jit, static_argnames="spec")
def init_population(data: DeviceInteractions, hparams: HParams, seeds: Array, *, spec: Spec) -> TrainState:
    """Fresh states.

    Args:
        data: shared by all.
        hparams: every field Array[M].
        seeds: Array[M] int32.
        spec: shared by all; num_shards is 1.

    Returns:
        A TrainState whose leaves but `step` are Array[M, ...].
    """

    def init(one):
        return training.init_state(spec, data, *one)

    one_by_one = functools.partial(jax.lax.map, init)
    states = jax.lax.platform_dependent((hparams, seeds), cpu=one_by_one, default=jax.vmap(init))
    return dataclasses.replace(states, step=jnp.int32(0))


def make_population_step(spec: Spec):
    """`training.make_step` for M members: (states, data, hparams of Array[M]) -> (states, StepMetrics of Array[M])."""
    return jax.vmap(training.make_step(spec), in_axes=(_STATE_AXES, None, 0), out_axes=(_STATE_AXES, 0))


@functools.partial(jax.jit, static_argnames=("spec", "num_steps"), donate_argnames="states")
def run_population_steps(
    states: TrainState, data: DeviceInteractions, hparams: HParams, *, spec: Spec, num_steps: int
) -> tuple[TrainState, StepMetrics]:
    """`num_steps` steps in one dispatch; the states are donated, the metrics are Array[M, num_steps] each."""

    def steps_of(step, hparams):
        return lambda states: jax.lax.scan(lambda s, _: step(s, data, hparams), states, length=num_steps)

    def together(states, hparams):
        states, metrics = steps_of(make_population_step(spec), hparams)(states)
        return states, jax.tree.map(jnp.transpose, metrics)

    def in_turn(states, hparams):
        def run(one):
            state, hparams = one
            state = dataclasses.replace(state, step=states.step)
            state, metrics = steps_of(training.make_step(spec), hparams)(state)
            return dataclasses.replace(state, step=None), metrics

        after, metrics = jax.lax.map(run, (dataclasses.replace(states, step=None), hparams))
        return dataclasses.replace(after, step=states.step + num_steps), metrics

    return jax.lax.platform_dependent(states, hparams, cpu=in_turn, default=together)


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


def member_bytes(spec: Spec, data: DeviceInteractions, hparams: HParams) -> int:
    """About the memory that one more member takes, mostly above it.

    Its state before and after some steps and in a checkpoint, its best parameters twice, and what a step needs
    meanwhile: some numbers for each pair of positive and candidate, and some rows for each item looked up.
    """
    state = jax.eval_shape(functools.partial(training.init_state, spec), data, hparams, 0)
    looked_up = spec.batch_size * (2 + spec.num_negatives) + spec.num_candidates
    numbers = 6 * (spec.batch_size * spec.num_candidates + looked_up * spec.dim)
    return 3 * _bytes(state) + 2 * _bytes(state.params) + 4 * numbers


def _bytes(tree: PyTree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))
