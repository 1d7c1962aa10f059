"""Rows whose runs were scored at cut-offs that the others do not have."""

from collections.abc import Sequence

from experiments.reports.rows import Row


def with_a_common_one(group: Sequence[Row], baseline: str | None = None) -> tuple[list[Row], list[str]]:
    """The rows that have a cut-off of eval.ks in common, as many as possible, and a sentence about each other row.

    Args:
        group: rows of one data set and part.
        baseline: label of a row that is kept, if it is there.
    """
    of_rows = [tuple(sorted({int(k) for k in row.config["eval.ks"]})) for row in group]
    needed = [ks for row, ks in zip(group, of_rows, strict=True) if row.label == baseline]
    candidates = needed[0] if needed else {k for ks in of_rows for k in ks}
    chosen = max(candidates, key=lambda k: (sum(k in ks for ks in of_rows), k))
    kept = [row for row, ks in zip(group, of_rows, strict=True) if chosen in ks]
    theirs = sorted({k for ks in of_rows if chosen in ks for k in ks})
    others = "the others have" if len(kept) > 1 else f"{kept[0].label} has"
    return kept, [
        f"{row.label} is left out: its eval.ks are {_written(ks)}, {others} {_written(theirs)}."
        for row, ks in zip(group, of_rows, strict=True)
        if chosen not in ks
    ]


def _written(ks: Sequence[int]) -> str:
    return ", ".join(map(str, ks))
