import json
import shutil

import numpy as np
import pytest

from cml_jax.errors import UserError
from cml_jax.runs.config import default_values
from cml_jax.statistics import holm, paired_bootstrap
from experiments.reports import comparison, rows
from tests.reports.reported_runs import write_grid, write_run


@pytest.fixture
def grid(tmp_path):
    return write_grid(tmp_path)


def scores(grid, label, seeds):
    return np.mean(
        [np.load(grid / label / str(seed) / "per_user.npz")["ndcg@50"] for seed in seeds], axis=0, dtype=float
    )


def test_rows_are_compared_over_the_seeds_in_common(grid):
    shutil.rmtree(grid / "two_stage,batch_size=64" / "1")
    found = comparison.compare(rows.collect(grid), "uniform,batch_size=64")
    assert found.baseline.label == "uniform,batch_size=64" and found.metric == "ndcg@50" and not found.untested
    assert [difference.row.label for difference in found.differences] == [
        "two_stage,batch_size=64",
        "two_stage,batch_size=256",
        "uniform,batch_size=256",
    ]
    for difference, seeds in zip(found.differences, ([0], [0, 1], [0, 1]), strict=True):
        ours, theirs = (scores(grid, label, seeds) for label in (difference.row.label, found.baseline.label))
        assert difference.seeds == ", ".join(map(str, seeds))
        assert difference.test.difference == pytest.approx(np.mean(ours - theirs), abs=1e-7)
        assert difference.test.p_value == paired_bootstrap(ours, theirs).p_value
    assert found.differences[0].test.low > 0 and found.differences[2].test.difference < 0
    corrected = [difference.corrected for difference in found.differences]
    assert corrected == holm([difference.test.p_value for difference in found.differences])
    assert corrected[0] == pytest.approx(3 / 10000)  # the least p-value of three


def test_without_a_seed_in_common_all_of_both_count(grid):
    shutil.rmtree(grid / "two_stage,batch_size=64" / "1")
    shutil.rmtree(grid / "uniform,batch_size=64" / "0")
    difference = comparison.compare(rows.collect(grid), "uniform,batch_size=64").differences[0]
    assert difference.seeds == "0 against 1"
    ours, theirs = scores(grid, "two_stage,batch_size=64", [0]), scores(grid, "uniform,batch_size=64", [1])
    assert difference.test.difference == pytest.approx(np.mean(ours - theirs), abs=1e-7)


def test_users_are_matched_by_id_and_others_refused(grid):
    group, path = rows.collect(grid), grid / "two_stage,batch_size=64" / "0" / "per_user.npz"
    before = comparison.compare(group, None)
    content = dict(np.load(path))
    shuffled = np.random.default_rng(1).permutation(len(content["users"]))
    np.savez(path, **{name: array[shuffled] for name, array in content.items()})
    after = comparison.compare(group, None)
    assert after.differences[0].test == before.differences[0].test
    np.savez(path, **content | {"users": content["users"] + 1})
    with pytest.raises(UserError, match=r"two_stage,batch_size=64/0/per_user\.npz: not of the same users"):
        comparison.compare(group, None)


def test_rows_without_scores_by_user_are_not_tested(grid):
    for seed in "01":
        (grid / "uniform,batch_size=256" / seed / "per_user.npz").unlink()
    (grid / "two_stage,batch_size=64" / "0" / "per_user.npz").unlink()
    found = comparison.compare(rows.collect(grid), "uniform,batch_size=64")
    assert found.untested == ["uniform,batch_size=256"]
    assert [difference.seeds for difference in found.differences] == ["1", "0, 1"]
    without = comparison.compare(rows.collect(grid), "uniform,batch_size=256")
    assert without.untested == ["uniform,batch_size=256"] and not without.differences


