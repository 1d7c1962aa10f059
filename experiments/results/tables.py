"""The tables of RESULTS.md, from files of finished runs that are kept with the code.

experiments/results/kept/NAME.json has what the tables show of the runs of experiments/configs/results/NAME.py, so that
the tables can be built again where the runs' workdirs are gone.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cml_jax.errors import UserError
from cml_jax.runs.workdir import read_json, write_atomically
from cml_jax.statistics import student_interval
from experiments.reports import rows, style
from experiments.reports.rows import Row
from experiments.results import rescore, search_spaces
from experiments.results.markdown import between, line

_AGAIN = "--results --workdir=FOLDER_OF_THE_RUNS"
FEW_LEFT_OUT = ", few left out"  # after a metric's name in what is kept: without users of too few test items
_WORDS = {
    "optimizer.learning_rate": "rate",
    "model.num_negatives": "N",
    "sampler.popularity_exponent": "exponent",
    "sampler.similarity_cutoff": "cut-off",
    "model.temperature": "temperature",
    "model.l2_weight": "L2",
    "train.batch_size": "B",
    "train.num_passes": "passes",
    "baseline.regularization": "regularization",
    "baseline.alpha": "alpha",
    "baseline.learning_rate": "rate",
    "baseline.weighting": "weights",
    "baseline.num_neighbours": "neighbours",
    "baseline.l1_ratio": "share of L1",
}
_OF_ALL = ("train.batch_size", "train.num_passes")  # that a setting names where they are not those of most rows
_METHODS = {"bias": "cml_bias"}  # strategy -> method, where the names differ


class Table(NamedTuple):
    """What is shown of a data set.

    Attributes:
        title: its name.
        metrics: name -> heading; the first one has intervals.
        percent: whether the metrics but for MMR are in percent.
        valid_listed: metrics that are shown by the protocol of experiments/results/rescore.py too.
        few_left_out: those of them that are shown without users of few test items, too, where that was kept.
    """

    title: str
    metrics: dict[str, str]
    percent: bool = False
    valid_listed: tuple[str, ...] = ()
    few_left_out: tuple[str, ...] = ()


_BIAS = {"mmr@50": "MMR@50", "coverage@50": "coverage@50", "gini@50": "gini@50"}


def _usual(k: int) -> dict[str, str]:
    return {f"ndcg@{k}": f"NDCG@{k}", "map@50": "MAP@50", "recall@20": "Recall@20"} | _BIAS


TABLES = {  # by the name of the config
    "lastfm": Table("Last.fm", _usual(50)),
    "ml1m": Table("MovieLens-1M", _usual(50)),
    "steam": Table(
        "Steam-200k",
        {"ndcg@3": "NDCG@3", "precision@3": "P@3", "recall@3": "R@3", "map@5113": "MAP", "mrr@5113": "MRR"} | _BIAS,
        percent=True,
        valid_listed=("ndcg@3", "precision@3", "recall@3", "map@5113", "mrr@5113"),
        few_left_out=("map@5113", "mrr@5113"),
    ),
    "gowalla": Table("Gowalla", _usual(20)),
}


def keep(workdir: Path, folder: Path) -> list[str]:
    """Writes NAME.json into a folder for each folder NAME of a workdir; returns the names.

    Rows that the file has and the workdir has not, those of an earlier workdir, stay.

    Raises:
        UserError: there is none, or runs are not finished, cannot be read, or lack a metric of their table.
    """
    names = [name for name in TABLES if (workdir / name).is_dir()]
    if not names:
        raise UserError(
            f"{workdir}: no folder of runs with a name of {', '.join(TABLES)}; see experiments/configs/results."
        )
    found = {}
    for name in names:
        _check_finished(workdir / name)
        path = folder / f"{name}.json"
        earlier = (
            {row["label"]: row for row in read_rows(path, _order(), f"{_AGAIN} after deleting it")}
            if path.exists()
            else {}
        )
        new = {row.label: _kept(row, TABLES[name]) for row in rows.collect(workdir / name)}
        found[name] = list((earlier | new).values())
    for name, kept in found.items():
        write_atomically(folder / f"{name}.json", json.dumps(kept, indent=1) + "\n")
    return names


def _order() -> list[str]:
    """Labels in the order of the tables."""
    return ["popular", *search_spaces.LIBRARY_ROWS, "bpr-none", *search_spaces.ROWS]


def _check_finished(folder: Path) -> None:
    path = folder / "sweep.json"
    runs = read_json(path).get("runs", []) if path.exists() else []
    unfinished = [run for run in runs if not (folder / run / "summary.json").exists()]
    if unfinished:
        raise UserError(
            f"{folder}: {len(unfinished)} of {len(runs)} runs are not finished; start its sweep again first."
        )


def _kept(row: Row, table: Table) -> dict[str, Any]:
    missing = [name for name in table.metrics if name not in row.values]
    if missing:
        raise UserError(f"{row.folders[0]}: has no {missing[0]}, which the table of {table.title} shows; run it again.")
    first = next(iter(table.metrics))
    return {
        "label": row.label,
        "config": row.config,
        "dataset": row.summaries[0].dataset,
        "runs": [
            {
                "seed": seed,
                "metrics": {name: summary.metrics[name] for name in table.metrics},
                "interval": summary.intervals[row.part][first],
                "by_popularity": summary.by_popularity[row.part],
                **{key: getattr(summary, key) for key in ("best_step", "steps", "wall_seconds", "versions", "device")},
            }
            for seed, summary in zip(row.seeds, row.summaries, strict=True)
        ],
        "valid_listed": [
            _rescored(read_json(folder / rescore.FILE), table)
            for folder in row.folders
            if table.valid_listed and (folder / rescore.FILE).exists()
        ],
    }


def _rescored(scores: dict[str, Any], table: Table) -> dict[str, float]:
    """Of a file of experiments/results/rescore.py, what is kept."""
    found = {name: scores["test"][name] for name in table.valid_listed}
    few_left_out = scores.get("few_left_out", {})
    return found | {name + FEW_LEFT_OUT: few_left_out[name] for name in table.few_left_out if name in few_left_out}


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows kept of each table that has a file, in the order in which they are shown.

    Raises:
        UserError: there is no file, or one is damaged.
    """
    names = [name for name in TABLES if (folder / f"{name}.json").exists()]
    if not names:
        raise UserError(f"{folder}: no kept results; write them with --results --workdir=FOLDER_OF_THE_RUNS.")
    return {name: read_rows(folder / f"{name}.json", _order(), _AGAIN) for name in names}


