"""The figure of NDCG by popularity of the items, for each strategy and data set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.reports import drawing

_SHOWN = {  # label -> name in the figure
    "uniform-sphere": "uniform",
    "popularity-sphere": "popularity",
    "two_stage-sphere": "two-stage",
    "softmax-sphere": "soft second stage",
    "bpr-none": "BPR",
    "als": "ALS (implicit)",
    "popular": "most popular",
}


def by_popularity(kept: Mapping[str, Sequence[dict[str, Any]]]) -> Figure:
    """A panel a data set, a line a strategy: NDCG of the held-out items of each tenth of the training pairs.

    Args:
        kept: title -> rows, as `tables.read` returns them.
    """
    figure = Figure(figsize=(11, 3.4 * -(-len(kept) // 2) + 0.5), dpi=drawing.DPI, layout="constrained")
    panels = figure.subplots(-(-len(kept) // 2), 2, squeeze=False).ravel()
    for axes, (title, rows) in zip(panels, kept.items(), strict=False):
        found = {row["label"]: row for row in rows}
        metric = ""
        for number, (label, name) in enumerate(_SHOWN.items()):
            if label not in found:
                continue
            metric = next(iter(found[label]["runs"][0]["by_popularity"]))
            values = [run["by_popularity"][metric] for run in found[label]["runs"]]
            means = np.array(values, float).mean(axis=0)
            axes.plot(np.arange(1, len(means) + 1), means, **drawing.line_style(number), label=name)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("tenth of the training pairs, rarest items first")
        axes.set_ylabel(drawing.written(metric) if metric else "")
        axes.set_xticks(range(1, 11))
        axes.set_ylim(bottom=0)
        drawing.tidy(axes)
    for axes in panels[len(kept) :]:
        axes.set_visible(False)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=8)
    return figure
