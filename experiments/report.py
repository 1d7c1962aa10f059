"""Tables and figures of all runs below a folder, from their files alone.

python -m experiments.report --workdir=DIR [--baseline=LABEL]
python -m experiments.report --results [--workdir=runs/results]

The second builds the tables of RESULTS.md again, from the results kept in experiments/results, or from new runs.

Runs whose configs differ in the seed alone are one row. Writes report.md, results.csv and the figures that the rows
allow into DIR; README.md lists them.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl
from absl import flags

from cml_jax.errors import UserError
from cml_jax.statistics import student_interval
from experiments import cli
from experiments.reports import comparison, learning_curves, plots
from experiments.reports import rows as rows_lib
from experiments.reports.drawing import Drawing, written
from experiments.reports.rows import Row, shown_metrics
from experiments.results import tables

_LEAST_P = 0.0002  # below it the number of resamples decides


class Section(NamedTuple):
    """What the report says about one data set and part.

    Attributes:
        rows: that can be compared.
        comparison: of the rows with a baseline; none where there is one row.
        drawings: file name -> figure.
    """

    rows: list[Row]
    comparison: comparison.Comparison | None
    drawings: dict[str, Drawing]


def make_sections(rows: Sequence[Row], baseline: str | None = None) -> list[Section]:
    """A section a data set and part, with tests against the baseline and the figures that its rows allow.

    Raises:
        UserError: rows have no cut-off in common, or a file of a run is damaged.
    """
    groups = rows_lib.comparable(rows)
    suffixes = _suffixes(groups)
    sections = []
    for group, suffix in zip(groups, suffixes, strict=True):
        drawings = [
            plots.bars(group),
            plots.batch_size(group),
            plots.bias(group),
            learning_curves.learning(group),
            plots.heatmap(group),
        ]
        sections.append(
            Section(
                rows=group,
                comparison=comparison.compare(group, baseline) if len(group) > 1 else None,
                drawings={f"{drawing.name}{suffix}.png": drawing for drawing in drawings if drawing is not None},
            )
        )
    return sections


def _suffixes(groups: Sequence[Sequence[Row]]) -> list[str]:
    """Nothing for a single group, else the data set's name, with as much beside it as tells groups apart."""
    if len(groups) == 1:
        return [""]
    names = [re.sub(r"[^\w.-]", "_", group[0].data[0]) for group in groups]
    digests = [
        {group[0].data[1] for group, other in zip(groups, names, strict=True) if other == name} for name in names
    ]
    return [
        f"-{name}"
        + (f"-{group[0].data[1][:8]}" if len(same_name) > 1 else "")
        + ("-valid" if group[0].part == "valid" else "")
        for group, name, same_name in zip(groups, names, digests, strict=True)
    ]


def as_markdown(sections: Sequence[Section], failures: Sequence[tuple[str, str]] = (), note: str = "") -> str:
    """The report's text: for each section a table, the comparison and the figures; at the end the runs that failed."""
    lines = []
    for section in sections:
        lines += [*_heading(section.rows), *_table(section.rows)]
        if section.comparison is not None:
            lines += _comparison(section.comparison, note)
        for name, drawing in section.drawings.items():
            lines += [f"![{drawing.name}]({name})", "", drawing.caption, ""]
    if failures:
        lines += ["## Runs that failed", "", *(f"- {folder}: {reason}" for folder, reason in failures), ""]
    return "\n".join(lines)


def _heading(group: Sequence[Row]) -> list[str]:
    (name, digest), part, sizes = group[0].data, group[0].part, group[0].summaries[0].dataset
    return [
        f"## {name}" + ("" if part == "test" else ", validation scores of the selected step, which are optimistic"),
        "",
        f"{sizes['users']:,} users, {sizes['items']:,} items, {sizes['train']:,} / {sizes['valid']:,} / "
        f"{sizes['test']:,} pairs; digest {digest[:12]}. Mean ± standard deviation over seeds, the best in bold but "
        f"for MMR. The interval over seeds is Student's, of 95 %; that over users the mean 95 % bootstrap interval.",
        "",
    ]


