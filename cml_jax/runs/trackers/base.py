"""What a tracker is: where a person follows runs, such as TensorBoard, Weights & Biases or MLflow."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from cml_jax.runs.config import Config

End = Literal["finished", "stopped", "failed"]


class About(NamedTuple):
    """A run, as a tracker is told of it.

    Attributes:
        config: every key with its value; the hyperparameters.
        project: what the run belongs to.
        name: of the run, from its workdir; None without one.
        group: the sweep that it is a run of, if any.
        folder: its workdir, if any.
        id: `Tracker.id` of this run when it was tracked before; None where this is the first time.
    """

    config: Config
    project: str
    name: str | None
    group: str | None
    folder: Path | None
    id: str | None


class Tracker(Protocol):
    """A run that is open at a tracker.

    All is called in one thread, apart from the training; whatever is raised ends the tracking and not the training.
    """

    @property
    def id(self) -> str | None:
        """What finds the run again to go on with it. Without one, every opening gets the reports from the first on."""

    @property
    def address(self) -> str | None:
        """Where a person finds the run, for one line of the log."""

    def report(self, step: int, values: Mapping[str, float]) -> None:
        """Takes the numbers of a report, named as in metrics.jsonl; steps increase from call to call."""

    def result(self, step: int, values: Mapping[str, float]) -> None:
        """Takes the final scores of the best step, such as 'test/ndcg@20'; a longer run's replace them."""

    def close(self, end: End) -> None:
        """Ends the run there; 'stopped' is by a signal, so that it may go on later."""


class Kind(NamedTuple):
    """A tracker as it is registered.

    Attributes:
        package: that must be installed, by the name it is imported by; the extra has the tracker's name.
        open: begins a run, or goes on with the one of `About.id`; imports the package.
        needs_workdir: whether it writes into the run's workdir.
    """

    package: str
    open: Callable[[About], Tracker]
    needs_workdir: bool = False
