"""What a run is compared with: scored on the same data, in workdirs of their own, once."""

import json

import numpy as np

from cml_jax.runs import loop
from experiments import report, train
from tests.tiny import tiny_config


def test_popular_items_and_uniform_negatives_stand_beside_the_run(tmp_path, capsys, monkeypatch):
    steps = {"train__num_steps": 120, "optimizer__learning_rate": 0.03, "eval__every_steps": 60, "seed": 3}
    config = tiny_config(model__loss="softmax", eval__compare=("popular", "uniform"), **steps)
    summary = train.train_and_evaluate(config, tmp_path / "run")
    printed = capsys.readouterr().out
    folders = {name: tmp_path / "run" / "compared" / name / "3" for name in ("popular", "uniform")}
    found = {name: json.loads((folder / "summary.json").read_text()) for name, folder in folders.items()}
    for row, title in ((found["popular"], "most popular items"), (found["uniform"], "triplet loss, uniform negatives")):
        assert row["dataset"] == summary["dataset"]
        assert f"{title}  " in printed and f"  {row['test']['ndcg@5']:.4f}\n" in printed
    assert f"  this run                         {summary['test']['ndcg@5']:.4f}\n" in printed

    # Uniform negatives are the run of its own that one would start by hand.
    by_hand = tiny_config(model__loss="triplet", sampler__name="uniform", **steps)
    assert train.train_and_evaluate(by_hand, tmp_path / "hand")["test"] == found["uniform"]["test"]
    # All items of the checkerboard are equally popular: lists in the order of the catalogue.
    assert found["popular"]["test"]["ndcg@5"] < 0.3 < 0.9 < summary["test"]["ndcg@5"]

    # Started again, nothing is trained, and the same is printed.
    capsys.readouterr()
    monkeypatch.setattr(loop, "train_together", None)
    train.train_and_evaluate(config, tmp_path / "run")
    assert capsys.readouterr().out.splitlines()[-4:] == printed.splitlines()[-4:]
    rows = report.write_report(tmp_path / "run")
    assert rows is not None and np.all([name in (tmp_path / "run" / "report.md").read_text() for name in folders])