def read_rows(path: Path, order: Sequence[str], again: str) -> list[dict[str, Any]]:
    """The rows of a kept file, in the order of their labels.

    Args:
        path: of the file.
        order: labels.
        again: flags that write the file, for the message.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return sorted(json.loads(path.read_text()), key=lambda row: order.index(row["label"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read as kept results; write it again with {again}.") from error


def as_markdown(name: str, kept: Sequence[dict[str, Any]]) -> str:
    """A table with what all its runs share below it."""
    table, sizes = TABLES[name], kept[0]["dataset"]
    heads = ["strategy", "constraint", "setting", *table.metrics.values()]
    heads[4:4] = ["over seeds", "over users"]
    heads += ["steps", "seconds"]
    lines = [line(heads), "|" + "---|" * len(heads)]
    means = {metric: [_mean(row, metric) for row in kept] for metric in table.metrics}
    best = {metric: max(values) for metric, values in means.items()}
    shared = _shared(kept)
    lines += [line(_cells(row, table, best, shared)) for row in kept]
    runs = [run for row in kept for run in row["runs"]]
    versions = [run["versions"] for run in runs]
    commits = " and ".join(dict.fromkeys(found.get("commit", "unknown") for found in versions))
    libraries = " and ".join(dict.fromkeys(f"jax {found['jax']}" for found in versions))
    lines += [
        "",
        f"{sizes['users']:,} users, {sizes['items']:,} items, {sizes['train']:,} / {sizes['valid']:,} / "
        f"{sizes['test']:,} pairs. d = {shared['model.dim']}, B = {shared['train.batch_size']:,}, C = "
        f"{shared['sampler.num_candidates']:,}, at most {shared['train.num_passes']:g} passes unless a setting "
        f"says otherwise; mean ± standard deviation over "
        f"{max(len(row['runs']) for row in kept)} seeds, the best in bold but for MMR and gini. Intervals are of 95 %: "
        f"Student's over seeds, the mean bootstrap interval over users. Seconds are those of one run with its "
        f"evaluations. Commit {commits}, {libraries}, Python {runs[0]['versions']['python']}.",
        "",
        "```",
        f"python -m experiments.sweep --config=experiments/configs/results/{name}.py --workdir=runs/results/{name} "
        f"--config.dataset.path=FOLDER",
        f"python -m experiments.results.baselines --config=experiments/configs/results/{name}.py "
        f"--workdir=runs/results/{name} --config.dataset.path=FOLDER",
        "```",
    ]
    return "\n".join([*lines, *_valid_listed(table, kept)])


def _valid_listed(table: Table, kept: Sequence[dict[str, Any]]) -> list[str]:
    """A second table, of the rows that were rescored."""
    scored = [row for row in kept if row["valid_listed"]]
    if not scored:
        return []
    both_ways = [name + FEW_LEFT_OUT for name in table.few_left_out]
    both_ways = [name for name in both_ways if any(name in found for row in scored for found in row["valid_listed"])]
    shown = {name: table.metrics[name] for name in table.valid_listed}
    shown |= {name: table.metrics[name.removesuffix(FEW_LEFT_OUT)] + FEW_LEFT_OUT for name in both_ways}
    heads = ["strategy", "constraint", *shown.values()]
    lines = ["", "The same runs with validation items left in the lists (`experiments.results.rescore`):", ""]
    lines += [line(heads), "|" + "---|" * len(heads)]
    for row in scored:
        columns = {name: [found[name] for found in row["valid_listed"] if name in found] for name in shown}
        cells = [_mean_and_deviation(values, name, table) if values else "-" for name, values in columns.items()]
        lines.append(line([*strategy(row), *cells]))
    return lines


def _shared(kept: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Values of keys that most rows have."""
    counts: dict[str, Counter[Any]] = {}
    for row in kept:
        for key, value in row["config"].items():
            counts.setdefault(key, Counter())[json.dumps(value)] += 1
    return {key: json.loads(count.most_common(1)[0][0]) for key, count in counts.items()}


