"""Tables and figures of all runs below a folder, from their files alone.

python -m experiments.report --workdir=DIR

Runs whose configs differ in the seed alone are one row. Writes report.md, results.csv and report.png into DIR.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.figure
import numpy as np
import polars as pl
from absl import flags

from cml_jax.errors import UserError
from experiments import cli

_IGNORED = (
    "seed",
    "dataset.path",
    "checkpoint.every_steps",
    "checkpoint.keep",
    "log.tensorboard",
    "sharding.num_shards",
)


class Row(NamedTuple):
    """Runs that differ in the seed alone, one a seed.

    Attributes:
        label: from the runs' folders.
        data: name and digest of the data set.
        part: 'test', or 'valid' where the runs leave test alone.
        values: metric -> one value a run.
        seeds: of the runs, in the same order.
        summaries: of the runs.
    """

    label: str
    data: tuple[str, str]
    part: str
    values: dict[str, list[float]]
    seeds: list[int]
    summaries: list[dict[str, Any]]


def collect(workdir: Path) -> list[Row]:
    """Reads every finished run below a folder.

    Raises:
        UserError: there is none, or a file of one cannot be read.
    """
    groups: dict[str, list[tuple[Path, dict, dict]]] = {}
    for path in sorted(workdir.rglob("summary.json")):
        config, summary = _read(path.with_name("config.json")), _read(path)
        try:
            part = "test" if summary["test"] else "valid"
            key = json.dumps([_without(config, _IGNORED), summary["dataset"]["sha256"], part], sort_keys=True)
            is_new = all(config["seed"] != other["seed"] for _, other, _ in groups.get(key, []))
        except (KeyError, TypeError) as error:
            raise UserError(f"{path}: not the summary of a run; remove the run's folder or repair it.") from error
        if not is_new:
            continue  # the same run again
        groups.setdefault(key, []).append((path.parent.relative_to(workdir), config, summary))
    if not groups:
        raise UserError(f"{workdir}: no finished run is there; each leaves a summary.json in its --workdir.")
    rows = []
    for runs in groups.values():
        summaries = [summary for *_, summary in runs]
        part = "test" if summaries[0]["test"] else "valid"
        rows.append(
            Row(
                label=_label([path for path, *_ in runs], workdir),
                data=(runs[0][1]["dataset"]["name"], summaries[0]["dataset"]["sha256"]),
                part=part,
                values={name: [summary[part][name] for summary in summaries] for name in summaries[0][part]},
                seeds=[config["seed"] for _, config, _ in runs],
                summaries=summaries,
            )
        )
    return sorted(rows, key=lambda row: (row.data, row.part, row.label))


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON; remove the run's folder or repair it.") from error
    return values


def _without(config: dict[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    copy = json.loads(json.dumps(config))
    for key in keys:
        *sections, name = key.split(".")
        inner = copy
        for section in sections:
            inner = inner.get(section, {})
        inner.pop(name, None)
    return copy


def _label(folders: Sequence[Path], workdir: Path) -> str:
    """The folder's name; of a run per seed in folders 0, 1 ..., that of the folder around them."""
    first = folders[0]
    found = first.parent if len(folders) > 1 or first.name.isdigit() else first
    return str(found) if found.name else workdir.resolve().name


def shown_metrics(group: Sequence[Row]) -> list[str]:
    """NDCG, MAP, recall, MMR and coverage at the cut-offs that all rows have: the largest, for recall the smallest.

    Raises:
        UserError: they have none in common.
    """
    common = set.intersection(*({int(name.split("@")[1]) for name in row.values} for row in group))
    if not common:
        raise UserError(
            f"{group[0].label} and {group[-1].label} have no cut-off of config.eval.ks in common; report them apart."
        )
    low, high = min(common), max(common)
    return [f"ndcg@{high}", f"map@{high}", f"recall@{low}", f"mmr@{high}", f"coverage@{high}"]