def test_users_who_do_not_count_are_left_out(grid):
    """The first two users are not numbers in every run: the tests are those of runs without them."""
    before, results = {}, []
    for counts in (True, False):
        for path in grid.rglob("per_user.npz"):
            with np.load(path) as archive:
                users, values = archive["users"], archive["ndcg@50"]
            if counts:
                before[path] = values
                np.savez(path, allow_pickle=False, users=users[2:], **{"ndcg@50": values[2:]})
            else:
                users = np.arange(len(before[path]))
                values = np.where(users < 2, np.nan, before[path])
                np.savez(path, allow_pickle=False, users=users, **{"ndcg@50": values})
        results.append([difference.test for difference in comparison.compare(rows.collect(grid), None).differences])
    assert results[0] == results[1] and len(results[0]) > 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an archive",
        {"users": np.arange(3)},
        {"users": np.arange(3), "ndcg@50": np.zeros(2, np.float32)},
        {"users": np.arange(2), "ndcg@50": np.array([0.5, np.inf], np.float32)},
        {"users": np.arange(2), "ndcg@50": np.full(2, np.nan, np.float32)},
        {"users": np.array([4, 4]), "ndcg@50": np.zeros(2, np.float32)},
        {"users": np.array(["a", "b"]), "ndcg@50": np.zeros(2, np.float32)},
        {"users": np.arange(2), "ndcg@50": np.array([None, 1.0])},
        {"users": np.arange(0), "ndcg@50": np.zeros(0, np.float32)},
    ],
)
def test_damaged_scores_by_user_are_named(grid, content):
    path = grid / "two_stage,batch_size=64" / "1" / "per_user.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.savez(path, **content)
    with pytest.raises(UserError, match=r"size=64/1/per_user\.npz: does not hold ndcg@50 by user"):
        comparison.compare(rows.collect(grid), None)


def test_a_cut_off_archive_is_named(grid):
    path = grid / "two_stage,batch_size=64" / "1" / "per_user.npz"
    whole = path.read_bytes()
    for length in (len(whole) // 3, len(whole) - 5):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"size=64/1/per_user\.npz: does not hold"):
            comparison.compare(rows.collect(grid), None)


def test_baseline_is_the_flags_else_the_sweeps_else_chosen(grid):
    group = rows.collect(grid)
    assert comparison.chosen_baseline(grid, None, group) == (None, "")
    (grid / "sweep.json").write_text(json.dumps({"baseline": "uniform,batch_size=256"}))
    chosen = comparison.chosen_baseline(grid, None, group)
    assert comparison.baseline_of(group, chosen.label).label == "uniform,batch_size=256"
    chosen = comparison.chosen_baseline(grid, "two_stage,batch_size=256", group)
    assert comparison.baseline_of(group, chosen.label).label == "two_stage,batch_size=256"
    (grid / "sweep.json").write_text('{"baseline": null}')
    assert comparison.chosen_baseline(grid, None, group).label is None


def test_without_a_choice_the_baseline_is_the_row_nearest_to_the_defaults(tmp_path):
    def write(name, **overrides):
        write_run(tmp_path / name, ndcg=0.3, **defaults | overrides)

    defaults = {key.replace(".", "__"): value for key, value in default_values().items() if value is not None}
    write("a", model__init_scale=0.7, model__dim=8)
    write("b", model__dim=8)
    write("c", model__init_scale=0.7)
    group = rows.collect(tmp_path)
    assert comparison.baseline_of(group, None).label == "b"  # the first of two
    assert comparison.baseline_of(group[::-1], None).label == "c"
    assert comparison.baseline_of(group, "a").label == "a"
    write("d")
    write("e", log__tensorboard=True, seed=3, sampler__name="popularity")
    assert comparison.baseline_of(rows.collect(tmp_path), None).label == "d"


def test_a_row_without_most_keys_is_far_from_the_defaults(tmp_path):
    """Such as a library's baseline, whose config has no model."""
    write_run(tmp_path / "trained", ndcg=0.3, model__dim=8, sampler__name="popularity", model__loss="triplet")
    write_run(tmp_path / "als", ndcg=0.3)
    path = tmp_path / "als" / "config.json"
    config = json.loads(path.read_text())
    kept = {key: config[key] for key in ("seed", "dataset", "eval", "data_sha256")}
    path.write_text(json.dumps(kept | {"baseline": {"name": "als"}}))
    group = rows.collect(tmp_path)
    assert [row.label for row in group] == ["als", "trained"]
    assert comparison.baseline_of(group, None).label == "trained"


def test_unknown_baselines_name_the_choices_and_an_unfinished_one_is_said(grid):
    group = rows.collect(grid)
    choices = "choose one of two_stage,batch_size=64, two_stage,batch_size=256, uniform,batch_size=64, "
    with pytest.raises(UserError, match=f"^--baseline=nobody is not the label of a row; {choices}"):
        comparison.chosen_baseline(grid, "nobody", group)
    (grid / "sweep.json").write_text('{"baseline": "nobody"}')
    with pytest.raises(UserError, match=rf"sweep\.json, baseline = 'nobody' is not the label of a row; {choices}"):
        comparison.chosen_baseline(grid, None, group)
    (grid / "nobody").mkdir()
    assert "nobody, has no finished run" in comparison.chosen_baseline(grid, None, group).note
    (grid / "sweep.json").write_text("[")
    with pytest.raises(UserError, match=r"sweep\.json: cannot be read as JSON"):
        comparison.chosen_baseline(grid, None, group)
