"""The figure of one run: training loss and a validation metric over steps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.figure

from cml_jax.runs.summary import Summary
from experiments.reports.drawing import written


def save_curves(records: Sequence[dict[str, Any]], summary: Summary, metric: str, path: Path, title: str) -> None:
    """Draws training loss and a validation metric over steps, with the selected step marked."""
    figure = matplotlib.figure.Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([r["step"] for r in records], [r["loss"] for r in records], color="0.2", linewidth=1.2)
    left.set(xlabel="step", ylabel="training loss", title=title)
    scored = [r for r in records if r["metrics"]]
    right.plot(
        [r["step"] for r in scored], [r["metrics"][metric] for r in scored], "o-", color="tab:blue", markersize=3
    )
    right.axvline(summary.best_step, color="0.5", linestyle="--", linewidth=1, label="selected")
    right.set(xlabel="step", ylabel=f"validation {written(metric)}")
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylim(bottom=0)
    figure.savefig(path, dpi=120)
