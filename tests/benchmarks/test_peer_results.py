import numpy as np

from experiments.benchmarks import peer_results
from experiments.benchmarks.peer_methods import METHODS

RESULTS = {
    "data": "lastfm",
    "sizes": {"users": 20, "items": 30, "train": 400, "valid": 40},
    "dim": 8,
    "metric": "ndcg@20",
    "device": "1 x cpu (cpu)",
    "threads": 2,
    "methods": {
        "als": [
            {"setting": {"alpha": 1.0}, "setup_seconds": 1.0, "ended": "limit", "points": [[1, 2, 0.3], [9, 9, 0.1]]},
            {"setting": {"alpha": 2.0}, "setup_seconds": 4.0, "ended": "limit", "points": [[2, 24, 0.2], [4, 44, 0.4]]},
        ],
        "softmax": [
            {
                "setting": {},
                "setup_seconds": 2.0,
                "ended": "no better",
                "points": [[1, 3, 0.3], [2, 4, 0.5], [3, 5, 0.2]],
            }
        ],
        "lightfm": [{"setting": {}, "setup_seconds": 0.0, "ended": "diverged", "points": []}],
    },
    "left_out": {"libcml": "LibCML is left out."},
}


def test_the_table_compares_at_equal_scores():
    lines = peer_results.as_markdown(RESULTS).splitlines()
    assert lines[0].startswith("Last.fm: 20 users, 30 items, 400 pairs, d = 8; 1 x cpu (cpu), 2 threads")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    assert cells[0][9:] == ["s to 0.4000", "s to 0.4500", "s to 0.4750", "s to 0.4950"]
    # 99 % of 0.4 is reached by ALS at 24 + 20 x 0.196 / 0.2 s, by ours at 3 + 0.096 / 0.2 s.
    assert cells[1][:2] == ["cml_jax: softmax, shared candidates", "as its config"]
    assert cells[1][2:9] == ["2.0", "1", "0.5000", "2.0", "3.98", "3.98", "1.0"]
    assert cells[1][9:] == ["3.5", "3.75", "3.88", "3.98"]
    assert cells[2] == ["implicit: ALS", "alpha 2", "4.0", "10", ">0.4000", "4.0", "43.6", "3.48", "12.5", "44", *"---"]
    assert len(cells) == 3, "a method without a score has no row"
    assert lines[-1] == "LibCML is left out."


def test_lines_of_the_figure_begin_where_set_up_ends():
    (axes,) = peer_results.figure(RESULTS).axes
    ours, als = axes.lines
    np.testing.assert_array_equal(ours.get_xdata(), [2, 3, 4, 5])
    np.testing.assert_array_equal(ours.get_ydata(), [0, 0.3, 0.5, 0.2])
    np.testing.assert_array_equal(als.get_xdata(), [4, 24, 44])
    assert axes.get_xscale() == "log" and axes.get_ylabel() == "validation NDCG@20"
    styles = {(line.get_color(), str(line.get_linestyle()), line.get_marker()) for line in axes.lines}
    assert len(styles) == 2 and ours.get_linewidth() > als.get_linewidth()


def test_all_names_are_inside_the_figure():
    trial = RESULTS["methods"]["softmax"]
    drawn = peer_results.figure(RESULTS | {"methods": dict.fromkeys(METHODS, trial)})
    drawn.draw_without_rendering()
    (legend,) = drawn.legends
    assert len(legend.get_texts()) == len(METHODS)
    frame, box = drawn.bbox, legend.get_window_extent()
    assert frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0
    styles = {(line.get_color(), str(line.get_linestyle()), line.get_marker()) for line in drawn.axes[0].lines}
    assert len(styles) == len(METHODS)


def test_settings_are_written_in_few_words():
    setting = {"negatives": "pair", "num_negatives": 800, "temperature": 0.08, "learning_rate": 1e-4, "sparse": True}
    assert peer_results.written(setting) == "N 800, T 0.08, rate 0.0001, SparseAdam"
    assert peer_results.written({"optimizer.learning_rate": 3e-3, "name": "x"}) == "rate 0.003"
