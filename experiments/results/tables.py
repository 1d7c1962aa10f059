"""The tables of RESULTS.md in Markdown, of the runs that are kept with the code."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cml_jax.statistics import student_interval
from experiments.reports import style
from experiments.results import search_spaces
from experiments.results.keeping import FEW_LEFT_OUT, TABLES, Table
from experiments.results.markdown import between, line

_WORDS = {
    "optimizer.learning_rate": "rate",
    "model.num_negatives": "N",
    "sampler.popularity_exponent": "exponent",
    "sampler.similarity_cutoff": "cut-off",
    "model.temperature": "temperature",
    "model.temperature_degree_exponent": "degree exponent",
    "model.nearest_weight": "weight of the nearest",
    "model.l2_weight": "L2",
    "model.dim": "d",
    "train.batch_size": "B",
    "train.num_passes": "passes",
    "optimizer.average_passes": "passes averaged",
    "baseline.regularization": "regularization",
    "baseline.alpha": "alpha",
    "baseline.learning_rate": "rate",
    "baseline.weighting": "weights",
    "baseline.num_neighbours": "neighbours",
    "baseline.l1_ratio": "share of L1",
}
# That a setting names where they are not those of most rows.
_OF_ALL = ("model.dim", "train.batch_size", "train.num_passes", "optimizer.average_passes")
# Strategy -> method, where the names differ.
_METHODS = {"bias": "cml_bias"} | dict.fromkeys(("graph", "graph_128", "graph_256"), "cml_graph")
_VARIANTS = {  # of a method
    "two_stage_bias": "two-stage, item biases",
    "two_stage_graph": "two-stage, item graph",
    "degree": "soft second stage, item biases, temperatures by user",
    "dpcml": "soft second stage, DPCML",
}


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
    most_seeds = max(len(row["runs"]) for row in kept)
    lines += [line(_cells(row, table, best, shared, most_seeds)) for row in kept]
    runs = [run for row in kept for run in row["runs"]]
    versions = [run["versions"] for run in runs]
    commits = " and ".join(dict.fromkeys(found.get("commit", "unknown") for found in versions))
    libraries = " and ".join(dict.fromkeys(f"jax {found['jax']}" for found in versions))
    lines += [
        "",
        f"{sizes['users']:,} users, {sizes['items']:,} items, {sizes['train']:,} / {sizes['valid']:,} / "
        f"{sizes['test']:,} pairs. d = {shared['model.dim']}, B = {shared['train.batch_size']:,}, C = "
        f"{shared['sampler.num_candidates']:,}, at most {shared['train.num_passes']:g} passes unless a setting "
        f"says otherwise; mean ± standard deviation over {most_seeds} seeds, or as many as a setting names, the best "
        f"in bold but for MMR and gini. Intervals are of 95 %: "
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


def _cells(
    row: dict[str, Any], table: Table, best: dict[str, float], shared: Mapping[str, Any], most_seeds: int
) -> list[str]:
    searched = _searched(row) | {key for key in _OF_ALL if row["config"].get(key, shared.get(key)) != shared.get(key)}
    chosen = {word: row["config"][key] for key, word in _WORDS.items() if key in searched}
    setting = [f"{word} {value if isinstance(value, str) else f'{value:g}'}" for word, value in chosen.items()]
    if 1 < len(row["runs"]) < most_seeds:  # one seed is enough where nothing is drawn
        setting.append(f"{len(row['runs'])} seeds")
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
    return [_VARIANTS.get(strategy) or style.method_name(_METHODS.get(strategy, strategy)), constraint or "-"]


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
