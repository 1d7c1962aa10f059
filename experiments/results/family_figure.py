"""The figure of docs/family.md: ranking quality against popularity bias of each model and sampler."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.reports import style

_BIAS = "mmr@50"
_SAMPLERS = {"uniform": "uniform", "two-stage": "two_stage", "soft": "softmax", "all pairs": "sfcml"}
_MARKERS = {
    "cml": "o",
    "cml-warp": "*",
    "hlr++": (6, 2, 0),
    **{f"cml-{name}": style.METHODS[f"cml_{name}"].marker for name in ("bias", "graph")},
}


@style.styled
def family_figure(kept: Mapping[str, Sequence[Mapping[str, Any]]], names: Mapping[str, str]) -> Figure:
    """A panel a data set, a point a row: its first metric against the mean popularity of the items listed.

    Colours tell samplers, markers models; means over seeds.

    Args:
        kept: title -> rows, as `family_page.read` returns them.
        names: model of a row's label -> how it is written.
    """
    figure = style.new_figure(style.PAGE, 3.2 * -(-len(kept) // 2) + 0.9)
    panels = figure.subplots(-(-len(kept) // 2), 2, squeeze=False).ravel()
    models, samplers = {}, {}
    for axes, (title, rows) in zip(panels, kept.items(), strict=False):
        metric = next(iter(rows[0]["metrics"]))
        for row in rows:
            model, _, sampler = row["label"].rpartition(", ")
            if sampler not in _SAMPLERS:
                continue
            models[model], samplers[sampler] = marker(model), style.METHODS[_SAMPLERS[sampler]].colour
            place = [np.mean(row["metrics"][name]) for name in (_BIAS, metric)]
            axes.plot(*place, marker=models[model], color=samplers[sampler], linestyle="", markersize=7, zorder=3)
        for row in rows:
            if row["label"] == "popular":
                axes.axhline(np.mean(row["metrics"][metric]), **style.FAINT)
        axes.set_title(title)
        axes.set_xlabel(style.written(_BIAS))
        axes.set_ylabel(style.written(metric))
    for axes in panels[len(kept) :]:
        axes.set_visible(False)
    handles = [Line2D([], [], marker="s", color=colour, linestyle="") for colour in samplers.values()]
    handles += [Line2D([], [], marker=found, color="0.35", linestyle="") for found in models.values()]
    labels = [*samplers, *(names[model] for model in models)]
    figure.legend(handles, labels, loc="outside lower center", ncols=6)
    return figure


def marker(model: str) -> Any:
    """The marker of a model of a row's label."""
    return _MARKERS[model] if model in _MARKERS else style.METHODS[model].marker
