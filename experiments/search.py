"""Searches for the best setting: trials follow from the results so far, and are trained together like a sweep's runs.

python -m experiments.search --config=FILE.py --workdir=DIR --num_trials=32 \
    --space=optimizer.learning_rate=1e-4:1e-2:log --space=sampler.name=uniform,two_stage [--config.a.b=value ...]

A --space is KEY=LOW:HIGH or KEY=LOW:HIGH:log for numbers, or KEY=VALUE,VALUE for choices. Trials whose numbers alone
differ share a compiled program. They are scored on validation; test is left alone. Every trial has a workdir of its own
below DIR. Started again, a search leaves out what is finished and goes on with the rest; its trials stay the same.
"""

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
from absl import flags
from ml_collections import config_flags

from cml_jax.errors import ConfigError, UserError
from cml_jax.runs import compilation_cache, preemption, starting
from cml_jax.runs.config import Config as Values
from cml_jax.runs.setup import Load, Setup, make_setup, size_note
from cml_jax.runs.summary import FILE, read_summary
from cml_jax.runs.workdir import Workdir, locked
from experiments import cli, processes, report
from experiments.config import Config, to_values
from experiments.log import say, show
from experiments.sweep import STOPPED, is_over, train_groups
from experiments.sweeps import planning, suggestions, trials
from experiments.sweeps import space as space_lib
from experiments.sweeps.planning import Planned
from experiments.sweeps.space import Setting, Space
from experiments.sweeps.trials import Record, Trial

_MOST_AT_ONCE = 8  # more of them would be suggested from fewer results
_NUM_SHOWN = 10
_EXAMPLE = (
    "python -m experiments.search --config=experiments/configs/quickstart.py --workdir=runs/search --num_trials=32 "
    "--space=optimizer.learning_rate=1e-4:1e-2:log --space=model.temperature=0.05:0.3"
)


def run_search(
    config: Config,
    workdir: Path | str,
    space: Space,
    num_trials: int,
    at_once: int | None = None,
    memory_budget_mb: float = 4096.0,
) -> list[Trial]:
    """Trains the trials that are not finished yet, writes the report and shows the best.

    Args:
        config: what the trials share; its seed is that of suggestions and runs. eval.final_split counts as 'valid'.
        workdir: folder for the trials' workdirs, search.json and the report.
        space: dotted key -> `Interval`, or a tuple of choices.
        num_trials: of the whole search; a finished one is asked for more by a larger number.
        at_once: how many are suggested before their results are known; by default as many as are trained together, up
            to 8.
        memory_budget_mb: for the runs that are trained together.

    Returns:
        The trials that did not fail, the best first.

    Raises:
        UserError: before any work where the space, the config or the data cannot be used; after it where all failed.
        Preempted: SIGTERM or Ctrl-C came; checkpoints hold what was done.
    """
    suggestions.check_installed()
    space = space_lib.checked(space)
    values = to_values(config) | {"eval.final_split": "valid"}
    _check_numbers(space, values, num_trials, at_once, memory_budget_mb)
    with preemption.watch() as watch, locked(workdir) as folder:
        with preemption.stoppable(watch, STOPPED):
            search = _begin(folder, space, values, num_trials, at_once, memory_budget_mb)
        tried: list[Trial] = []
        with compilation_cache.used(values[compilation_cache.KEY], say):
            while len(tried) < num_trials:
                tried += _try_next(search, tried, watch)
        failed = list(dict.fromkeys(trial.folder for trial in tried if trial.score is None))
        if failed:
            say(f"{len(failed)} trials failed: {', '.join(failed)}; report.md says why.")
        report.write_report(folder)
        best = trials.best_first(tried)
        show(trials.table(best[:_NUM_SHOWN], search.metric))
        show(f"All {num_trials} trials: {folder / 'report.md'}")
        return best


class _Search(NamedTuple):
    """What stays the same during a search."""

    folder: Path
    space: Space
    values: Values
    load: Load
    record: Record
    memory_budget_mb: float
    metric: str
    num_trials: int


