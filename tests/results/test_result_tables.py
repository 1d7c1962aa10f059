import collections
import json

import numpy as np
import pytest

from cml_jax import keys
from cml_jax.errors import UserError
from cml_jax.models import MODELS
from cml_jax.runs import validation
from cml_jax.statistics import student_interval
from experiments.config import to_values
from experiments.configs.family import lastfm as family_lastfm
from experiments.configs.results import gowalla, ml1m
from experiments.results import boards, family, keeping, page, rescore, search_spaces, tables
from tests.reports.reported_runs import write_run
from tests.tiny import ROOT

_OTHER_MARKS = ("boards", *(f"published {name}" for name in boards.published()))
MARKS = (
    "before\n"
    + "".join(f"<!-- table {name} -->STALE<!-- end {name} -->\n" for name in keeping.TABLES)
    + "".join(f"<!-- {name} -->STALE<!-- end {name} -->\n" for name in _OTHER_MARKS)
    + "after"
)


@pytest.fixture
def kept(tmp_path):
    """Kept results of two strategies and three seeds under the name of each table."""
    for name, table in keeping.TABLES.items():
        for label, scores in (("two_stage-sphere", (0.31, 0.3, 0.32)), ("uniform-none", (0.2, 0.22, 0.21))):
            for seed, score in enumerate(scores):
                folder = write_run(
                    tmp_path / "runs" / name / label / str(seed),
                    score,
                    seed=seed,
                    data=name,
                    sampler__name=label.split("-")[0],
                    optimizer__learning_rate=3e-3,
                )
                summary = json.loads((folder / "summary.json").read_text())
                for metric in table.metrics:  # of Steam, at other cut-offs
                    summary["test"].setdefault(metric, score)
                    summary["intervals"]["test"].setdefault(metric, [0.9 * score, 1.2 * score])
                (folder / "summary.json").write_text(json.dumps(summary))
    folder = tmp_path / "root" / "experiments" / "results" / "kept"
    folder.mkdir(parents=True)
    (tmp_path / "root" / "experiments" / "figures").mkdir()
    (tmp_path / "root" / "RESULTS.md").write_text(MARKS)
    keeping.keep(tmp_path / "runs", folder)
    return tmp_path


def test_table_has_means_deviations_and_intervals(kept):
    text = tables.as_markdown("lastfm", keeping.read(kept / "root/experiments/results/kept")["lastfm"])
    lines = [line for line in text.splitlines() if line.startswith("| two-stage") or line.startswith("| uniform")]
    assert [line.split(" | ")[0] for line in lines] == ["| uniform", "| two-stage"]
    cells = lines[1].strip("| ").split(" | ")
    low, high = student_interval([0.31, 0.3, 0.32])
    assert cells[:6] == [
        *("two-stage", "sphere", "rate 0.003, exponent 1, cut-off 0.1"),
        *("**0.3100 ± 0.0100**", f"{low:.4f} to {high:.4f}", "0.2790 to 0.3720"),
    ]
    assert cells[-2:] == ["100", "11"]
    assert "| 0.2100 ± 0.0100 |" in lines[0]
    assert "Commit 0123abc" in text


def test_steam_is_in_percent_but_for_mmr(kept):
    text = tables.as_markdown("steam", keeping.read(kept / "root/experiments/results/kept")["steam"])
    assert "**31.00 ± 1.00**" in text and " | 50.0 ± 0.0 | " in text


def test_of_the_best_test_score_along_the_way_the_metrics_of_the_table_are_kept(kept):
    path = kept / "runs/gowalla/two_stage-sphere/1/summary.json"
    summary = json.loads(path.read_text())
    along = {"ndcg@20": 0.4, "recall@20": 0.5, "ndcg@50": 0.6}
    path.write_text(json.dumps(summary | {"best_test": {"step": 60, "metrics": along}}))
    folder = kept / "root/experiments/results/kept"
    keeping.keep(kept / "runs", folder)
    row = next(row for row in keeping.read(folder)["gowalla"] if row["label"] == "two_stage-sphere")
    shown = {"ndcg@20": 0.4, "recall@20": 0.5}
    assert [run["best_test"] for run in row["runs"]] == [{}, {"step": 60, "metrics": shown}, {}]


