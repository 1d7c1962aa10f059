import json
import shutil

import pytest

from cml_jax.errors import UserError
from experiments.reports import rows
from tests.reports.reported_runs import write_grid, write_run


def test_runs_of_one_config_are_one_row_by_seed_and_sizes_are_in_order(tmp_path):
    write_grid(tmp_path, sizes=(64, 256, 1024), seeds=(10, 2))
    found = rows.collect(tmp_path)
    assert [row.label for row in found] == [
        f"{sampler},batch_size={size}" for sampler in ("two_stage", "uniform") for size in (64, 256, 1024)
    ]
    assert all(row.seeds == [2, 10] for row in found)
    assert [folder.name for folder in found[0].folders] == ["2", "10"]
    assert found[0].values["ndcg@50"] == pytest.approx([0.308, 0.34])
    assert found[0].mean("ndcg@50") == pytest.approx(0.324)
    assert found[0].deviation("ndcg@50") == pytest.approx(0.016 * 2**0.5)
    assert found[3].config["sampler.name"] == "uniform" and "seed" not in found[3].config


def test_the_same_run_twice_counts_once(tmp_path):
    write_run(tmp_path / "a", ndcg=0.2)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    (row,) = rows.collect(tmp_path)
    assert (row.label, row.seeds) == ("a", [0])


def test_rows_in_folders_of_one_name_are_told_apart_by_their_runs(tmp_path):
    for run, dim in enumerate((8, 16)):
        write_run(tmp_path / "same" / str(run), ndcg=0.2, model__dim=dim)
    assert [row.label for row in rows.collect(tmp_path)] == ["same/0", "same/1"]


def test_a_single_run_is_named_after_its_folder(tmp_path):
    write_run(tmp_path / "deep" / "0", ndcg=0.2)
    (row,) = rows.collect(tmp_path / "deep" / "0")
    assert row.label == "0"
    (row,) = rows.collect(tmp_path / "deep")
    assert row.label == "deep"
    (row,) = rows.collect(tmp_path)
    assert row.label == "deep"


@pytest.mark.parametrize("name", ["summary.json", "config.json"])
@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", r"{name}: cannot be read as JSON"),
        ("[]", r"{name}: is not an object in JSON"),
        ("{}", r"summary\.json: not the summary of a run"),
        ('{"seed": 0, "test": {"ndcg": "high"}}', r"summary\.json: not the summary of a run"),
    ],
)
def test_damaged_files_are_named(tmp_path, name, content, sentence):
    write_run(tmp_path / "bad", ndcg=0.2)
    (tmp_path / "bad" / name).write_text(content)
    with pytest.raises(UserError, match=r"bad/" + sentence.format(name=name)):
        rows.collect(tmp_path)


def test_failed_runs_are_listed_unless_they_succeeded_later(tmp_path):
    for folder in ("b,lr=10/0", "b,lr=9/0", "good/0"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "failed.json").write_text(
            json.dumps({"reason": f"The loss\nof {folder} is not a number."})
        )
    with pytest.raises(UserError, match="no finished run is there, and 3 failed; each leaves"):
        rows.collect(tmp_path)
    (tmp_path / "good/0/summary.json").write_text("{}")
    assert rows.failures(tmp_path) == [
        ("b,lr=9/0", "The loss of b,lr=9/0 is not a number."),
        ("b,lr=10/0", "The loss of b,lr=10/0 is not a number."),
    ]
    (tmp_path / "b,lr=9/0/failed.json").write_text('{"reason": 3}')
    with pytest.raises(UserError, match=r"lr=9/0/failed\.json: has no reason"):
        rows.failures(tmp_path)


def test_names_have_what_differs_and_of_a_sampler_its_own_keys(tmp_path):
    write_run(tmp_path / "a", ndcg=0.2, sampler__name="uniform")
    write_run(tmp_path / "b", ndcg=0.2, sampler__similarity_cutoff=0.1)
    write_run(tmp_path / "c", ndcg=0.2, sampler__similarity_cutoff=0.2)
    group = rows.collect(tmp_path)
    assert rows.short_names(group) == ["uniform", "two-stage, cut-off 0.1", "two-stage, cut-off 0.2"]
    write_run(tmp_path / "d", ndcg=0.2, sampler__similarity_cutoff=0.2, model__gor_weight=1.0, train__num_steps=9)
    assert rows.short_names(rows.collect(tmp_path))[0] == "uniform, GOR 0, steps none"
    write_run(tmp_path / "e", ndcg=0.2, optimizer__learning_rate=0.5, optimizer__rows="dense")
    assert rows.short_names(rows.collect(tmp_path)) == ["a", "b", "c", "d", "e"]  # too long by now


def test_names_say_what_chose_a_method_where_that_differs_within_it(tmp_path):
    write_run(tmp_path / "a", ndcg=0.2, model__loss="softmax", sampler__name="uniform", model__temperature=0.1)
    write_run(tmp_path / "b", ndcg=0.2, model__loss="softmax", model__temperature=0.2)
    write_run(tmp_path / "c", ndcg=0.2, model__name="sml")
    assert rows.short_names(rows.collect(tmp_path)) == [
        "soft second stage, uniform, temperature 0.1",
        "soft second stage, two-stage, temperature 0.2",
        "SML",
    ]


def test_strategies_leave_out_the_keys_that_they_are_compared_by(tmp_path):
    write_grid(tmp_path)
    found = rows.strategies(rows.collect(tmp_path), ["train.batch_size"])
    assert {name: [row.label for row in group] for name, group in found.items()} == {
        name: [f"{sampler},batch_size={size}" for size in (64, 256)]
        for name, sampler in (("two-stage", "two_stage"), ("uniform", "uniform"))
    }


def test_rows_without_a_common_cutoff_are_refused(tmp_path):
    write_grid(tmp_path)
    first, second, *_ = rows.collect(tmp_path)
    assert rows.shown_metrics([first, second]) == ["ndcg@50", "map@50", "recall@20", "mmr@50", "coverage@50"]
    with pytest.raises(UserError, match=r"no cut-off of config\.eval\.ks in common"):
        rows.shown_metrics([first, second._replace(config=second.config | {"eval.ks": [7]})])


def test_a_run_whose_longer_continuation_is_not_finished_is_a_row_of_its_own(tmp_path):
    """Its config.json names the steps asked for, its summary.json those done."""
    for seed in (0, 1):
        write_run(tmp_path / "same" / str(seed), ndcg=0.2, seed=seed)
    path = tmp_path / "same" / "1" / "summary.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps(summary | {"steps": summary["steps"] // 2}))
    assert [(row.label, row.seeds) for row in rows.collect(tmp_path)] == [("same/0", [0]), ("same/1", [1])]
