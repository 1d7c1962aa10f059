"""Validation scores over steps, passes and seconds of training, from the reports in metrics.jsonl."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cml_jax.errors import UserError
from experiments.reports import drawing, style
from experiments.reports.drawing import Drawing
from experiments.reports.rows import Row, of_config, short_names, shown_metrics

_WIDE = 8.0  # rows whose ends are further apart than this factor are drawn on a logarithmic axis
AXES = {"steps": "steps", "passes": "passes over the training pairs", "seconds": "seconds of training"}


class Curve(NamedTuple):
    """One value an evaluation, in order.

    Attributes:
        steps: ndarray[n].
        passes: ndarray[n], over the training pairs.
        seconds: ndarray[n] of training, without evaluation and compilation.
        values: ndarray[n], the metric.
    """

    steps: np.ndarray
    passes: np.ndarray
    seconds: np.ndarray
    values: np.ndarray


def read_curve(folder: Path, metric: str, batch_size: float, last_step: int) -> Curve | None:
    """The evaluations of a run, or None where it has no metrics.jsonl or none of the metric.

    Args:
        folder: the workdir.
        metric: name of the metric.
        batch_size: triplets of a step.
        last_step: of the run that summary.json is about; a run that was made longer has later ones.

    Raises:
        UserError: the file is damaged.
    """
    path = folder / "metrics.jsonl"
    if not path.exists():
        return None
    lines = path.read_text(errors="replace").splitlines()
    points, step, seconds = [], 0, 0.0
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            reached, throughput = int(record["step"]), float(record["throughput"])
            if reached <= step or not throughput > 0:
                raise ValueError
            seconds += (reached - step) * batch_size / throughput
            step = reached
            if metric in record["metrics"] and step <= last_step:
                points.append((step, float(record["pass"]), seconds, float(record["metrics"][metric])))
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines) and step >= last_step:
                break  # a longer run that was killed may leave half a line
            raise UserError(f"{path}, line {number}: not a report; remove the run's folder or repair it.") from error
    return Curve(*np.array(points).T) if points else None


def mean_curve(row: Row, metric: str) -> Curve | None:
    """The mean over the seeds that have a curve, at the steps that these share."""
    found = [
        read_curve(folder, metric, of_config(row, "train.batch_size"), summary.steps)
        for folder, summary in zip(row.folders, row.summaries, strict=True)
    ]
    curves = [curve for curve in found if curve is not None]
    if not curves:
        return None
    shared = sorted(set.intersection(*(set(curve.steps.tolist()) for curve in curves)))
    kept = [np.array(curve)[:, np.isin(curve.steps, shared)] for curve in curves]
    return Curve(*np.mean(kept, axis=0)) if shared else None


class Curves(NamedTuple):
    """Curves of the rows of a group.

    Attributes:
        curves: short name -> curve, of the rows that have one.
        shown: names of those with a colour, the best ones.
        best: name of the best row.
    """

    curves: dict[str, Curve]
    shown: list[str]
    best: str


def curves_of(group: Sequence[Row]) -> Curves | None:
    """Validation NDCG of every row; None where no row was evaluated twice."""
    metric = shown_metrics(group)[0]
    names = short_names(group)
    found = {name: mean_curve(row, metric) for name, row in zip(names, group, strict=True)}
    curves = {name: curve for name, curve in found.items() if curve is not None}
    if not any(len(curve.steps) > 1 for curve in curves.values()):
        return None
    means = {name: row.mean(metric) for name, row in zip(names, group, strict=True) if name in curves}
    best = sorted(means, key=lambda name: -means[name])
    return Curves(curves, [name for name in curves if name in best[: drawing.MOST_LINES]], best[0])


def is_wide(ends: Sequence[tuple[float, float]]) -> bool:
    """Whether lines from a first to a last place each want a logarithmic axis."""
    lasts = [last for _, last in ends]
    return bool(min(first for first, _ in ends) > 0 and max(lasts) > _WIDE * min(lasts))


@style.styled
def learning(group: Sequence[Row]) -> Drawing | None:
    """The figure of `curves_of`: a line a row over steps, passes and seconds."""
    found = curves_of(group)
    if found is None:
        return None
    curves, shown, best = found
    metric, names = shown_metrics(group)[0], short_names(group)
    methods = [style.method_of(row.config) for name, row in zip(names, group, strict=True) if name in shown]
    styles = dict(zip(shown, style.line_styles(methods), strict=True))
    if len(curves) > 1:
        styles[best] |= style.BEST_LINE
    columns = drawing.legend_columns(shown)
    figure = style.new_figure(style.PAGE, 2.3 + 0.16 * math.ceil(len(shown) / columns))
    figure.suptitle(style.data_name(group[0].data[0]), fontsize=8)
    panels = figure.subplots(1, 3, sharey=True)
    for axes, (axis, label) in zip(panels, AXES.items(), strict=True):
        for name, curve in curves.items():
            kind = styles.get(name, style.FAINT)
            axes.plot(getattr(curve, axis), curve.values, **kind, label=name if name in shown else None)
        ends = [(getattr(curve, axis)[0], getattr(curve, axis)[-1]) for curve in curves.values()]
        if is_wide(ends):
            drawing.make_logarithmic(axes, min(first for first, _ in ends), max(last for _, last in ends))
        axes.set_xlabel(label)
    ndcg = style.written(metric, group[0].num_items)
    panels[0].set_ylabel(f"validation {ndcg}")
    style.place_legend(figure, panels[0], columns, best if len(curves) > 1 else None)
    caption = f"Validation {ndcg} during training, mean over seeds; seconds are those of the training steps alone."
    if len(shown) < len(curves):
        caption += f" The {len(shown)} rows of best {ndcg} have a colour, {len(curves) - len(shown)} others are grey."
    if len(curves) < len(group):
        caption += f" Rows without a metrics.jsonl: {len(group) - len(curves)}."
    return Drawing("learning", figure, caption)
