"""A map of the items: their points of the metric space, in the plane that shows most of their spread."""

from collections.abc import Sequence

import matplotlib.figure
import numpy as np
from numpy.typing import ArrayLike


def plane(points: np.ndarray) -> np.ndarray:
    """Coordinates along the two principal components: ndarray[I, D], D >= 2 -> ndarray[I, 2]."""
    centred = points - points.mean(axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    return centred @ directions[:2].T


def draw_item_map(
    points: ArrayLike, popularity: np.ndarray, marked: Sequence[int] = (), names: Sequence[str] = ()
) -> matplotlib.figure.Figure:
    """Every item as a dot, the darker the more training users it has.

    Args:
        points: ndarray[I, D].
        popularity: ndarray[I]; number of training users.
        marked: items drawn with a ring and a name.
        names: of the marked items.
    """
    places = plane(np.asarray(points))
    figure = matplotlib.figure.Figure(figsize=(6.5, 5.5), layout="constrained")
    axes = figure.subplots()
    order = np.argsort(popularity)  # popular items on top
    dots = axes.scatter(*places[order].T, c=np.log10(popularity[order] + 1), cmap="cividis_r", s=9, linewidths=0)
    figure.colorbar(dots, label="log10(training users + 1)", shrink=0.7)
    axes.scatter(*places[list(marked)].T, facecolors="none", edgecolors="0.1", s=70, linewidths=1.2)
    for item, name in zip(marked, names, strict=True):
        axes.annotate(name, places[item], xytext=(5, 5), textcoords="offset points", fontsize=8)
    axes.set(xlabel="first principal component", ylabel="second principal component", aspect="equal")
    axes.spines[["top", "right"]].set_visible(False)
    return figure
