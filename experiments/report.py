"""Tables and figures of all runs below a folder, from their files alone.

python -m experiments.report --workdir=DIR [--baseline=LABEL]
python -m experiments.report --results [--workdir=runs/results]
python -m experiments.report --boards

The second builds the tables of RESULTS.md again, from the results kept in experiments/results, or from new runs. The
third shows the best published row of each data set, the best that is kept, and where that stands.

Runs whose configs differ in the seed alone are one row. Writes report.md, results.csv and the figures that the rows
allow, as PNG and PDF, into DIR, and shows a table of the rows.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
from absl import flags

from cml_jax.errors import UserError
from cml_jax.statistics import student_interval
from experiments import cli
from experiments.reports import comparison, console, style
from experiments.reports import rows as rows_lib
from experiments.reports.rows import Row, shown_metrics
from experiments.reports.sections import Section, make_sections
from experiments.results import page


def as_markdown(sections: Sequence[Section], failures: Sequence[tuple[str, str]] = (), note: str = "") -> str:
    """The report's text: for each section a table, the comparison and the figures; at the end the runs that failed."""
    lines = []
    for section in sections:
        lines += [*_heading(section.rows), *_table(section.rows)]
        if section.notes:
            lines += [*(f"- {sentence}" for sentence in section.notes), ""]
        if section.comparison is not None:
            lines += _comparison(section.comparison, note)
        for name, drawing in section.drawings.items():
            lines += [f"![{drawing.name}]({name}.png)", "", f"{drawing.caption} As [PDF]({name}.pdf).", ""]
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
    metric = style.written(found.metric, found.baseline.num_items)
    if found.differences:
        lines += [
            f"Difference of {metric} from {found.baseline.label}, paired by user, each with the mean "
            f"over the seeds named; 95 % interval and two-sided p-value of a bootstrap over users, about other users "
            f"and not about other seeds. The last column is corrected for the number of rows, "
            f"{len(found.differences)}, by Holm's method.",
            "",
            _line(["run", "seeds", "difference", "interval", "p", "p, corrected"]),
            "|" + "---|" * 6,
        ]
    p_text = comparison.written_p
    for row, seeds, test, corrected in found.differences:
        interval = f"{test.low:+.4f} to {test.high:+.4f}"
        lines.append(
            _line([row.label, seeds, f"{test.difference:+.4f}", interval, p_text(test.p_value), p_text(corrected)])
        )
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
    """Writes report.md, results.csv and the figures into a folder of runs; returns what the console shows of it.

    Args:
        workdir: the folder.
        baseline: label of the row that others are compared with.

    Raises:
        UserError: no run is finished, or a file of one cannot be read.
    """
    rows = rows_lib.collect(workdir)
    chosen = comparison.chosen_baseline(workdir, baseline, rows)
    sections = make_sections(rows, chosen.label)
    failed = rows_lib.failures(workdir)
    text = as_markdown(sections, failed, chosen.note)  # before anything is written: it may refuse
    (workdir / "report.md").write_text(text)
    as_frame(rows).write_csv(workdir / "results.csv")
    for section in sections:
        for name, drawing in section.drawings.items():
            style.save(drawing.figure, workdir / name)
    return console.as_text(sections, workdir, failed, chosen.note)


def main() -> None:
    """Runs with the flags' values."""
    workdir = Path(flags.FLAGS.workdir) if flags.FLAGS.workdir is not None else None
    if flags.FLAGS.boards:
        print(page.leaderboard())
    elif flags.FLAGS.results:
        print(page.rebuild(workdir))
    elif workdir is None:
        raise UserError("--workdir is needed, the folder with the runs; or --results or --boards.")
    else:
        print(write_report(workdir, flags.FLAGS.baseline))


if __name__ == "__main__":  # flags too, since a sweep imports this and has a --workdir of its own
    flags.DEFINE_string("workdir", None, "Folder with the workdirs of runs, at any depth.")
    flags.DEFINE_bool("results", False, "Build the tables of RESULTS.md again.")
    flags.DEFINE_bool("boards", False, "Show data set by data set what is published, what is kept, and the difference.")
    flags.DEFINE_string(
        "baseline",
        None,
        "Label of the row that others are compared with; default: that of sweep.json, else the nearest to defaults.",
    )
    cli.run(main, example="python -m experiments.report --workdir=runs")