def _check_numbers(space: Space, values: Values, num_trials: int, at_once: int | None, memory_budget_mb: float) -> None:
    for name, value in (("num_trials", num_trials), ("at_once", at_once), ("memory_budget_mb", memory_budget_mb)):
        if value is not None and not 0 < value < 2**31:
            raise ConfigError(f"--{name}={value} must be above 0 and below 2^31.")
    available = space_lib.num_settings(space)
    if available is not None and num_trials > available:
        raise ConfigError(
            f"--num_trials={num_trials} is above the number of settings of --space, {available}; lower it, or train "
            f"all of them by experiments.sweep."
        )
    if "train.num_passes" in space and values["train.num_steps"] is not None:
        raise ConfigError(
            "--space: config.train.num_passes has no effect beside config.train.num_steps; leave one out."
        )


def _begin(
    folder: Path, space: Space, values: Values, num_trials: int, at_once: int | None, memory_budget_mb: float
) -> _Search:
    """Checks the space against the data and what the folder holds; changes nothing."""
    load = planning.load_once()
    if not (folder / trials.FILE).exists():  # trials that have begun need no model to start from
        for setting in space_lib.probes(space):
            starting.check({**values, **setting}, None)
    first = _probed(space, values, load)
    together = min(_MOST_AT_ONCE, planning.num_together(first, memory_budget_mb))
    record = trials.open_record(folder, space, first.seed, at_once, together)
    if len(record.settings) > num_trials:
        raise ConfigError(
            f"{folder} holds {len(record.settings)} trials, more than the {num_trials} asked for; raise --num_trials "
            f"or choose another workdir."
        )
    for line in (*first.dataset.notes, size_note(first.config, first.dataset)):
        say(line)
    say(f"{num_trials} trials, {record.at_once} at once, scored on validation; test is left alone.")
    return _Search(folder, space, values, load, record, memory_budget_mb, first.protocol.metric, num_trials)


def _probed(space: Space, values: Values, load: Load) -> Setup:
    """The setup of the space's first values; every end and choice is checked beside those of the other keys."""
    setups = []
    for setting in space_lib.probes(space):
        try:
            setups.append(make_setup({**values, **setting}, load))
        except UserError as error:
            raise type(error)(f"With {_named(setting)}: {error}") from error
    space_lib.check_effects(space, setups)
    return setups[0]


def _named(setting: Setting) -> str:
    return ", ".join(f"config.{key} = {value!r}" for key, value in setting.items())


def _try_next(search: _Search, tried: list[Trial], watch: preemption.Watch) -> list[Trial]:
    """The next trials, as many as are suggested at once, with their scores; trains those that are not finished."""
    record, start = search.record, len(tried)
    stop = min(start + record.at_once, search.num_trials)
    with preemption.stoppable(watch, STOPPED):
        if len(record.settings) < stop:
            history = [(trial.setting, trial.score) for trial in tried]
            # The whole of them again, so that they do not depend on how many trials were asked for before.
            suggested = suggestions.suggest(search.space, record.seed, history, record.at_once)
        else:
            suggested = []
    record.settings.extend(suggested[len(record.settings) - start : stop - start])
    record.write()
    chosen = _numbered(record, start, stop)
    planned = _planned(search, chosen[start:], known={trial.folder for trial in tried})
    unfinished = [run for run in planned if not is_over(run, search.folder)]
    say(f"Trials {start + 1} to {stop} of {search.num_trials}, {len(unfinished)} of them to be trained.")
    groups = planning.grouped(unfinished, search.memory_budget_mb)
    train_groups(groups, search.folder, watch, f"trials {start + 1} to {stop} of {search.num_trials}, ")
    return [trial._replace(score=_score(search, trial)) for trial in chosen[start:]]


def _numbered(record: Record, start: int, stop: int) -> list[Trial]:
    """The trials before a number; a setting that was suggested before has the folder of that trial."""
    found: list[Trial] = []
    for number, setting in enumerate(record.settings[:stop]):
        same = [trial.folder for trial in found if trial.setting == setting]
        found.append(Trial(number, setting, [*same, trials.folder_of(number, setting, record.seed)][0]))
    return found


