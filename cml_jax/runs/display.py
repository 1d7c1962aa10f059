"""What one run prints."""

from typing import Any

from cml_jax import metrics
from cml_jax.runs.summary import Summary


def format_record(record: dict[str, Any], selected: str) -> str:
    """One line for an evaluation during training, at the cut-off of the metric that selects the parameters."""
    names = [selected] + [f"{name}@{selected.split('@')[1]}" for name in ("ndcg", "map", "recall", "mmr")]
    names = list(dict.fromkeys(name for name in names if name in record["metrics"]))
    values = ", ".join(f"{name} {record['metrics'][name]:.4g}" for name in names)
    without = f", {record['no_negative']} pairs without a negative" if record["no_negative"] else ""
    return f"step {record['step']} (pass {record['pass']:.2f}): loss {record['loss']:.4f}{without}, valid {values}"


def format_summary(summary: Summary, metric: str) -> str:
    """The table at the end of a run; the metric is the one that selected the parameters."""
    speed = summary.triplets_per_second
    speed = "" if speed is None else f", {speed:,.0f} triplets/s"
    time = f"{summary.wall_seconds:.0f} s on {summary.device}{speed}"
    if not summary.metrics:
        return f"Nothing was held out, so nothing was scored: the parameters of the last step, {summary.steps}.\n{time}"
    names = [*metrics.USER_METRICS, "mmr", "coverage", "gini"]
    parts = [part for part in ("valid", "test") if getattr(summary, part)]
    ks = sorted({int(key.split("@")[1]) for key in getattr(summary, parts[-1])})
    lines = [f"Best step {summary.best_step} of {summary.steps}, selected on validation by {metric}."]
    if summary.patience is not None:
        lines.append(f"Ended early: {without_better(summary.patience, metric)}.")
    if not summary.valid:
        lines = [f"No validation part: the parameters of the last step, {summary.best_step}."]
    if not summary.test:
        lines.append("The validation score of the selected step, which is optimistic; test was not scored.")
    lines.append(f"{'metric':<12}" + "".join(f"{f'{part} @{k}':>12}" for part in parts for k in ks))
    for name in names:
        cells = [getattr(summary, part).get(f"{name}@{k}") for part in parts for k in ks]
        lines.append(f"{name:<12}" + "".join(f"{'-' if cell is None else f'{cell:.4f}':>12}" for cell in cells))
    last = parts[-1]
    low, high = summary.intervals[last][metric]
    lines.append(f"{last} {metric}: 95 % bootstrap interval over users {low:.4f} to {high:.4f}")
    if summary.best_test:
        value, step = summary.best_test["metrics"][metric], summary.best_test["step"]
        lines.append(f"test {metric}, best of all evaluations, so chosen on test: {value:.4f} at step {step}")
    lines.append(time)
    return "\n".join(lines)


def without_better(patience: int, metric: str) -> str:
    """Why a run ended early."""
    return f"{patience} evaluation{'s in a row' if patience > 1 else ''} without a better {metric}"
