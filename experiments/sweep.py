"""Trains a grid of runs; those that can share a compiled program are trained together, as a population.

python -m experiments.sweep --config=experiments/configs/grids/GRID.py --workdir=DIR [--dry_run] \
    [--config.sweep.axes.a.b="(value, value)"] [--axis=a.b=value,value] [--only=LABEL ...] [--config.a.b=value ...]

Any config is a grid with --axis. Every run has a workdir of its own below DIR, as if it had been started alone. Started
again, a sweep leaves out what is finished and goes on with the rest. With --only it trains the runs of some labels
alone; a label is what stands in a folder's name before the seed.
"""

import contextlib
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from absl import flags
from ml_collections import config_flags

from cml_jax import batches
from cml_jax.errors import ConfigError, TrainingError, UserError
from cml_jax.runs import compilation_cache, preemption
from cml_jax.runs.loop import train_together
from cml_jax.runs.opening import open_run, too_long
from cml_jax.runs.preemption import Preempted
from cml_jax.runs.progress import Bar, open_bar
from cml_jax.runs.run import Run
from cml_jax.runs.tracking import Trackers, open_trackers
from cml_jax.runs.workdir import locked, open_workdir, read_json, write_atomically
from experiments import cli, processes, report
from experiments.config import Config
from experiments.log import say, show
from experiments.run_figure import draw_result
from experiments.sweeps import grid, planning
from experiments.sweeps.literals import values_of
from experiments.sweeps.planning import Group, Plan, Planned

STOPPED = "Stopped by {by}; start again to go on."


def run_sweep(
    config: Config, workdir: Path, more_axes: dict[str, Sequence[Any]] | None = None, only: Sequence[str] = ()
) -> None:
    """Trains what is not finished yet, and writes the report.

    Args:
        config: of a grid, see `grid.make_grid`.
        workdir: folder for the runs' workdirs, sweep.json and the report.
        more_axes: dotted key -> values.
        only: labels of the runs that are wanted, see `grid.narrowed`; all by default.

    Raises:
        UserError: before any work where the grid, a config or the data cannot be used; after it where all runs failed.
        Preempted: SIGTERM or Ctrl-C came; checkpoints hold what was done.
    """
    with preemption.watch() as watch, locked(workdir) as folder:
        with preemption.stoppable(watch, STOPPED):
            plan = planning.make_plan(config, more_axes, only, folder)
        for line in plan.notes:
            say(line)
        unfinished = [run for run in plan.runs if not is_over(run, folder)]
        _write_listing(folder / "sweep.json", config, plan, added=bool(only))
        groups = planning.grouped(unfinished, config.sweep.memory_budget_mb)
        say(f"{len(plan.runs)} runs, {len(unfinished)} of them to be trained, in {len(groups)} groups.")
        with compilation_cache.used(config[compilation_cache.KEY], say):
            train_groups(groups, folder, watch)
        failed = [run.folder for run in plan.runs if (folder / run.folder / "failed.json").exists()]
        if failed:
            say(f"{len(failed)} of {len(plan.runs)} runs failed: {', '.join(failed)}; failed.json in them says why.")
        show(report.write_report(folder))


def _write_listing(path: Path, config: Config, plan: Plan, added: bool) -> None:
    """Writes sweep.json: the runs that were asked for, if wanted beside those of earlier calls, and the baseline."""
    runs = [run.folder for run in plan.runs]
    if added and path.exists():
        runs = list(dict.fromkeys([*read_json(path).get("runs", []), *runs]))
    labels = {grid.label_in(folder) for folder in runs}
    baseline = config.sweep.baseline if config.sweep.baseline in labels else None
    write_atomically(path, json.dumps({"baseline": baseline, "runs": runs}, indent=2) + "\n")


def train_groups(groups: Sequence[Group], folder: Path, watch: preemption.Watch, prefix: str = "") -> None:
    """Trains groups of runs, one after the other, with a bar whose description begins with a prefix.

    Raises:
        Preempted: SIGTERM or Ctrl-C came; checkpoints hold what was done.
    """
    total = sum(run.setup.num_steps * run.setup.options.batch_size for group in groups for run in group)
    with open_trackers(say, sweep=folder) as trackers, open_bar(total=total, unit="triplet", unit_scale=True) as bar:
        for number, group in enumerate(groups, start=1):
            _train_group(group, folder, watch, trackers, bar, f"{prefix}group {number} of {len(groups)}, ")
            if watch.requested:
                raise Preempted(STOPPED.format(by=watch.by))


