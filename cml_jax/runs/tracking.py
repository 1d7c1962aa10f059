"""How runs report to people's trackers: beside the training, each report once, whatever happens to a tracker."""

import contextlib
import importlib
import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cml_jax.errors import TrainingError
from cml_jax.runs import trackers
from cml_jax.runs.config import Config
from cml_jax.runs.summary import Summary
from cml_jax.runs.trackers.base import About, End, Kind, Tracker
from cml_jax.runs.workdir import TRACKED, read_json, write_atomically

WAIT_SECONDS = 60.0  # for one call at the end
_LONGEST_REASON = 200

Record = Mapping[str, Any]


class Trackers:
    """The trackers of a process, which all its runs share; opened by `open_trackers`."""

    def __init__(self, say: Callable[[str], None], sweep: Path | None) -> None:
        """Begins nothing yet; see `open_trackers`."""
        self._say, self._sweep = say, sweep
        self._workers: dict[str, _Worker] = {}

    @contextlib.contextmanager
    def follow(self, config: Config, workdir: Path | None, records: Sequence[Record]) -> Iterator["Tracking"]:
        """A run, from its opening to its end, at the trackers that its config asks for.

        Args:
            config: of the run.
            workdir: its folder, which keeps what the trackers call it; None without one.
            records: its reports so far; of these a tracker gets those that it lacks.
        """
        book = _Book(workdir and workdir / TRACKED)
        followed = [
            _Followed(kind, self._worker(name, kind), book, name, self._about(config, workdir), self._say)
            for name, kind in trackers.wanted(config).items()
        ]
        tracking, end = Tracking(followed), "stopped"
        for record in records:
            tracking.report(record)
        try:
            yield tracking
            end = "failed"
        except TrainingError:
            end = "failed"
            raise
        finally:
            tracking.close("finished" if tracking.has_result else end)

    def wait(self, seconds: float) -> None:
        """Returns when each tracker has got everything or does nothing for so long, and says which are such."""
        for name, worker in self._workers.items():
            if not worker.end(seconds):
                self._say(f"Warning: log.{name}: no answer within {seconds:g} s; the last reports may be missing.")

    def _worker(self, name: str, kind: Kind) -> "_Worker":
        if name not in self._workers:
            self._workers[name] = _Worker(name, kind, self._say)
        return self._workers[name]

    def _about(self, config: Config, workdir: Path | None) -> About:
        name, group, folder = None, None, workdir and workdir.resolve()
        if folder is not None:
            name = folder.name
            if self._sweep is not None and folder.is_relative_to(self._sweep):
                name, group = folder.relative_to(self._sweep).as_posix(), self._sweep.name
        return About(config, config["log.project"], name, group, folder, id=None)


@contextlib.contextmanager
def open_trackers(say: Callable[[str], None], sweep: Path | None = None) -> Iterator[Trackers]:
    """Trackers that get what is left for them before this is left, where they answer in time.

    Args:
        say: prints a line of the log: where a run is found, or why a tracker is given up; called from other threads.
        sweep: folder of the runs that belong together, named by their paths below it.
    """
    opened = Trackers(say, sweep and sweep.resolve())
    try:
        yield opened
    finally:
        opened.wait(WAIT_SECONDS)


class Tracking:
    """What a run tells its trackers; every call returns at once."""

    def __init__(self, followed: "Sequence[_Followed]") -> None:
        """Opens the run at each tracker."""
        self._followed, self.has_result = followed, False
        self._tell(lambda followed: followed.open())

    def report(self, record: Record) -> None:
        """Passes a report on: its numbers and its metrics."""
        values = {name: value for name, value in record.items() if name not in ("step", "metrics")}
        self._tell(lambda followed: followed.report(record["step"], values | record["metrics"]))

    def result(self, summary: Summary) -> None:
        """Passes the final scores on, named 'valid/ndcg@20' and 'test/ndcg@20'."""
        self.has_result = True
        values = {f"{part}/{name}": value for part, scores in summary.scores.items() for name, value in scores.items()}
        self._tell(lambda followed: followed.result(summary.best_step, values))

    def close(self, end: End) -> None:
        """Ends the run at each tracker."""
        self._tell(lambda followed: followed.close(end))

    def _tell(self, job: "Callable[[_Followed], None]") -> None:
        for followed in self._followed:
            followed.worker.put(lambda followed=followed: job(followed))


