"""The figures of RESULTS.md, from numbers kept in experiments/results/kept; `experiments.report --results` draws them.

kept/figures.json has, for the ladder and the batch sizes, the means and standard deviations over seeds that RESULTS.md
shows, and of the ladder's last rung the seeds' own values; for the heat map the means.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from cml_jax.errors import UserError
from experiments.reports import charts, style
from experiments.reports.charts import Bar, Line, Table
from experiments.results.by_popularity import by_popularity

KEPT = "figures.json"
_RUNGS = {  # rung of experiments/configs/ladder.py -> what is written beside its bar, method
    "1-uniform": ("uniform, no constraint", "uniform"),
    "2-sphere": ("uniform, on the sphere", "uniform"),
    "3-popularity": ("popularity", "popularity"),
    "4-frozen": ("two-stage, frozen at the start", "two_stage"),
    "5-live": ("two-stage, live, no cut-off", "two_stage"),
    "6-cutoff": ("two-stage with a cut-off", "two_stage"),
    "7-gor": ("two-stage, cut-off and GOR", "two_stage"),
    "8-soft": ("soft second stage", "softmax"),
}


def draw(tables: Mapping[str, Sequence[dict[str, Any]]], kept: Path, folder: Path) -> list[Path]:
    """Draws every figure of RESULTS.md but for the quickstart's, which is a run's own.

    Args:
        tables: title -> rows, as `keeping.read` returns them.
        kept: folder with figures.json; without it there is only the figure by popularity.
        folder: where the figures are written.

    Returns:
        The paths of all files.

    Raises:
        UserError: figures.json is damaged.
    """
    figures = {"by_popularity": by_popularity(tables)}
    path = kept / KEPT
    if path.exists():
        try:
            content = json.loads(path.read_text())
            figures |= {
                "ladder": ladder(content["ladder"]),
                "batch_size_passes": batch_sizes(content["batch_size_passes"]),
                "batch_size_steps": batch_sizes(content["batch_size_steps"]),
                "cutoff": cutoff(content["cutoff"]),
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: cannot be read as numbers of figures; restore it from the repository.") from error
    return [saved for name, figure in figures.items() for saved in style.save(figure, folder / f"{name}.png")]


@style.styled
def ladder(kept: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """A row of panels a data set: NDCG and MMR of every rung, from uniform negatives to the soft second stage.

    Args:
        kept: data set -> rung -> metric -> [mean, deviation], or {'values': one a seed}.
    """
    figure = style.new_figure(style.PAGE, len(kept) * (0.19 * len(_RUNGS) + 0.55))
    for axes, (data, rungs) in zip(figure.subplots(len(kept), 2, squeeze=False), kept.items(), strict=True):
        for panel, metric, digits in zip(axes, ("ndcg@50", "mmr@50"), (3, 0), strict=True):
            # Deviations for every rung, since the seeds' own values of the older ones are not kept.
            bars = [
                Bar(name, method, *mean_and_deviation(rungs[rung][metric])) for rung, (name, method) in _RUNGS.items()
            ]
            label = f"{style.data_name(data)}, test {style.written(metric)}"
            is_first = metric == "ndcg@50"
            best = int(np.argmax([bar.mean for bar in bars])) if is_first else None
            charts.bar_panel(panel, bars, label, digits, best=best, named=is_first)
    return figure


def mean_and_deviation(kept: Any) -> tuple[float, float]:
    """Both over seeds, of a pair of them or of {'values': one a seed}."""
    if isinstance(kept, dict):
        return float(np.mean(kept["values"])), float(np.std(kept["values"], ddof=1))
    mean, deviation = kept
    return float(mean), float(deviation)


@style.styled
def batch_sizes(kept: Mapping[str, Any]) -> Figure:
    """NDCG and MAP of each sampler against the batch size.

    Args:
        kept: the data set as 'data', 'budget' in words, 'sizes', and 'scores': metric -> sampler -> a pair of mean and
            deviation for each size.
    """
    panels = {
        f"test {style.written(metric)}": [
            Line(style.method_name(name), name, kept["sizes"], *map(list, zip(*pairs, strict=True)))
            for name, pairs in samplers.items()
        ]
        for metric, samplers in kept["scores"].items()
    }
    lines = next(iter(panels.values()))
    best = max(lines, key=lambda line: max(line.means)).name
    title = f"{style.data_name(kept['data'])}, {kept['budget']}"
    return charts.batch_panels(panels, title, [line.name for line in lines], best)


@style.styled
def cutoff(kept: Mapping[str, Any]) -> Figure:
    """NDCG by similarity cut-off and popularity exponent.

    Args:
        kept: the data set as 'data', 'exponents', 'cutoffs', and 'ndcg@50': a row an exponent.
    """
    table = Table(kept["exponents"], kept["cutoffs"], np.array(kept["ndcg@50"], float))
    tables = {style.method_name("two_stage"): table}
    return charts.heat_panels(tables, style.data_name(kept["data"]), f"test {style.written('ndcg@50')}")
