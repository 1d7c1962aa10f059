"""The files of a run's workdir: config.json, dataset.npz, metrics.jsonl, summary.json, per_user.npz, checkpoints/."""

import contextlib
import fcntl
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cml_jax.data.interactions import Dataset
from cml_jax.data.saved import save_dataset
from cml_jax.errors import ConfigError, DataError, UserError
from cml_jax.evaluation import Evaluation
from cml_jax.files import home_path, replacing
from cml_jax.runs.config import KEYS, Config, default_values, section_of, to_json

# What may differ between a run and its continuation, because the steps done so far do not depend on it.
_FREE_KEYS = (
    "train.num_steps",
    "train.num_passes",
    "train.report_every_steps",
    "eval.every_steps",
    "eval.patience",
    "eval.compare",
    "eval.memory_budget_mb",
    "checkpoint.every_steps",
    "checkpoint.keep",
    "compilation_cache_dir",
    "dataset.path",
    "dataset.item_features",
    "dataset.user_features",
    "dataset.item_titles",
    "dataset.item_title_column",
    "dataset.item_title_id",
    "sharding.num_shards",
    *(key for key in KEYS if section_of(key) == "log"),
)
TRACKED = "trackers.json"


class Workdir(NamedTuple):
    """A workdir opened for one run.

    Attributes:
        folder: the workdir.
        changes: sentences about what differs from the run that is in it, where that is allowed.
        writes: whether this process is the one that writes; the others only read.
    """

    folder: Path
    changes: list[str]
    writes: bool

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / "checkpoints"

    def newest_step(self) -> int:
        """The step of the newest checkpoint; 0 where there is none."""
        names = [path.name for path in self.checkpoints.iterdir()] if self.checkpoints.is_dir() else []
        return max((int(name) for name in names if name.isdigit()), default=0)

    def keep_records(self, until: int) -> list[dict[str, Any]]:
        """The reports in metrics.jsonl up to a step; later ones, which a continued run repeats, are removed."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        records = []
        for number, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                if record["step"] <= until:
                    records.append(record)
            except (ValueError, KeyError, TypeError) as error:
                if number == len(lines):
                    break  # a killed run may leave half a line
                raise UserError(
                    f"{path}, line {number}: not a report; choose another workdir, or delete this one."
                ) from error
        if self.writes:
            write_atomically(path, "".join(json.dumps(record) + "\n" for record in records))
        return records

    def append_record(self, record: dict[str, Any]) -> None:
        """Adds a report to metrics.jsonl."""
        if self.writes:
            with (self.folder / "metrics.jsonl").open("a") as file:
                file.write(json.dumps(record) + "\n")

    def write_config(self, config: Config, data_sha256: str) -> None:
        """Writes config.json: every key with its value, and the digest of the data."""
        values = to_json(config)
        if self.writes:
            (self.folder / "failed.json").unlink(missing_ok=True)
            write_atomically(
                self.folder / "config.json", json.dumps(values | {"data_sha256": data_sha256}, indent=2) + "\n"
            )

    def write_dataset(self, dataset: Dataset, data_sha256: str) -> None:
        """Writes dataset.npz: what recommending needs of the data set."""
        if self.writes:
            save_dataset(self.folder / "dataset.npz", dataset, data_sha256)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """What a JSON file of the workdir holds, or None where it is not there.

        Raises:
            UserError: the file is not an object in JSON.
        """
        path = self.folder / name
        remedy = "choose another workdir, or delete this one"
        return read_json(path, remedy) if path.exists() else None

    def is_finished(self, num_steps: int, patience: int | None) -> bool:
        """Whether the workdir holds the result of so many steps, or of fewer where that patience, or more, ended it."""
        summary = self.read_json("summary.json") or {}
        if summary.get("steps") == num_steps:
            return True
        needed = summary.get("patience")
        ended = needed is not None and patience is not None and patience <= needed
        return ended and self.newest_step() <= summary["steps"]  # else it went on since then

    def failure(self, config: Config, data_sha256: str) -> str | None:
        """Why this run failed before; None where it did not, or where that was with another config or other data."""
        failure, old = self.read_json("failed.json"), self.read_json("config.json")
        same = old == to_json(config) | {"data_sha256": data_sha256}
        return str(failure.get("reason")) if failure is not None and same else None

    def remove_results(self) -> None:
        """Removes what an earlier run left, when a run starts anew."""
        if self.writes:
            for name in ("summary.json", "per_user.npz", TRACKED):
                (self.folder / name).unlink(missing_ok=True)

    def write_failure(self, reason: str) -> None:
        """Writes failed.json: why the run cannot go on."""
        if self.writes:
            write_atomically(self.folder / "failed.json", json.dumps({"reason": reason}, indent=2) + "\n")

    def write_per_user(self, result: Evaluation) -> None:
        """Writes per_user.npz: the users that were scored, by number, and for each metric a value a user."""
        if self.writes:
            buffer = io.BytesIO()
            np.savez(buffer, allow_pickle=False, users=result.users, **result.per_user)
            write_atomically(self.folder / "per_user.npz", buffer.getvalue())

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Writes summary.json: the result of the number of steps that it names; a longer run replaces it."""
        if self.writes:
            write_atomically(self.folder / "summary.json", json.dumps(summary, indent=2) + "\n")


