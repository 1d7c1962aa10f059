"""Dislikes in use: lists leave them out if asked to, whatever becomes of the model in between."""

import dataclasses

import numpy as np
import polars as pl
import pytest

import cml_jax
from cml_jax import UserError
from cml_jax.data.interactions import from_pairs
from experiments import recommend
from tests.serving.test_recommender import MODEL, RNG, USER_NAMES, I, U, expected, seen

PAIRS = from_pairs(RNG.integers(0, U, 120), RNG.integers(0, I, 120), U, I)
DISLIKED = dataclasses.replace(MODEL, dislikes=PAIRS)


@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("exclude_disliked", [True, False])
def test_each_of_the_two_is_left_out_if_asked_for(exclude_seen, exclude_disliked):
    options = {"exclude_seen": exclude_seen, "exclude_disliked": exclude_disliked}
    rows = []
    for user in range(U):
        left_out = seen(user) if exclude_seen else set()
        rows += expected(user, 9, left_out | set(PAIRS.row(user).tolist() if exclude_disliked else []))
    assert DISLIKED.recommend(USER_NAMES, 9, **options).rows() == rows
    assert pl.concat(list(DISLIKED.recommend_in_blocks(k=9, **options))).rows() == rows


def test_they_are_left_out_by_default_and_where_there_are_none_nothing_changes():
    assert DISLIKED.recommend(USER_NAMES, 9).rows() == DISLIKED.recommend(USER_NAMES, 9, exclude_disliked=True).rows()
    assert MODEL.recommend(USER_NAMES, 9).rows() == MODEL.recommend(USER_NAMES, 9, exclude_disliked=False).rows()


RNG_2 = np.random.default_rng(4)
EVENTS = pl.DataFrame(
    [
        (f"u{u}", f"i{i}", "bad" if n < 2 else RNG_2.choice(["view", "buy"]))
        for u in range(12)
        for n, i in enumerate(RNG_2.choice(18, 9, replace=False))
    ],
    schema=["user", "item", "event"],
    orient="row",
)
SMALL = {
    "kind": "event",
    "dim": 4,
    "batch_size": 16,
    "num_steps": 20,
    "num_candidates": 6,
    "ks": (3,),
    "progress": False,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run in a workdir, and its model."""
    workdir = tmp_path_factory.mktemp("dislikes") / "run"
    model = cml_jax.fit(
        EVENTS, kind_weights={"view": 1, "buy": 3, "bad": -1}, weight_use="draw", workdir=workdir, **SMALL
    )
    return workdir, model


def disliked_of(user):
    return set(EVENTS.filter((pl.col("user") == user) & (pl.col("event") == "bad"))["item"])


def test_a_model_of_kinds_never_lists_what_is_disliked(run, tmp_path):
    workdir, model = run
    model.save(tmp_path / "saved")
    for each in (model, cml_jax.load(workdir), cml_jax.load(tmp_path / "saved")):
        everything, lists = (
            each.recommend(["u0", "u7"], 18, exclude_disliked=value, exclude_seen=False) for value in (False, True)
        )
        for user in ("u0", "u7"):
            shown = set(everything.filter(pl.col("user") == user)["item"])
            left = set(lists.filter(pl.col("user") == user)["item"])
            assert shown - left == disliked_of(user) & shown and disliked_of(user) & shown
    assert model.train.weights is not None and set(model.train.weights.tolist()) == {1.0, 3.0}


def test_the_command_leaves_them_out_unless_told_otherwise(run, tmp_path, monkeypatch):
    workdir, model = run
    recommend.FLAGS.mark_as_parsed()

    def lists(**values):
        path = tmp_path / "lists.csv"
        with monkeypatch.context() as patch:
            for name, value in ({"workdir": str(workdir), "output": str(path), "k": 18} | values).items():
                patch.setattr(recommend.FLAGS[name], "value", value)
            recommend.main()
        return pl.read_csv(path)

    users = model.user_ids.values.tolist()
    for value in (True, False):
        table = model.recommend(users, 18, exclude_disliked=value)
        assert lists(exclude_disliked=value)["item"].to_list() == table["item"].to_list()
    assert lists().height < lists(exclude_disliked=False).height
    (tmp_path / "new.csv").write_text("user,item\nnew,i3\n")
    with pytest.raises(UserError, match="--exclude_disliked has no effect with --history"):
        lists(history=str(tmp_path / "new.csv"), exclude_disliked=False)


def test_options_for_signals_that_are_not_there_are_named(capsys):
    pairs = EVENTS.filter(pl.col("event") != "bad").select("user", "item").unique(maintain_order=True)
    small = {name: value for name, value in SMALL.items() if name not in ("kind", "progress")}
    cml_jax.fit(pairs, weight_use="draw", num_dislikes=3, **small)
    said = capsys.readouterr().err
    assert "not used, since the pairs have no weights: weight_use" in said
    assert "not used, since the data have no dislikes: num_dislikes" in said
