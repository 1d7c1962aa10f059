"""The finished runs below a folder, as rows: those that differ in the seed alone are one."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cml_jax.errors import UserError
from cml_jax.runs.config import KEYS, section_of
from cml_jax.runs.summary import Summary, read_summary
from cml_jax.runs.workdir import read_json
from experiments.reports import style

IGNORED = (
    *("seed", "dataset.path", "checkpoint.every_steps", "checkpoint.keep"),
    "sharding.num_shards",
    *(key for key in KEYS if section_of(key) == "log"),
)
_NOT_IN_NAMES = ("data_sha256", "train.report_every_steps", "eval.every_steps", "eval.memory_budget_mb")
_WORDS = {
    "sampler.similarity_cutoff": "cut-off",
    "sampler.popularity_exponent": "exponent",
    "sampler.num_candidates": "candidates",
    "train.batch_size": "batch",
    "train.num_passes": "passes",
    "train.num_steps": "steps",
    "model.gor_weight": "GOR",
}
_OF_METHODS = ("model.name", "model.loss", "model.temperature", "model.decoupled", "model.negative_exponent")
_LONGEST_NAME = 48


class Row(NamedTuple):
    """Runs that differ in the seed alone, one a seed, in the order of their seeds.

    Attributes:
        label: from the runs' folders.
        data: name and digest of the data set.
        part: 'test', or 'valid' where the runs leave test alone.
        values: metric -> one value a run.
        seeds: of the runs.
        summaries: of the runs.
        folders: of the runs.
        config: dotted key -> value, of the keys that the runs have in common.
    """

    label: str
    data: tuple[str, str]
    part: str
    values: dict[str, list[float]]
    seeds: list[int]
    summaries: list[Summary]
    folders: list[Path]
    config: dict[str, Any]

    @property
    def num_items(self) -> int:
        """Of the catalogue."""
        return int(self.summaries[0].dataset["items"])

    def mean(self, metric: str) -> float:
        """Of a metric, over seeds."""
        return float(np.mean(self.values[metric]))

    def deviation(self, metric: str) -> float:
        """Standard deviation of a metric over seeds; 0 of a single run."""
        return float(np.std(self.values[metric], ddof=1)) if len(self.seeds) > 1 else 0.0


class _Run(NamedTuple):
    folder: Path
    seed: int
    config: dict[str, Any]
    summary: Summary


def collect(workdir: Path) -> list[Row]:
    """Reads every finished run below a folder; the order of rows is that of data sets and labels, numbers by size.

    Raises:
        UserError: there is none, or a file of one cannot be read.
    """
    groups: dict[str, list[_Run]] = {}
    for path in sorted(workdir.rglob("summary.json")):
        run, key = _read_run(path)
        runs = groups.setdefault(key, [])
        if all(run.seed != other.seed for other in runs):  # else the same run again
            runs.append(run)
    if not groups:
        failed = len(failures(workdir))
        raise UserError(
            f"{workdir}: no finished run is there{f', and {failed} failed' if failed else ''}; each leaves a "
            f"summary.json in its --workdir."
        )
    rows = []
    for runs in groups.values():
        runs.sort(key=lambda run: run.seed)
        first = runs[0]
        rows.append(
            Row(
                label=_label([run.folder.relative_to(workdir) for run in runs], workdir),
                data=(first.config["dataset.name"], first.summary.dataset["sha256"]),
                part=first.summary.part,
                values={name: [run.summary.metrics[name] for run in runs] for name in _metrics(runs)},
                seeds=[run.seed for run in runs],
                summaries=[run.summary for run in runs],
                folders=[run.folder for run in runs],
                config={key: value for key, value in first.config.items() if key not in IGNORED},
            )
        )
    labels = [row.label for row in rows]
    rows = [
        row._replace(label=str(row.folders[0].relative_to(workdir))) if labels.count(row.label) > 1 else row
        for row in rows
    ]
    return sorted(rows, key=lambda row: (row.data, row.part, _by_size(row.label), row.label))


def failures(workdir: Path) -> list[tuple[str, str]]:
    """Folder and reason of every run below a folder that failed, and did not succeed later.

    Raises:
        UserError: a file cannot be read.
    """
    found = []
    for path in workdir.rglob("failed.json"):
        if path.with_name("summary.json").exists():
            continue
        reason = read_json(path).get("reason")
        if not isinstance(reason, str):
            raise UserError(f"{path}: has no reason; remove the run's folder or repair it.")
        found.append((str(path.parent.relative_to(workdir)), " ".join(reason.split())))
    return sorted(found, key=lambda failure: (_by_size(failure[0]), failure))


def _read_run(path: Path) -> tuple[_Run, str]:
    """The run of a summary.json, and what it has in common with those of other seeds."""
    config, summary = read_config(path.parent), read_summary(path)
    try:
        run = _Run(path.parent, config["seed"], config, summary)
        common = {key: value for key, value in config.items() if key not in IGNORED}
        # By early stopping each seed has its own number of steps.
        steps = summary.steps if config.get("eval.patience") is None else None
        key = json.dumps([common, summary.dataset["sha256"], summary.part, steps], sort_keys=True)
        _ = int(run.seed), config["dataset.name"], style.method_of(config)
        _ = [int(k) for k in config["eval.ks"]]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not the summary of a run; remove the run's folder or repair it.") from error
    return run, key


def read_config(folder: Path) -> dict[str, Any]:
    """Dotted key -> value of a run's config.json.

    Raises:
        UserError: it cannot be read.
    """
    return dict(_flatten(read_json(folder / "config.json")))


def _flatten(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _metrics(runs: Sequence[_Run]) -> list[str]:
    """Those that all runs have."""
    return [name for name in runs[0].summary.metrics if all(name in run.summary.metrics for run in runs)]


def _label(folders: Sequence[Path], workdir: Path) -> str:
    """The folder's name; of a run per seed in folders 0, 1 ..., that of the folder around them."""
    first = folders[0]
    found = first.parent if len(folders) > 1 or first.name.isdigit() else first
    return str(found) if found.name else workdir.resolve().name


