"""What a sweep is going to do: its runs, which of them are trained together, the memory and the time that takes."""

import contextlib
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cml_jax import population, sharding, training
from cml_jax.data import datasets
from cml_jax.data.interactions import Dataset
from cml_jax.errors import ConfigError, UserError
from cml_jax.types import HParams, Spec
from experiments import config as config_lib
from experiments import grid, scoring, validation
from experiments.config import Config
from experiments.console import show
from experiments.member import sizes

_TIMED_STEPS = 20


class Planned(NamedTuple):
    """A run to be trained.

    Attributes:
        folder: below the sweep's.
        config: resolved and valid.
        dataset: what it trains on.
        data_sha256: the digest of that.
        spec: what it is compiled for.
        total: its steps.
    """

    folder: str
    config: Config
    dataset: Dataset
    data_sha256: str
    spec: Spec
    total: int

    @property
    def hparams(self) -> HParams:
        """Its traced numbers."""
        return jax.tree.map(jnp.float32, config_lib.make_hparams(self.config, self.dataset.train.num_pairs))

    @property
    def program(self) -> tuple[Any, ...]:
        """What runs must share to be trained together."""
        config = self.config
        periods = (config.train.report_every_steps, config.eval.every_steps, config.checkpoint.every_steps)
        return self.spec, self.data_sha256, self.total, periods

    @property
    def num_evaluations(self) -> int:
        """Evaluations on validation during training."""
        return -(-self.total // self.config.eval.every_steps)


Group = list[Planned]


class Plan(NamedTuple):
    """Every run of a sweep, and what the data sets' readers noted."""

    runs: list[Planned]
    notes: list[str]


def make_plan(config: Config, more_axes: Mapping[str, Sequence[Any]] | None = None) -> Plan:
    """Checks every run of a grid against the data.

    Raises:
        UserError: the first thing that cannot be used, and in which run.
    """
    if not 0 < config.sweep.memory_budget_mb < math.inf:
        raise ConfigError(
            f"config.sweep.memory_budget_mb = {config.sweep.memory_budget_mb} must be above 0 and finite."
        )
    loaded: dict[str, tuple[Dataset, str]] = {}
    runs, notes = [], []
    points = grid.points(config, more_axes)
    for point in points:
        with _named(point):
            validation.validate(point.config)
    for point in points:
        with _named(point):
            resolved = config_lib.resolve(point.config)
            key = json.dumps(config_lib.to_json(resolved)["dataset"])
            if key not in loaded:
                dataset = datasets.load(**resolved.dataset)
                loaded[key] = dataset, dataset.sha256()
                counts = ", ".join(f"{count:,} {name}" for name, count in sizes(dataset).items())
                notes += [*dataset.notes, f"{resolved.dataset.name}: {counts}"]
            dataset, data_sha256 = loaded[key]
            validation.validate_against(resolved, dataset)
            spec = config_lib.make_spec(resolved, dataset.train)
            total = config_lib.num_steps(resolved, dataset.train.num_pairs)
            runs.append(Planned(point.folder, resolved, dataset, data_sha256, spec, total))
    return Plan(runs, notes)


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
        shared.setdefault(run.program, []).append(run)
    groups = []
    for same in shared.values():
        size = max(1, int(memory_budget_mb * 2**20 // _member_bytes(same[0])))
        size = 1 if same[0].spec.num_shards > 1 else size
        groups += [same[i : i + size] for i in range(0, len(same), size)]
    return groups


def _member_bytes(run: Planned) -> int:
    data = jax.eval_shape(run.dataset.train.to_device)
    return population.member_bytes(run.spec, data, run.hparams)


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
        megabytes = len(group) * _member_bytes(group[0]) / 2**20
        show(
            f"{number:>5}{len(group):>6}{group[0].total:>9,}{megabytes:>8.0f}{1e3 * step:>10.2f}{seconds / 60:>9.1f}  "
            + " ".join(run.folder for run in group)
        )
    show(f"About {total / 60:.0f} minutes for all of it, from nothing.")


def _estimate(group: Group) -> tuple[float, float]:
    """Seconds of a step of all members, and of the whole group: compilation, steps, evaluations, final scores."""
    first = group[0]
    spec, dataset, config = first.spec, first.dataset, first.config
    data = dataset.train.to_device()
    together = group if jax.default_backend() != "cpu" else group[:1]  # on CPU one after the other
    started = time.perf_counter()
    if spec.num_shards > 1:
        hparams, data = sharding.everywhere((first.hparams, data), spec.num_shards)
        states, program = training.init_state(spec, data, hparams, config.seed), training.run_steps
    else:
        hparams = population.stacked([run.hparams for run in together])
        seeds = jnp.asarray([run.config.seed for run in together], jnp.int32)
        states = population.init_population(data, hparams, seeds, spec=spec)
        program = population.run_population_steps
    run_steps = program.lower(states, data, hparams, spec=spec, num_steps=_TIMED_STEPS).compile()
    compilation = time.perf_counter() - started
    seconds = []
    for _ in range(3):
        before = time.perf_counter()
        states, _ = jax.block_until_ready(run_steps(states, data, hparams))
        seconds.append(time.perf_counter() - before)
    step = sorted(seconds)[1] / _TIMED_STEPS * len(group) / len(together)
    params = states.params if spec.num_shards > 1 else population.member(states.params, 0)
    users = scoring.validation_users(dataset, config)
    scoring.score(params, dataset, "valid", config, users)  # compiles
    before = time.perf_counter()
    scoring.score(params, dataset, "valid", config, users)
    evaluation = time.perf_counter() - before
    return step, compilation + first.total * step + len(group) * (first.num_evaluations + 2) * evaluation
