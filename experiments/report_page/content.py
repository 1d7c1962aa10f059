"""All that report.html shows, as plain values."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.report_page import charts
from experiments.reports import comparison, numbers, sections, style
from experiments.reports import rows as rows_lib
from experiments.reports.rows import Row, shown_metrics
from experiments.reports.sections import Section

_MISSING = -1


def make(
    workdir: Path,
    rows: Sequence[Row],
    found: Sequence[Section],
    failed: Sequence[tuple[str, str]] = (),
    note: str = "",
) -> dict[str, Any]:
    """The content of the page.

    Args:
        workdir: the folder of the runs.
        rows: all of them, those too that no section has.
        found: the sections of report.md.
        failed: folder and reason of each run that failed.
        note: about the baseline.

    Raises:
        UserError: a config cannot be read.
    """
    runs = _runs(workdir, rows, failed)
    return {
        "name": workdir.resolve().name or "runs",
        "note": note,
        "sections": [_section(section) for section in found],
        "runs": [{key: value for key, value in run.items() if key != "config"} for run in runs],
        "keys": _keys([run["config"] for run in runs]),
        "failures": [{"folder": folder, "reason": reason} for folder, reason in failed],
    }


def _section(section: Section) -> dict[str, Any]:
    group = section.rows
    return {
        "title": sections.title(group),
        "about": sections.about(group),
        "notes": list(section.notes),
        "table": _table(group),
        "comparison": None if section.comparison is None else _comparison(section.comparison),
        "charts": charts.describe(section),
        "heatMap": charts.heat_map(section),
    }


def _table(group: Sequence[Row]) -> dict[str, Any]:
    """The table of report.md: heads and cells; a cell has its text and what it is sorted by."""
    names = shown_metrics(group)
    written = [style.written(name, group[0].num_items) for name in names]
    best = numbers.best_values(group, names)
    lines = []
    for row in group:
        metrics = [
            _cell(numbers.mean_and_deviation(row, name), row.mean(name), best=row.mean(name) == best.get(name))
            for name in names
        ]
        intervals = [
            _cell(numbers.written_interval(interval), None if interval is None else sum(interval) / 2)
            for interval in (numbers.over_seeds(row, names[0]), numbers.over_users(row, names[0]))
        ]
        steps, seconds = max(summary.steps for summary in row.summaries), numbers.seconds(row)
        first = [_cell(row.label, row.label), _cell(str(len(row.seeds)), len(row.seeds))]
        last = [_cell(numbers.steps(row), steps), _cell(f"{seconds:,.0f}", seconds)]
        lines.append([*first, metrics[0], *intervals, *metrics[1:], *last])
    heads = ["run", "seeds", written[0], "over seeds", "over users", *written[1:], "steps", "seconds"]
    return {"heads": heads, "rows": lines}


def _comparison(found: comparison.Comparison) -> dict[str, Any]:
    lines = []
    for row, seeds, test, corrected in found.differences:
        difference, interval = comparison.written_difference(test)
        ends = {"low": float(test.low), "high": float(test.high), "middle": float(test.difference)}
        lines.append(
            [
                _cell(row.label, row.label),
                _cell(seeds, seeds),
                _cell(difference, test.difference),
                _cell(interval, test.low),
                _cell("", test.difference) | {"interval": ends},
                _cell(comparison.written_p(test.p_value), test.p_value),
                _cell(comparison.written_p(corrected), corrected),
            ]
        )
    return {
        "baseline": found.baseline.label,
        "text": comparison.explained(found) if found.differences else "",
        "heads": ["run", "seeds", "difference", "interval", "drawn", "p", "p, corrected"],
        "rows": lines,
        "untested": comparison.about_untested(found) if found.untested else "",
    }


def _cell(text: str, value: str | float | None, best: bool = False) -> dict[str, Any]:
    """A cell; a value that is not a number sorts last, as none does."""
    if value is not None and not isinstance(value, str):
        value = float(value) if math.isfinite(value) else None
    return {"text": text, "value": value} | ({"best": True} if best else {})


def _runs(workdir: Path, rows: Sequence[Row], failed: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Every run with its config and facts about it, those that failed last."""
    found = []
    for row in rows:
        metric = shown_metrics([row])[0]
        for number, (seed, folder, summary) in enumerate(zip(row.seeds, row.folders, row.summaries, strict=True)):
            value = row.values[metric][number]
            facts = {
                "row": row.label,
                "data set": f"{style.data_name(row.data[0])}, digest {row.data[1][:12]}",
                "seed": str(seed),
                f"{row.part} {style.written(metric, row.num_items)}": f"{value:.{numbers.digits(metric)}f}",
                "steps": f"{summary.steps:,}; the parameters of step {summary.best_step:,} were chosen",
                "seconds": f"{summary.wall_seconds:,.0f}",
                "device": summary.device,
                "versions": ", ".join(f"{name} {version}" for name, version in summary.versions.items()),
            }
            found.append(_run(workdir, folder, facts))
    for name, reason in failed:
        found.append(_run(workdir, workdir / name, {"failed": reason}))
    return found


def _run(workdir: Path, folder: Path, facts: dict[str, str]) -> dict[str, Any]:
    place = str(folder.relative_to(workdir))
    return {
        "folder": workdir.resolve().name if place == "." else place,
        "facts": [[name, value] for name, value in facts.items() if value],
        "config": rows_lib.read_config(folder) if (folder / "config.json").exists() else {},
    }


def _keys(configs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A column a key, in the configs' order: its distinct values as JSON, and which each run has, -1 for none."""
    found = []
    for key in dict.fromkeys(key for config in configs for key in config):
        texts = [json.dumps(config[key], ensure_ascii=False) if key in config else None for config in configs]
        distinct = list(dict.fromkeys(text for text in texts if text is not None))
        numbers_of = {text: number for number, text in enumerate(distinct)} | {None: _MISSING}
        found.append({"name": key, "values": distinct, "of": [numbers_of[text] for text in texts]})
    return found