def _by_size(label: str) -> list[str | float]:
    """A sorting key in which 64 comes before 256."""
    parts = re.split(r"(\d+(?:\.\d+)?)", label)
    return [float(part) if i % 2 else part for i, part in enumerate(parts)]


def comparable(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that can be compared: of one data set and part."""
    keys = dict.fromkeys((row.data, row.part) for row in rows)
    return [[row for row in rows if (row.data, row.part) == key] for key in keys]


def shown_metrics(group: Sequence[Row]) -> list[str]:
    """NDCG, MAP, recall, MMR and coverage at the cut-offs that all rows have: the largest, for recall the smallest.

    Raises:
        UserError: they have none in common.
    """
    common = set.intersection(*({int(k) for k in row.config["eval.ks"]} for row in group))
    if not common:
        raise UserError(
            f"{group[0].label} and {group[-1].label} have no cut-off of config.eval.ks in common; report them apart."
        )
    low, high = min(common), max(common)
    return [f"ndcg@{high}", f"map@{high}", f"recall@{low}", f"mmr@{high}", f"coverage@{high}"]


def best_first(group: Sequence[Row]) -> list[Row]:
    """By mean NDCG."""
    metric = shown_metrics(group)[0]
    return sorted(group, key=lambda row: -row.mean(metric))


def differing_keys(group: Sequence[Row]) -> list[str]:
    """Keys of the config that have several values among rows, in the config's order."""
    keys = dict.fromkeys(key for row in group for key in row.config)
    return [key for key in keys if len({json.dumps(row.config.get(key)) for row in group}) > 1]


def short_names(group: Sequence[Row]) -> list[str]:
    """A short name a row, of what the rows differ in; their labels where that is long, or not enough to tell them."""
    names = [_name(row, group, ()) for row in group]
    if len(group) == 1 or len(set(names)) < len(names) or max(map(len, names)) > _LONGEST_NAME:
        return [row.label for row in group]
    return names


def strategies(group: Sequence[Row], apart: Sequence[str]) -> dict[str, list[Row]]:
    """Short name -> rows that differ in the keys `apart` alone."""
    found: dict[str, list[Row]] = {}
    for row in group:
        rest = {key: value for key, value in row.config.items() if key not in apart}
        found.setdefault(json.dumps(rest, sort_keys=True), []).append(row)
    names = [_name(rows[0], group, apart) for rows in found.values()]
    if len(set(names)) < len(names):
        names = [rows[0].label for rows in found.values()]
    return dict(zip(names, found.values(), strict=True))


def _name(row: Row, group: Sequence[Row], apart: Sequence[str]) -> str:
    """The row's method, where several are there, and its values of the keys that differ.

    Of the keys that choose a method, and of a strategy's own, it has those that differ among the rows of its method.
    """
    methods = [style.method_of(other.config) for other in group]
    method = style.method_of(row.config)
    same = [other for other, theirs in zip(group, methods, strict=True) if theirs == method]
    in_all, in_same = differing_keys(group), differing_keys(same)
    words = [style.method_name(method)] if len(set(methods)) > 1 else []
    for key in in_all:
        if key in apart or key in _NOT_IN_NAMES or key.startswith(("dataset.", "baseline.name")):
            continue
        if (key.startswith("sampler.") or key in _OF_METHODS) and key not in in_same:
            continue
        value = row.config.get(key)
        text = value if isinstance(value, str) else "none" if value is None else json.dumps(value)
        text = f"{value:g}" if isinstance(value, float) else text
        word = _WORDS.get(key, key.split(".")[-1].replace("_", " "))
        words.append(style.method_name(text) if key == "sampler.name" else f"{word} {text}")
    return ", ".join(words) or style.method_name(method)


def axis_label(group: Sequence[Row], metric: str) -> str:
    """Part and metric, such as 'test NDCG@50'."""
    return f"{group[0].part} {style.written(metric, group[0].num_items)}"


def of_config(row: Row, key: str) -> float:
    """A number of the row's config; not a number where the key has no value."""
    value = row.config.get(key)
    return float(value) if isinstance(value, int | float) else float("nan")
