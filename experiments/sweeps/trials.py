"""The trials of a search: what was suggested, kept in search.json, and the table of the best."""

import json
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cml_jax.errors import ConfigError, UserError
from cml_jax.runs.workdir import read_json, write_atomically
from experiments.sweeps import grid
from experiments.sweeps import space as space_lib
from experiments.sweeps.space import Setting, Space

FILE = "search.json"
_LONGEST_LABEL = 200  # characters; a file system allows about 255
_WIDTH = 120  # of the table


class Trial(NamedTuple):
    """A setting that was tried.

    Attributes:
        number: from 0, in the order of suggestions.
        setting: dotted key -> value.
        folder: of its run, below the search's.
        score: the metric that selects, on validation; None where the run failed.
    """

    number: int
    setting: Setting
    folder: str
    score: float | None = None


class Record(NamedTuple):
    """What search.json holds.

    Attributes:
        path: of the file.
        space: what is searched, as `space.written` has it.
        seed: of suggestions and runs.
        at_once: how many trials are suggested before the next results.
        settings: suggested so far, in order.
    """

    path: Path
    space: dict[str, Any]
    seed: int
    at_once: int
    settings: list[Setting]

    def write(self) -> None:
        """Writes the file."""
        values = {name: value for name, value in self._asdict().items() if name != "path"}
        write_atomically(self.path, json.dumps(values, indent=2) + "\n")


def open_record(folder: Path, space: Space, seed: int, at_once: int | None, num_together: int) -> Record:
    """The record of the search in a folder, or an empty one.

    Args:
        folder: of the search.
        space: what is searched.
        seed: of suggestions and runs.
        at_once: as many as are asked for; None for those of the file, `num_together` where there is none.
        num_together: as many as are trained together.

    Raises:
        UserError: the folder holds another search, or the file cannot be read.
    """
    path, written = folder / FILE, space_lib.written(space)
    if not path.exists():
        return Record(path, written, seed, at_once or num_together, [])
    there = read_json(path, "choose another workdir, or delete it")
    try:
        settings = [{key: setting[key] for key in space} for setting in there["settings"]]
        old = Record(path, there["space"], int(there["seed"]), int(there["at_once"]), settings)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not the record of a search; choose another workdir, or delete it.") from error
    wanted = {"space": written, "seed": seed, "at_once": at_once or old.at_once}
    for name, value in wanted.items():
        if getattr(old, name) != value:
            raise ConfigError(
                f"{folder} holds a search with {name} = {getattr(old, name)!r}, not {value!r}; choose another workdir."
            )
    return old


def folder_of(number: int, setting: Setting, seed: int) -> str:
    """The folder of a trial, below that of its search: its number and what was tried, then the seed."""
    return f"{number:03},{grid.label_of(setting)}"[:_LONGEST_LABEL] + f"/{seed}"


def best_first(trials: Sequence[Trial]) -> list[Trial]:
    """The trials that did not fail, the highest score first, a setting that was suggested again once."""
    distinct = {trial.folder: trial for trial in reversed(trials) if trial.score is not None}
    return sorted(distinct.values(), key=lambda trial: (-(trial.score or 0.0), trial.number))


def table(trials: Sequence[Trial], metric: str) -> str:
    """A line a trial: number, score and setting, aligned; what does not fit in a line goes on below."""
    cells = [[f"{_short(key)}={_text(value)}" for key, value in trial.setting.items()] for trial in trials]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    head = f"{'trial':>5}  {f'valid {metric}':>14}  "
    lines = [f"{head}setting"]
    for trial, row in zip(trials, cells, strict=True):
        first = f"{trial.number:>5}  {f'{trial.score:.4f}':>14}  "
        text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines += textwrap.wrap(text, _WIDTH, initial_indent=first.ljust(len(head)), subsequent_indent=" " * len(head))
    return "\n".join(line.rstrip() for line in lines)


def _short(key: str) -> str:
    """The key's last part; of a strategy's name the first."""
    section, name = key.split(".")
    return section if name == "name" else name


def _text(value: Any) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def as_flags(setting: Mapping[str, Any]) -> list[str]:
    """The flags that give a config these values; those of None, which no flag can give, are left out."""
    return [f"--config.{key}={value}" for key, value in setting.items() if value is not None]
