"""Figures of rows that can be compared: bars, batch sizes, popularity bias, a heat map."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.reports import charts, drawing, style
from experiments.reports.charts import Bar, Line, Table
from experiments.reports.drawing import Drawing
from experiments.reports.rows import Row, axis_label, best_first, of_config, short_names, shown_metrics, strategies

_BATCH = "train.batch_size"
_CUTOFF, _EXPONENT = "sampler.similarity_cutoff", "sampler.popularity_exponent"
# What a person may change together with the batch size, for the same amount of training.
_SCHEDULE = ("train.num_steps", "train.num_passes", "train.report_every_steps", "eval.every_steps")
_MOST_PANELS = 6


@style.styled
def bars(group: Sequence[Row]) -> Drawing:
    """NDCG and MMR of every row: a point a seed, a bar to the mean."""
    ndcg, _, _, mmr, _ = shown_metrics(group)
    names = [Path(name).name for name in short_names(group)]
    figure = style.new_figure(style.PAGE, 0.19 * len(group) + 0.6)
    figure.suptitle(_data(group), fontsize=8)
    best = _best(group) if len(group) > 1 else None
    for axes, metric, digits in zip(figure.subplots(1, 2), (ndcg, mmr), (3, 0), strict=True):
        found = [
            Bar(name, style.method_of(row.config), row.mean(metric), row.deviation(metric), row.values[metric])
            for name, row in zip(names, group, strict=True)
        ]
        is_first = metric == ndcg
        charts.bar_panel(
            axes, found, axis_label(group, metric), digits, best=best if is_first else None, named=is_first
        )
    written = [style.written(metric, group[0].num_items) for metric in (ndcg, mmr)]
    caption = f"{written[0]} and {written[1]}: a point a seed, a bar to the mean."
    if best is not None:
        caption += f" The best {written[0]} is bold."
    return Drawing("report", figure, caption)


class BatchSizes(NamedTuple):
    """Lines against the batch size.

    Attributes:
        panels: label of the vertical axis, a metric -> a line a strategy, of the same names in each.
        shown: names of the lines with a colour, the best ones.
        best: name of the best line; None where there is one.
    """

    panels: dict[str, list[Line]]
    shown: list[str]
    best: str | None


def batch_sizes(group: Sequence[Row]) -> BatchSizes | None:
    """NDCG and MAP against the batch size, a line a strategy; None where none has two batch sizes."""
    apart = [_BATCH, *(key for key in _SCHEDULE if _follows(group, key, _BATCH))]
    lines = strategies(group, apart)
    if max(len({of_config(row, _BATCH) for row in rows}) for rows in lines.values()) < 2:
        return None
    metrics = shown_metrics(group)[:2]
    best = sorted(lines, key=lambda name: -max(row.mean(metrics[0]) for row in lines[name]))
    panels = {
        axis_label(group, metric): [_against_batch_size(name, rows, metric) for name, rows in lines.items()]
        for metric in metrics
    }
    shown = [name for name in lines if name in best[: drawing.MOST_LINES]]
    return BatchSizes(panels, shown, best[0] if len(lines) > 1 else None)


@style.styled
def batch_size(group: Sequence[Row]) -> Drawing | None:
    """The figure of `batch_sizes`."""
    found = batch_sizes(group)
    if found is None:
        return None
    figure = charts.batch_panels(found.panels, _data(group), found.shown, found.best)
    written = [style.written(metric, group[0].num_items) for metric in shown_metrics(group)[:2]]
    caption = f"{written[0]} and {written[1]} against the batch size; error bars are the standard deviation over seeds."
    others = len(next(iter(found.panels.values()))) - len(found.shown)
    if others:
        caption += f" The {len(found.shown)} best lines have a colour, {others} others are grey."
    return Drawing("batch_size", figure, caption)


def _against_batch_size(name: str, rows: Sequence[Row], metric: str) -> Line:
    ordered = sorted(rows, key=lambda row: of_config(row, _BATCH))
    return Line(
        name,
        style.method_of(ordered[0].config),
        [of_config(row, _BATCH) for row in ordered],
        [row.mean(metric) for row in ordered],
        [row.deviation(metric) for row in ordered],
    )


@style.styled
def bias(group: Sequence[Row]) -> Drawing | None:
    """NDCG against MMR, a labelled point a row; None where there is but one."""
    if len(group) < 2:
        return None
    ndcg, _, _, mmr, _ = shown_metrics(group)
    accuracy, popularity = (style.written(metric, group[0].num_items) for metric in (ndcg, mmr))
    names = dict(zip([row.label for row in group], short_names(group), strict=True))
    shown = best_first(group)[: drawing.MOST_LINES]
    points = [(row.mean(mmr), row.mean(ndcg)) for row in best_first(group)]
    written = [names[row.label] for row in shown]
    for size in ((style.COLUMN, 2.6), (style.PAGE, 3.6)):
        figure = _bias_points(group, [row.label for row in shown], size)
        if drawing.place_labels(figure, figure.axes[0], points, written, drawing.NEAR, best_first=True):
            break
    else:
        numbers = [str(number) for number in range(1, len(shown) + 1)]
        keys = [f"{number}  {name}" for number, name in zip(numbers, written, strict=True)]
        columns = min(3, drawing.legend_columns(keys))
        figure = _bias_points(
            group, [row.label for row in shown], (style.PAGE, 2.6 + 0.16 * math.ceil(len(keys) / columns))
        )
        handles = [Line2D([], [], linestyle="") for _ in keys]
        legend = figure.legend(handles, keys, loc="outside lower center", ncols=columns, handlelength=0)
        style.mark_best(legend.get_texts()[0])
        drawing.place_labels(figure, figure.axes[0], points, numbers, best_first=True)
    caption = (
        f"Accuracy against popularity bias: best is high {accuracy} with low {popularity}, to the upper left; colour "
        f"and marker are the method's, grey bars standard deviations over seeds. The best {accuracy} is bold."
    )
    if len(shown) < len(group):
        caption += f" The {len(shown)} rows of best {accuracy} are named, {len(group) - len(shown)} others are grey."
    return Drawing("bias", figure, caption)


def _bias_points(group: Sequence[Row], shown: Sequence[str], size: tuple[float, float]) -> Figure:
    """The figure without its labels; rows that are not shown are grey."""
    ndcg, _, _, mmr, _ = shown_metrics(group)
    figure = style.new_figure(*size)
    axes = figure.subplots()
    styles = style.marker_styles([style.method_of(row.config) for row in group])
    for row, kind in zip(group, styles, strict=True):
        kind |= {"markersize": 4 if row.label in shown else 3}
        if row.label not in shown:
            kind |= {"color": "0.75"}
        if row.label == shown[0]:
            kind |= {"markersize": 6, "markeredgecolor": "black", "markeredgewidth": 0.8}
        deviations = {"xerr": row.deviation(mmr), "yerr": row.deviation(ndcg)} if len(row.seeds) > 1 else {}
        axes.errorbar(row.mean(mmr), row.mean(ndcg), **deviations, **kind, ecolor="0.8", elinewidth=0.8, capsize=0)
    axes.set(xlabel=axis_label(group, mmr), ylabel=axis_label(group, ndcg), title=_data(group))
    axes.margins(0.14)
    return figure


@style.styled
def heatmap(group: Sequence[Row]) -> Drawing | None:
    """NDCG of similarity cut-off by popularity exponent, a panel a strategy; None where none has two values of both."""
    tables, left_out = heat_tables(group)
    if not tables:
        return None
    metric = shown_metrics(group)[0]
    figure = charts.heat_panels(tables, _data(group), axis_label(group, metric))
    written = style.written(metric, group[0].num_items)
    caption = f"{written} by similarity cut-off and popularity exponent, mean over seeds; the best cell has a frame."
    if left_out:
        caption += f" The {len(tables)} best are shown; left out: {'; '.join(left_out)}."
    return Drawing("heatmap", figure, caption)


def heat_tables(group: Sequence[Row]) -> tuple[dict[str, Table], list[str]]:
    """Strategy -> cells, of the best ones with two values or more of both cut-off and exponent; names of the others."""
    metric = shown_metrics(group)[0]
    panels = {
        name: rows
        for name, rows in strategies(group, (_CUTOFF, _EXPONENT)).items()
        if min(len({of_config(row, key) for row in rows}) for key in (_CUTOFF, _EXPONENT)) > 1
    }
    best = sorted(panels, key=lambda name: -max(row.mean(metric) for row in panels[name]))[:_MOST_PANELS]
    tables = {name: table(rows, metric) for name, rows in panels.items() if name in best}
    return tables, [name for name in panels if name not in best]


def table(rows: Sequence[Row], metric: str) -> Table:
    """Exponents, cut-offs and the mean of every pair, not a number where no row has it."""
    exponents, cutoffs = (sorted({of_config(row, key) for row in rows}) for key in (_EXPONENT, _CUTOFF))
    values = np.full((len(exponents), len(cutoffs)), math.nan)
    for row in rows:
        values[exponents.index(of_config(row, _EXPONENT)), cutoffs.index(of_config(row, _CUTOFF))] = row.mean(metric)
    return Table(exponents, cutoffs, values)


def _data(group: Sequence[Row]) -> str:
    return style.data_name(group[0].data[0])


def _best(group: Sequence[Row]) -> int:
    """Number of the row of best NDCG."""
    return [row.label for row in group].index(best_first(group)[0].label)


def _follows(group: Sequence[Row], key: str, other: str) -> bool:
    """Whether a key has one value for each value of another."""
    return all(
        len({json.dumps(row.config.get(key)) for row in group if row.config.get(other) == value}) == 1
        for value in {row.config.get(other) for row in group}
    )
