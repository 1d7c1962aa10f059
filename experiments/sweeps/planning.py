"""What a sweep is going to do: its runs, which of them are trained together, the memory and the time that takes."""

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cml_jax import batches, population, sharding, training
from cml_jax.data.interactions import Dataset
from cml_jax.errors import ConfigError, UserError
from cml_jax.runs import scoring, starting, validation
from cml_jax.runs.setup import Load, Setup, load_with_digest, make_setup, size_note
from cml_jax.types import DeviceInteractions, Params
from experiments.config import Config, to_values
from experiments.log import show
from experiments.sweeps import grid

_TIMED_STEPS = 20


class Planned(NamedTuple):
    """A run to be trained.

    Attributes:
        folder: below the sweep's.
        setup: what it is.
    """

    folder: str
    setup: Setup

    @property
    def num_evaluations(self) -> int:
        """Evaluations on validation during training."""
        return -(-self.setup.num_steps // self.setup.periods.evaluate)


Group = list[Planned]


class Plan(NamedTuple):
    """Every run of a sweep, and what the data sets' readers noted."""

    runs: list[Planned]
    notes: list[str]


def make_plan(
    config: Config,
    more_axes: Mapping[str, Sequence[Any]] | None = None,
    only: Sequence[str] = (),
    workdir: Path | None = None,
) -> Plan:
    """Checks every run of a grid against the data, and against the model that it starts from.

    Args:
        config: of a grid, see `grid.make_grid`.
        more_axes: dotted key -> values.
        only: labels of the runs that are wanted, see `grid.narrowed`; all by default.
        workdir: of the sweep; a run that has begun there needs no model to start from.

    Raises:
        UserError: the first thing that cannot be used, and in which run.
    """
    if not 0 < config.sweep.memory_budget_mb < math.inf:
        raise ConfigError(
            f"config.sweep.memory_budget_mb = {config.sweep.memory_budget_mb} must be above 0 and finite."
        )
    runs, notes, load = [], [], load_once()
    points = grid.narrowed(grid.points(config, more_axes), only)
    for point in points:
        with _named(point):
            validation.validate(to_values(point.config))
            starting.check(to_values(point.config), workdir and workdir / point.folder)
    for point in points:
        with _named(point):
            setup = make_setup(to_values(point.config), load)
            starting.check_model(setup, workdir and workdir / point.folder)
            notes += [*setup.notes, size_note(setup.config, setup.dataset)]
            runs.append(Planned(point.folder, setup))
    return Plan(runs, list(dict.fromkeys(notes)))


def load_once() -> Load:
    """A function like `load_with_digest` that loads every data set once."""
    loaded: dict[str, tuple[Dataset, str]] = {}

    def load(**options: Any) -> tuple[Dataset, str]:
        key = json.dumps(options, sort_keys=True)
        if key not in loaded:
            loaded[key] = load_with_digest(**options)
        return loaded[key]

    return load


@contextlib.contextmanager
def _named(point: grid.Point) -> Iterator[None]:
    """Puts the run's name before a sentence about it."""
    try:
        yield
    except UserError as error:
        raise type(error)(f"Run {point.folder}: {error}") from error


def grouped(runs: Sequence[Planned], memory_budget_mb: float) -> list[Group]:
    """Runs that share a program, in parts that fit the budget; tables over several devices are trained alone."""
    shared: dict[tuple[Any, ...], Group] = {}
    for run in runs:
        shared.setdefault(run.setup.program, []).append(run)
    groups = []
    for same in shared.values():
        size = num_together(same[0].setup, memory_budget_mb)
        groups += [same[i : i + size] for i in range(0, len(same), size)]
    return groups


def num_together(setup: Setup, memory_budget_mb: float) -> int:
    """How many runs like this one are trained together."""
    if setup.options.num_shards > 1:
        return 1
    return max(1, int(memory_budget_mb * 2**20 // _setup_bytes(setup)))


def _member_bytes(run: Planned) -> int:
    return _setup_bytes(run.setup)


def _setup_bytes(setup: Setup) -> int:
    return population.member_bytes(setup.options, batches.shapes_of_dataset(setup.dataset, setup.options))


def show_plan(plan: Plan, memory_budget_mb: float) -> None:
    """Prints the runs, group by group, with the memory and, after trying some steps of each, the time they take."""
    groups = grouped(plan.runs, memory_budget_mb)
    for line in plan.notes:
        show(line)
    show(f"{len(plan.runs)} runs in {len(groups)} groups on {jax.device_count()} x {jax.devices()[0].device_kind}.")
    show(f"{'group':>5}{'runs':>6}{'steps':>9}{'MB':>8}{'ms/step':>10}{'minutes':>9}  runs")
    total = 0.0
    for number, group in enumerate(groups, start=1):
        step, seconds = _estimate(group)
        total += seconds
        megabytes, steps = len(group) * _member_bytes(group[0]) / 2**20, group[0].setup.num_steps
        show(
            f"{number:>5}{len(group):>6}{steps:>9,}{megabytes:>8.0f}{1e3 * step:>10.2f}{seconds / 60:>9.1f}  "
            + " ".join(run.folder for run in group)
        )
    show(f"About {total / 60:.0f} minutes for all of it, from nothing.")


def _estimate(group: Group) -> tuple[float, float]:
    """Seconds of a step of all members, and of the whole group: compilation, steps, evaluations, final scores."""
    first = group[0]
    setup, options = first.setup, first.setup.options
    data = batches.of_dataset(setup.dataset, options)
    together = group if jax.default_backend() != "cpu" else group[:1]  # on CPU one after the other
    started = time.perf_counter()
    if options.num_shards > 1:
        options, data = sharding.replicate((options, data), options.num_shards)
        states, program = training.init_state(options, data, setup.seed), training.run_steps
    else:
        options = population.stacked([run.setup.options for run in together])
        seeds = jnp.asarray([run.setup.seed for run in together], jnp.int32)
        states = population.init_population(data, options, seeds)
        program = population.run_population_steps
    run_steps = program.lower(states, data, options, num_steps=_TIMED_STEPS).compile()
    compilation = time.perf_counter() - started
    seconds = []
    for _ in range(3):
        before = time.perf_counter()
        states, _ = jax.block_until_ready(run_steps(states, data, options))
        seconds.append(time.perf_counter() - before)
    step = sorted(seconds)[1] / _TIMED_STEPS * len(group) / len(together)
    params = states.params if setup.options.num_shards > 1 else population.member(states.params, 0)
    evaluation = _seconds_of_evaluation(setup, params, data)
    return step, compilation + setup.num_steps * step + len(group) * (first.num_evaluations + 2) * evaluation


def _seconds_of_evaluation(setup: Setup, params: Params, data: DeviceInteractions) -> float:
    if not scoring.has_validation(setup.dataset):
        return 0.0
    before = 0.0
    for _ in range(2):  # the first one compiles
        before = time.perf_counter()
        scoring.score(setup.ranking(params, data), setup.dataset, "valid", setup.protocol, setup.valid_users)
    return time.perf_counter() - before
