"""What a report shows on the console: an aligned table a section, and where the files are."""

from collections.abc import Sequence
from pathlib import Path

from experiments.pages import building
from experiments.reports import comparison, numbers, style
from experiments.reports.rows import Row, shown_metrics
from experiments.reports.sections import Section

WIDTH = 120  # characters
_GAP = "  "


def as_text(
    sections: Sequence[Section],
    workdir: Path,
    failed: Sequence[tuple[str, str]] = (),
    note: str = "",
    with_page: bool = False,
) -> str:
    """Tables of at most WIDTH characters a line, and the path of report.md.

    Args:
        sections: of the report.
        workdir: where it is written.
        failed: folder and reason of each run that failed.
        note: about the baseline.
        with_page: whether report.html is written too.
    """
    lines = []
    for section in sections:
        lines += [_heading(section), *table(section.rows, section.comparison), *section.notes, ""]
    lines += [note, ""] if note else []
    if failed:
        count = "1 run failed," if len(failed) == 1 else f"{len(failed)} runs failed, such as"
        lines += [f"{count} {failed[0][0]}: {failed[0][1]}", ""]
    num_figures = sum(len(section.drawings) for section in sections)
    figures = "1 figure" if num_figures == 1 else f"{num_figures} figures"
    beside = "report.html, results.csv" if with_page else "results.csv"
    lines.append(f"Report: {workdir / 'report.md'}, with {beside} and {figures} as PNG and PDF.")
    if not with_page:
        lines.append(f"report.html is left out: it needs {building.INSTALL}.")
    return "\n".join(lines)


def _heading(section: Section) -> str:
    first = section.rows[0]
    part = "test" if first.part == "test" else "validation scores of the selected step, which are optimistic"
    tested = "; p by Holm" if section.comparison is not None and section.comparison.differences else ""
    return f"{style.data_name(first.data[0])}, {part}; mean ± standard deviation over seeds, * best{tested}"


def table(group: Sequence[Row], compared: comparison.Comparison | None) -> list[str]:
    """The rows, aligned; names that do not fit lose their middle.

    Args:
        group: the rows.
        compared: with the baseline, if there are several.
    """
    metrics = shown_metrics(group)[:4]  # coverage is in report.md
    written = [style.written(metric, group[0].num_items) for metric in metrics]
    best = numbers.best_values(group, metrics)
    lines = [["seeds", *written, "seconds"]]
    for row in group:
        cells = [f"{row.mean(metric):.{numbers.digits(metric)}f}" for metric in metrics]
        cells[0] = numbers.mean_and_deviation(row, metrics[0])
        marks = ["*" if row.mean(metric) == best.get(metric) and len(group) > 1 else " " for metric in metrics]
        cells = [cell + mark for cell, mark in zip(cells, marks, strict=True)]
        lines.append([str(len(row.seeds)), *cells, f"{numbers.seconds(row):,.0f}"])
    if compared is not None and compared.differences:
        found = {difference.row.label: difference for difference in compared.differences}
        lines[0] += ["vs baseline", "p"]
        for row, line in zip(group, lines[1:], strict=True):
            difference = found.get(row.label)
            if row is compared.baseline or difference is None:
                line += ["baseline" if row is compared.baseline else "-", ""]
            else:
                line += [f"{difference.test.difference:+.4f}", comparison.written_p(difference.corrected)]
    return _aligned([["run"], *([row.label] for row in group)], lines)


def _aligned(names: Sequence[Sequence[str]], lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    room = WIDTH - sum(widths) - len(_GAP) * len(widths)
    shown = [_shortened(name, room) for (name,) in names]
    first = max(map(len, shown))
    return [
        _GAP.join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(line, widths, strict=True))]).rstrip()
        for name, line in zip(shown, lines, strict=True)
    ]


def _shortened(name: str, room: int) -> str:
    """A name of at most so many characters, with its two ends."""
    if len(name) <= room:
        return name
    end = (room - 1) // 2
    return f"{name[: room - 1 - end]}…{name[len(name) - end :]}"