def as_markdown(rows: Sequence[Row]) -> str:
    """One table a data set and part: mean and, of several seeds, standard deviation; the best mean NDCG in bold."""
    lines = []
    for group in _groups(rows):
        data, part = group[0].data, group[0].part
        sizes = group[0].summaries[0]["dataset"]
        lines += [
            f"## {data[0]}"
            + ("" if part == "test" else ", validation scores of the selected step, which are optimistic"),
            "",
            f"{sizes['users']:,} users, {sizes['items']:,} items, {sizes['train']:,} / {sizes['valid']:,} / "
            f"{sizes['test']:,} pairs; digest {data[1][:12]}. Mean ± standard deviation over seeds; "
            f"the interval is the mean 95 % bootstrap interval over users.",
            "",
        ]
        names = shown_metrics(group)
        lines.append("| run | seeds | " + " | ".join([names[0], "interval", *names[1:]]) + " | steps | seconds |")
        lines.append("|" + "---|" * (len(names) + 5))
        best = max(np.mean(row.values[names[0]]) for row in group)
        for row in group:
            cells = [_mean_and_deviation(row.values[name], name) for name in names]
            if np.mean(row.values[names[0]]) == best:
                cells[0] = f"**{cells[0]}**"
            low, high = np.mean([summary["intervals"][part][names[0]] for summary in row.summaries], axis=0)
            cells.insert(1, f"{low:.4f} to {high:.4f}")
            seconds = np.mean([summary["wall_seconds"] for summary in row.summaries])
            cells += [f"{row.summaries[0]['steps']:,}", f"{seconds:.0f}"]
            lines.append(f"| {row.label} | {len(row.seeds)} | " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows that can be compared: of one data set and part."""
    keys = dict.fromkeys((row.data, row.part) for row in rows)
    return [[row for row in rows if (row.data, row.part) == key] for key in keys]


def _mean_and_deviation(values: Sequence[float], name: str) -> str:
    digits = 1 if name.startswith("mmr") else 4
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{deviation}"


def as_frame(rows: Sequence[Row]) -> pl.DataFrame:
    """One line a run and metric: run, dataset, sha256, seed, part, metric, value."""
    return pl.DataFrame(
        [
            (row.label, *row.data, seed, row.part, name, value)
            for row in rows
            for name, values in row.values.items()
            for seed, value in zip(row.seeds, values, strict=True)
        ],
        schema=["run", "dataset", "sha256", "seed", "part", "metric", "value"],
        orient="row",
    )


def save_figure(rows: Sequence[Row], path: Path) -> None:
    """NDCG and MMR of every row, a pair of panels a data set: a point a seed, a bar to the mean."""
    groups = _groups(rows)
    heights = [0.32 * len(group) + 0.9 for group in groups]
    figure = matplotlib.figure.Figure(figsize=(9, sum(heights)), layout="constrained")
    panels = figure.subplots(len(groups), 2, squeeze=False, height_ratios=heights)
    for group, (left, right) in zip(groups, panels, strict=True):
        ndcg, *_, mmr, _ = shown_metrics(group)
        places = np.arange(len(group))[::-1]
        for axes, metric in ((left, ndcg), (right, mmr)):
            means = [np.mean(row.values[metric]) for row in group]
            axes.barh(places, means, color="0.82", height=0.6)
            for place, row, mean in zip(places, group, means, strict=True):
                axes.plot(row.values[metric], [place] * len(row.seeds), "o", color="tab:blue", markersize=3.5)
                written = f"  {mean:.3f}" if axes is left else f"  {mean:.0f}"
                axes.text(max(row.values[metric]), place, written, va="center", fontsize=8)
            axes.set(
                xlabel=f"{group[0].data[0]}, {group[0].part} {metric.replace('ndcg', 'NDCG').replace('mmr', 'MMR')}"
            )
            axes.set_yticks(places, [Path(row.label).name for row in group] if axes is left else [])
            axes.set_xlim(0, 1.15 * max(max(row.values[metric]) for row in group) or 1)
            axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def write_report(workdir: Path) -> str:
    """Writes report.md, results.csv and report.png into a folder of runs; returns the text."""
    rows = collect(workdir)
    text = as_markdown(rows)  # before anything is written, since it may refuse
    (workdir / "report.md").write_text(text)
    as_frame(rows).write_csv(workdir / "results.csv")
    save_figure(rows, workdir / "report.png")
    return text


def main() -> None:
    """Runs with the flags' values."""
    print(write_report(Path(flags.FLAGS.workdir)))


if __name__ == "__main__":  # flags too, since a sweep imports this and has a --workdir of its own
    flags.DEFINE_string("workdir", None, "Folder with the workdirs of runs, at any depth.", required=True)
    cli.run(main)
