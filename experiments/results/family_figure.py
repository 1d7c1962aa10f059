"""The figure of docs/family.md: ranking quality against popularity bias of each model and sampler.

Needs textalloc, which moves the models' names apart: pip install 'cml_jax[notebook]'.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cml_jax.errors import UserError
from experiments.reports import style

_BIAS = "mmr@50"
_SAMPLERS = {
    "uniform": ("uniform", "o"),
    "two-stage": ("two_stage", "^"),
    "soft": ("softmax", "D"),
    "all pairs": ("sfcml", "v"),
}


@style.styled
def family_figure(kept: Mapping[str, Sequence[Mapping[str, Any]]], names: Mapping[str, str]) -> Figure:
    """A panel a data set, a named point a row: its first metric against the mean popularity of the items listed.

    Colours and markers tell samplers; means over seeds. A line is at the score of the most popular items.

    Args:
        kept: title -> rows, as `family_page.read` returns them.
        names: model of a row's label -> how it is written.

    Raises:
        UserError: textalloc is not installed.
    """
    figure = style.new_figure(style.PAGE, 3.6 * len(kept) + 0.3)
    panels = figure.subplots(len(kept), 1, squeeze=False).ravel()
    shown: dict[str, Line2D] = {}
    for axes, (title, rows) in zip(panels, kept.items(), strict=True):
        metric = next(iter(rows[0]["metrics"]))
        axes.set_title(title)
        axes.set_xlabel(style.written(_BIAS))
        axes.set_ylabel(style.written(metric))
        axes.margins(0.08)
        points = []
        for row in rows:
            model, _, sampler = row["label"].rpartition(", ")
            place = [float(np.mean(row["metrics"][name])) for name in (_BIAS, metric)]
            if sampler in _SAMPLERS:
                method, marker = _SAMPLERS[sampler]
                colour = style.METHODS[method].colour
                (shown[sampler],) = axes.plot(*place, marker=marker, color=colour, linestyle="", zorder=3)
                points.append((*place, names[model], colour))
            elif row["label"] == "popular":
                axes.axhline(place[1], **style.FAINT)
        _write_names(axes, points)
    figure.legend(shown.values(), shown, loc="outside lower center", ncols=len(shown))
    return figure


def _write_names(axes: Axes, points: Sequence[tuple[float, float, str, str]]) -> None:
    """Names beside their points, each an abscissa, an ordinate, a name and a colour, moved apart."""
    if not points:
        return
    try:
        import textalloc
    except ImportError as error:
        raise UserError("the figure of the families needs pip install -e '.[notebook]'.") from error
    across, up, names, colours = (list(values) for values in zip(*points, strict=True))
    axes.figure.draw_without_rendering()  # pyright: ignore[reportAttributeAccessIssue]; places the axes
    textalloc.allocate(
        axes,
        across,
        up,
        names,
        x_scatter=across,
        y_scatter=up,
        textsize=6.5,
        textcolor=colours,
        linecolor="0.6",
        linewidth=0.5,
        min_distance=0.012,
        max_distance=0.3,
        zorder=4,
    )
