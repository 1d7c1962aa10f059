"""The files of a run's workdir: config.json, metrics.jsonl, summary.json, checkpoints/."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cml_jax.errors import ConfigError, DataError, UserError
from experiments.config import Config, flatten

# What may differ between a run and its continuation, because the steps done so far do not depend on it.
_FREE_KEYS = ("train.num_steps", "train.num_passes", "checkpoint.every_steps", "checkpoint.keep", "dataset.path")


class Run(NamedTuple):
    """A workdir opened for one run."""

    folder: Path

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.folder / "checkpoints"

    def keep_records(self, until: int) -> list[dict[str, Any]]:
        """The reports in metrics.jsonl up to a step; later ones, which a continued run repeats, are removed."""
        path = self.folder / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        records = [json.loads(line) for line in lines if line.endswith("}")]  # a killed run may leave half a line
        records = [record for record in records if record["step"] <= until]
        _write_atomically(path, "".join(json.dumps(record) + "\n" for record in records))
        return records

    def append_record(self, record: dict[str, Any]) -> None:
        """Adds a report to metrics.jsonl."""
        with (self.folder / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")

    def write_config(self, config: Config, data_sha256: str) -> None:
        """Writes config.json: every key with its value, and the digest of the data."""
        values = json.loads(config.to_json(sort_keys=False))
        with _errors_named(self.folder):
            _write_atomically(
                self.folder / "config.json", json.dumps(values | {"data_sha256": data_sha256}, indent=2) + "\n"
            )

    def read_summary(self) -> dict[str, Any] | None:
        """What summary.json holds, or None where no run has finished."""
        path = self.folder / "summary.json"
        return json.loads(path.read_text()) if path.exists() else None

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Writes summary.json, whose presence says that the run has finished."""
        _write_atomically(self.folder / "summary.json", json.dumps(summary, indent=2) + "\n")


def open_run(workdir: str | os.PathLike[str], config: Config, data_sha256: str) -> Run:
    """Makes the workdir, or checks that the run already in it is the same.

    Raises:
        ConfigError: the workdir holds a run of another config.
        DataError: the workdir holds a run on other data.
        UserError: the workdir cannot be written.
    """
    folder = Path(workdir)
    with _errors_named(folder):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "config.json"
        if path.exists():
            _check_same_run(json.loads(path.read_text()), config, data_sha256, folder)
    return Run(folder)


@contextlib.contextmanager
def _errors_named(folder: Path) -> Iterator[None]:
    """Turns the operating system's errors into a sentence that names the workdir."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{folder}: cannot write the workdir ({error.strerror}); choose another --workdir.") from error


def _check_same_run(old: dict[str, Any], config: Config, data_sha256: str, folder: Path) -> None:
    for key, value in flatten(config):
        there: Any = old
        for part in key.split("."):
            there = there.get(part) if isinstance(there, dict) else None
        now = list(value) if isinstance(value, tuple) else value
        if key not in _FREE_KEYS and there != now:
            raise ConfigError(
                f"{folder} holds a run with config.{key} = {there!r}, not {now!r}; choose another --workdir, or delete "
                f"this one."
            )
    if old.get("data_sha256") != data_sha256:
        raise DataError(f"{folder} holds a run on other data; choose another --workdir, or delete this one.")


def _write_atomically(path: Path, text: str) -> None:
    """Writes beside and renames, so that a reader or a crash never sees half a file."""
    beside = path.with_suffix(path.suffix + ".part")
    beside.write_text(text)
    beside.replace(path)
