import json

import numpy as np
import pytest

from cml_jax.errors import UserError
from experiments.reports import rows
from experiments.reports.learning_curves import learning, mean_curve, read_curve
from tests.reports.reported_runs import axes_of, record, write_grid, write_run

RECORDS = [record(10, throughput=100.0), record(30, 0.2, throughput=50.0), record(40, 0.3, throughput=200.0)]


def test_seconds_are_summed_over_all_reports_and_scores_are_those_evaluated(tmp_path):
    write_run(tmp_path / "a", ndcg=0.3, records=RECORDS)
    curve = read_curve(tmp_path / "a", "ndcg@50", batch_size=20, last_step=40)
    assert curve is not None
    np.testing.assert_array_equal(curve.steps, [30, 40])
    np.testing.assert_array_equal(curve.passes, [6, 8])
    seconds = 10 * 20 / 100 + 20 * 20 / 50
    np.testing.assert_allclose(curve.seconds, [seconds, seconds + 10 * 20 / 200])
    np.testing.assert_array_equal(curve.values, [0.2, 0.3])


def test_reports_after_the_summarys_last_step_do_not_count(tmp_path):
    """A finished run that is made longer and killed leaves later reports, the last perhaps half."""
    write_run(tmp_path / "a", ndcg=0.3, records=RECORDS)
    with (tmp_path / "a" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 50, "pa')
    curve = read_curve(tmp_path / "a", "ndcg@50", 20, last_step=30)
    assert curve is not None and curve.steps.tolist() == [30]
    assert read_curve(tmp_path / "a", "ndcg@7", 20, last_step=30) is None
    assert read_curve(tmp_path, "ndcg@50", 20, last_step=30) is None


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '"text"', json.dumps(record(10, 0.1)), json.dumps(record(35, 0.1, throughput=0.0)), '{"step": 35}']
    + [json.dumps(record(35, throughput=2.0) | {"metrics": metrics}) for metrics in (None, {"ndcg@50": "high"})],
)
def test_damaged_reports_are_named(tmp_path, line):
    path = write_run(tmp_path / "a", ndcg=0.3, records=RECORDS) / "metrics.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], line, lines[2]]))
    with pytest.raises(UserError, match=r"a/metrics\.jsonl, line 3: not a report"):
        read_curve(tmp_path / "a", "ndcg@50", 20, last_step=40)


def test_a_curve_is_the_mean_over_seeds_at_their_common_steps(tmp_path):
    write_run(tmp_path / "a" / "0", ndcg=0.3, seed=0, records=RECORDS, train__batch_size=20)
    longer = [record(20, 0.1, throughput=100.0), *(record(step, 0.5, throughput=100.0) for step in (30, 40))]
    write_run(tmp_path / "a" / "1", ndcg=0.3, seed=1, records=longer, train__batch_size=20)
    (row,) = rows.collect(tmp_path)
    curve = mean_curve(row, "ndcg@50")
    assert curve is not None
    np.testing.assert_array_equal(curve.steps, [30, 40])
    np.testing.assert_allclose(curve.values, [(0.2 + 0.5) / 2, (0.3 + 0.5) / 2])
    np.testing.assert_allclose(curve.seconds, [(10 + 6) / 2, (11 + 8) / 2])


def test_figure_has_a_line_a_row_over_steps_passes_and_seconds(tmp_path):
    write_grid(tmp_path)
    drawing = learning(rows.collect(tmp_path))
    assert drawing is not None and drawing.name == "learning" and "grey" not in drawing.caption
    panels = axes_of(drawing.figure)
    assert [axes.get_xlabel() for axes in panels] == ["steps", "passes over the training pairs", "seconds of training"]
    assert panels[0].get_ylabel() == "validation NDCG@50"
    for axes, places in zip(panels, ([10, 20], [2, 4], np.array([10, 20]) * 256 / 2560), strict=True):
        line = next(line for line in axes.lines if line.get_label() == "uniform, batch 256")
        np.testing.assert_allclose(line.get_xdata(), places)
        np.testing.assert_allclose(line.get_ydata(), np.array([0.5, 1.0]) * (0.19 + 0.002))
    names = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert names == ["two-stage, batch 64 (best)", "two-stage, batch 256", "uniform, batch 64", "uniform, batch 256"]
    weights = [text.get_fontweight() for text in drawing.figure.legends[0].get_texts()]
    assert weights == ["bold", "normal", "normal", "normal"]
    assert drawing.figure.get_suptitle() == "made"
    styles = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in panels[0].lines}
    assert len({style[1:] for style in styles}) == 4  # can be told apart without colour


def test_of_many_rows_the_best_have_a_colour(tmp_path):
    for dim in range(1, 16):
        write_run(tmp_path / str(dim + 100), ndcg=dim / 100, records=RECORDS, model__dim=dim)
    (tmp_path / "115" / "metrics.jsonl").unlink()
    drawing = learning(rows.collect(tmp_path))
    assert drawing is not None
    assert "The 12 rows of best NDCG@50 have a colour, 2 others are grey." in drawing.caption
    assert "Rows without a metrics.jsonl: 1." in drawing.caption
    names = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert names == [*(f"dim {dim}" for dim in range(3, 14)), "dim 14 (best)"]
    assert [line.get_color() for line in axes_of(drawing.figure)[0].lines][:2] == ["0.75", "0.75"]


def test_a_single_evaluation_is_not_a_curve(tmp_path):
    write_run(tmp_path / "a", ndcg=0.3, records=RECORDS[:2])
    write_run(tmp_path / "b", ndcg=0.3, sampler__name="uniform")
    assert learning(rows.collect(tmp_path)) is None
