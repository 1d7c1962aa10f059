"""How a run is opened: at its last checkpoint, at the start, or at its result where it is finished."""

import contextlib
import os
from collections.abc import Callable, Iterator

from cml_jax import checkpoint, sharding, training
from cml_jax.errors import ConfigError
from cml_jax.runs import processes, starting
from cml_jax.runs.run import Run
from cml_jax.runs.setup import Setup
from cml_jax.runs.summary import FILE, Summary, from_json
from cml_jax.runs.tracking import Trackers, open_trackers
from cml_jax.runs.workdir import Workdir, open_workdir
from cml_jax.types import DeviceInteractions


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
