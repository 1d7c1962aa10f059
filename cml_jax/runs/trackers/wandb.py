"""Weights & Biases: a run of the project, of the sweep's group."""

import os
from collections.abc import Mapping
from typing import Any

from cml_jax.runs.config import to_json
from cml_jax.runs.trackers.base import About, End, Tracker

_FINISH_SECONDS = 60.0


def open_tracker(about: About) -> Tracker:
    """A run, or the one that goes on; online unless WANDB_MODE or the library's own settings say otherwise.

    Raises:
        RuntimeError: nobody is logged in; the library would ask at the terminal.
    """
    import wandb

    online = wandb.setup().settings.mode not in ("offline", "dryrun", "disabled")
    if online and not wandb.login(prompt=False, verify=False):
        raise RuntimeError("nobody is logged in; run `wandb login`, or set WANDB_MODE=offline")
    folder = about.folder if "WANDB_DIR" not in os.environ else None
    run = wandb.init(
        project=about.project,
        name=about.name,
        group=about.group,
        id=about.id,
        resume="allow" if about.id else None,
        dir=folder,
        reinit="create_new",  # runs of a sweep are open at once
        # Its own lines would break the progress bar, and what it catches of the terminal is of all runs.
        settings=wandb.Settings(silent=True, console="off", finish_timeout=_FINISH_SECONDS),
    )
    # Sections, since it forbids dots in names; what a longer run changes replaces what it was.
    run.config.update(to_json(about.config), allow_val_change=True)
    return _WandbRun(run, online)


class _WandbRun:
    def __init__(self, run: Any, online: bool) -> None:
        self._run = run
        self.id: str | None = run.id
        self.address: str | None = run.url if online else None

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """Logs a row."""
        self._run.log(dict(values), step=step)

    def result(self, step: int, values: Mapping[str, float]) -> None:
        """Sets values of the summary."""
        self._run.summary.update({**values, "best_step": step})

    def close(self, end: End) -> None:
        """Ends the run as finished, preempted or failed."""
        if end == "stopped":
            self._run.mark_preempting()
        self._run.finish(exit_code=0 if end == "finished" else 1)