@contextlib.contextmanager
def open_workdir(
    workdir: str | os.PathLike[str], config: Config, data_sha256: str, writes: bool = True
) -> Iterator[Workdir]:
    """Makes the workdir, or checks that the run already in it is the same, and keeps other runs out of it.

    Of several processes of one run, one writes, and keeps the others' runs out.

    Raises:
        ConfigError: the workdir holds a run of another config.
        DataError: the workdir holds a run on other data.
        UserError: the workdir cannot be written, or another run is writing to it.
    """
    with locked(workdir, wanted=writes) as folder:
        run = Workdir(folder, [], writes)
        if run.checkpoints.exists() and not run.checkpoints.is_dir():
            raise UserError(f"{run.checkpoints} is not a folder; choose another workdir, or delete it.")
        if run.newest_step():
            run.changes.extend(_check_same_run(run.read_json("config.json"), config, data_sha256, folder))
        yield run


@contextlib.contextmanager
def locked(workdir: str | os.PathLike[str], wanted: bool = True) -> Iterator[Path]:
    """Makes a folder and, if wanted, keeps other processes out of it.

    Raises:
        UserError: it cannot be written, or another process keeps it.
    """
    folder = home_path(workdir)
    with _errors_named(folder), contextlib.ExitStack() as on_exit:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        on_exit.callback(os.close, handle)
        if wanted:
            with _refusal_named(folder):
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it however the process ends
        yield folder


@contextlib.contextmanager
def _refusal_named(folder: Path) -> Iterator[None]:
    """Turns a lock that cannot be had into a sentence; where there are no locks, as on some networks, goes on."""
    try:
        yield
    except BlockingIOError:
        raise UserError(
            f"{folder} is being written by another run; wait for that one, or choose another workdir."
        ) from None
    except OSError:
        pass


@contextlib.contextmanager
def _errors_named(folder: Path) -> Iterator[None]:
    """Turns the operating system's errors into a sentence that names the workdir."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{folder}: cannot write the workdir ({reason}); choose another workdir.") from error


def _check_same_run(old: dict[str, Any] | None, config: Config, data_sha256: str, folder: Path) -> list[str]:
    """Sentences about keys that differ and may."""
    changes = []
    # A schedule ends with the run, so the steps done so far depend on its length.
    fixed = () if config["optimizer.schedule"] == "constant" else ("train.num_steps", "train.num_passes")
    if old is None:
        raise ConfigError(f"{folder} holds checkpoints but no config.json; choose another workdir, or delete this one.")
    missing, defaults = object(), default_values()
    for key, value in config.items():
        there: Any = old
        for part in key.split("."):
            there = there.get(part, missing) if isinstance(there, dict) else missing
        now = list(value) if isinstance(value, tuple) else value
        is_free = key in _FREE_KEYS and key not in fixed
        if there is missing:
            if is_free or value == defaults[key]:
                continue  # an option that there was not yet
            raise ConfigError(
                f"{folder} holds a run of a version without config.{key}, which is {now!r} now; choose another "
                f"workdir, or delete this one."
            )
        if there != now and not is_free:
            raise ConfigError(
                f"{folder} holds a run with config.{key} = {there!r}, not {now!r}; choose another workdir, or delete "
                f"this one."
            )
        if there != now:
            changes.append(f"config.{key} was {there!r} and is {now!r} from here on.")
    if old.get("data_sha256") != data_sha256:
        raise DataError(f"{folder} holds a run on other data; choose another workdir, or delete this one.")
    return changes


def read_json(path: Path, remedy: str = "remove the run's folder or repair it") -> dict[str, Any]:
    """What a file holds.

    Raises:
        UserError: it is not an object in JSON.
    """
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON; {remedy}.") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: is not an object in JSON; {remedy}.")
    return values


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes beside and renames, so that a reader or a crash never sees half a file."""
    with replacing(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
