import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection

from cml_jax.serving import item_map


def test_plane_keeps_the_distances_of_points_that_lie_in_one():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(40, 2)) * [3.0, 1.0]
    rotation = np.linalg.qr(rng.normal(size=(7, 7)))[0][:, :2]
    found = item_map.plane(flat @ rotation.T + 5.0)
    differences = flat[:, None] - flat
    np.testing.assert_allclose(
        np.linalg.norm(found[:, None] - found, axis=-1), np.linalg.norm(differences, axis=-1), atol=1e-9
    )
    assert found[:, 0].std() > found[:, 1].std()


def test_map_marks_the_items_asked_for():
    points = np.random.default_rng(1).normal(size=(30, 5))
    figure = item_map.draw_item_map(points, np.arange(30), marked=[4, 9], names=["a", "b"])
    axes = figure.axes[0]
    dots, rings = (c for c in axes.collections if isinstance(c, PathCollection))
    places = item_map.plane(points)
    assert len(np.asarray(dots.get_offsets())) == 30
    np.testing.assert_allclose(np.asarray(rings.get_offsets()), places[[4, 9]])
    assert [text.get_text() for text in axes.texts] == ["a", "b"]
    assert np.max(np.asarray(dots.get_array())) == pytest.approx(np.log10(30))


def test_names_of_near_items_do_not_cover_each_other():
    rng = np.random.default_rng(2)
    points = np.concatenate([rng.normal(size=(40, 5)), 0.02 * rng.normal(size=(8, 5)) + 1.0])
    names = [f"a long name {i}" for i in range(8)]
    figure = item_map.draw_item_map(points, np.ones(48), marked=range(40, 48), names=names)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    assert len(boxes) == 8
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_groups_have_a_colour_each_and_a_legend():
    points, groups = np.random.default_rng(3).normal(size=(30, 4)), [f"genre {i % 3}" for i in range(30)]
    axes = item_map.draw_item_map(points, np.arange(30), groups=groups).axes[0]
    dots = [c for c in axes.collections if len(np.asarray(c.get_offsets())) == 10]
    assert len({tuple(np.asarray(d.get_facecolor())[0]) for d in dots}) == 3
    legend = axes.get_legend()
    assert legend is not None and [text.get_text() for text in legend.get_texts()] == sorted({*groups})
    places = item_map.plane(points)
    first = {tuple(place) for place in np.asarray(dots[0].get_offsets())}
    assert first == {tuple(place) for place in places[::3]}
