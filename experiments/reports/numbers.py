"""The numbers of a row, and how they are written: in report.md, on the console and on the page."""

from collections.abc import Sequence

from cml_jax.statistics import student_interval
from experiments.reports.rows import Row

Interval = tuple[float, float]


def digits(metric: str) -> int:
    """Decimals that a metric is written with."""
    return 1 if metric.startswith("mmr") else 4


def mean_and_deviation(row: Row, metric: str) -> str:
    """Mean ± standard deviation over seeds; the value alone of a single run."""
    deviation = f" ± {row.deviation(metric):.{digits(metric)}f}" if len(row.seeds) > 1 else ""
    return f"{row.mean(metric):.{digits(metric)}f}{deviation}"


def best_values(group: Sequence[Row], metrics: Sequence[str]) -> dict[str, float]:
    """Metric -> the largest mean, of the metrics of which more is better."""
    return {name: max(row.mean(name) for row in group) for name in metrics if not name.startswith("mmr")}


def over_seeds(row: Row, metric: str) -> Interval | None:
    """Student's 95 % interval; None of a single run."""
    if len(row.seeds) < 2:
        return None
    low, high = student_interval(row.values[metric])
    return float(low), float(high)


def over_users(row: Row, metric: str) -> Interval:
    """The mean of the runs' 95 % bootstrap intervals."""
    ends = zip(*(summary.intervals[row.part][metric] for summary in row.summaries), strict=True)
    low, high = (sum(values) / len(row.summaries) for values in ends)
    return low, high


def seconds(row: Row) -> float:
    """Mean duration of a run."""
    return sum(summary.wall_seconds for summary in row.summaries) / len(row.summaries)


def written_interval(interval: Interval | None) -> str:
    """Both ends."""
    return "one seed" if interval is None else f"{interval[0]:.4f} to {interval[1]:.4f}"


def steps(row: Row) -> str:
    """Steps of a run; the fewest and the most where seeds differ, by early stopping."""
    done = [summary.steps for summary in row.summaries]
    return " to ".join(f"{number:,}" for number in sorted({min(done), max(done)}))
