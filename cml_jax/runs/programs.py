"""How runs that share a compiled program are advanced: as one population, or one after the other."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from cml_jax import population, training
from cml_jax.runs.progress import COMPILING, STEPPING, Progress
from cml_jax.types import DeviceInteractions, StepMetrics, TrainState


class Program(NamedTuple):
    """How several runs, or one, are advanced together.

    Attributes:
        advance: (state of all, steps, runs still going) -> (state, metrics, seconds without compilation); what it
            returns for the others has no meaning.
        state_of: (state of all, which run) -> its state.
    """

    advance: Callable[[Any, int, Collection[int]], tuple[Any, StepMetrics, float]]
    state_of: Callable[[Any, int], TrainState]


def make_program(
    states: list[TrainState], options: Sequence[Any], data: DeviceInteractions, progress: Progress
) -> tuple[Any, Program]:
    """The state of all runs, and how it is advanced.

    Args:
        states: one a run.
        options: one a run, which differ in numbers alone.
        data: the training part, on all devices.
        progress: told when something is compiled.
    """
    if len(states) > 1 and jax.default_backend() != "cpu":
        return population.stacked_states(states), _as_one_population(options, data, progress)
    return states, _in_turn(options, data, progress)


def _as_one_population(options: Sequence[Any], data: DeviceInteractions, progress: Progress) -> Program:
    advance, stacked = _compiled(population.run_population_steps, data, progress), population.stacked(options)
    return Program(
        advance=lambda states, num_steps, going: advance(states, stacked, num_steps),
        state_of=population.member_state,
    )


def _in_turn(options: Sequence[Any], data: DeviceInteractions, progress: Progress) -> Program:
    """One program for all, a chunk of steps of one after the other.

    On CPU a batch axis is not faster, and this way the results are those of runs alone to the bit.
    """
    advance = _compiled(training.run_steps, data, progress)

    def in_turn(states, num_steps, going):
        done = {index: advance(states[index], options[index], num_steps) for index in going}
        left_out = (None, next(iter(done.values()))[1], 0.0)
        after, metrics, seconds = zip(*(done.get(index, left_out) for index in range(len(states))), strict=True)
        return list(after), jax.tree.map(lambda *each: np.stack(each), *metrics), sum(seconds)

    return Program(advance=in_turn, state_of=lambda states, index: states[index])


def _compiled(run: Any, data: DeviceInteractions, progress: Progress) -> Callable:
    """A function (state, options, steps) -> (state, metrics, seconds) whose seconds leave out compilation."""
    compiled = {}

    def advance(state, options, num_steps):
        if num_steps not in compiled:
            progress.phase(COMPILING)
            compiled[num_steps] = run.lower(state, data, options, num_steps=num_steps).compile()
        progress.phase(STEPPING)
        before = time.perf_counter()
        state, metrics = jax.block_until_ready(compiled[num_steps](state, data, options))
        return state, metrics, time.perf_counter() - before

    return advance
