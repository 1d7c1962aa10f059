"""Sections of a report: rows of one data set and part, compared and drawn."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from experiments.reports import cutoffs, learning_curves, plots
from experiments.reports import rows as rows_lib
from experiments.reports.comparison import Comparison, compare
from experiments.reports.drawing import Drawing
from experiments.reports.rows import Row


class Section(NamedTuple):
    """What the report says about one data set and part.

    Attributes:
        rows: that can be compared.
        comparison: of the rows with a baseline; none where there is one row.
        drawings: file name without its ending -> figure.
        notes: sentences about rows that are left out.
    """

    rows: list[Row]
    comparison: Comparison | None
    drawings: dict[str, Drawing]
    notes: Sequence[str] = ()


def make_sections(rows: Sequence[Row], baseline: str | None = None) -> list[Section]:
    """A section a data set and part, with tests against the baseline and the figures that its rows allow.

    Rows without a cut-off in common with most of the others are left out.

    Raises:
        UserError: a file of a run is damaged.
    """
    groups = rows_lib.comparable(rows)
    suffixes = _suffixes(groups)
    sections = []
    for everyone, suffix in zip(groups, suffixes, strict=True):
        group, notes = cutoffs.with_a_common_one(everyone, baseline)
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
                comparison=compare(group, baseline) if len(group) > 1 else None,
                drawings={f"{drawing.name}{suffix}": drawing for drawing in drawings if drawing is not None},
                notes=notes,
            )
        )
    return sections


def title(group: Sequence[Row]) -> str:
    """Name of the data set, and what kind of scores its rows have."""
    scores = "" if group[0].part == "test" else ", validation scores of the selected step, which are optimistic"
    return f"{group[0].data[0]}{scores}"


def about(group: Sequence[Row]) -> str:
    """Sentences on the data set and on the table of its rows."""
    sizes = group[0].summaries[0].dataset
    return (
        f"{sizes['users']:,} users, {sizes['items']:,} items, {sizes['train']:,} / {sizes['valid']:,} / "
        f"{sizes['test']:,} pairs; digest {group[0].data[1][:12]}. Mean ± standard deviation over seeds, the best in "
        f"bold but for MMR. The interval over seeds is Student's, of 95 %; that over users the mean 95 % bootstrap "
        f"interval."
    )


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
