"""Timings in turns: a slow minute of the machine falls on everything that is compared."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from cml_jax import training
from cml_jax.data.interactions import Interactions
from cml_jax.strategies import Options


class Timing(NamedTuple):
    """Milliseconds of repeated runs."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: list[float], per: int = 1) -> "Timing":
        """Median and range of runs of `per` steps each."""
        each = np.array(seconds) * 1e3 / per
        return cls(float(np.median(each)), float(each.min()), float(each.max()))


def time_in_turns(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of every run, one of each a round, after a round of warming up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            jax.block_until_ready(run())
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def repeat(times: int, run: Callable[..., Any], *arguments: Any) -> None:
    """One after the other; what is not waited for piles up in memory and is slower."""
    for _ in range(times):
        jax.block_until_ready(run(*arguments))


class Stepper:
    """A compiled run of steps that goes on where it stopped."""

    def __init__(self, options: Options, train: Interactions, num_steps: int) -> None:
        """Compiles, which takes `compile_seconds`; a step needs `temporary_bytes` besides the state."""
        self._data, self._options = train.to_device(), options.as_arrays()
        self._state = training.init_state(self._options, self._data, 0)
        started = time.perf_counter()
        lowered = training.run_steps.lower(self._state, self._data, self._options, num_steps=num_steps)
        self._compiled = lowered.compile()
        self.compile_seconds = time.perf_counter() - started
        memory = self._compiled.memory_analysis()
        self.temporary_bytes = 0 if memory is None else memory.temp_size_in_bytes

    def __call__(self) -> Any:
        """Takes the steps."""
        self._state, metrics = self._compiled(self._state, self._data, self._options)
        return self._state, metrics