def test_means_without_users_of_few_test_items_stand_beside_the_others(kept):
    for number, path in enumerate(sorted((kept / "runs/steam/two_stage-sphere").glob("[0-9]"))):
        test = dict.fromkeys(keeping.TABLES["steam"].valid_listed, 0.2)
        few_left_out = {"map@5113": 0.3 + 0.01 * number, "mrr@5113": 0.4, "ndcg@3": 0.2}
        (path / rescore.FILE).write_text(json.dumps({"test": test, "few_left_out": few_left_out}))
    for path in (kept / "runs/steam/uniform-none").glob("[0-9]"):  # scored before those means were written
        (path / rescore.FILE).write_text(json.dumps({"test": dict.fromkeys(keeping.TABLES["steam"].valid_listed, 0.1)}))
    folder = kept / "root/experiments/results/kept"
    keeping.keep(kept / "runs", folder)
    *_, heads, _, uniform, two_stage = tables.as_markdown("steam", keeping.read(folder)["steam"]).splitlines()
    assert heads.endswith("| MAP | MRR | MAP, few left out | MRR, few left out |")
    assert two_stage.endswith("| 20.00 ± 0.00 | 20.00 ± 0.00 | 31.00 ± 1.00 | 40.00 ± 0.00 |")
    assert uniform.endswith("| 10.00 ± 0.00 | - | - |")


def test_rebuilding_from_the_kept_files_alone_changes_nothing_outside_the_marks_and_repeats(kept):
    root = kept / "root"
    page.rebuild(kept / "runs", root)
    first = (root / "RESULTS.md").read_text()
    assert first.startswith("before\n<!-- table lastfm -->\n| strategy |") and first.endswith(" -->\nafter")
    assert "<!-- boards -->\n| board | metric |" in first and "<!-- published steam -->\n| published |" in first
    assert "STALE" not in first
    (root / "experiments/figures/by_popularity.png").unlink()
    page.rebuild(None, root)
    assert (root / "RESULTS.md").read_text() == first
    assert (root / "experiments/figures/by_popularity.png").read_bytes().startswith(b"\x89PNG")


def test_rows_of_an_earlier_workdir_stay_and_those_of_the_new_one_replace_theirs(kept, tmp_path_factory):
    folder, later = kept / "root/experiments/results/kept", tmp_path_factory.mktemp("later")
    for seed in (0, 1):
        own = {"sampler__name": "two_stage", "train__num_passes": 40.0, "train__batch_size": 512}
        own |= {"optimizer__average_passes": 8.0, "model__dim": 12}
        write_run(later / f"lastfm/two_stage-sphere/{seed}", 0.4, seed=seed, data="lastfm", **own)
        own |= {
            "model__loss": "softmax",
            "model__temperature": 0.12,
            "train__num_passes": 16.0,
            "train__batch_size": 256,
            "optimizer__average_passes": 2.0,
            "model__dim": 8,
        }
        write_run(later / f"lastfm/softmax-sphere/{seed}", 0.5, seed=seed, data="lastfm", **own)
    before = (folder / "steam.json").read_bytes()
    assert keeping.keep(later, folder) == ["lastfm"]
    assert (folder / "steam.json").read_bytes() == before
    found = keeping.read(folder)["lastfm"]
    assert [(row["label"], len(row["runs"])) for row in found] == [
        ("uniform-none", 3),
        ("two_stage-sphere", 2),
        ("softmax-sphere", 2),
    ]
    text = tables.as_markdown("lastfm", found)
    setting = "cut-off 0.1, d 12, B 512, passes 40, passes averaged 8, 2 seeds"
    assert f"{setting} | **" not in text and f"{setting} | 0.4000 ± 0.0000 |" in text
    assert "over 3 seeds, or as many as a setting names" in text and "3 seeds |" not in text
    assert "B = 256, C = " in text and "at most 16 passes unless a setting says otherwise" in text
    (folder / "lastfm.json").write_text("[{")
    with pytest.raises(UserError, match=r"lastfm\.json: cannot be read .* --workdir=FOLDER_OF_THE_RUNS after deleting"):
        keeping.keep(later, folder)


