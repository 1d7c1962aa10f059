"""Charts of numbers, whatever they come from: bars, lines against the batch size, heat maps."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from experiments.reports import drawing, style


class Bar(NamedTuple):
    """A row of a bar chart.

    Attributes:
        name: what is written beside it.
        method: see `style.METHODS`.
        mean: the length.
        deviation: standard deviation over seeds; 0 for one seed.
        values: one a seed, if they are known.
    """

    name: str
    method: str
    mean: float
    deviation: float = 0.0
    values: Sequence[float] = ()


class Line(NamedTuple):
    """A line of a chart, with a mean and a standard deviation over seeds at each place.

    Attributes:
        name: in the legend.
        method: see `style.METHODS`.
        places: ascending.
        means: at the places.
        deviations: at the places.
    """

    name: str
    method: str
    places: Sequence[float]
    means: Sequence[float]
    deviations: Sequence[float]


class Table(NamedTuple):
    """Cells of a heat map.

    Attributes:
        exponents: of the rows.
        cutoffs: of the columns.
        values: ndarray[exponents, cutoffs]; not a number where there is none.
    """

    exponents: list[float]
    cutoffs: list[float]
    values: np.ndarray


def bar_panel(
    axes: Axes, bars: Sequence[Bar], label: str, digits: int, best: int | None = None, named: bool = True
) -> None:
    """A bar a row, from above, with a point a seed, or the deviation where those are not known, and the mean.

    Args:
        axes: empty.
        bars: the rows.
        label: of the horizontal axis.
        digits: of the means.
        best: number of the row to be marked.
        named: whether rows have their names at the left.
    """
    places = np.arange(len(bars))[::-1]
    styles = style.marker_styles([bar.method for bar in bars])
    longest = max(max([bar.mean + bar.deviation, *bar.values]) for bar in bars)
    for number, (place, bar, kind) in enumerate(zip(places, bars, styles, strict=True)):
        axes.barh(place, bar.mean, color=kind["color"], alpha=1.0 if number == best else 0.55, height=0.66)
        if bar.values:
            axes.plot(bar.values, [place] * len(bar.values), "o", color="0.15", markersize=2, linestyle="")
        elif bar.deviation:
            axes.errorbar(bar.mean, place, xerr=bar.deviation, color="0.15", elinewidth=0.8)
        end = max([bar.mean + bar.deviation, *bar.values])  # below, a half is rounded up, as in a table
        text = axes.text(
            end + 0.02 * longest, place, f"{bar.mean + 1e-9:.{digits}f}", va="center", fontsize=style.SMALL
        )
        if number == best:
            style.mark_best(text)
    axes.set_xlabel(label)
    axes.set_yticks(places, [bar.name for bar in bars] if named else [])
    axes.tick_params(axis="y", length=0)
    if best is not None and named:
        style.mark_best(axes.get_yticklabels()[best])
    axes.set_ylim(-0.6, len(bars) - 0.4)
    axes.set_xlim(0, 1.18 * longest or 1)


def batch_panels(
    panels: Mapping[str, Sequence[Line]], title: str, shown: Sequence[str], best: str | None = None
) -> Figure:
    """Lines against the batch size, a panel a metric.

    Args:
        panels: label of the vertical axis -> lines, of the same names in each.
        title: of the figure, the data set.
        shown: names of the lines with a colour; the others are grey.
        best: name of the line to be marked.
    """
    lines = next(iter(panels.values()))
    styles = dict(zip(shown, style.line_styles([line.method for line in lines if line.name in shown]), strict=True))
    sizes = sorted({int(place) for line in lines for place in line.places})
    columns = drawing.legend_columns(shown)
    figure = style.new_figure(style.PAGE, 2.4 + 0.16 * math.ceil(len(shown) / columns))
    figure.suptitle(title, fontsize=8)
    all_axes = np.atleast_1d(figure.subplots(1, len(panels)))
    for axes, (label, found) in zip(all_axes, panels.items(), strict=True):
        for line in found:
            kind = styles.get(line.name, style.FAINT)
            if line.name == best:
                kind = kind | style.BEST_LINE
            named = line.name if line.name in styles else None
            axes.errorbar(line.places, line.means, line.deviations, **kind, label=named)
        axes.set_xscale("log", base=2)
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
        axes.minorticks_off()
        axes.set(xlabel="batch size", ylabel=label)
    style.place_legend(figure, all_axes[0], columns, best)
    return figure


def heat_colours(tables: Sequence[Table]) -> tuple[Colormap, Normalize]:
    """Colours of values, and where between their ends a value is; the upper end is the best of all."""
    everywhere = np.concatenate([table.values[np.isfinite(table.values)] for table in tables])
    colours = matplotlib.colormaps["cividis"].with_extremes(bad="0.92")
    return colours, Normalize(everywhere.min(), everywhere.max())


def is_dark(colour: Sequence[float]) -> bool:
    """Whether text on a colour (red, green, blue, ...) should be white."""
    red, green, blue, *_ = colour
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.5


def heat_panels(tables: Mapping[str, Table], title: str, label: str) -> Figure:
    """A panel a table, exponents upwards and cut-offs to the right, the best cell of all in a frame.

    Args:
        tables: title of the panel -> cells.
        title: of the figure, the data set.
        label: of the colours, the metric.
    """
    high, wide = max(len(table.exponents) for table in tables.values()), max(len(t.cutoffs) for t in tables.values())
    num_columns = min({1: 1, 2: 2, 4: 2}.get(len(tables), 3), max(1, int(style.PAGE / (0.42 * wide))))
    num_rows = -(-len(tables) // num_columns)
    width = style.COLUMN if num_columns == 1 and wide <= 6 else style.PAGE
    figure = style.new_figure(width, num_rows * (0.27 * max(high, 3) + 0.7))
    if len(tables) > 1:
        figure.suptitle(title, fontsize=8)
    colours, scale = heat_colours(list(tables.values()))
    all_axes = figure.subplots(num_rows, num_columns, squeeze=False).ravel()
    for axes, (name, table) in zip(all_axes, tables.items(), strict=False):
        axes.imshow(table.values, cmap=colours, norm=scale, aspect="auto", origin="lower")
        for (i, j), value in np.ndenumerate(table.values):
            dark = is_dark(colours(scale(value))) and np.isfinite(value)
            written = f"{value:.3f}" if np.isfinite(value) else "none"
            text = axes.text(
                j, i, written, ha="center", va="center", fontsize=style.SMALL, color="white" if dark else "black"
            )
            if value == scale.vmax:
                style.mark_best(text)
                frame = Rectangle((j - 0.47, i - 0.45), 0.94, 0.9, fill=False, linewidth=1.5)
                axes.add_patch(frame)
        axes.set_xticks(range(len(table.cutoffs)), [f"{cutoff:g}" for cutoff in table.cutoffs])
        axes.set_yticks(range(len(table.exponents)), [f"{exponent:g}" for exponent in table.exponents])
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        axes.set(xlabel="similarity cut-off", ylabel="popularity exponent")
        axes.set_title(name if len(tables) > 1 else f"{title}, {name}")
    for axes in all_axes[len(tables) :]:
        axes.remove()
    bar = figure.colorbar(ScalarMappable(scale, colours), ax=list(all_axes[: len(tables)]), label=label)
    bar.outline.set_visible(False)
    return figure
