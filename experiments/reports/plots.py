"""Figures of rows that can be compared: bars, batch sizes, popularity bias, a heat map."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.reports import drawing
from experiments.reports.drawing import Drawing
from experiments.reports.rows import Row, best_first, of_config, short_names, shown_metrics, strategies, strategy

_BATCH = "train.batch_size"
_CUTOFF, _EXPONENT = "sampler.similarity_cutoff", "sampler.popularity_exponent"
# What a person may change together with the batch size, for the same amount of training.
_SCHEDULE = ("train.num_steps", "train.num_passes", "train.report_every_steps", "eval.every_steps")
_MOST_PANELS = 6


def bars(group: Sequence[Row]) -> Drawing:
    """NDCG and MMR of every row: a point a seed, a bar to the mean."""
    ndcg, _, _, mmr, _ = shown_metrics(group)
    figure = Figure(figsize=(9, 0.32 * len(group) + 0.9), dpi=drawing.DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    places = np.arange(len(group))[::-1]
    for axes, metric in ((left, ndcg), (right, mmr)):
        axes.barh(places, [row.mean(metric) for row in group], color="0.82", height=0.6)
        for place, row in zip(places, group, strict=True):
            values = row.values[metric]
            axes.plot(values, [place] * len(values), "o", color=drawing.COLOURS[0], markersize=3.5)
            mean = f"  {row.mean(metric):.3f}" if axes is left else f"  {row.mean(metric):.0f}"
            axes.text(max(values), place, mean, va="center", fontsize=8)
        axes.set_xlabel(f"{group[0].data[0]}, {group[0].part} {drawing.written(metric)}")
        axes.set_yticks(places, [Path(name).name for name in short_names(group)] if axes is left else [])
        axes.set_ylim(-0.6, len(group) - 0.4)
        axes.set_xlim(0, 1.15 * max(max(row.values[metric]) for row in group) or 1)
        drawing.tidy(axes)
    caption = f"{drawing.written(ndcg)} and {drawing.written(mmr)}: a point a seed, a bar to the mean."
    return Drawing("report", figure, caption)


def batch_size(group: Sequence[Row]) -> Drawing | None:
    """NDCG and MAP against the batch size, a line a strategy; None where none has two batch sizes."""
    apart = [_BATCH, *(key for key in _SCHEDULE if _follows(group, key, _BATCH))]
    lines = strategies(group, apart)
    if max(len({of_config(row, _BATCH) for row in rows}) for rows in lines.values()) < 2:
        return None
    ndcg, average_precision, *_ = shown_metrics(group)
    best = sorted(lines, key=lambda name: -max(row.mean(ndcg) for row in lines[name]))
    shown = [name for name in lines if name in best[: drawing.MOST_LINES]]
    sizes = sorted({int(of_config(row, _BATCH)) for row in group})
    columns = drawing.legend_columns(shown)
    figure = Figure(figsize=(9, 3.4 + 0.22 * math.ceil(len(shown) / columns)), dpi=drawing.DPI, layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, metric in zip(panels, (ndcg, average_precision), strict=True):
        for name, rows in lines.items():
            ordered = sorted(rows, key=lambda row: of_config(row, _BATCH))
            style = drawing.line_style(shown.index(name)) if name in shown else drawing.FAINT
            axes.errorbar(
                [of_config(row, _BATCH) for row in ordered],
                [row.mean(metric) for row in ordered],
                [row.deviation(metric) for row in ordered],
                **style,
                capsize=3,
                label=name if name in shown else None,
            )
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.minorticks_off()
        axes.set(xlabel="batch size", ylabel=f"{group[0].part} {drawing.written(metric)}")
        drawing.tidy(axes)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=columns, fontsize=8)
    caption = (
        f"{drawing.written(ndcg)} and {drawing.written(average_precision)} against the batch size; error bars are the "
        f"standard deviation over seeds."
    )
    if len(shown) < len(lines):
        caption += f" The {len(shown)} best lines have a colour, {len(lines) - len(shown)} others are grey."
    return Drawing("batch_size", figure, caption)


def bias(group: Sequence[Row]) -> Drawing | None:
    """NDCG against MMR, a labelled point a row; None where there is but one."""
    if len(group) < 2:
        return None
    ndcg, _, _, mmr, _ = shown_metrics(group)
    accuracy, popularity = drawing.written(ndcg), drawing.written(mmr)
    names = dict(zip([row.label for row in group], short_names(group), strict=True))
    shown = best_first(group)[: drawing.MOST_LINES]
    labels = [row.label for row in shown]
    samplers = list(dict.fromkeys(strategy(row.config) for row in group))
    figure = Figure(figsize=(7.5, 5), dpi=drawing.DPI, layout="constrained")
    axes = figure.subplots()
    for row in group:
        style = drawing.marker_style(samplers.index(strategy(row.config)))
        if row.label not in labels:
            style |= {"color": "0.75", "markersize": 4}
        deviations = {"xerr": row.deviation(mmr), "yerr": row.deviation(ndcg)} if len(row.seeds) > 1 else {}
        axes.errorbar(row.mean(mmr), row.mean(ndcg), **deviations, **style, ecolor="0.8", elinewidth=0.8)
    axes.set(xlabel=f"{group[0].part} {popularity}", ylabel=f"{group[0].part} {accuracy}")
    axes.margins(0.12)
    drawing.tidy(axes)
    ordered = [*shown, *(row for row in group if row.label not in labels)]
    points = [(row.mean(mmr), row.mean(ndcg)) for row in ordered]
    written = [names[label] for label in labels]
    if not drawing.place_labels(figure, axes, points, written, farthest=18):
        numbers = [str(number) for number in range(1, len(shown) + 1)]
        keys = [f"{number}  {name}" for number, name in zip(numbers, written, strict=True)]
        columns = min(3, drawing.legend_columns(keys))
        figure.set_size_inches(7.5, 5 + 0.2 * math.ceil(len(keys) / columns))
        handles = [Line2D([], [], linestyle="") for _ in keys]
        figure.legend(handles, keys, loc="outside lower center", ncols=columns, fontsize=8, handlelength=0)
        drawing.place_labels(figure, axes, points, numbers)
    caption = (
        f"Accuracy against popularity bias: best is high {accuracy} with low {popularity}, to the upper left; a marker "
        f"a sampler, grey bars are standard deviations over seeds."
    )
    if len(shown) < len(group):
        caption += f" The {len(shown)} rows of best {accuracy} are named, {len(group) - len(shown)} others are grey."
    return Drawing("bias", figure, caption)


def heatmap(group: Sequence[Row]) -> Drawing | None:
    """NDCG of similarity cut-off by popularity exponent, a panel a strategy; None where none has two values of both."""
    metric = shown_metrics(group)[0]
    panels = {
        name: rows
        for name, rows in strategies(group, (_CUTOFF, _EXPONENT)).items()
        if min(len({of_config(row, key) for row in rows}) for key in (_CUTOFF, _EXPONENT)) > 1
    }
    if not panels:
        return None
    best = sorted(panels, key=lambda name: -max(row.mean(metric) for row in panels[name]))
    shown = [name for name in panels if name in best[:_MOST_PANELS]]
    tables = {name: table(panels[name], metric) for name in shown}
    high, wide = (max(len(found[axis]) for found in tables.values()) for axis in (0, 1))
    num_columns = min(3, len(shown))
    num_rows = -(-len(shown) // num_columns)
    size = (num_columns * (0.75 * wide + 0.9) + 1.2, num_rows * (0.5 * max(high, 3) + 1.1))
    figure = Figure(figsize=size, dpi=drawing.DPI, layout="constrained")
    everywhere = np.concatenate([values[np.isfinite(values)] for *_, values in tables.values()])
    colours = matplotlib.colormaps["cividis"].with_extremes(bad="0.92")
    scale = Normalize(everywhere.min(), everywhere.max())
    all_axes = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, (name, (exponents, cutoffs, values)) in zip(all_axes, tables.items(), strict=False):
        axes.imshow(values, cmap=colours, norm=scale, aspect="auto", origin="lower")
        for (i, j), value in np.ndenumerate(values):
            red, green, blue, _ = colours(scale(value))
            dark = 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5 and np.isfinite(value)
            text = f"{value:.3f}" if np.isfinite(value) else "none"
            axes.text(j, i, text, ha="center", va="center", fontsize=9, color="white" if dark else "black")
        axes.set_xticks(range(len(cutoffs)), [f"{cutoff:g}" for cutoff in cutoffs])
        axes.set_yticks(range(len(exponents)), [f"{exponent:g}" for exponent in exponents])
        axes.set(xlabel="similarity cut-off", ylabel="popularity exponent")
        axes.set_title(name, fontsize=9)
    for axes in all_axes[len(shown) :]:
        axes.remove()
    figure.colorbar(
        ScalarMappable(scale, colours),
        ax=list(all_axes[: len(shown)]),
        label=f"{group[0].part} {drawing.written(metric)}",
    )
    caption = f"{drawing.written(metric)} by similarity cut-off and popularity exponent, mean over seeds."
    left_out = [name for name in panels if name not in shown]
    if left_out:
        caption += f" The {len(shown)} best are shown; left out: {'; '.join(left_out)}."
    return Drawing("heatmap", figure, caption)


def table(rows: Sequence[Row], metric: str) -> tuple[list[float], list[float], np.ndarray]:
    """Exponents, cut-offs and the mean of every pair, not a number where no row has it."""
    exponents, cutoffs = (sorted({of_config(row, key) for row in rows}) for key in (_EXPONENT, _CUTOFF))
    values = np.full((len(exponents), len(cutoffs)), np.nan)
    for row in rows:
        values[exponents.index(of_config(row, _EXPONENT)), cutoffs.index(of_config(row, _CUTOFF))] = row.mean(metric)
    return exponents, cutoffs, values


def _follows(group: Sequence[Row], key: str, other: str) -> bool:
    """Whether a key has one value for each value of another."""
    return all(
        len({json.dumps(row.config.get(key)) for row in group if row.config.get(other) == value}) == 1
        for value in {row.config.get(other) for row in group}
    )
