import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import scipy.stats

from cml_jax.errors import UserError
from experiments import report, train
from experiments.reports import rows
from tests.reports.reported_runs import record, write_grid, write_run
from tests.tiny import ROOT, tiny_config


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A real run."""
    folder = tmp_path_factory.mktemp("real") / "two_stage" / "0"
    train.train_and_evaluate(tiny_config(train__num_steps=20, eval__every_steps=10), folder)
    return folder


@pytest.fixture
def workdir(real, tmp_path):
    """The real run, and copies of its files with other seeds, samplers and scores."""
    for run, seed, sampler, ndcg in (
        ("two_stage/0", 0, "two_stage", 0.5),
        ("two_stage/1", 1, "two_stage", 0.7),
        ("uniform/0", 0, "uniform", 0.25),
    ):
        shutil.copytree(real, tmp_path / run, ignore=shutil.ignore_patterns("checkpoints"))
        for name, changes in (
            ("config.json", {"seed": seed, "sampler": {"name": sampler}}),
            ("summary.json", {"test": {"ndcg@5": ndcg, "mmr@5": 100 * ndcg}}),
        ):
            content = json.loads((tmp_path / run / name).read_text())
            for key, value in changes.items():
                content[key] = content[key] | value if isinstance(value, dict) else value
            (tmp_path / run / name).write_text(json.dumps(content))
    return tmp_path


def run_main(workdir, baseline=None):
    """What the command does once its flags are parsed."""
    print(report.write_report(workdir, baseline))


def sections(workdir, baseline=None):
    return report.make_sections(rows.collect(workdir), baseline)


def tables(text):
    """Every table as a list of rows, each head -> cell."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        heads, _, *lines = ([cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines())
        found.append([dict(zip(heads, line, strict=True)) for line in lines])
    return found


