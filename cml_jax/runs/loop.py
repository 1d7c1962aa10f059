"""The training loop: steps, reports, evaluations, checkpoints, of one run or of several that share a program."""

import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from cml_jax import batches, sharding, training
from cml_jax.errors import TrainingError
from cml_jax.runs import display, preemption, processes
from cml_jax.runs.opening import open_run
from cml_jax.runs.preemption import Preempted
from cml_jax.runs.programs import Program, make_program
from cml_jax.runs.progress import EVALUATING, SCORING, Progress, open_progress
from cml_jax.runs.run import Run
from cml_jax.runs.setup import Periods, Setup
from cml_jax.runs.summary import Summary
from cml_jax.types import DeviceInteractions, Params

Failed = Callable[[Run, TrainingError], None]


@dataclasses.dataclass
class _Group:
    """Runs that are trained together, and where they stand.

    Attributes:
        runs: all of them.
        going: those that are neither over nor failed, by their place.
        program: how they are advanced.
        state: of all.
        step: that they are at.
        progress: told what goes on.
        failed: told of a run that has nothing to learn any more, which is left out from there on.
        since: when the time began that is not shared out yet.
        spent: share in the time so far of each run that is going, in seconds.
        seconds: of the steps so far.
        triplets: of the steps so far.
    """

    runs: Sequence[Run]
    going: dict[int, Run]
    program: Program
    state: Any
    step: int
    progress: Progress
    failed: Failed
    since: float
    spent: float = 0.0
    seconds: float = 0.0
    triplets: int = 0

    @property
    def num_steps(self) -> int:
        """Of the whole run."""
        return self.runs[0].setup.num_steps

    @property
    def periods(self) -> Periods:
        """Of all runs."""
        return self.runs[0].setup.periods

    def for_each(self, act: Callable[["_Group", int, Run], None]) -> None:
        """Does something for every run that is still going."""
        for index, run in list(self.going.items()):
            try:
                act(self, index, run)
            except TrainingError as error:
                self.failed(run, error)
                self.share_time()
                self.leave_out(index)

    def leave_out(self, index: int) -> None:
        """Goes on without a run."""
        del self.going[index]
        self.progress.leave_out(self.num_steps - self.step)

    def share_time(self) -> None:
        """Shares out the time since this was last done."""
        now = time.perf_counter()
        self.spent, self.since = self.spent + (now - self.since) / len(self.going), now


def train_together(
    runs: Sequence[Run],
    data: DeviceInteractions,
    watch: preemption.Watch,
    progress: Progress,
    failed: Failed,
) -> None:
    """Trains runs to their last step, or until they are out of patience, and writes their summaries.

    Args:
        runs: that share what `Setup.program` says, and the step they are at.
        data: the training part.
        watch: for SIGTERM and Ctrl-C.
        progress: told what goes on.
        failed: told of a run that has nothing to learn any more, which is left out from there on.

    Raises:
        Preempted: it was asked to stop; checkpoints hold what was done.
    """
    group = _make_group(runs, data, progress, failed)
    group.for_each(lambda group, index, run: _report_owed(group, index, run, watch))
    _end(group, watch)
    for step, num_steps in _chunks(group.step, group.num_steps, group.periods):
        if not group.going:
            return
        _take_steps(group, step, num_steps)
        group.for_each(lambda group, index, run: _report(group, index, run, watch))
        if group.going and processes.any_of_all(watch.requested):
            _stop(group, watch)
        if due(step, group.num_steps, group.periods.checkpoint):
            group.for_each(_save)
        _end(group, watch)


def train_alone(
    setup: Setup,
    workdir: str | os.PathLike[str] | None,
    watch: preemption.Watch,
    say: Callable[[str], None],
    *,
    shown: bool = True,
    draw: Callable[[Run, Summary], None] = lambda run, summary: None,
) -> tuple[Summary, Params]:
    """Trains one run to its last step, with a progress bar; one that is finished is read.

    Args:
        setup: what it is.
        workdir: its folder; None to keep nothing on disk.
        watch: for SIGTERM and Ctrl-C.
        say: prints a line of the log.
        shown: whether the progress is.
        draw: told of the run and its result before that is written.

    Returns:
        The result, and the parameters that it is of.

    Raises:
        UserError: the workdir cannot be used, or there is nothing to learn.
        Preempted: it was asked to stop; a workdir holds what was done.
    """
    data = batches.of_dataset(setup.dataset, setup.options)
    with open_run(setup, workdir, data, say, draw) as run:
        if run.summary is None:
            with open_progress(setup.num_steps, run.step, say, shown) as progress:
                train_together([run], data, watch, progress, _raise)
        assert run.summary is not None
        return run.summary, run.best.params


def _raise(run: Run, error: TrainingError) -> NoReturn:
    del run
    raise error


