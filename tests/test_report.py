import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cml_jax.errors import UserError
from experiments import report, train
from tests.runs import ROOT, tiny_config


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    """A real run, and copies of its files with other seeds, samplers and scores."""
    folder = tmp_path_factory.mktemp("grid")
    train.train_and_evaluate(tiny_config(train__num_steps=20), folder / "two_stage" / "0")
    for run, seed, sampler, ndcg in (
        ("two_stage/0", 0, "two_stage", 0.5),
        ("two_stage/1", 1, "two_stage", 0.7),
        ("uniform/0", 0, "uniform", 0.25),
    ):
        if not (folder / run).exists():
            shutil.copytree(folder / "two_stage" / "0", folder / run)
        for name, changes in (
            ("config.json", {"seed": seed, "sampler": {"name": sampler}}),
            ("summary.json", {"test": {"ndcg@5": ndcg, "mmr@5": 100 * ndcg}}),
        ):
            content = json.loads((folder / run / name).read_text())
            for key, value in changes.items():
                content[key] = content[key] | value if isinstance(value, dict) else value
            (folder / run / name).write_text(json.dumps(content))
    return folder


def test_runs_of_one_config_are_one_row_with_mean_and_deviation(workdir):
    rows = report.collect(workdir)
    assert [(row.label, row.seeds, row.part) for row in rows] == [
        ("two_stage", [0, 1], "test"),
        ("uniform", [0], "test"),
    ]
    text = report.as_markdown(rows)
    assert f"| two_stage | 2 | **0.6000 ± {np.std([0.5, 0.7], ddof=1):.4f}** | " in text
    low, high = rows[1].summaries[0]["intervals"]["test"]["ndcg@5"]
    assert f"| uniform | 1 | 0.2500 | {low:.4f} to {high:.4f} |" in text
    assert "## checkerboard" in text and "50 users, 50 items, 1,150 / 50 / 50 pairs" in text


def test_command_writes_table_values_and_figure(workdir):
    command = [sys.executable, "-m", "experiments.report", f"--workdir={workdir}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == (workdir / "report.md").read_text().strip()
    assert (workdir / "report.png").read_bytes().startswith(b"\x89PNG")
    frame = pl.read_csv(workdir / "results.csv").filter(metric="ndcg@5")
    assert frame.select("run", "seed", "value").rows() == [
        ("two_stage", 0, 0.5),
        ("two_stage", 1, 0.7),
        ("uniform", 0, 0.25),
    ]


def test_validation_scores_are_marked_as_such(workdir, tmp_path):
    shutil.copytree(workdir / "uniform" / "0", tmp_path / "released")
    summary = json.loads((tmp_path / "released" / "summary.json").read_text())
    (tmp_path / "released" / "summary.json").write_text(json.dumps(summary | {"test": {}}))
    (row,) = report.collect(tmp_path)
    assert (row.label, row.part, row.values["ndcg@5"]) == ("released", "valid", [summary["valid"]["ndcg@5"]])
    assert "## checkerboard, validation scores of the selected step, which are optimistic" in report.as_markdown([row])
    assert report._label([Path()], tmp_path) == tmp_path.name


def test_the_same_run_twice_counts_once(workdir, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(workdir / "uniform" / "0", tmp_path / name)
    (row,) = report.collect(tmp_path)
    assert row.seeds == [0]


def test_runs_without_a_common_cutoff_are_refused(workdir):
    rows = report.collect(workdir)
    other = rows[1]._replace(values={"ndcg@7": [0.5]})
    with pytest.raises(UserError, match=r"no cut-off of config\.eval\.ks in common"):
        report.as_markdown([rows[0], other])


def test_folder_without_runs_and_damaged_files_are_named(workdir, tmp_path):
    with pytest.raises(UserError, match="no finished run is there"):
        report.collect(tmp_path)
    shutil.copytree(workdir / "uniform" / "0", tmp_path / "bad")
    (tmp_path / "bad" / "summary.json").write_text('{"valid": ')
    with pytest.raises(UserError, match=r"bad/summary\.json: cannot be read as JSON"):
        report.collect(tmp_path)
    (tmp_path / "bad" / "summary.json").write_text('{"valid": {}}')
    with pytest.raises(UserError, match=r"bad/summary\.json: not the summary of a run"):
        report.collect(tmp_path)
