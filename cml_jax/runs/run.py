"""One run, alone or trained together with others: where it stands, its reports, its checkpoints and its result."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

from cml_jax import batches, checkpoint, sharding, training
from cml_jax.errors import ConfigError
from cml_jax.runs import checks, display, processes, scoring, starting, versions
from cml_jax.runs import config as config_lib
from cml_jax.runs.setup import Setup
from cml_jax.runs.summary import FILE, Summary, best_test, from_json, make_summary
from cml_jax.runs.tracking import Trackers, Tracking, open_trackers
from cml_jax.runs.workdir import Workdir, open_workdir
from cml_jax.strategies import Options
from cml_jax.types import DeviceInteractions, Params, TrainState


@dataclasses.dataclass
class Run:
    """A run that was opened by `open_run`.

    Attributes:
        setup: what it is.
        options: of its steps, on all its devices.
        data: the training interactions, on all its devices.
        workdir: its files; None where it has none.
        manager: of its checkpoints, where it has files.
        say: prints a line of its log.
        tracking: told of every report and of the result, too.
        draw: told of the result before that is written.
        state: where it stands, until somebody takes it to train it.
        best: its best parameters so far.
        records: its reports so far.
        unreported: a report still due, because SIGTERM came while that was evaluated.
        summary: its result, once there is one.
        start: sentences about the model that it has just started from.
    """

    setup: Setup
    options: Options
    data: DeviceInteractions
    workdir: Workdir | None
    manager: ocp.CheckpointManager | None
    say: Callable[[str], None]
    state: TrainState | None
    best: checkpoint.Best
    tracking: Tracking = dataclasses.field(default_factory=lambda: Tracking(()))
    draw: Callable[["Run", Summary], None] = lambda run, summary: None
    records: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    unreported: dict[str, Any] | None = None
    summary: Summary | None = None
    start: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The workdir's name, for sentences."""
        return str(self.workdir.folder) if self.workdir else "this run"

    @property
    def step(self) -> int:
        """Steps done, before it is trained."""
        assert self.state is not None
        return int(self.state.step)

    def take_state(self) -> TrainState:
        """The state, which is no longer kept here, so that its memory can be reused."""
        state, self.state = self.state, None
        assert state is not None
        return state

    def add_steps(self, step: int, losses: np.ndarray, no_negative: int, throughput: float) -> None:
        """Notes the report of the steps since the last one; `report` evaluates and writes it.

        Raises:
            TrainingError: there is nothing to learn from them.
        """
        first, num_pairs = step - len(losses), self.setup.dataset.train.num_pairs
        batch_size = self.options.batch_size
        checks.check_loss(losses, first, self.setup.config)
        checks.check_negatives(no_negative, first, step, num_pairs, batch_size)
        self.unreported = {
            "step": step,
            "pass": step / batches.steps_per_pass(num_pairs, batch_size),
            "loss": float(losses.mean()),
            "throughput": throughput,
            "no_negative": no_negative,
            "metrics": {},
        }

    def evaluate(self, params: Params) -> dict[str, dict[str, float]]:
        """Metrics of parameters on 'valid', where it has pairs, and on 'test' with eval.final_split=best_test.

        It changes nothing.

        Raises:
            TrainingError: the parameters are not finite.
        """
        assert self.unreported is not None
        setup = self.setup
        checks.check_params(params, self.unreported["step"], setup.config)
        users: dict[str, np.ndarray | None] = (
            {"valid": setup.valid_users} if scoring.has_validation(setup.dataset) else {}
        )
        if scoring.scores_test_along_the_way(setup.dataset, setup.protocol):
            users["test"] = None
        if not users:
            return {}
        ranking = setup.ranking(params, self.data)
        return {
            part: scoring.score(ranking, setup.dataset, part, setup.protocol, of_part).values
            for part, of_part in users.items()
        }

    def report(self, params: Params | None = None, scores: dict[str, dict[str, float]] | None = None) -> None:
        """Appends the report that was noted, with the scores of the parameters where they were evaluated."""
        assert self.unreported is not None
        record: dict[str, Any] = self.unreported
        if params is not None and scores is not None:
            values = scores.get("valid", {})
            record = record | {"metrics": values}
            if "test" in scores:
                record["test_metrics"] = scores["test"]
            # Without validation there is nothing to choose by, and the last step counts.
            metric = self.setup.protocol.metric
            selected = values[metric] if values else 0.0
            if np.float32(selected) > self.best.value or not values:
                self.best = checkpoint.make_best(params, record["step"], selected)
            if values:
                self.say(display.format_record(record, metric))
        if self.workdir:
            self.workdir.append_record(record)
        self.tracking.report(record)
        self.records.append(record)
        self.unreported = None

    def save(self, state: TrainState, replace: bool = False) -> None:
        """Starts saving a state and the best parameters, where there is a workdir; `wait` waits for it.

        Args:
            state: under its step, unless that step is saved already.
            replace: whether what is saved of that step gives way to this.
        """
        if self.manager is None:
            return
        about = {
            "config": config_lib.to_json(self.setup.config),
            "data_sha256": self.setup.data_sha256,
            "versions": versions.versions(),
            "unreported": self.unreported,
        }
        checkpoint.save(self.manager, checkpoint.Progress(state, self.best), about, replace)

    def wait(self) -> None:
        """Returns when what is being saved is on disk."""
        if self.manager is not None:
            checkpoint.wait(self.manager)

    @property
    def out_of_patience(self) -> bool:
        """Whether the last eval.patience evaluations on validation were no better than the best before them."""
        patience = self.setup.config["eval.patience"]
        since = sum(bool(record["metrics"]) and record["step"] > self.best.step for record in self.records)
        return patience is not None and since >= patience

    def finish(self, steps: int, throughput: float | None, seconds: float, num_members: int) -> Summary:
        """Scores the best parameters on validation in full and, once, on test; writes and returns the summary.

        Args:
            steps: done; fewer than those of the whole run where eval.patience ended it.
            throughput: triplets a second of the program that trained it.
            seconds: its share of the time of that.
            num_members: of that program.
        """
        started, setup = time.perf_counter(), self.setup
        final = scoring.final_scores(setup.ranking(self.best.params, self.data), setup.dataset, setup.protocol)
        self.summary = make_summary(
            final,
            setup.dataset,
            setup.data_sha256,
            best_step=int(self.best.step),
            best_test=best_test(self.records, setup.protocol.metric),
            steps=steps,
            patience=setup.config["eval.patience"] if steps < setup.num_steps else None,
            triplets_per_second=throughput,
            wall_seconds=seconds + time.perf_counter() - started,
            members=num_members,
        )
        if self.workdir:
            if self.summary.part in final:
                self.workdir.write_per_user(final[self.summary.part])
            if self.workdir.writes:
                self.draw(self, self.summary)
            self.workdir.write_summary(self.summary.to_json())
        self.tracking.result(self.summary)
        return self.summary


