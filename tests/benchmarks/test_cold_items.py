"""The benchmark of cold items on a small data set of two tastes."""

import json

import numpy as np

from cml_jax.data.interactions import from_pairs
from experiments.benchmarks import cold_items


def two_tastes():
    """Even users have even items, two of three of them."""
    rng = np.random.default_rng(0)
    users, items = np.nonzero(((np.arange(80)[:, None] + np.arange(60)) % 2 == 0) & (rng.random((80, 60)) < 0.66))
    return from_pairs(users, items, 80, 60)


def test_no_scored_pair_is_in_training_or_in_the_features():
    pairs = two_tastes()
    task = cold_items.make_task(pairs, 3, size=4)
    assert task.train.num_users == 40 and task.held_out.any()
    assert not task.train.popularity[task.held_out].any() and not task.test.popularity[~task.held_out].any()
    np.testing.assert_array_equal(task.counts + task.train.popularity + task.test.popularity, pairs.popularity)
    norms = np.linalg.norm(task.vectors, axis=1)
    np.testing.assert_allclose(norms, task.counts > 0, atol=1e-6)


def test_recall_leaves_out_items_of_training_and_those_that_are_not_allowed(monkeypatch):
    monkeypatch.setattr(cold_items, "_K", 2)
    train, test = from_pairs(np.array([0]), np.array([3]), 2, 4), from_pairs(np.array([0, 0]), np.array([0, 1]), 2, 4)
    task = cold_items.Task(train, test, np.array([True, True, False, False]), np.zeros((4, 1)), np.zeros(4))
    scores = np.array([[1.0, 2.0, 3.0, 4.0]] * 2)  # items 3 and 2 come first
    assert cold_items.recall(task, scores, np.ones((1, 4), bool)) == 0.5
    assert cold_items.recall(task, scores, task.held_out[None]) == 1.0


def test_features_find_the_taste_and_figures_are_written(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        cold_items, "_SETTINGS", {"dim": 8, "num_candidates": 20, "batch_size": 32, "valid_fraction": 0}
    )
    monkeypatch.setattr(cold_items, "_K", 3)
    monkeypatch.setattr(cold_items, "_HELD_OUT", 0.2)
    made = cold_items.make_task
    monkeypatch.setattr(cold_items, "make_task", lambda pairs, seed: made(pairs, seed, size=4))
    pairs = two_tastes()
    for name in ("train", "test"):  # of each user the first item is for test
        part = slice(1, None) if name == "train" else slice(1)
        rows = [" ".join(map(str, [u, *pairs.row(u)[part].tolist()])) for u in range(80)]
        (tmp_path / f"{name}.txt").write_text("\n".join(rows) + "\n")
    cold_items.FLAGS(["", f"--path={tmp_path}", f"--output={tmp_path}/out.json", "--seeds=0", "--num_passes=12"])
    cold_items.main()
    (found,) = json.loads((tmp_path / "out.json").read_text())["recall@20"]
    chance, by_features = found["popularity in training (random order)"], found["CML with features, lambda_f = 0.3"]
    assert by_features["held_out"] > 1.3 * chance["held_out"]
    assert "| CML with features, lambda_f = 0.3 | 0." in capsys.readouterr().out
