"""A map of the items: their points of the metric space, in the plane that shows most of their spread.

Drawing needs matplotlib and textalloc: pip install 'cml_jax[notebook]'.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Plane(NamedTuple):
    """The plane that shows most of the spread of points.

    Attributes:
        centre: ndarray[D]; their mean.
        directions: ndarray[D, 2]; the two principal ones.
        spread: ndarray[2]; the part of the points' variance along each.
    """

    centre: np.ndarray
    directions: np.ndarray
    spread: np.ndarray

    def places(self, points: np.ndarray) -> np.ndarray:
        """Coordinates of points, perhaps others: ndarray[n, D] -> ndarray[n, 2]."""
        return (points - self.centre) @ self.directions


def fit_plane(points: np.ndarray) -> Plane:
    """The plane of the two principal components of points, ndarray[I, D], D >= 2."""
    centre = points.mean(axis=0, dtype=np.float64)
    centred = points - centre
    variances, directions = np.linalg.eigh(centred.T @ centred)  # ascending
    chosen = directions[:, :-3:-1]
    largest = chosen[np.abs(chosen).argmax(axis=0), [0, 1]]
    spread = np.maximum(variances[:-3:-1], 0.0) / max(float(variances.sum()), np.finfo(float).tiny)
    return Plane(centre, chosen * np.where(largest < 0, -1.0, 1.0), spread)


def plane(points: np.ndarray) -> np.ndarray:
    """Coordinates along the two principal components: ndarray[I, D], D >= 2 -> ndarray[I, 2]."""
    return fit_plane(points).places(points)


def draw_item_map(
    points: ArrayLike,
    popularity: np.ndarray,
    marked: Sequence[int] = (),
    names: Sequence[str] = (),
    groups: Sequence[Any] | None = None,
) -> "Figure":
    """Every item as a dot, the larger the more training users it has, some with a ring and a name beside it.

    Args:
        points: ndarray[I, D].
        popularity: ndarray[I]; number of training users.
        marked: items drawn with a ring and a name.
        names: of the marked items; they are moved until none covers another.
        groups: of each item, such as its genre, which decides its colour; where there are none, popularity does.
    """
    from matplotlib.figure import Figure  # slow to import, and an extra

    places = plane(np.asarray(points))
    figure = Figure(figsize=(7.0, 5.5), layout="constrained")
    axes = figure.subplots()
    order = np.argsort(popularity)  # popular items on top
    sizes = 4 + 36 * (popularity / max(1, popularity.max())) ** 0.5
    if groups is None:
        colours: dict[str, Any] = {"c": np.log10(popularity[order] + 1), "cmap": "cividis_r"}
        dots = axes.scatter(*places[order].T, s=sizes[order], linewidths=0, **colours)
        figure.colorbar(dots, label="log10(training users + 1)", shrink=0.7)
    else:
        _draw_groups(axes, places[order], sizes[order], np.asarray(groups)[order])
    axes.scatter(*places[list(marked)].T, facecolors="none", edgecolors="0.1", s=70, linewidths=1.2, zorder=3)
    axes.set(xlabel="first principal component", ylabel="second principal component", aspect="equal")
    axes.spines[["top", "right"]].set_visible(False)
    _write_names(figure, axes, places[list(marked)], names)
    return figure


def _draw_groups(axes: Any, places: np.ndarray, sizes: np.ndarray, groups: np.ndarray) -> None:
    """Dots of one colour a group, with a legend."""
    from matplotlib import colormaps

    distinct = np.unique(groups)
    palette = colormaps["tab20" if len(distinct) <= 20 else "turbo"]
    for number, group in enumerate(distinct):
        own = groups == group
        colour = palette(number if len(distinct) <= 20 else number / (len(distinct) - 1))
        axes.scatter(*places[own].T, s=sizes[own], color=[colour], linewidths=0, label=str(group))
    if len(distinct) <= 20:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=8)


def _write_names(figure: Any, axes: Any, places: np.ndarray, names: Sequence[str]) -> None:
    """Names beside their places, moved apart."""
    if not len(places):
        return
    import textalloc

    figure.draw_without_rendering()  # places the axes
    across, up = places.T
    textalloc.allocate(
        axes,
        across,
        up,
        list(names),
        x_scatter=across,
        y_scatter=up,
        textsize=8,
        linecolor="0.4",
        linewidth=0.6,
        min_distance=0.02,
        max_distance=0.35,
        zorder=4,
    )
