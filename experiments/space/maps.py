"""Maps of the items: places in the plane for points of the metric space."""

import importlib.util
from typing import NamedTuple

import numpy as np
from scipy.cluster.vq import kmeans2

from cml_jax.errors import UserError
from cml_jax.serving import item_map

MAPS = ("pca", "umap")
CLUSTERS = 8  # as many as there are colours that everyone can tell apart


class Map(NamedTuple):
    """A map.

    Attributes:
        name: of the method.
        items: ndarray[n, 2] float32.
        users: ndarray[m, 2] float32; None where the method places items alone.
        spread: part of the points' variance along each axis; None where that means nothing.
    """

    name: str
    items: np.ndarray
    users: np.ndarray | None = None
    spread: tuple[float, float] | None = None


def check(names: tuple[str, ...]) -> None:
    """Raises UserError where a map is unknown, or what draws it is not installed."""
    for name in names:
        if name not in MAPS:
            raise UserError(f"there is no map {name!r}; choose of {', '.join(MAPS)}.")
    if not names:
        raise UserError(f"no map is named; choose of {', '.join(MAPS)}.")
    if "umap" in names and importlib.util.find_spec("umap") is None:
        raise UserError("the map umap needs pip install 'cml_jax[umap]'; or leave it out.")


def draw(name: str, items: np.ndarray, users: np.ndarray) -> Map:
    """A map of points ndarray[n, D] of items, and of users ndarray[m, D] in the same space."""
    if name == "umap":
        return Map("UMAP", _umap(items))
    if items.shape[1] == 1:
        items, users = np.pad(items, ((0, 0), (0, 1))), np.pad(users, ((0, 0), (0, 1)))
    plane = item_map.fit_plane(items)
    first, second = plane.spread.tolist()
    return Map("PCA", plane.places(items).astype(np.float32), plane.places(users).astype(np.float32), (first, second))


def _umap(points: np.ndarray) -> np.ndarray:
    import warnings

    import umap  # an extra, and slow to import

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed leaves it one thread
        neighbours = max(2, min(15, len(points) - 1))
        found = umap.UMAP(n_neighbors=neighbours, init="pca", random_state=0).fit_transform(points)
    return np.asarray(found, np.float32)


def clusters(points: np.ndarray) -> np.ndarray:
    """Number of each point's cluster by k-means, ndarray[n] uint8, that of the largest first."""
    _, found = kmeans2(points, min(CLUSTERS, len(points)), iter=20, minit="points", rng=0)
    order = np.argsort(-np.bincount(found), kind="stable")
    return np.argsort(order)[found].astype(np.uint8)
