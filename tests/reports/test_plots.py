import itertools
import math

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from experiments.reports import drawing, plots, rows
from tests.reports.reported_runs import axes_of, write_grid, write_run


def test_bars_have_a_bar_a_row_and_a_point_a_seed(tmp_path):
    group = rows.collect(write_grid(tmp_path))
    figure = plots.bars(group).figure
    left, right = axes_of(figure)
    assert [text.get_text() for text in left.get_yticklabels()] == rows.short_names(group)
    for axes, metric in ((left, "ndcg@50"), (right, "mmr@50")):
        np.testing.assert_allclose([bar.get_width() for bar in axes.patches], [row.mean(metric) for row in group])
        for row, line in zip(group, axes.lines, strict=True):
            np.testing.assert_allclose(line.get_xdata(), row.values[metric])
    assert left.get_xlabel() == "test NDCG@50" and right.get_xlabel() == "test MMR@50"
    assert figure.get_suptitle() == "made"
    assert [text.get_fontweight() for text in left.get_yticklabels()] == ["bold", "normal", "normal", "normal"]
    assert [text.get_fontweight() for text in left.texts] == ["bold", "normal", "normal", "normal"]
    assert {text.get_fontweight() for text in right.texts} == {"normal"}
    assert [text.get_text().strip() for text in left.texts] == ["0.302", "0.292", "0.202", "0.192"]


def test_batch_sizes_have_a_line_a_strategy_with_deviations(tmp_path):
    group = rows.collect(write_grid(tmp_path, sizes=(64, 256, 1024)))
    found = plots.batch_size(group)
    assert found is not None and found.name == "batch_size" and "standard deviation over seeds" in found.caption
    for axes, factor, name in zip(axes_of(found.figure), (1.0, 0.5), ("NDCG", "MAP"), strict=True):
        assert axes.get_ylabel() == f"test {name}@50" and axes.get_xscale() == "log"
        assert [text.get_text() for text in axes.get_xticklabels()] == ["64", "256", "1,024"]
        assert [line.get_label() for line in axes.containers] == ["two-stage", "uniform"]
        for line, start in zip(axes.containers, (0.3, 0.2), strict=True):
            means = factor * (start + 0.002 - np.array([0, 0.01, 0.02]))
            np.testing.assert_array_equal(line[0].get_xdata(), [64, 256, 1024])
            np.testing.assert_allclose(np.asarray(line[0].get_ydata(), float), means)
            ends = np.array(line[2][0].get_segments(), float)[:, :, 1]
            half = factor * 0.004 / math.sqrt(2)  # of two seeds 0.004 apart
            np.testing.assert_allclose(ends, np.stack([means - half, means + half], axis=1))


def test_batch_sizes_may_bring_their_number_of_steps(tmp_path):
    for size in (64, 256):
        write_run(tmp_path / str(size), ndcg=0.2, train__batch_size=size, train__num_steps=6400 // size)
    found = plots.batch_size(rows.collect(tmp_path))
    assert found is not None
    (line,) = axes_of(found.figure)[0].containers
    assert line.get_label() == "two-stage" and len(line[0].get_xdata()) == 2
    write_run(tmp_path / "more", ndcg=0.3, train__batch_size=64, train__num_steps=1000)
    found = plots.batch_size(rows.collect(tmp_path))
    assert found is None  # now the number of steps is a choice of its own, and no choice has two batch sizes


def test_batch_sizes_of_different_strategies_are_no_figure(tmp_path):
    write_run(tmp_path / "a", ndcg=0.2, train__batch_size=4096, sampler__name="uniform")
    write_run(tmp_path / "b", ndcg=0.3, train__batch_size=256)
    assert plots.batch_size(rows.collect(tmp_path)) is None


def test_of_many_strategies_the_best_have_a_colour(tmp_path):
    for dim, size in itertools.product(range(1, 15), (64, 256)):
        write_run(tmp_path / f"{dim},{size}", ndcg=dim / 100, train__batch_size=size, model__dim=dim)
    found = plots.batch_size(rows.collect(tmp_path))
    assert found is not None and "The 12 best lines have a colour, 2 others are grey." in found.caption
    names = [text.get_text() for text in found.figure.legends[0].get_texts()]
    assert names == [*(f"dim {dim}" for dim in range(3, 14)), "dim 14 (best)"]


def test_bias_has_a_named_point_a_row_and_names_overlap_nothing(tmp_path):
    group = rows.collect(write_grid(tmp_path, sizes=(64, 256, 1024)))
    found = plots.bias(group)
    assert found is not None
    (axes,) = axes_of(found.figure)
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line, *_ in axes.containers]
    np.testing.assert_allclose(points, [(row.mean("mmr@50"), row.mean("ndcg@50")) for row in group])
    assert axes.get_xlabel() == "test MMR@50" and axes.get_ylabel() == "test NDCG@50"
    best_first = sorted(group, key=lambda row: -row.mean("ndcg@50"))
    names = dict(zip([row.label for row in group], rows.short_names(group), strict=True))
    assert [text.get_text() for text in axes.texts] == [names[row.label] for row in best_first]
    assert [text.xy for text in axes.texts] == [(row.mean("mmr@50"), row.mean("ndcg@50")) for row in best_first]
    assert [text.get_fontweight() for text in axes.texts] == ["bold"] + ["normal"] * 5
    assert_apart(found.figure, axes)


def assert_apart(figure, axes):
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [Text.get_window_extent(text, renderer) for text in axes.texts]  # without the line to its point
    for first, second in itertools.combinations(boxes, 2):
        assert not first.overlaps(second)
    frame = axes.get_window_extent(renderer)
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes)


