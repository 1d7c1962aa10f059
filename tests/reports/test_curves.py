import json

import numpy as np
import pytest

from cml_jax.runs.summary import read_summary
from experiments.reports import curves
from tests.reports.reported_runs import axes_of, record, write_run

RECORDS = [record(50), record(100, 0.2), record(150, 0.15)]


@pytest.fixture
def summary(tmp_path):
    return read_summary(write_run(tmp_path / "run", ndcg=0.2) / "summary.json")


def test_loss_and_metric_are_drawn_and_the_selected_step_is_marked(summary):
    left, right = axes_of(curves.draw_curves(RECORDS, summary, "ndcg@50", "Last.fm, uniform"))
    np.testing.assert_array_equal(left.lines[0].get_xdata(), [50, 100, 150])
    np.testing.assert_array_equal(left.lines[0].get_ydata(), [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(right.lines[0].get_xdata(), [100, 150])
    np.testing.assert_array_equal(right.lines[0].get_ydata(), [0.2, 0.15])
    assert right.get_ylabel() == "validation NDCG@50" and left.get_ylabel() == "training loss"
    assert right.figure.get_suptitle() == "Last.fm, uniform"
    (text,) = right.texts
    assert text.get_text() == "selected: 0.200" and text.xy == (100, 0.2)
    assert list(left.lines[1].get_xdata()) == [100, 100]


def test_without_validation_there_is_the_loss_alone(summary):
    (axes,) = axes_of(curves.draw_curves([record(50), record(100)], summary, "ndcg@50", "a"))
    assert axes.get_ylabel() == "training loss" and len(axes.lines) == 1


def test_losses_below_zero_are_not_cut_off(summary):
    records = [json.loads(json.dumps(found)) | {"loss": -2.0} for found in RECORDS]
    left, right = axes_of(curves.draw_curves(records, summary, "ndcg@50", "a"))
    assert left.get_ylim()[0] < -2.0 and right.get_ylim()[0] == 0.0


def test_both_files_are_written(summary, tmp_path):
    paths = curves.save_curves(RECORDS, summary, "ndcg@50", tmp_path / "curves.png", "a")
    assert [path.name for path in paths] == ["curves.png", "curves.pdf"] and all(path.stat().st_size for path in paths)


def test_titles_name_data_set_and_method():
    config = {"dataset.name": "lastfm", "sampler.name": "uniform", "model.loss": "softmax"}
    assert curves.run_title(config) == "Last.fm, soft second stage"
