"""What the figures of a report share: what one is, and the placing of labels."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Bbox

from experiments.reports import style

MOST_LINES = 12  # with a style of their own in one figure
NEAR = 11  # points; a label that is further away has a line to its place


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


def make_logarithmic(axes: Axes, low: float, high: float) -> None:
    """A logarithmic horizontal axis from low to high, with few enough numbers for a narrow panel."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")


def legend_columns(names: Sequence[str]) -> int:
    """How many names of this length fit beside each other below a figure."""
    longest = max(map(len, names))
    return 4 if longest <= 20 else 3 if longest <= 28 else 2


def place_labels(
    figure: Figure,
    axes: Axes,
    points: Sequence[tuple[float, float]],
    labels: Sequence[str],
    farthest: float | None = None,
    best_first: bool = False,
) -> bool:
    """Writes each label near its point, where it covers no other label and no point, with a line to it if further off.

    Args:
        figure: with everything else that belongs to it.
        axes: with its final limits.
        points: of the data; those beyond the labels have none.
        labels: one a point.
        farthest: points that a label may be away from its point; none: as many as it takes, and where all places are
            covered, the one that is least.
        best_first: whether the first label is that of the best point, in bold.

    Returns:
        Whether there is room within `farthest`; where there is not, nothing is written.
    """
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw_without_rendering()
    point = figure.dpi / 72  # in pixels
    frame = axes.get_window_extent(renderer)
    pixels = [tuple(place) for place in axes.transData.transform(points)]
    half = 3 * point  # of a marker
    taken = [Bbox.from_extents(x - half, y - half, x + half, y + half) for x, y in pixels]
    chosen, worst = [], 0.0
    for i, (label, (x, y)) in enumerate(zip(labels, pixels, strict=False)):
        weight = "bold" if best_first and i == 0 else "normal"
        text = axes.annotate(label, points[i], (0, 0), textcoords="offset points", fontsize=style.SMALL, weight=weight)
        text.set_in_layout(False)
        size = text.get_window_extent(renderer)
        text.remove()

        def box_at(dx: float, dy: float, x: float = x, y: float = y, size: Bbox = size) -> Bbox:
            return Bbox.from_bounds(x + dx * point, y + dy * point, size.width, size.height)

        near = _places(size.width / point, size.height / point)
        places = [place for place in near if farthest is None or place[2] <= farthest]
        costs = [_cost(box_at(dx, dy), taken, frame) for dx, dy, _ in places]
        best = int(np.argmin(costs))  # the first, so the nearest, of equal ones
        worst = max(worst, costs[best])
        taken.append(box_at(*places[best][:2]))
        chosen.append((label, points[i], places[best]))
    if worst > 0 and farthest is not None:
        return False
    for label, place, (dx, dy, distance) in chosen:
        line = {"arrowstyle": "-", "color": "0.6", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
        arrow = line if distance > NEAR else None
        offset = {"textcoords": "offset points", "fontsize": style.SMALL, "zorder": 4}
        text = axes.annotate(label, place, (dx, dy), arrowprops=arrow, **offset)
        if best_first and label is labels[0]:
            style.mark_best(text)
        text.set_in_layout(False)
    return True


def _places(width: float, height: float) -> list[tuple[float, float, float]]:
    """(right, up, distance) in points of a label's lower left corner from its place, near ones first."""
    found = []
    for distance, angle in itertools.product((6, NEAR, 18, 27, 39, 54), range(0, 360, 30)):
        across, up = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        found.append((distance * across + width * (across - 1) / 2, distance * up + height * (up - 1) / 2, distance))
    return found


def _cost(box: Bbox, others: Sequence[Bbox], frame: Bbox) -> float:
    """Pixels of a label's area that are covered, or outside the axes."""
    covered = sum(_area(Bbox.intersection(box.padded(1), other)) for other in others)
    return covered + box.width * box.height - _area(Bbox.intersection(box, frame))


def _area(box: Bbox | None) -> float:
    return 0.0 if box is None else box.width * box.height
