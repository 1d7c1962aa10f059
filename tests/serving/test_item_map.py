import numpy as np
import pytest

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
    dots, rings = axes.collections
    places = item_map.plane(points)
    assert len(np.asarray(dots.get_offsets())) == 30
    np.testing.assert_allclose(np.asarray(rings.get_offsets()), places[[4, 9]])
    assert [text.get_text() for text in axes.texts] == ["a", "b"]
    assert np.max(np.asarray(dots.get_array())) == pytest.approx(np.log10(30))