class _Followed:
    """A run at one tracker; but for the first call, all is done in the tracker's thread."""

    def __init__(
        self, kind: Kind, worker: "_Worker", book: "_Book", name: str, about: About, say: Callable[[str], None]
    ) -> None:
        self.worker = worker
        self._kind, self._book, self._name, self._about, self._say = kind, book, name, about, say
        self._tracker: Tracker | None = None
        self._step = 0  # of the last report there

    @property
    def _opened(self) -> Tracker:
        assert self._tracker is not None, "a tracker that cannot be opened is not told anything else"
        return self._tracker

    def open(self) -> None:
        known = self._book.read(self._name, self._about.project)
        self._tracker = self._kind.open(self._about._replace(id=known.get("id")))
        if self._tracker.id is not None and self._tracker.id == known.get("id"):
            self._step = known["step"]
        self._note()
        if self._tracker.address is not None:
            self._say(f"log.{self._name}: {self._tracker.address}")

    def report(self, step: int, values: Mapping[str, float]) -> None:
        if step > self._step:  # a resumed run makes some reports again
            self._opened.report(step, values)
            self._step = step
            self._note()

    def result(self, step: int, values: Mapping[str, float]) -> None:
        self._opened.result(step, values)

    def close(self, end: End) -> None:
        self._opened.close(end)

    def _note(self) -> None:
        if self._opened.id is not None:
            about = {"project": self._about.project, "id": self._opened.id, "step": self._step}
            self._book.write(self._name, about)


class _Book:
    """A workdir's trackers.json: tracker -> project, id of the run, step of its last report there."""

    _lock = threading.Lock()  # of all trackers' threads

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self, name: str, project: str) -> dict[str, Any]:
        """What is known of the run at a tracker; nothing where it was in another project."""
        found = self._all().get(name, {})
        return found if found.get("project") == project else {}

    def write(self, name: str, about: Mapping[str, Any]) -> None:
        """Replaces what is known of the run at a tracker."""
        if self._path is not None:
            with self._lock:
                write_atomically(self._path, json.dumps(self._all() | {name: about}, indent=2) + "\n")

    def _all(self) -> dict[str, Any]:
        return read_json(self._path) if self._path is not None and self._path.exists() else {}


class _Worker:
    """A tracker's thread: it does jobs in their order until one fails, and says once that it did."""

    def __init__(self, name: str, kind: Kind, say: Callable[[str], None]) -> None:
        self._name, self._say = name, say
        self._done, self._given_up = 0, False
        self._jobs: queue.SimpleQueue[Callable[[], Any] | None] = queue.SimpleQueue()
        # An import that takes long is not to use up the time that is given to a server at the end.
        self._failed = not self._try(lambda: importlib.import_module(kind.package))
        # A daemon, so that a server that does not answer does not keep the process.
        self._thread = threading.Thread(target=self._work, name=f"log.{name}", daemon=True)
        self._thread.start()

    def put(self, job: Callable[[], Any]) -> None:
        """Has a job done after those before it."""
        self._jobs.put(job)

    def end(self, seconds: float) -> bool:
        """Waits for the jobs so far, but for none longer than that; whether all are done, or given up."""
        self._jobs.put(None)
        before = -1
        while self._thread.is_alive() and self._done != before:
            before = self._done
            self._thread.join(seconds)
        self._given_up = self._thread.is_alive()
        return not self._given_up

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._failed = self._failed or not self._try(job)
            self._done += 1

    def _try(self, job: Callable[[], Any]) -> bool:
        try:
            job()
        except (Exception, SystemExit) as error:  # whatever it is, the training goes on
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            if not self._given_up:  # which was said
                self._say(f"Warning: log.{self._name}: {reason[:_LONGEST_REASON]}; going on without it.")
            return False
        return True