def _make_group(runs: Sequence[Run], data: DeviceInteractions, progress: Progress, failed: Failed) -> _Group:
    step, states = runs[0].step, [run.take_state() for run in runs]
    options = [run.options for run in runs]
    started = time.perf_counter()
    data = sharding.replicate(data, options[0].num_shards)
    state, program = make_program(states, options, data, progress)
    return _Group(runs, dict(enumerate(runs)), program, state, step, progress, failed, started)


def _take_steps(group: _Group, step: int, num_steps: int) -> None:
    """Advances all runs to a step, and notes their reports."""
    group.state, metrics, seconds = group.program.advance(group.state, num_steps, group.going)
    group.step = step
    losses, no_negative = (np.asarray(values).reshape(len(group.runs), num_steps) for values in metrics)
    triplets = len(group.going) * num_steps * group.runs[0].options.batch_size
    group.seconds, group.triplets = group.seconds + seconds, group.triplets + triplets
    throughput = triplets / seconds
    loss = np.mean([losses[index].mean() for index in group.going])
    group.progress.advance(num_steps * len(group.going), f"loss {loss:.4f}, {throughput:,.0f} triplets/s")

    def note(group: _Group, index: int, run: Run) -> None:
        run.add_steps(step, losses[index], int(no_negative[index].sum()), throughput)

    group.for_each(note)


def _report(group: _Group, index: int, run: Run, watch: preemption.Watch) -> None:
    """Writes the report that a run has noted, with an evaluation where one is due."""
    if run.unreported is None:
        return
    if not due(group.step, group.num_steps, group.periods.evaluate):
        run.report()
        return
    group.progress.phase(EVALUATING)
    params = training.evaluation_params(group.program.state_of(group.state, index), run.options)
    try:
        with watch.interruptible():
            scores = run.evaluate(params)
    except Preempted:
        _stop(group, watch)
    run.report(params, scores)


def _report_owed(group: _Group, index: int, run: Run, watch: preemption.Watch) -> None:
    """Writes the report that a run still owes which was stopped while it was evaluated.

    The checkpoint of the last step, which no later one follows, then learns whether its parameters are the best.
    """
    owed = run.unreported is not None
    _report(group, index, run, watch)
    if owed and group.step == group.num_steps:
        run.save(group.program.state_of(group.state, index), replace=True)


def _save(group: _Group, index: int, run: Run) -> None:
    run.save(group.program.state_of(group.state, index))


def _wait(group: _Group) -> None:
    """Returns when all that is being saved is on disk."""
    for run in group.going.values():
        run.wait()


def _stop(group: _Group, watch: preemption.Watch) -> NoReturn:
    """Saves all runs and raises Preempted."""
    group.for_each(_save)
    _wait(group)
    first, *more = group.going.values()
    others = f" and {len(more)} more" if more else ""
    where = f", saved in {first.folder}{others}; start again to go on" if first.workdir else ""
    raise Preempted(f"Stopped by {watch.by} after step {group.step}{where}.")


def _end(group: _Group, watch: preemption.Watch) -> None:
    """Scores the runs that are over, at the last step or out of patience; they are left out from there on."""
    over = {index: run for index, run in group.going.items() if group.step == group.num_steps or run.out_of_patience}
    if not over:
        return
    for index, run in over.items():
        _save(group, index, run)
    _wait(group)
    group.share_time()
    try:
        for index, run in over.items():
            _score(group, run, watch)
            group.leave_out(index)
    except Preempted:
        group.for_each(_save)  # the others, too
        raise
    group.since = time.perf_counter()  # scoring is not shared


def _score(group: _Group, run: Run, watch: preemption.Watch) -> None:
    """Scores a run and writes its summary."""
    at_last, setup = group.step == group.num_steps, run.setup
    if not at_last:
        why = display.without_better(setup.config["eval.patience"], setup.protocol.metric)
        run.say(f"Ended early, after step {group.step}: {why}.")
    group.progress.phase(SCORING)
    throughput = group.triplets / group.seconds if group.triplets else None
    where = "the last step" if at_last else f"step {group.step}"
    sentence = f"Stopped by {{by}} after {where} of {run.folder}, which is saved; test was not scored."
    with preemption.stoppable(watch, sentence):
        run.finish(group.step, throughput, group.spent, len(group.runs))


def _chunks(done: int, total: int, periods: Periods) -> Iterator[tuple[int, int]]:
    """Yields (step reached, steps to take) such that a chunk ends wherever something is due."""
    while done < total:
        reached = min(total, *(done + period - done % period for period in periods))
        yield reached, reached - done
        done = reached


def due(step: int, total: int, every: int) -> bool:
    """Whether what happens every so many steps, and at the last one, happens at this one."""
    return step % every == 0 or step == total