@contextlib.contextmanager
def open_run(
    setup: Setup,
    workdir: str | os.PathLike[str] | None,
    data: DeviceInteractions,
    say: Callable[[str], None],
    draw: Callable[[Run, Summary], None] = lambda run, summary: None,
    trackers: Trackers | None = None,
) -> Iterator[Run]:
    """A run at its last checkpoint, or at the start; one that is finished has its summary.

    Args:
        setup: what it is.
        workdir: its folder, kept from other runs meanwhile; None to keep nothing on disk.
        data: the training part on the device, as it is for one shard.
        say: prints a line of the log.
        draw: told of a run and its result before that is written.
        trackers: that it shares with other runs; its own, which say what they have to say by `say`, by default.

    Raises:
        UserError: the workdir holds another run, or cannot be written.
    """
    options, data = sharding.replicate((setup.options, data), setup.options.num_shards)
    progress = checkpoint.start(training.init_state(options, data, setup.seed))
    if workdir is None:
        progress, start = _start(setup, progress, say)
        state, best = progress
        del progress
        run = Run(setup, options, data, None, None, say, state, best, start=start)
        del state, best  # the run alone holds the state, or this would keep it for as long as it is open
        with contextlib.ExitStack() as stack:
            _track(run, stack, trackers)
            yield run
        return
    with (
        open_workdir(workdir, setup.config, setup.data_sha256, writes=processes.is_first()) as opened,
        checkpoint.open_manager(opened.checkpoints, setup.config["checkpoint.keep"]) as manager,
        contextlib.ExitStack() as stack,
    ):
        for line in opened.changes:
            say(line)
        opened.write_dataset(setup.dataset, setup.data_sha256)
        restored = checkpoint.restore(manager, progress)
        for line in restored.damaged:
            say(f"Warning: {line}")
        progress, start = (restored.progress, ()) if restored.progress else _start(setup, progress, say)
        run = Run(
            setup=setup,
            options=options,
            data=data,
            workdir=opened,
            manager=manager,
            say=say,
            state=progress.state,
            best=progress.best,
            draw=draw,
            unreported=restored.about.get("unreported"),
            start=start,
        )
        found = restored.progress is not None
        del progress, restored  # as before
        if run.step > setup.num_steps:
            raise too_long(opened, setup.num_steps)
        if not found:
            opened.remove_results()
        elif _finished(run):
            say(f"{opened.folder} holds this run, finished.")
            yield run
            return
        else:
            say(f"Going on from step {run.step} of {opened.folder}.")
        _begin(run)
        _track(run, stack, trackers)
        yield run


def _start(
    setup: Setup, progress: checkpoint.Progress, say: Callable[[str], None]
) -> tuple[checkpoint.Progress, tuple[str, ...]]:
    """Progress at the first step, of a run that goes on from no checkpoint of its own, and what was said about it."""
    state, lines = starting.started(setup, progress.state)
    for line in lines:
        say(line)
    return (checkpoint.start(state) if lines else progress), lines


def _finished(run: Run) -> bool:
    """Whether the workdir holds the result, which the run then has."""
    assert run.workdir is not None
    if not run.workdir.is_finished(run.setup.num_steps, run.setup.config["eval.patience"]):
        return False
    summary = from_json(run.workdir.read_json(FILE) or {}, run.workdir.folder / FILE)
    if summary.steps != run.step:
        return False
    run.summary = summary
    return True


def _begin(run: Run) -> None:
    """Brings the files of the workdir to where the run goes on from."""
    assert run.workdir is not None
    run.workdir.write_config(run.setup.config, run.setup.data_sha256)
    run.say(f"Writing to {run.workdir.folder}.")
    run.records = run.workdir.keep_records(until=run.step - (run.unreported is not None))


def _track(run: Run, stack: contextlib.ExitStack, trackers: Trackers | None) -> None:
    """Has the run followed by trackers until the stack is left, by the first of several processes."""
    if processes.is_first():
        trackers = trackers or stack.enter_context(open_trackers(run.say))
        folder = run.workdir.folder if run.workdir else None
        run.tracking = stack.enter_context(trackers.follow(run.setup.config, folder, run.records))


def too_long(workdir: Workdir, num_steps: int) -> ConfigError:
    """The error for a workdir whose run has done more steps than are asked for."""
    return ConfigError(
        f"{workdir.folder} has done {workdir.newest_step()} steps, more than the {num_steps} asked for; choose another "
        f"workdir."
    )
