"""The look of every figure of the project: one name, colour, dash and marker a method, labels, sizes for a paper.

Colours are told apart by readers with any of the common colour deficiencies (a test simulates them), and dashes and
markers say the same in grey. A figure is as wide as a column (3.3 in) or a page (7 in) of a two-column paper and is
included there unscaled, so that its text has the 7 pt and more that it has here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

COLUMN, PAGE = 3.3, 7.0  # inches
DPI = 200  # of the PNG; the PDF is made of vectors
SMALL = 7  # points
_RC: dict[Any, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "errorbar.capsize": 2,
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "pdf.fonttype": 42,  # TrueType: text stays text, and journals accept it
}
styled = matplotlib.rc_context(_RC)  # decorates a function that draws

BEST = " (best)"
BEST_LINE: dict[str, Any] = {"linewidth": 2.2, "markersize": 4.5, "zorder": 4}
FAINT: dict[str, Any] = {"color": "0.75", "linewidth": 0.7, "zorder": 1}


class Method(NamedTuple):
    """How a method is written and drawn.

    Attributes:
        name: in figures and tables.
        colour: hexadecimal.
        line: dashes of matplotlib.
        marker: of matplotlib; a polygon or a star by (corners, kind, angle) where it has no letter.
    """

    name: str
    colour: str
    line: Any
    marker: Any


METHODS = {  # Okabe and Ito's colours for those compared most, Tol's for the others
    "uniform": Method("uniform", "#56B4E9", "-", "o"),
    "popularity": Method("popularity", "#009E73", "--", "s"),
    "two_stage": Method("two-stage", "#0072B2", "-.", "^"),
    "softmax": Method("soft second stage", "#D55E00", "-", "D"),
    "bpr": Method("BPR", "#CC79A7", (0, (5, 1, 1, 1, 1, 1)), "v"),
    "implicit_bpr": Method("BPR (implicit)", "#882255", ":", "<"),
    "als": Method("ALS (implicit)", "#000000", "--", "P"),
    "item_knn": Method("item-KNN (implicit)", "#B8860B", "-.", (3, 0, 45)),
    "ease": Method("EASE (irspack)", "#2F4F4F", "--", (3, 0, 225)),
    "slim": Method("SLIM (irspack)", "#A0522D", ":", (3, 0, 315)),
    "popular": Method("most popular", "#999999", ":", "X"),
    "sml": Method("SML", "#E69F00", "-", "p"),
    "dpcml": Method("DPCML", "#332288", "--", "h"),
    "lrml": Method("LRML", "#8A7A00", "-.", ">"),
    "transcf": Method("TransCF", "#117733", ":", (4, 1, 0)),
    "hlr": Method("HLR", "#CC6677", "-", (6, 1, 0)),
    "simplex": Method("SimpleX", "#B03060", "--", (7, 0, 0)),
    "cml_bias": Method("soft second stage, item biases", "#8C3B00", "--", (6, 0, 0)),
    "cml_graph": Method("soft second stage, item graph", "#D4A017", "-.", (5, 1, 180)),
    "cpe": Method("CPE", "#7A9A1F", "--", (8, 1, 0)),
    "crml": Method("CRML", "#5D4037", "-.", (3, 1, 0)),
    "hyperml": Method("HyperML", "#EE3377", ":", (5, 0, 180)),
    "pmlam": Method("PMLAM", "#00504A", "-", (4, 1, 45)),
    "cml_features": Method("CML with features", "#4477AA", "-.", (5, 1, 0)),
    "sfcml": Method("SFCML", "#7F3C8D", "--", (3, 1, 180)),
}
# Of methods that are not among them, such as a new model, by their order in a figure.
_OTHERS = (("#44AA99", "-", "*"), ("#AA4499", "--", "d"), ("#661100", "-.", "H"), ("#6699CC", ":", "8"))
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
_FAMILIES_OF_SAMPLERS = (None, "cml", "inner_product")  # models whose runs are called after sampler or loss

_DATA_SETS = {
    "checkerboard": "checkerboard",
    "echonest": "Taste Profile",
    "gowalla": "Gowalla",
    "lastfm": "Last.fm",
    "ml-1m": "MovieLens-1M",
    "movielens-1m": "MovieLens-1M",
    "movielens-20m": "MovieLens-20M",
    "movielens-100k": "MovieLens-100K",
    "steam-200k": "Steam-200k",
    "synthetic": "generated data",
    "yelp2018": "Yelp2018",
}
_METRICS = {
    **{name: name.upper() for name in ("ndcg", "map", "mrr", "mmr")},
    "recall": "Recall",
    "precision": "Precision",
    "hit_rate": "Hit rate",
    "coverage": "Coverage",
    "gini": "Gini",
}


def method_of(config: Mapping[str, Any]) -> str:
    """The key in METHODS of a run's flat config; a model's or sampler's own name where none is there."""
    if "baseline.name" in config:
        return str(config["baseline.name"])
    if config.get("model.name") not in _FAMILIES_OF_SAMPLERS:
        return str(config["model.name"])
    loss = config.get("model.loss", "triplet")
    return str(config["sampler.name"] if loss == "triplet" else loss)


