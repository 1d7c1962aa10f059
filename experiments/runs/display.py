"""What one run prints and draws."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.figure

from cml_jax import metrics
from experiments.reports.drawing import written
from experiments.runs.summary import Summary


def format_record(record: dict[str, Any], selected: str) -> str:
    """One line for an evaluation during training, at the cut-off of the metric that selects the parameters."""
    names = [selected] + [f"{name}@{selected.split('@')[1]}" for name in ("ndcg", "map", "recall", "mmr")]
    names = list(dict.fromkeys(name for name in names if name in record["metrics"]))
    values = ", ".join(f"{name} {record['metrics'][name]:.4g}" for name in names)
    without = f", {record['no_negative']} pairs without a negative" if record["no_negative"] else ""
    return f"step {record['step']} (pass {record['pass']:.2f}): loss {record['loss']:.4f}{without}, valid {values}"


def format_summary(summary: Summary, metric: str) -> str:
    """The table at the end of a run; the metric is the one that selected the parameters."""
    names = [*metrics.USER_METRICS, "mmr", "coverage", "gini"]
    parts = [part for part in ("valid", "test") if getattr(summary, part)]
    ks = sorted({int(key.split("@")[1]) for key in getattr(summary, parts[-1])})
    lines = [f"Best step {summary.best_step} of {summary.steps}, selected on validation by {metric}."]
    if not summary.valid:
        lines = [f"No validation part: the parameters of the last step, {summary.best_step}."]
    if not summary.test:
        lines.append(
            "eval.final_split = valid: the validation score of the selected step, which is optimistic; no test."
        )
    lines.append(f"{'metric':<12}" + "".join(f"{f'{part} @{k}':>12}" for part in parts for k in ks))
    for name in names:
        cells = [getattr(summary, part).get(f"{name}@{k}") for part in parts for k in ks]
        lines.append(f"{name:<12}" + "".join(f"{'-' if cell is None else f'{cell:.4f}':>12}" for cell in cells))
    last = parts[-1]
    low, high = summary.intervals[last][metric]
    lines.append(f"{last} {metric}: 95 % bootstrap interval over users {low:.4f} to {high:.4f}")
    speed = summary.triplets_per_second
    speed = "" if speed is None else f", {speed:,.0f} triplets/s"
    lines.append(f"{summary.wall_seconds:.0f} s on {summary.device}{speed}")
    return "\n".join(lines)


def save_curves(records: Sequence[dict[str, Any]], summary: Summary, metric: str, path: Path) -> None:
    """Draws training loss and a validation metric over steps, with the selected step marked."""
    figure = matplotlib.figure.Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot([r["step"] for r in records], [r["loss"] for r in records], color="0.2", linewidth=1.2)
    left.set(xlabel="step", ylabel="training loss")
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
