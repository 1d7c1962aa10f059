"""Tables and figures of all runs below a folder, from their files alone.

python -m experiments.report --workdir=DIR [--baseline=LABEL]
python -m experiments.report --results [--workdir=runs/results]
python -m experiments.report --boards

The second builds the tables of RESULTS.md again, from the results kept in experiments/results, or from new runs. The
third shows the best published row of each data set, the best that is kept, and where that stands.

Runs whose configs differ in the seed alone are one row. Writes report.md, results.csv and the figures that the rows
allow, as PNG and PDF, into DIR, and shows a table of the rows. With plotly (the extra `explore`) it writes report.html
too, a page with the same numbers that any browser opens without a network.
"""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
from absl import flags

from cml_jax.errors import UserError
from experiments import cli
from experiments.pages import building
from experiments.report_page import content
from experiments.report_page import page as html
from experiments.reports import comparison, console, numbers, style
from experiments.reports import rows as rows_lib
from experiments.reports import sections as sections_lib
from experiments.reports.rows import Row, shown_metrics
from experiments.reports.sections import Section, make_sections
from experiments.results import page as results_page
from experiments.table_files import errors_named


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
    return [f"## {sections_lib.title(group)}", "", sections_lib.about(group), ""]


def _table(group: Sequence[Row]) -> list[str]:
    names = shown_metrics(group)
    heads = ["run", "seeds", names[0], "over seeds", "over users", *names[1:], "steps", "seconds"]
    lines = [_line(heads), "|" + "---|" * len(heads)]
    best = numbers.best_values(group, names)
    for row in group:
        cells = [
            f"**{cell}**" if row.mean(name) == best.get(name) else cell
            for name in names
            for cell in [numbers.mean_and_deviation(row, name)]
        ]
        intervals = [numbers.over_seeds(row, names[0]), numbers.over_users(row, names[0])]
        first = [row.label, str(len(row.seeds)), cells[0], *map(numbers.written_interval, intervals)]
        lines.append(_line([*first, *cells[1:], numbers.steps(row), f"{numbers.seconds(row):.0f}"]))
    return [*lines, ""]


def _comparison(found: comparison.Comparison, note: str) -> list[str]:
    lines = [f"### Against {found.baseline.label}", ""]
    if note:
        lines += [note, ""]
    if found.differences:
        lines += [
            comparison.explained(found),
            "",
            _line(["run", "seeds", "difference", "interval", "p", "p, corrected"]),
            "|" + "---|" * 6,
        ]
    p_text = comparison.written_p
    for row, seeds, test, corrected in found.differences:
        difference, interval = comparison.written_difference(test)
        lines.append(_line([row.label, seeds, difference, interval, p_text(test.p_value), p_text(corrected)]))
    if found.differences:
        lines.append("")
    if found.untested:
        lines += [comparison.about_untested(found), ""]
    return lines


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


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
    """Writes report.md, report.html, results.csv and the figures into a folder of runs; returns what the console shows.

    Args:
        workdir: the folder.
        baseline: label of the row that others are compared with.

    Raises:
        UserError: no run is finished, a file of one cannot be read, or the report cannot be written.
    """
    rows = rows_lib.collect(workdir)
    chosen = comparison.chosen_baseline(workdir, baseline, rows)
    sections = make_sections(rows, chosen.label)
    failed = rows_lib.failures(workdir)
    text = as_markdown(sections, failed, chosen.note)  # before anything is written: it may refuse
    with_page = building.is_installed()
    made = content.make(workdir, rows, sections, failed, chosen.note) if with_page else {}
    with errors_named(workdir), _moved_together(workdir) as beside:
        (beside / "report.md").write_text(text)
        if with_page:
            (beside / html.NAME).write_text(building.as_html(html.SOURCE, made), encoding="utf-8", newline="")
        as_frame(rows).write_csv(beside / "results.csv")
        for section in sections:
            for name, drawing in section.drawings.items():
                style.save(drawing.figure, beside / name)
    return console.as_text(sections, workdir, failed, chosen.note, with_page)


@contextlib.contextmanager
def _moved_together(folder: Path) -> Iterator[Path]:
    """A folder to write files to; they move into `folder` at the end, and none does where one cannot be written."""
    with tempfile.TemporaryDirectory(prefix=".report.", dir=folder) as name:
        beside = Path(name)
        yield beside
        paths = sorted(beside.iterdir())
        for path in paths:
            if (folder / path.name).is_dir():
                raise OSError(f"{path.name} is a folder")
        for path in paths:
            path.replace(folder / path.name)


def check_flags(boards: bool, results: bool, workdir: str | None, baseline: str | None) -> None:
    """Raises UserError where a flag would have no effect."""
    if boards and (results or workdir is not None or baseline is not None):
        raise UserError("--boards shows the kept results; leave out --workdir, --results and --baseline.")
    if results and baseline is not None:
        raise UserError("--results builds tables that have no baseline; leave out --baseline.")


def main() -> None:
    """Runs with the flags' values."""
    values = flags.FLAGS
    check_flags(values.boards, values.results, values.workdir, values.baseline)
    workdir = Path(values.workdir) if values.workdir is not None else None
    if values.boards:
        print(results_page.leaderboard())
    elif values.results:
        print(results_page.rebuild(workdir))
    elif workdir is None:
        raise UserError("--workdir is needed, the folder with the runs; or --results or --boards.")
    else:
        print(write_report(workdir, values.baseline))


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
