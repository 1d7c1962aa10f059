import json
import sys

import numpy as np
import pytest

from cml_jax.errors import UserError
from experiments.reports import style
from experiments.results import family, family_figure, family_page
from tests.reports.reported_runs import write_run

USERS = np.random.default_rng(0).uniform(0, 0.2, 40)


def write_row(folder, label, scores, gain=0.0, **overrides):
    for seed, score in enumerate(scores):
        per_user = USERS + gain * np.linspace(0.5, 1.5, len(USERS))
        write_run(folder / label / str(seed), score, mmr=70.0, seed=seed, per_user=per_user, **overrides)


@pytest.fixture
def root(tmp_path):
    """A repository with the page, and runs of three rows of the grid of Last.fm."""
    folder = tmp_path / "runs" / "lastfm"
    write_row(folder, "sml, uniform", (0.31, 0.32, 0.36), 0.05, optimizer__learning_rate=1e-3)
    write_row(folder, "cml, uniform", (0.30, 0.31, 0.32), 0.0, optimizer__learning_rate=3e-3)
    write_row(folder, "cml, two-stage", (0.2, 0.2, 0.2), -0.05, model__constraint="ball")
    write_run(folder / "popular" / "0", 0.1, model__dim=1)  # with a config of its own
    (tmp_path / "docs").mkdir()
    marks = "".join(f"<!-- family {name} -->STALE<!-- end family {name} -->\n" for name in family_page.METRICS)
    (tmp_path / "docs" / "family.md").write_text(f"before\n{marks}after\n")
    return tmp_path


def test_tables_have_settings_means_and_differences_from_cml_with_the_same_sampler(root):
    said = family_page.rebuild(root / "runs", root)
    text = (root / "docs" / "family.md").read_text()
    assert said == "docs/family.md has 1 tables, those of lastfm from new runs."
    assert text.startswith("before\n") and text.endswith("after\n") and text.count("STALE") == 2
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    assert [line[:2] for line in lines[2:]] == [
        *(["most popular", "-"], ["CML", "uniform"], ["SML", "uniform"], ["CML", "two-stage"])
    ]
    popular, cml, sml, two_stage = lines[2:]
    assert cml[2:6] == ["rate 0.003, sphere", "0.3100 ± 0.0100", "-", "-"]
    assert sml[2] == "rate 0.001, sphere" and sml[3] == f"0.3300 ± {np.std([0.31, 0.32, 0.36], ddof=1):.4f}"
    assert sml[4].startswith("+0.0500 (+0.04") and float(sml[5].removeprefix("< ")) < 0.01
    assert two_stage[2].endswith("ball") and two_stage[4] == "-"  # the baseline of its sampler
    assert popular[2:6] == ["-", "0.1000", "-", "-"] and sml[7:] == ["70.0 ± 0.0"]
    assert "over 3 seeds. Commit 0123abc." in text
    figure = (root / family_page.FIGURE).read_bytes()
    family_page.rebuild(None, root)  # from what was kept
    assert (root / family_page.FIGURE).read_bytes() == figure
    assert (root / "docs" / "family.md").read_text() == text


def test_figure_has_a_named_point_a_row_by_popularity_and_score(root):
    family_page.keep(root / "runs", root / family_page.KEPT)
    rows = family_page.read(root / family_page.KEPT)["lastfm"]
    figure = family_figure.family_figure({"Last.fm": rows, "again": rows[:2]}, {"cml": "Plain", "sml": "Other"})
    axes, second = figure.axes
    points = [
        (line.get_marker(), line.get_color(), *np.asarray(line.get_xydata())[0].tolist())
        for line in axes.lines
        if line.get_marker() not in ("", "None")
    ]
    uniform, two_stage = (style.METHODS[name].colour for name in ("uniform", "two_stage"))
    assert points == [
        ("o", uniform, 70.0, pytest.approx(0.31)),
        ("o", uniform, 70.0, pytest.approx(0.33)),
        ("^", two_stage, 70.0, pytest.approx(0.2)),
    ]
    named = sorted((text.get_text(), text.get_color()) for text in axes.texts)
    assert named == [("Other", uniform), ("Plain", two_stage), ("Plain", uniform)]
    assert [text.get_text() for text in second.texts] == ["Plain"] and axes.get_title() == "Last.fm"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["uniform", "two-stage"]


def test_a_missing_extra_is_named(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "textalloc", None)
    with pytest.raises(UserError, match=r"the figure of the families needs pip install -e '\.\[notebook\]'"):
        family_page.rebuild(root / "runs", root)
    assert (root / "docs" / "family.md").read_text().count("STALE") == 3, "nothing is written"


def test_every_sampler_of_the_grids_has_points_of_its_own():
    samplers = dict.fromkeys(label.rpartition(", ")[2] for label in family.ROWS)
    rows = [{"label": f"cml, {name}", "metrics": {"ndcg@50": [0.1], "mmr@50": [9.0]}} for name in samplers]
    lines = family_figure.family_figure({"a": rows}, {"cml": "CML"}).axes[0].lines
    drawn = {(line.get_marker(), line.get_color()) for line in lines if line.get_marker() not in ("", "None")}
    assert len(drawn) == len(samplers)


def test_a_damaged_file_and_missing_runs_are_named(root):
    with pytest.raises(UserError, match="no folder of runs with a name of lastfm, steam, ml1m"):
        family_page.rebuild(root / "docs", root)
    kept = root / family_page.KEPT / "steam.json"
    kept.parent.mkdir(parents=True)
    for damage in ("{", '[{"label": "cml"}]', "[1]"):
        kept.write_text(damage)
        with pytest.raises(UserError, match=r"steam\.json: cannot be read as kept results; write it again"):
            family_page.rebuild(None, root)


def test_the_setting_of_the_best_score_on_validation_is_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr(family, "ROWS", ("cml, uniform", "sfcml, all pairs"))
    scores = {"cml, uniform": (0.2, 0.4, 0.1, 0.4), "sfcml, all pairs": (0.2, 0.1, 0.3, 0.25)}
    for row, found in scores.items():
        for number, score in enumerate(found, start=1):
            write_run(
                tmp_path / f"{row}, {number}" / "0",
                score,
                part="valid",
                data=row,
                optimizer__learning_rate=number * 1e-3,
            )
    assert family_page.choose(tmp_path) == {"cml, uniform": 2, "sfcml, all pairs": 3}
    (tmp_path / "cml, uniform, 3" / "0" / "summary.json").unlink()
    with pytest.raises(UserError, match="cml, uniform has not been searched to the end"):
        family_page.choose(tmp_path)


def test_every_row_has_words_for_what_was_searched():
    for row in family.ROWS:
        kept = [{"label": row, "setting": family.settings(row)[0], "seeds": [0], "difference": None, "commit": "a"}]
        kept[0] |= {"metrics": {name: [0.5] for name in family_page.METRICS["ml1m"]}}
        line = family_page.as_markdown("ml1m", json.loads(json.dumps(kept))).splitlines()[2]
        assert "rate 0.001, " in line and "0.5000" in line