def method_name(method: str) -> str:
    """What a method is called."""
    return METHODS[method].name if method in METHODS else method.replace("_", " ")


def data_name(name: str) -> str:
    """What a data set is called."""
    return _DATA_SETS.get(name, name)


def written(metric: str, num_items: int | None = None) -> str:
    """A metric's name in a figure, such as 'NDCG@50', or 'NDCG, whole list' from the catalogue's size on."""
    name, k = metric.split("@")
    name = _METRICS.get(name, name)
    return f"{name}, whole list" if num_items is not None and int(k) >= num_items else f"{name}@{k}"


def line_styles(methods: Sequence[str]) -> list[dict[str, Any]]:
    """Colour, dashes and marker of every line: its method's, and where several lines have one method, shades of that.

    Args:
        methods: of the lines, in their order.
    """
    kinds, seen, found = _kinds(methods), dict.fromkeys(methods, 0), []
    for method in methods:
        kind, number = kinds[method], seen[method]
        seen[method] += 1
        # The first of several keeps the method's dashes and marker; 5 and 8 have no common divisor.
        markers = [kind.marker, *(marker for marker in _MARKERS if marker != kind.marker)]
        found.append(
            {
                "color": _shade(kind.colour, number, methods.count(method)),
                "linestyle": _LINES[(_LINES.index(kind.line) + number) % len(_LINES)],
                "marker": markers[number % len(markers)],
                "zorder": 3,
            }
        )
    return found


def marker_styles(methods: Sequence[str]) -> list[dict[str, Any]]:
    """Colour and marker of every point, those of its method."""
    kinds = _kinds(methods)
    return [{"color": kinds[name].colour, "marker": kinds[name].marker, "linestyle": ""} for name in methods]


def _kinds(methods: Sequence[str]) -> dict[str, Method]:
    unknown = [name for name in dict.fromkeys(methods) if name not in METHODS]
    return METHODS | {name: Method(name, *_OTHERS[i % len(_OTHERS)]) for i, name in enumerate(unknown)}


def _shade(colour: str, number: int, count: int) -> Any:
    """A colour by its number among those of one method: from dark to light, itself where it is alone."""
    if count == 1:
        return colour
    place = 2 * number / (count - 1) - 1  # -1: darkest
    return tuple(np.clip((1 - 0.5 * abs(place)) * np.array(to_rgb(colour)) + 0.5 * max(place, 0), 0, 1).tolist())


def mark_best(text: Text) -> None:
    """Sets a label of the best row in bold."""
    text.set_fontweight("bold")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def place_legend(figure: Figure, axes: Axes, columns: int, best: str | None = None) -> None:
    """Writes the names of the lines below the figure, that of the best in bold."""
    handles, names = axes.get_legend_handles_labels()
    if not names:
        return
    shown = [name + BEST if name == best else name for name in names]
    legend = figure.legend(handles, shown, loc="outside lower center", ncols=columns, handlelength=3.4)
    if best in names:
        mark_best(legend.get_texts()[names.index(best)])


@styled
def save(figure: Figure, path: Path) -> list[Path]:
    """Writes PNG and PDF beside each other; the same figure gives the same bytes.

    Args:
        figure: what is drawn.
        path: of the files; its ending, if it has one of the two, does not count.

    Returns:
        Both paths.
    """
    if path.suffix in (".png", ".pdf"):
        path = path.with_suffix("")
    paths = [path.with_name(f"{path.name}.png"), path.with_name(f"{path.name}.pdf")]
    figure.savefig(paths[0], dpi=DPI)
    figure.savefig(paths[1], metadata={"CreationDate": None})
    return paths
