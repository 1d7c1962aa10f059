import json

import numpy as np
import pytest

import cml_jax
from cml_jax.data import datasets
from cml_jax.errors import DataError, UserError
from cml_jax.ranking import top_k
from experiments import train
from experiments.results import rescore
from experiments.sweeps import grid
from tests.oracles import lists as oracles
from tests.oracles.geometry import to_ball, to_sphere
from tests.tiny import tiny_config


@pytest.mark.parametrize(
    ("constraint", "to_points"), [("ball", to_ball), ("sphere", to_sphere)], ids=("ball", "sphere")
)
def test_validation_items_stay_in_the_lists_and_those_of_training_do_not(constraint, to_points, tmp_path):
    config = tiny_config(model__constraint=constraint, optimizer__learning_rate=0.03, train__num_steps=80)
    train.train_and_evaluate(config, tmp_path / "run")
    rescore.rescore(tmp_path, config)
    found = json.loads((tmp_path / "run" / rescore.FILE).read_text())
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    best = cml_jax.load(tmp_path / "run")
    assert found["step"] == best.step == summary["best_step"]

    dataset = datasets.load(**config.dataset)
    users = range(dataset.train.num_users)
    points = [to_points(table) for table in (best.params.tables["users"], best.params.tables["items"])]
    ranked = oracles.top_k(points[0], points[1], [set(dataset.train.row(u)) for u in users], 5)
    expected = [
        oracles.user_metrics(line, dataset.test.row(int(u)), dataset.train.popularity)
        for u, line in zip(users, ranked, strict=True)
        if len(dataset.test.row(u))
    ]
    for name in ("ndcg", "recall", "precision", "mrr", "mmr"):
        assert found["test"][f"{name}@5"] == pytest.approx(np.mean([user[name] for user in expected]), rel=1e-5)
    assert found["test"]["ndcg@5"] < summary["test"]["ndcg@5"]  # as validation items take places


def test_users_of_few_test_items_are_left_out_of_the_second_means(tmp_path):
    config = tiny_config(dataset__name="synthetic", eval__ks=(5,), eval__enough_held_out=True, train__num_steps=20)
    train.train_and_evaluate(config, tmp_path / "run")
    rescore.rescore(tmp_path, grid.make_grid(config, {"seed": (0, 1)}))  # what the command is given
    found = json.loads((tmp_path / "run" / rescore.FILE).read_text())
    dataset = datasets.load(**config.dataset)
    enough = dataset.test.degrees >= 5
    assert 0 < enough.sum() < (dataset.test.degrees > 0).sum()
    lists = top_k(cml_jax.load(tmp_path / "run").ranking, np.flatnonzero(enough), dataset.train, 5)
    expected = [
        oracles.user_metrics(line, dataset.test.row(int(u)), dataset.train.popularity)
        for u, line in zip(np.flatnonzero(enough), lists, strict=True)
    ]
    for name in ("map", "mrr"):
        assert found["few_left_out"][f"{name}@5"] == pytest.approx(np.mean([user[name] for user in expected]), rel=1e-5)
        assert found["few_left_out"][f"{name}@5"] != found["test"][f"{name}@5"]
    assert found["few_left_out"]["ndcg@5"] == pytest.approx(found["test"]["ndcg@5"], rel=1e-6)


def test_runs_that_cannot_be_rescored_are_refused(tmp_path):
    config = tiny_config()
    with pytest.raises(UserError, match="no finished run with checkpoints is there; train first"):
        rescore.rescore(tmp_path, config)
    train.train_and_evaluate(config, tmp_path / "run")
    with pytest.raises(DataError, match=r"run holds a run on other data than config\.dataset names"):
        rescore.rescore(tmp_path, tiny_config(dataset__name="synthetic"))
    assert not (tmp_path / "run" / rescore.FILE).exists()