def _planned(search: _Search, chosen: list[Trial], known: set[str]) -> list[Planned]:
    """The runs of trials, each once; values that do not go together are noted as a failure of their trial."""
    runs = []
    for trial in {trial.folder: trial for trial in chosen if trial.folder not in known}.values():
        values = {**search.values, **trial.setting}
        starting.check(values, search.folder / trial.folder)  # what is lacking is no trial's failure
        try:
            setup = make_setup(values, search.load)
            starting.check_model(setup, search.folder / trial.folder)
            runs.append(Planned(trial.folder, setup))
        except UserError as error:
            say(f"{trial.folder} failed: {error}")
            with locked(search.folder / trial.folder) as folder:
                Workdir(folder, [], writes=True).write_failure(str(error))
    return runs


def _score(search: _Search, trial: Trial) -> float | None:
    """Of a trial that is over; None where it failed."""
    folder = search.folder / trial.folder
    return None if (folder / "failed.json").exists() else read_summary(folder / FILE).valid[search.metric]


def command_for(setting: Setting, config_file: str, overrides: Mapping[str, Any], workdir: Path) -> str:
    """The command line that trains a setting and scores it on test.

    Args:
        setting: dotted key -> value.
        config_file: of the search.
        overrides: other keys that were given on the command line, with their values.
        workdir: of the search; the run has one beside it.
    """
    given = {**overrides, **setting, "eval.final_split": "test"}
    arguments = [f"--config={config_file}", *trials.as_flags(given), f"--workdir={workdir}-best"]
    return " ".join(["python -m experiments.main", *map(shlex.quote, arguments)])


def _check_flags(space: Space, overrides: Mapping[str, Any], values: Values) -> None:
    """Raises ConfigError where flags contradict the search, or could not give the best setting to experiments.main."""
    if "eval.final_split" in overrides:
        raise ConfigError("config.eval.final_split is 'valid' in a search, which leaves test alone; leave it out.")
    for key in overrides:
        if key in space:
            raise ConfigError(f"config.{key} is given beside a --space of it; leave one of the two out.")
    for key, choices in space.items():
        if isinstance(choices, tuple) and None in choices and (value := values[key]) is not None:
            raise ConfigError(
                f"--space of config.{key} has none, which the config excludes by {value!r}; leave it out."
            )


def main() -> None:
    """Runs with the flags' values."""
    processes.initialize()
    if jax.process_count() > 1:
        raise UserError("A search is one process; start several with parts of the space, in a --workdir each.")
    config_flag, space = flags.FLAGS["config"], space_lib.space_of_flags(flags.FLAGS.space)
    if config_flag.value is None:
        raise UserError(f"--config is needed, such as in {_EXAMPLE}")
    overrides = config_flags.get_override_values(config_flag)
    _check_flags(space, overrides, to_values(config_flag.value))
    config_file = config_flags.get_config_filename(config_flag)
    workdir = Path(flags.FLAGS.workdir or f"runs/{Path(config_file).stem}-search-{time.strftime('%Y%m%d-%H%M%S')}")
    best = run_search(
        config_flag.value,
        workdir,
        space,
        flags.FLAGS.num_trials,
        flags.FLAGS.at_once,
        flags.FLAGS.memory_budget_mb,
    )
    show(f"Train the best setting, and score test:\n{command_for(best[0].setting, config_file, overrides, workdir)}")


if __name__ == "__main__":  # flags too, so that a notebook can import this beside others with a --workdir
    config_flags.DEFINE_config_file("config", None, "Config file, such as experiments/configs/quickstart.py.")
    flags.DEFINE_string("workdir", None, "Folder for the trials; an unfinished search in it goes on.")
    flags.DEFINE_multi_string("space", [], "KEY=LOW:HIGH, KEY=LOW:HIGH:log or KEY=VALUE,VALUE: what is searched.")
    flags.DEFINE_integer("num_trials", 32, "Trials of the whole search.")
    flags.DEFINE_integer(
        "at_once", None, "Trials suggested before their results are known. Default: those trained together, up to 8."
    )
    flags.DEFINE_float("memory_budget_mb", 4096.0, "For the runs that are trained together, in MiB.")
    cli.run(main, example=_EXAMPLE)
