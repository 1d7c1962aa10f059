"""The figure of NDCG by popularity of the items, for each method and data set."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.reports import style

SHOWN = {  # label -> method
    "uniform-sphere": "uniform",
    "popularity-sphere": "popularity",
    "two_stage-sphere": "two_stage",
    "softmax-sphere": "softmax",
    "bias-sphere": "cml_bias",
    "graph-sphere": "cml_graph",
    "bpr-none": "bpr",
    "als": "als",
    "popular": "popular",
}

_LEAST = 3  # methods, to be compared


@style.styled
def by_popularity(kept: Mapping[str, Sequence[dict[str, Any]]]) -> Figure:
    """A panel a data set, a line a method: NDCG of the held-out items of each popularity decile.

    The best of those shown, by the table's first metric, is named in the panel's title and has a thicker line. Data
    sets of fewer than three methods are left out, unless all are.

    Args:
        kept: title -> rows, as `keeping.read` returns them.
    """
    shown = {title: {row["label"]: row for row in rows if row["label"] in SHOWN} for title, rows in kept.items()}
    shown = {title: found for title, found in shown.items() if len(found) >= _LEAST} or shown
    figure = style.new_figure(style.PAGE, 2.1 * -(-len(shown) // 2) + 0.4)
    panels = figure.subplots(-(-len(shown) // 2), 2, squeeze=False).ravel()
    styles = dict(zip(SHOWN, style.line_styles(list(SHOWN.values())), strict=True))
    for axes, (title, found) in zip(panels, shown.items(), strict=False):
        best = max(found, key=lambda label: _first_metric(found[label]))
        metric = ""
        for label, method in SHOWN.items():
            if label not in found:
                continue
            metric = next(iter(found[label]["runs"][0]["by_popularity"]))
            values = [run["by_popularity"][metric] for run in found[label]["runs"]]
            means = np.array(values, float).mean(axis=0)
            kind = styles[label] | (style.BEST_LINE if label == best else {})
            axes.plot(np.arange(1, len(means) + 1), means, **kind, label=style.method_name(method))
        axes.set_title(f"{title}, best shown: {style.method_name(SHOWN[best])}")
        axes.set_xlabel("popularity decile of the items, rarest first")
        axes.set_ylabel(style.written(metric, found[best]["dataset"]["items"]))
        axes.set_xticks(range(1, 11))
        axes.set_ylim(bottom=0)
    for axes in panels[len(shown) :]:
        axes.set_visible(False)
    fullest = max(panels, key=lambda axes: len(axes.get_legend_handles_labels()[1]))
    style.place_legend(figure, fullest, columns=3)
    return figure


def _first_metric(row: dict[str, Any]) -> float:
    name = next(iter(row["runs"][0]["metrics"]))
    return float(np.mean([run["metrics"][name] for run in row["runs"]]))