def test_real_runs_make_table_values_and_figures(workdir):
    command = [sys.executable, "-m", "experiments.report", f"--workdir={workdir}", "--baseline=two_stage"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    text = (workdir / "report.md").read_text()
    assert "checkerboard, test; mean ± standard deviation over seeds, * best" in done.stdout
    assert done.stdout.strip().endswith(
        f"Report: {workdir}/report.md, with report.html, results.csv and 3 figures as PNG and PDF."
    )
    assert (workdir / "report.html").read_text().startswith("<!doctype html>")
    assert "### Against two_stage\n" in text
    assert "## checkerboard" in text and "50 users, 50 items, 1,150 / 50 / 50 pairs" in text
    drawn = re.findall(r"^!\[\w+\]\((.+)\)\n\n\S.+\. As \[PDF\]\(\w+\.pdf\)\.$", text, re.MULTILINE)
    assert drawn == ["report.png", "bias.png", "learning.png"]
    assert sorted(path.stem for path in workdir.glob("*.pdf")) == sorted(name.split(".")[0] for name in drawn)
    assert sorted(drawn) == sorted(path.name for path in workdir.glob("*.png"))
    assert all((workdir / name).read_bytes().startswith(b"\x89PNG") for name in drawn)
    frame = pl.read_csv(workdir / "results.csv").filter(metric="ndcg@5")
    assert frame.select("run", "seed", "value").rows() == [
        ("two_stage", 0, 0.5),
        ("two_stage", 1, 0.7),
        ("uniform", 0, 0.25),
    ]


def test_made_up_runs_have_what_real_ones_have(real, tmp_path):
    """All other tests stand on this one."""
    made = write_run(tmp_path / "made", ndcg=0.2, records=[record(10, 0.1)])
    for name in ("config.json", "summary.json"):
        ours, theirs = (json.loads((folder / name).read_text()) for folder in (made, real))
        assert ours.keys() == theirs.keys()
    ours, theirs = (json.loads((folder / "summary.json").read_text()) for folder in (made, real))
    assert ours["dataset"].keys() == theirs["dataset"].keys()
    for part in ("valid", "test"):
        names = [{name.split("@")[0] for name in summary[part]} for summary in (ours, theirs)]
        assert names[0] == names[1]
        names = [{name.split("@")[0] for name in summary["intervals"][part]} for summary in (ours, theirs)]
        assert names[0] == names[1]
    lines = (json.loads((folder / "metrics.jsonl").read_text().splitlines()[0]) for folder in (made, real))
    assert next(lines).keys() == next(lines).keys()


def test_every_number_of_the_table_is_what_the_runs_say(tmp_path):
    write_grid(tmp_path, seeds=(0, 1, 2))
    shutil.rmtree(tmp_path / "uniform,batch_size=64" / "1")
    shutil.rmtree(tmp_path / "uniform,batch_size=64" / "2")
    table, _ = tables(report.as_markdown(sections(tmp_path)))
    heads = ["run", "seeds", "ndcg@50", "over seeds", "over users", "map@50", "recall@20", "mmr@50", "coverage@50"]
    assert list(table[0]) == [*heads, "steps", "seconds"]
    assert [line["run"] for line in table] == [
        f"{sampler},batch_size={size}" for sampler in ("two_stage", "uniform") for size in (64, 256)
    ]
    for line in table:
        runs = [json.loads(path.read_text()) for path in sorted((tmp_path / line["run"]).glob("*/summary.json"))]
        assert line["seeds"] == str(len(runs)) and line["steps"] == "100"
        assert line["seconds"] == f"{np.mean([run['wall_seconds'] for run in runs]):.0f}"
        for metric, digits in (("ndcg@50", 4), ("map@50", 4), ("recall@20", 4), ("mmr@50", 1), ("coverage@50", 4)):
            values = [run["test"][metric] for run in runs]
            expected = f"{np.mean(values):.{digits}f}"
            if len(runs) > 1:
                expected += f" ± {np.std(values, ddof=1):.{digits}f}"
            assert line[metric].strip("*") == expected
        values = [run["test"]["ndcg@50"] for run in runs]
        if len(runs) > 1:
            interval = scipy.stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
            assert line["over seeds"] == f"{interval.low:.4f} to {interval.high:.4f}"
        else:
            assert line["over seeds"] == "one seed"
        low, high = np.mean([run["intervals"]["test"]["ndcg@50"] for run in runs], axis=0)
        assert line["over users"] == f"{low:.4f} to {high:.4f}"


def test_the_best_of_every_metric_but_mmr_is_bold(tmp_path):
    write_run(tmp_path / "a", ndcg=0.3, mmr=10.0)
    write_run(tmp_path / "b", ndcg=0.2, mmr=90.0, sampler__name="uniform")
    summary = json.loads((tmp_path / "b" / "summary.json").read_text())
    summary["test"] |= {"map@50": 0.9, "coverage@50": 0.7}
    (tmp_path / "b" / "summary.json").write_text(json.dumps(summary))
    (table,) = tables(report.as_markdown(sections(tmp_path)))
    bold = [[head for head, cell in line.items() if cell.startswith("**") and cell.endswith("**")] for line in table]
    assert bold == [["ndcg@50", "recall@20"], ["map@50", "coverage@50"]]


def test_differences_from_the_baseline_are_what_the_scores_by_user_say(tmp_path):
    write_grid(tmp_path)
    text = report.as_markdown(sections(tmp_path, "uniform,batch_size=256"))
    _, table = tables(text)
    assert "### Against uniform,batch_size=256" in text and "corrected for the number of rows, 3, by Holm" in text

    def mean(label):
        paths = [tmp_path / label / str(seed) / "per_user.npz" for seed in (0, 1)]
        return np.mean([np.load(path)["ndcg@50"].astype(float) for path in paths], axis=0)

    assert [line["run"] for line in table] == [
        "two_stage,batch_size=64",
        "two_stage,batch_size=256",
        "uniform,batch_size=64",
    ]
    p_values = []
    for line in table:
        difference = mean(line["run"]) - mean("uniform,batch_size=256")
        assert line["seeds"] == "0, 1"
        assert line["difference"] == f"{difference.mean():+.4f}"
        ends = [float(end) for end in line["interval"].split(" to ")]
        half = 1.96 * difference.std() / np.sqrt(len(difference))
        np.testing.assert_allclose(ends, [difference.mean() - half, difference.mean() + half], atol=0.15 * half + 5e-5)
        normal = scipy.stats.norm.sf(difference.mean() / (half / 1.96)) * 2
        p_values.append(0.0001 if line["p"] == "< 0.0002" else float(line["p"]))
        assert abs(p_values[-1] - normal) <= 0.2 * normal + 0.002
    assert [line["p"] for line in table[:2]] == ["< 0.0002"] * 2
    assert [line["p, corrected"] for line in table] == ["0.0003", "0.0003", f"{max(p_values[2], 0.0003):.4f}"]


def test_validation_scores_are_marked_as_such(tmp_path):
    write_run(tmp_path / "released", ndcg=0.2, part="valid")
    write_run(tmp_path / "usual", ndcg=0.1)
    first, second = sections(tmp_path)
    assert [(section.rows[0].label, section.rows[0].part) for section in (first, second)] == [
        ("usual", "test"),
        ("released", "valid"),
    ]
    assert list(first.drawings) == ["report-made"] and list(second.drawings) == ["report-made-valid"]
    text = report.as_markdown([first, second])
    assert "## made, validation scores of the selected step, which are optimistic" in text
    assert "Against" not in text  # there is nothing to compare with


def test_data_sets_have_figures_of_their_own_and_names_that_files_can_have(tmp_path):
    for data in ("a/b", "c"):
        for sampler in ("uniform", "popularity"):
            write_run(tmp_path / data / sampler, ndcg=0.2, data=data, sampler__name=sampler)
    found = sections(tmp_path)
    assert [list(section.drawings) for section in found] == [
        ["report-a_b", "bias-a_b"],
        ["report-c", "bias-c"],
    ]
    summary = json.loads((tmp_path / "c" / "uniform" / "summary.json").read_text())
    summary["dataset"]["sha256"] = "0123456789"
    (tmp_path / "c" / "uniform" / "summary.json").write_text(json.dumps(summary))
    names = [list(section.drawings) for section in sections(tmp_path)]
    assert names[1:] == [["report-c-01234567"], ["report-c-ccccc"]]


def test_a_grid_has_all_its_figures(tmp_path):
    (section,) = sections(write_grid(tmp_path))
    assert list(section.drawings) == ["report", "batch_size", "bias", "learning"]


def test_values_repeat_to_the_byte_whatever_the_timings_and_the_order_of_files(tmp_path, monkeypatch):
    write_grid(tmp_path, seeds=(0, 1, 2))
    first = report.as_frame(rows.collect(tmp_path)).write_csv()
    for path in tmp_path.rglob("summary.json"):
        content = json.loads(path.read_text())
        content |= {"wall_seconds": 99.0, "triplets_per_second": None, "device": "another"}
        path.write_text(json.dumps(content))
    in_order = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda self, pattern: sorted(in_order(self, pattern), reverse=True))
    assert report.as_frame(rows.collect(tmp_path)).write_csv() == first
    assert first.splitlines()[0] == "run,dataset,sha256,seed,part,metric,value"
    assert len(first.splitlines()) == 1 + 4 * 3 * 18  # rows, seeds, metrics