def test_crowded_points_are_numbered_and_the_rest_is_grey(tmp_path):
    for dim in range(1, 15):
        best = dim > 2
        write_run(
            tmp_path / str(dim), 0.3 + dim / 1e4 if best else 0.1, mmr=50 + dim / 3 if best else 99, model__dim=dim
        )
    found = plots.bias(rows.collect(tmp_path))
    assert found is not None
    (axes,) = axes_of(found.figure)
    assert [text.get_text() for text in axes.texts] == [str(number) for number in range(1, 13)]
    keys = [text.get_text() for text in found.figure.legends[0].get_texts()]
    assert keys == [f"{number}  dim {15 - number}" for number in range(1, 13)]
    assert "The 12 rows of best NDCG@50 are named, 2 others are grey." in found.caption
    assert [line.get_color() for line, *_ in axes.containers].count("0.75") == 2
    assert_apart(found.figure, axes)


def test_labels_without_room_are_not_written():
    figure = Figure(figsize=(3, 3))
    axes = figure.subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    points = [(0.5, 0.5)] * 8
    assert not drawing.place_labels(figure, axes, points, ["a long name of a row"] * 8, farthest=drawing.NEAR)
    assert not axes.texts
    assert drawing.place_labels(figure, axes, points, ["a"] * 8) and len(axes.texts) == 8


def test_a_single_row_has_no_bias_batch_size_or_heat_map(tmp_path):
    write_run(tmp_path / "a", ndcg=0.3)
    group = rows.collect(tmp_path)
    assert plots.bias(group) is plots.batch_size(group) is plots.heatmap(group) is None


def write_cells(folder, weights=(0.0,), cutoffs=(0.1, 0.2, 1.0)):
    for weight, cutoff, exponent in itertools.product(weights, cutoffs, (0.0, 0.5)):
        if (cutoff, exponent) == (1.0, 0.5):
            continue
        write_run(
            folder / f"{cutoff},{exponent},{weight}",
            ndcg=0.3 - cutoff / 4 + exponent / 10 + weight / 100,
            model__gor_weight=weight,
            sampler__similarity_cutoff=cutoff,
            sampler__popularity_exponent=exponent,
        )
    write_run(folder / "uniform", ndcg=0.5, sampler__name="uniform")


def test_heat_map_has_the_number_in_every_cell(tmp_path):
    write_cells(tmp_path)
    found = plots.heatmap(rows.collect(tmp_path))
    assert found is not None and "left out" not in found.caption
    axes, bar = axes_of(found.figure)
    expected = np.array([[0.275, 0.25, 0.05], [0.325, 0.3, np.nan]])
    np.testing.assert_allclose(np.ma.filled(axes.images[0].get_array(), np.nan), expected)
    assert [text.get_text() for text in axes.texts] == ["0.275", "0.250", "0.050", "0.325", "0.300", "none"]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.1", "0.2", "1"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0", "0.5"]
    assert axes.get_xlabel() == "similarity cut-off" and axes.get_ylabel() == "popularity exponent"
    assert axes.get_title() == "made, two-stage" and bar.get_ylabel() == "test NDCG@50"
    colours = [text.get_color() for text in axes.texts]
    assert [text.get_fontweight() for text in axes.texts].index("bold") == 3
    (frame,) = axes.patches
    assert (frame.get_x(), frame.get_y()) == pytest.approx((-0.47, 0.55))
    assert colours[2] == "white" and colours[3] == colours[5] == "black"  # on dark, on light, on grey


def test_heat_maps_of_several_strategies_are_panels_and_the_worst_are_left_out(tmp_path):
    write_cells(tmp_path, weights=range(8))
    found = plots.heatmap(rows.collect(tmp_path))
    assert found is not None
    assert [axes.get_title() for axes in axes_of(found.figure)[:-1]] == [
        f"two-stage, GOR {weight}" for weight in range(2, 8)
    ]
    assert "The 6 best are shown; left out: two-stage, GOR 0; two-stage, GOR 1." in found.caption


def test_one_value_of_a_key_is_no_heat_map(tmp_path):
    write_cells(tmp_path, cutoffs=(0.1,))
    assert plots.heatmap(rows.collect(tmp_path)) is None


def test_a_cut_off_of_the_whole_catalogue_is_written_so(tmp_path):
    """The runs' 90 items."""
    for name in ("uniform", "two_stage"):
        folder = write_run(tmp_path / name, ndcg=0.2, sampler__name=name, eval__ks=(20, 90))
        path = folder / "summary.json"
        path.write_text(path.read_text().replace("@50", "@90"))
    group = rows.collect(tmp_path)
    left, right = axes_of(plots.bars(group).figure)
    assert left.get_xlabel() == "test NDCG, whole list" and right.get_xlabel() == "test MMR, whole list"


def test_labels_cover_no_marker(tmp_path):
    for number in range(3):
        write_run(tmp_path / str(number), 0.3 - number / 100, mmr=40 + 10 * number, model__dim=number + 4)
    found = plots.bias(rows.collect(tmp_path))
    assert found is not None
    (axes,) = axes_of(found.figure)
    renderer = FigureCanvasAgg(found.figure).get_renderer()
    found.figure.draw(renderer)
    half = 2 * found.figure.dpi / 72
    for label in axes.texts:
        box = Text.get_window_extent(label, renderer)
        for x, y in axes.transData.transform([line.get_xydata()[0] for line, *_ in axes.containers]):
            assert not (box.x0 < x + half and x - half < box.x1 and box.y0 < y + half and y - half < box.y1)
