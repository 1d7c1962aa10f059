"""Training from Python: the loop of the commands, their options, messages by keyword, files only where asked for."""

import doctest
import os
import signal
import sys
from typing import Any

import jax
import numpy as np
import polars as pl
import pytest

import cml_jax
from cml_jax.data import datasets
from cml_jax.evaluation import evaluate
from cml_jax.fit import KEYWORDS, LEFT_OUT
from cml_jax.runs import loop, scoring
from cml_jax.runs.config import KEYS
from experiments.train import train_and_evaluate
from tests.tiny import read_records, tiny_config

SMALL: dict[str, Any] = {
    "dim": 8,
    "batch_size": 32,
    "num_steps": 30,
    "report_every_steps": 10,
    "eval_every_steps": 10,
    "ks": (3, 5),
}


def taste(seed=0, num_users=40, num_items=30):
    """Users of two tastes; ids are text for users and numbers for items."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"user {u}", 100 + int(i), int(t))
        for u in range(num_users)
        for t, i in enumerate(rng.choice(np.arange(u % 2, num_items, 2), 8, replace=False))
    ]
    return pl.DataFrame(rows, schema=["who", "what", "when"], orient="row")


PAIRS = taste()


def fit(data: Any = PAIRS, **options: Any):
    arguments: dict[str, Any] = {"user": "who", "item": "what", "progress": False, **SMALL, **options}
    return cml_jax.fit(data, **arguments)


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a.params, b.params)


@pytest.fixture(scope="module")
def fitted():
    return fit()


def test_every_option_of_a_config_has_a_keyword_of_its_own():
    given_otherwise = {key for key in KEYS if key.endswith("_column")} | {*LEFT_OUT}
    assert set(KEYWORDS.values()) | given_otherwise == {*KEYS}
    assert len(set(KEYWORDS.values())) == len(KEYWORDS)
    assert KEYWORDS["eval_every_steps"] == "eval.every_steps" and KEYWORDS["sampler"] == "sampler.name"


def test_lists_have_the_raw_ids_and_leave_out_what_is_known(fitted):
    known = set(PAIRS.filter(pl.col("who") == "user 7")["what"])
    lists = fitted.recommend("user 7", k=40)
    assert lists["item"].dtype == pl.Int64 and len(lists) == 30 - len(known)
    assert not known & {*lists["item"]} and {*lists["item"]} | known <= {*range(100, 130)}


def test_seeds_repeat_and_differ(fitted):
    assert_same(fitted, fit())
    assert not np.array_equal(fitted.params.tables["users"], fit(seed=1).params.tables["users"])


def test_metrics_are_those_of_the_validation_that_was_carved(fitted):
    assert set(fitted.metrics) == {"valid"}
    found = evaluate(fitted.ranking, fitted.train, fitted.train, fitted.valid, ks=(3, 5)).values
    assert fitted.metrics["valid"] == pytest.approx({**found}) and "ndcg@5" in found


def test_without_validation_the_last_step_counts():
    model = fit(valid_fraction=0)
    assert model.step == 30 and model.metrics == {} and model.valid.num_pairs == 0
    assert model.train.num_pairs == len(PAIRS)


def test_validation_may_be_given():
    rows = pl.int_range(len(PAIRS), eager=True) % 8 == 3
    model = cml_jax.fit(PAIRS.filter(~rows), user="who", item="what", valid=PAIRS.filter(rows), progress=False, **SMALL)
    assert model.valid.num_pairs == int(rows.sum()) and model.train.num_pairs == int((~rows).sum())


def test_same_as_the_command_on_the_same_data(tmp_path):
    """To the bit: parameters, reports and scores."""
    dataset = datasets.load("checkerboard")
    folder = tmp_path / "board"
    folder.mkdir()
    for part in ("train", "valid", "test"):
        pairs = getattr(dataset, part)
        rows = [f"{u} {' '.join(map(str, pairs.row(u)))}" for u in range(pairs.num_users)]
        (folder / f"{part}.txt").write_text("\n".join(rows) + "\n")
    summary = train_and_evaluate(tiny_config(dataset__name=None, dataset__path=str(folder)), tmp_path / "command")
    options = {"model": "cml", "loss": "triplet", "sampler": "two_stage", "dim": 8, "num_candidates": 30}
    options |= {"init_scale": 1.0, "rows": "lazy", "average_passes": 0.0, "batch_size": 64, "num_steps": 40}
    options |= {"report_every_steps": 10, "eval_every_steps": 20, "ks": (1, 5), "checkpoint_every_steps": 20}
    model = cml_jax.fit(folder, workdir=tmp_path / "fit", progress=False, **options)
    assert_same(model, cml_jax.load(tmp_path / "command"))
    assert_same(model, cml_jax.load(tmp_path / "fit"))
    assert model.metrics == {part: summary[part] for part in ("valid", "test")}
    assert read_records(tmp_path / "fit") == read_records(tmp_path / "command")


def test_workdir_is_gone_on_from(tmp_path, monkeypatch):
    """Ctrl-C saves; called again, the result is that of a run which was never stopped."""
    original, calls = scoring.evaluate, []

    def stop_in_the_second(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "evaluate", stop_in_the_second)
        with pytest.raises(KeyboardInterrupt, match=r"Stopped by Ctrl-C after step 20, saved in .*; start again"):
            fit(workdir=tmp_path)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again = fit(workdir=tmp_path)
    assert_same(again, fit())
    monkeypatch.setattr(loop, "train_together", None)
    assert_same(again, fit(workdir=tmp_path))  # finished, so nothing is trained


def test_nothing_is_written_without_a_workdir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit()
    assert not any(tmp_path.iterdir())


def test_saved_and_loaded(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = cml_jax.load(tmp_path / "model")
    assert loaded.metrics == fitted.metrics and loaded.step == fitted.step
    assert loaded.columns == fitted.columns == ("who", "what")
    assert loaded.recommend("user 3", k=4).equals(fitted.recommend("user 3", k=4))


def test_evaluate_on_pairs_with_unknown_ids_and_known_pairs(fitted, capsys):
    """Three users with known answers, an unknown user, an unknown item, a pair of training."""
    seen = [(f"user {u}", 100 + int(fitted.train.row(u)[0])) for u in (0,)]
    left = {u: sorted({*range(30)} - {*fitted.seen.row(u).tolist()}) for u in (0, 1, 2)}
    rows = [(fitted.user_ids.values[u], fitted.item_ids.values[i]) for u in left for i in left[u][:2]]
    test = pl.DataFrame([*rows, *seen, ("nobody", 101), ("user 5", 999)], schema=["who", "what"], orient="row")
    seen_name = fitted.user_ids.values[0], fitted.item_ids.values[fitted.train.row(0)[0]]
    test = test.vstack(pl.DataFrame([seen_name], schema=test.schema, orient="row"))
    found = fitted.evaluate(test, ks=(5,))
    said = capsys.readouterr().err
    assert "dropped 1 pairs of 1 users" in said and "dropped 1 pairs of 1 items" in said
    assert "that the model was trained or selected on" in said
    hits = []
    for u in left:
        top = fitted.recommend(fitted.user_ids.values[u], k=5)["item"].to_list()
        wanted = {fitted.item_ids.values[i] for i in left[u][:2]}
        hits.append(len(wanted & {*top}) / 2)
    assert found["recall@5"] == pytest.approx(np.mean(hits))
    with pytest.raises(cml_jax.DataError, match="no pair"):
        fitted.evaluate(pl.DataFrame([seen_name], schema=["who", "what"], orient="row"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dimm": 3}, "dimm is not an option; did you mean dim?"),
        ({"dim": 0}, "dim = 0 must be 1 or more and below"),
        ({"loss": "bbp"}, "loss = 'bbp' is unknown; choose one of bpr"),
        ({"num_candidates": 500}, "num_candidates = 500 is above the number of items, 30"),
        ({"model": "cml_graph", "num_nearest_items": 31}, "num_nearest_items = 31 is above the number of items, 30"),
        ({"user": "whom"}, "whom"),
        ({"ks": (3, 99)}, "ks has 99, which is above the number of items, 30"),
        ({"rows": "catch_up", "optimizer": "sgd"}, "rows = 'catch_up' is for optimizer = 'adam'"),
        ({"select": "ndcg@7"}, "select = 'ndcg@7' is unknown"),
        ({"split": "ratio", "split_ratio": (0, 0, 1)}, "split_ratio"),
        ({"min_rating": 2.0}, "rating"),
        ({"seed": -1}, "seed = -1 must be 0 or more"),
    ],
)
def test_bad_input_is_one_sentence_that_names_the_keyword(options, sentence):
    with pytest.raises(cml_jax.UserError) as caught:
        fit(**options)
    text = str(caught.value)
    assert sentence in text and "\n" not in text and "config." not in text and "--" not in text


def test_what_follows_from_the_data_is_said(capsys):
    small = {key: SMALL[key] for key in ("num_steps", "dim")}
    cml_jax.fit(PAIRS, user="who", item="what", **small)
    said = capsys.readouterr().err
    assert "num_candidates = 30" in said and "batch_size = 16" in said and "eval.ks = (20, 30)" in said


def test_example_of_the_docstring_runs():
    found = doctest.testmod(sys.modules["cml_jax.fit"])
    assert found.failed == 0 and found.attempted >= 4