def test_missing_marks_files_runs_and_metrics_are_named(kept):
    root = kept / "root"
    (root / "RESULTS.md").write_text(MARKS.replace("<!-- end steam -->", ""))
    with pytest.raises(UserError, match="has no '<!-- table steam -->' with '<!-- end steam -->' after it"):
        page.rebuild(None, root)
    with pytest.raises(UserError, match="no folder of runs with a name of lastfm"):
        keeping.keep(kept / "runs" / "lastfm", root)
    (kept / "runs/steam/sweep.json").write_text('{"runs": ["uniform-none/0", "uniform-none/3"]}')
    with pytest.raises(UserError, match="runs/steam: 1 of 2 runs are not finished; start its sweep again"):
        keeping.keep(kept / "runs", root)
    (kept / "runs/steam/sweep.json").unlink()
    path = next((kept / "runs/gowalla").rglob("summary.json"))
    summary = json.loads(path.read_text())
    del summary["test"]["ndcg@20"], summary["intervals"]["test"]["ndcg@20"]
    path.write_text(json.dumps(summary))
    with pytest.raises(UserError, match="has no ndcg@20, which the table of Gowalla shows"):
        keeping.keep(kept / "runs", root)
    with pytest.raises(UserError, match="figures: no kept results; write them with --results"):
        keeping.read(root / "experiments/figures")
    (root / "experiments/results/kept/ml1m.json").write_text("[{")
    with pytest.raises(UserError, match=r"ml1m\.json: cannot be read as kept results"):
        page.rebuild(None, root)


def test_the_tables_in_the_repository_are_those_of_its_files():
    text = (ROOT / "RESULTS.md").read_text()
    assert page.rebuilt(text, keeping.read(ROOT / "experiments" / "results" / "kept")) == text


def test_every_row_has_the_same_number_of_settings_all_different():
    for row in (*search_spaces.EVERY_ROW, *search_spaces.LIBRARY_ROWS, *family.ROWS):
        settings = (family if row in family.ROWS else search_spaces).settings(row)
        assert len(settings) == 4 == len({json.dumps(setting) for setting in settings})
        numbers = [value for setting in settings for value in setting.values() if not isinstance(value, str)]
        assert np.isfinite(numbers).all() and len(numbers) >= 4


def test_every_model_has_rows_whose_settings_have_an_effect():
    models, base = set(), family_lastfm.get_config("search")
    for point in base.sweep.points:
        config = search_spaces.base_config()
        config.update_from_flattened_dict({key: value for key, value in point.items() if key != "name"})
        values = to_values(config)
        unused = {option.key for option in keys.unused(validation.options_of(values), values)}
        assert not unused & point.keys(), point
        models.add(values["model.name"])
    assert models == {*MODELS} - {"inner_product", "cml_features"}, "no metric learning; needs features"


@pytest.mark.parametrize("data", [ml1m, gowalla])
def test_settings_beyond_the_first_four_are_as_many_for_every_row_but_three_of_gowalla(data):
    sweep = data.get_config("search").sweep
    found = collections.defaultdict(list)
    for point in sweep.points:
        found[point["name"].split(",")[0]].append({key: value for key, value in point.items() if key != "name"})
    for entry in sweep.baselines:
        if entry["name"] != "popular":
            found[entry["name"]].append(dict(entry))
    assert set(found) == set(data.CHOSEN)
    of_four = {"two_stage_graph-sphere", "graph_256-sphere", "slim"} if data is gowalla else set()
    for row, settings in found.items():
        number = 4 if row in of_four else 6
        assert len(settings) == number == len({json.dumps(setting, sort_keys=True) for setting in settings}), row