def _cells(row: dict[str, Any], table: Table, best: dict[str, float], shared: Mapping[str, Any]) -> list[str]:
    searched = _searched(row) | {key for key in _OF_ALL if row["config"].get(key, shared.get(key)) != shared.get(key)}
    chosen = {word: row["config"][key] for key, word in _WORDS.items() if key in searched}
    setting = [f"{word} {value if isinstance(value, str) else f'{value:g}'}" for word, value in chosen.items()]
    cells = [*strategy(row), ", ".join(setting) or "-"]
    for number, metric in enumerate(table.metrics):
        values = [run["metrics"][metric] for run in row["runs"]]
        cell = _mean_and_deviation(values, metric, table)
        is_best = np.mean(values) == best[metric] and not metric.startswith(("mmr", "gini"))
        cells.append(f"**{cell}**" if is_best else cell)
        if number == 0:
            ends = student_interval(values) if len(values) > 1 else None
            over_users = np.mean([run["interval"] for run in row["runs"]], axis=0)
            cells += [_interval(found, metric, table) for found in (ends, over_users)]
    seconds = np.mean([run["wall_seconds"] for run in row["runs"]])
    return [*cells, f"{row['runs'][0]['steps']:,}", f"{seconds:.0f}"]


def strategy(row: Mapping[str, Any]) -> list[str]:
    """Strategy and constraint of a row, as the table writes them."""
    strategy, _, constraint = str(row["label"]).partition("-")
    return [style.method_name(_METHODS.get(strategy, strategy)), constraint or "-"]


def _mean_and_deviation(values: Sequence[float], metric: str, table: Table) -> str:
    mean = _number(np.mean(values), metric, table)
    return mean if len(values) == 1 else f"{mean} ± {_number(np.std(values, ddof=1), metric, table)}"


def _searched(row: dict[str, Any]) -> set[str]:
    """Keys that were chosen on validation."""
    if row["label"] == "popular":
        return set()
    keys = set(search_spaces.settings(row["label"])[0])
    if row["config"].get("model.num_negatives", 1) > 1:  # of a config's own settings
        keys.add("model.num_negatives")
    return {f"baseline.{key}" for key in keys} if row["label"] in search_spaces.LIBRARY_ROWS else keys


def _number(value: Any, metric: str, table: Table) -> str:
    if metric.startswith("mmr"):
        return f"{value:.1f}"
    return f"{100 * value:.2f}" if table.percent else f"{value:.4f}"


def _interval(ends: Any, metric: str, table: Table) -> str:
    return "-" if ends is None else " to ".join(_number(end, metric, table) for end in ends)


def _mean(row: dict[str, Any], metric: str) -> float:
    return float(np.mean([run["metrics"][metric] for run in row["runs"]]))


def with_tables(text: str, kept: dict[str, list[dict[str, Any]]]) -> str:
    """A text in which each table stands between its two marks, `<!-- table NAME -->` and `<!-- end NAME -->`.

    Raises:
        UserError: a mark is missing.
    """
    for name, found in kept.items():
        text = between(text, f"table {name}", name, as_markdown(name, found))
    return text