def is_over(run: Planned, folder: Path) -> bool:
    """Whether a run is finished, or has failed."""
    setup = run.setup
    with open_workdir(folder / run.folder, setup.config, setup.data_sha256) as opened:
        if opened.newest_step() > setup.num_steps:
            raise too_long(opened, setup.num_steps)
        failure = opened.failure(setup.config, setup.data_sha256)
        if failure is not None:
            say(f"{opened.folder} has failed before ({failure}) Delete its failed.json to try again.")
        return failure is not None or opened.is_finished(setup.num_steps, setup.config["eval.patience"])


def _train_group(
    group: Group, folder: Path, watch: preemption.Watch, trackers: Trackers, bar: Any, prefix: str
) -> None:
    """Trains runs that share a program; of those left by an interrupted sweep, the ones at the same step together."""
    dataset, options = group[0].setup.dataset, group[0].setup.options
    data, batch_size = batches.of_dataset(dataset, options), options.batch_size
    progress = Bar(bar, prefix, batch_size)

    def failed(run: Run, error: TrainingError) -> None:
        say(f"{run.folder} failed: {error}")
        assert run.workdir is not None
        run.workdir.write_failure(str(error))

    with contextlib.ExitStack() as stack:
        runs = []
        for planned in group:
            opened = open_run(planned.setup, folder / planned.folder, data, lambda text: None, draw_result, trackers)
            runs.append(stack.enter_context(opened))
            if bar.total is not None:
                bar.total -= runs[-1].step * batch_size
        for line in dict.fromkeys(line for run in runs for line in run.start):
            say(line)
        bar.refresh()
        runs.sort(key=lambda run: run.step)
        for _, at_one_step in itertools.groupby(runs, key=lambda run: run.step):
            some = list(at_one_step)
            train_together(some, data, watch, progress, failed)
            for run in some:
                if run.summary is not None:
                    part, metric = "valid" if run.summary.valid else "test", run.setup.protocol.metric
                    say(f"{run.folder}: {part} {metric} {getattr(run.summary, part)[metric]:.4f}")


def _as_grid(config: Config, axes: dict[str, Sequence[Any]]) -> Config:
    """The config, or a grid of it that has nothing but the axes of the command line."""
    if "sweep" in config:
        return config
    if not axes:
        raise ConfigError("--config has no `sweep` section; give a grid's config, or --axis=KEY=VALUE,VALUE.")
    return grid.make_grid(config, {})


def _axes_of_flags(arguments: Sequence[str]) -> dict[str, Sequence[Any]]:
    """Values of --axis=KEY=VALUE,VALUE; numbers, tuples, true, false, none, and else strings."""
    axes = {}
    for argument in arguments:
        key, equals, text = argument.partition("=")
        if not equals or not text:
            raise ConfigError(f"--axis={argument} must be KEY=VALUE,VALUE, such as --axis=seed=0,1,2.")
        if key in axes:
            raise ConfigError(f"--axis={key} is given twice; give all its values in one.")
        axes[key] = values_of(text)
    return axes


def main() -> None:
    """Runs with the flags' values."""
    processes.initialize()
    if jax.process_count() > 1:
        raise UserError("A sweep is one process; start several with parts of the grid, in a --workdir each.")
    axes = _axes_of_flags(flags.FLAGS.axis)
    config = _as_grid(flags.FLAGS.config, axes)
    if flags.FLAGS.dry_run:
        planning.show_plan(planning.make_plan(config, axes, flags.FLAGS.only), config.sweep.memory_budget_mb)
        return
    name = Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
    workdir = Path(flags.FLAGS.workdir or f"runs/{name}-{time.strftime('%Y%m%d-%H%M%S')}")
    run_sweep(config, workdir, axes, flags.FLAGS.only)


if __name__ == "__main__":  # flags too, so that a notebook can import this beside others with a --workdir
    config_flags.DEFINE_config_file("config", None, "Config file, such as experiments/configs/grids/cutoff.py.")
    flags.DEFINE_string("workdir", None, "Folder for the runs; an unfinished sweep in it goes on.")
    flags.DEFINE_bool("dry_run", False, "Print the plan, with measured times, and train nothing.")
    flags.DEFINE_multi_string("axis", [], "KEY=VALUE,VALUE: one more axis of the product, such as seed=0,1,2.")
    flags.DEFINE_multi_string(
        "only",
        [],
        "LABEL of runs, what stands in a folder's name before the seed, such as 'uniform*': trains no others.",
    )
    flags.mark_flag_as_required("config")
    cli.run(
        main, example="python -m experiments.sweep --config=experiments/configs/grids/cutoff.py --workdir=runs/cutoff"
    )
