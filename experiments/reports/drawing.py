"""What the figures of a report share: a style that can be told apart without colour, and the placing of labels."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Bbox

DPI = 120
MOST_LINES = 12  # with a style of their own in one figure

# Okabe and Ito's colours without yellow, which is too light for lines. Lengths have no common divisor, so that styles
# differ also where colours repeat, and in grey; neighbours are far apart in luminance.
COLOURS = ("#0072B2", "#E69F00", "#000000", "#56B4E9", "#D55E00", "#009E73", "#CC79A7")
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")
FAINT: dict[str, Any] = {"color": "0.75", "linewidth": 0.7, "zorder": 1}


class Drawing(NamedTuple):
    """A figure of a report.

    Attributes:
        name: of the file, without its ending.
        figure: what is drawn.
        caption: sentences that say what it shows.
    """

    name: str
    figure: Figure
    caption: str


def line_style(i: int) -> dict[str, Any]:
    """Colour, dashes and marker of the i-th line."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "linestyle": _LINES[i % len(_LINES)],
        "marker": _MARKERS[i % len(_MARKERS)],
        "markersize": 4.5,
        "linewidth": 1.3,
        "zorder": 3,
    }


def marker_style(i: int) -> dict[str, Any]:
    """Colour and marker of the i-th kind of point."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": _MARKERS[i % len(_MARKERS)], "markersize": 6, "linestyle": ""}


def written(metric: str) -> str:
    """A metric's name as a figure writes it."""
    name, k = metric.split("@")
    return f"{name.upper() if name in ('ndcg', 'map', 'mmr') else name}@{k}"


def tidy(axes: Axes) -> None:
    """Leaves out the frame's upper and right side."""
    axes.spines[["top", "right"]].set_visible(False)


def make_logarithmic(axes: Axes, low: float, high: float) -> None:
    """A logarithmic horizontal axis from low to high, with few enough numbers for a narrow panel."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 30 * low else (1.0,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")


def legend_columns(names: Sequence[str]) -> int:
    """How many names of this length fit beside each other below a figure."""
    longest = max(map(len, names))
    return 4 if longest <= 26 else 3 if longest <= 36 else 2


def place_labels(
    figure: Figure,
    axes: Axes,
    points: Sequence[tuple[float, float]],
    labels: Sequence[str],
    farthest: float | None = None,
) -> bool:
    """Writes each label near its point, where it covers no other label and no point, with a line to it if further off.

    Args:
        figure: with everything else that belongs to it.
        axes: with its final limits.
        points: of the data; those beyond the labels have none.
        labels: one a point.
        farthest: pixels that a label may be away from its point; none: as many as it takes, and where all places are
            covered, the one that is least.

    Returns:
        Whether there is room within `farthest`; where there is not, nothing is written.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    frame = axes.get_window_extent(renderer)
    pixels = [tuple(place) for place in axes.transData.transform(points)]
    taken = [Bbox.from_extents(x - 5, y - 5, x + 5, y + 5) for x, y in pixels]
    chosen, worst = [], 0.0
    for i, (label, (x, y)) in enumerate(zip(labels, pixels, strict=False)):
        text = axes.annotate(label, points[i], (0, 0), textcoords="offset pixels", fontsize=8, zorder=4)
        text.set_in_layout(False)
        size = text.get_window_extent(renderer)
        text.remove()
        others = [box for j, box in enumerate(taken) if j != i]

        def box_at(dx: float, dy: float, x: float = x, y: float = y, size: Bbox = size) -> Bbox:
            return Bbox.from_bounds(x + dx, y + dy, size.width, size.height)

        places = [place for place in _places(size.width, size.height) if farthest is None or place[2] <= farthest]
        costs = [_cost(box_at(dx, dy), others, frame) for dx, dy, _ in places]
        best = int(np.argmin(costs))  # the first, so the nearest, of equal ones
        worst = max(worst, costs[best])
        taken.append(box_at(*places[best][:2]))
        chosen.append((label, points[i], places[best]))
    if worst > 0 and farthest is not None:
        return False
    for label, point, (dx, dy, distance) in chosen:
        line = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        arrow = line if distance > 18 else None
        text = axes.annotate(label, point, (dx, dy), textcoords="offset pixels", fontsize=8, arrowprops=arrow, zorder=4)
        text.set_in_layout(False)
    return True


def _places(width: float, height: float) -> list[tuple[float, float, float]]:
    """(right, up, distance) of a label's lower left corner from its point, near ones first."""
    found = []
    for distance, angle in itertools.product((9, 18, 30, 45, 65, 90), range(0, 360, 30)):
        across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        found.append((distance * across + width * (across - 1) / 2, distance * up + height * (up - 1) / 2, distance))
    return found


def _cost(box: Bbox, others: Sequence[Bbox], frame: Bbox) -> float:
    """Pixels of a label's area that are covered, or outside the axes."""
    covered = sum(_area(Bbox.intersection(box.padded(1), other)) for other in others)
    return covered + box.width * box.height - _area(Bbox.intersection(box, frame))


def _area(box: Bbox | None) -> float:
    return 0.0 if box is None else box.width * box.height