def test_failures_missing_scores_and_an_unfinished_baseline_are_said(tmp_path, monkeypatch):
    write_grid(tmp_path)
    for path in tmp_path.glob("two_stage,batch_size=64/*/per_user.npz"):
        path.unlink()
    failed = tmp_path / "two_stage,batch_size=9" / "0"
    failed.mkdir(parents=True)
    (failed / "failed.json").write_text('{"reason": "The loss is not a number at step 3."}')
    (tmp_path / "sweep.json").write_text('{"baseline": "two_stage,batch_size=9"}')
    run_main(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "## Runs that failed\n\n- two_stage,batch_size=9/0: The loss is not a number at step 3." in text
    assert "The baseline of the sweep, two_stage,batch_size=9, has no finished run." in text
    assert "### Against uniform,batch_size=64" in text
    assert "No test is possible without a per_user.npz: two_stage,batch_size=64." in text
    assert (tmp_path / "batch_size.png").exists()


def test_nothing_is_written_where_the_report_refuses(tmp_path, monkeypatch):
    write_grid(tmp_path)
    with pytest.raises(UserError, match="--baseline=nobody is not the label of a row; choose one of two_stage,batch"):
        run_main(tmp_path, baseline="nobody")
    (tmp_path / "uniform,batch_size=64" / "1" / "metrics.jsonl").write_text("{\n")
    with pytest.raises(UserError, match=r"64/1/metrics\.jsonl, line 1: not a report"):
        run_main(tmp_path)
    assert (
        not (tmp_path / "report.md").exists()
        and not (tmp_path / "report.html").exists()
        and not list(tmp_path.glob("*.png"))
    )


@pytest.mark.parametrize("name", ["report.html", "results.csv", "report.png"])
def test_a_report_is_written_whole_or_not(name, tmp_path):
    write_run(tmp_path / "a", ndcg=0.2)
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=rf"{tmp_path.name}: cannot be written \({name} is a folder\)"):
        run_main(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", name]


def test_a_disk_that_is_full_costs_no_earlier_report(tmp_path, monkeypatch):
    write_run(tmp_path / "a", ndcg=0.2)
    run_main(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    write_run(tmp_path / "b", ndcg=0.4)
    monkeypatch.setattr(report.style, "save", lambda *_: os.write(os.open("/dev/full", os.O_WRONLY), b"x"))
    with pytest.raises(UserError, match=r"cannot be written \(No space left on device\)"):
        run_main(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert len(list(tmp_path.iterdir())) == len(before) + 2


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ({"boards": True, "workdir": "runs"}, "--boards shows the kept results"),
        ({"boards": True, "baseline": "a"}, "--boards shows the kept results"),
        ({"boards": True, "results": True}, "--boards shows the kept results"),
        ({"results": True, "workdir": "runs", "baseline": "a"}, "--results builds tables that have no baseline"),
    ],
)
def test_flags_without_effect_are_refused(flags, sentence):
    with pytest.raises(UserError, match=sentence):
        report.check_flags(**{"boards": False, "results": False, "workdir": None, "baseline": None} | flags)


def test_without_plotly_the_page_is_left_out_in_one_line(tmp_path, monkeypatch):
    write_run(tmp_path / "a", ndcg=0.2)
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "plotly" else find(name))
    said = report.write_report(tmp_path).splitlines()
    assert said[-2].endswith("report.md, with results.csv and 1 figure as PNG and PDF.")
    assert said[-1] == "report.html is left out: it needs pip install 'cml_jax[explore]'."
    assert (tmp_path / "report.md").exists() and not (tmp_path / "report.html").exists()