def _table(group: Sequence[Row]) -> list[str]:
    names = shown_metrics(group)
    heads = ["run", "seeds", names[0], "over seeds", "over users", *names[1:], "steps", "seconds"]
    lines = [_line(heads), "|" + "---|" * len(heads)]
    best = {name: max(row.mean(name) for row in group) for name in names if not name.startswith("mmr")}
    for row in group:
        cells = [_mean_and_deviation(row, name) for name in names]
        cells = [
            f"**{cell}**" if row.mean(name) == best.get(name) else cell for cell, name in zip(cells, names, strict=True)
        ]
        values = row.values[names[0]]
        over_seeds = _interval(*student_interval(values)) if len(values) > 1 else "one seed"
        intervals = [summary.intervals[row.part][names[0]] for summary in row.summaries]
        over_users = _interval(*(sum(ends) / len(ends) for ends in zip(*intervals, strict=True)))
        seconds = sum(summary.wall_seconds for summary in row.summaries) / len(row.summaries)
        steps = f"{row.summaries[0].steps:,}"
        first = [row.label, str(len(row.seeds)), cells[0], over_seeds, over_users]
        lines.append(_line([*first, *cells[1:], steps, f"{seconds:.0f}"]))
    return [*lines, ""]


def _comparison(found: comparison.Comparison, note: str) -> list[str]:
    lines = [f"### Against {found.baseline.label}", ""]
    if note:
        lines += [note, ""]
    if found.differences:
        lines += [
            f"Difference of {written(found.metric)} from {found.baseline.label}, paired by user, each with the mean "
            f"over the seeds named; 95 % interval and two-sided p-value of a bootstrap over users, about other users "
            f"and not about other seeds. The last column is corrected for the number of rows, "
            f"{len(found.differences)}, by Holm's method.",
            "",
            _line(["run", "seeds", "difference", "interval", "p", "p, corrected"]),
            "|" + "---|" * 6,
        ]
    for row, seeds, test, corrected in found.differences:
        interval = f"{test.low:+.4f} to {test.high:+.4f}"
        lines.append(_line([row.label, seeds, f"{test.difference:+.4f}", interval, _p(test.p_value), _p(corrected)]))
    if found.differences:
        lines.append("")
    if found.untested:
        lines += [f"No test is possible without a per_user.npz: {', '.join(found.untested)}.", ""]
    return lines


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _mean_and_deviation(row: Row, name: str) -> str:
    digits = 1 if name.startswith("mmr") else 4
    deviation = f" ± {row.deviation(name):.{digits}f}" if len(row.seeds) > 1 else ""
    return f"{row.mean(name):.{digits}f}{deviation}"


def _interval(low: float, high: float) -> str:
    return f"{low:.4f} to {high:.4f}"


def _p(value: float) -> str:
    return f"< {_LEAST_P}" if value < _LEAST_P else f"{value:.4f}"


def as_frame(rows: Sequence[Row]) -> pl.DataFrame:
    """One line a run and metric: run, dataset, sha256, seed, part, metric, value."""
    return pl.DataFrame(
        [
            (row.label, *row.data, seed, row.part, name, float(value))
            for row in rows
            for name, values in row.values.items()
            for seed, value in zip(row.seeds, values, strict=True)
        ],
        schema=["run", "dataset", "sha256", "seed", "part", "metric", "value"],
        orient="row",
    )


def write_report(workdir: Path, baseline: str | None = None) -> str:
    """Writes report.md, results.csv and the figures into a folder of runs; returns the text of report.md.

    Args:
        workdir: the folder.
        baseline: label of the row that others are compared with.

    Raises:
        UserError: no run is finished, or a file of one cannot be read.
    """
    rows = rows_lib.collect(workdir)
    chosen = comparison.chosen_baseline(workdir, baseline, rows)
    sections = make_sections(rows, chosen.label)
    text = as_markdown(sections, rows_lib.failures(workdir), chosen.note)  # before anything is written: it may refuse
    (workdir / "report.md").write_text(text)
    as_frame(rows).write_csv(workdir / "results.csv")
    for section in sections:
        for name, drawing in section.drawings.items():
            drawing.figure.savefig(workdir / name)
    return text


def main() -> None:
    """Runs with the flags' values."""
    workdir = Path(flags.FLAGS.workdir) if flags.FLAGS.workdir is not None else None
    if flags.FLAGS.results:
        print(tables.rebuild(workdir))
    elif workdir is None:
        raise UserError("--workdir is needed, the folder with the runs; or --results, for the tables of RESULTS.md.")
    else:
        print(write_report(workdir, flags.FLAGS.baseline))


if __name__ == "__main__":  # flags too, since a sweep imports this and has a --workdir of its own
    flags.DEFINE_string("workdir", None, "Folder with the workdirs of runs, at any depth.")
    flags.DEFINE_bool("results", False, "Build the tables of RESULTS.md again.")
    flags.DEFINE_string(
        "baseline", None, "Label of the row that others are compared with; default: that of sweep.json, else uniform's."
    )
    cli.run(main, example="python -m experiments.report --workdir=runs")
