import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from cml_jax import DataError, Params, Recommender, UserError, make_options
from cml_jax.data.interactions import from_pairs, union
from cml_jax.serving import fold_in
from cml_jax.serving.raw_ids import RawIds
from tests.steps import DRAWN

RNG = np.random.default_rng(11)
U, I, D = 23, 91, 6  # noqa: E741
# Small integers, so that distances are exact and many are equal.
USERS, ITEMS = (RNG.integers(-2, 3, (n, D)).astype(np.float32) for n in (U, I))
TRAIN = from_pairs(RNG.integers(0, U, 160), RNG.integers(0, I, 160), U, I)
VALID = from_pairs(RNG.integers(0, U, 40), RNG.integers(0, I, 40), U, I)
USER_NAMES = np.array([f"u{n:02}" for n in range(U)], object)
ITEM_NAMES = np.arange(I) * 10 + 5
NO_COUNT: Any = 2.0
OPTIONS = DRAWN | {"dim": D, "sampler": "uniform", "constraint": "none"}
MODEL = Recommender(
    options=make_options(**OPTIONS),
    params=Params({"users": jnp.asarray(USERS), "items": jnp.asarray(ITEMS)}),
    user_ids=RawIds(USER_NAMES, "user"),
    item_ids=RawIds(ITEM_NAMES, "item"),
    train=TRAIN,
    valid=VALID,
    step=3,
)


def brute_force(point, items, k, left_out):
    """Rows and scores: nearest first, of equal distances the first."""
    distance = ((point - items) ** 2).sum(axis=1)
    order = [row for row in np.argsort(distance, kind="stable") if row not in left_out][:k]
    return order, (-distance[order]).tolist()


def expected(user, k, left_out):
    rows, scores = brute_force(USERS[user], ITEMS, k, left_out)
    return [
        (USER_NAMES[user], n + 1, int(ITEM_NAMES[row]), score)
        for n, (row, score) in enumerate(zip(rows, scores, strict=True))
    ]


def seen(user):
    return {*TRAIN.row(user).tolist(), *VALID.row(user).tolist()}


@pytest.mark.parametrize("budget", [1e-3, 512.0])
@pytest.mark.parametrize("k", [1, 7, I, 5 * I])
def test_lists_equal_brute_force(k, budget):
    model = dataclasses.replace(MODEL, memory_budget_mb=budget)
    users = [5, 0, 22, 5]
    found = model.recommend(USER_NAMES[users], k)
    assert found.columns == ["user", "rank", "item", "score"]
    assert found.rows() == [row for user in users for row in expected(user, k, seen(user))]
    everything = model.recommend(USER_NAMES[users], k, exclude_seen=False)
    assert everything.rows() == [row for user in users for row in expected(user, k, set())]


def test_allow_and_deny_equal_brute_force():
    allowed, denied = RNG.choice(I, 40, replace=False), RNG.choice(I, 30, replace=False)
    left_out = set(range(I)) - set(allowed.tolist()) | set(denied.tolist())
    found = MODEL.recommend(USER_NAMES, 12, allow=ITEM_NAMES[allowed], deny=ITEM_NAMES[denied])
    assert found.rows() == [row for user in range(U) for row in expected(user, 12, seen(user) | left_out)]
    found = MODEL.recommend("u03", 12, allow=[ITEM_NAMES[4]], exclude_seen=False)
    assert found["item"].to_list() == [45]


def test_blocks_come_in_the_order_of_the_users_and_of_bounded_size(monkeypatch):
    monkeypatch.setattr("cml_jax.serving.lists._BLOCK", 5)
    blocks = list(MODEL.recommend_in_blocks(k=4))
    assert [block["user"].n_unique() for block in blocks] == [5, 5, 5, 5, 3]
    assert pl.concat(blocks).rows() == [row for user in range(U) for row in expected(user, 4, seen(user))]


def test_a_user_who_has_seen_everything_has_no_row():
    model = dataclasses.replace(MODEL, train=from_pairs(np.zeros(I, int), np.arange(I), U, I))
    assert model.recommend("u00", 3).height == 0 and model.recommend(["u00", "u01"], 3)["user"].to_list() == ["u01"] * 3


def test_neighbours_equal_brute_force_and_leave_out_the_asked():
    rows, scores = brute_force(ITEMS[8], ITEMS, 6, {8})
    found = MODEL.similar_items(85, 6)
    assert found.rows() == [
        (n + 1, int(ITEM_NAMES[row]), s) for n, (row, s) in enumerate(zip(rows, scores, strict=True))
    ]
    rows, scores = brute_force(USERS[2], USERS, 50, {2})
    found = MODEL.similar_users("u02", 50)
    assert found.rows() == [(n + 1, USER_NAMES[row], s) for n, (row, s) in enumerate(zip(rows, scores, strict=True))]


def test_new_user_by_point_and_by_items():
    point = RNG.integers(-2, 3, D).astype(np.float32)
    rows, scores = brute_force(point, ITEMS, 5, set())
    found = MODEL.recommend_for(point, 5)
    assert found.rows() == [
        (n + 1, int(ITEM_NAMES[row]), s) for n, (row, s) in enumerate(zip(rows, scores, strict=True))
    ]
    history = [5, 65, "65", 905]
    by_items = MODEL.recommend_for(history, I)
    assert set(by_items["item"]) == set(ITEM_NAMES.tolist()) - {5, 65, 905}
    rows, _ = brute_force(MODEL.fold_in(history), ITEMS, 8, {0, 6, 90})
    assert by_items["item"].to_list()[:8] == ITEM_NAMES[rows].tolist()
    assert MODEL.recommend_for(history, 3, deny=by_items["item"][:2])["item"][0] == by_items["item"][2]


def test_fold_in_weighs_items_by_their_popularity_in_training_and_uses_the_models_margin():
    history, rows = [5, 65, 905], from_pairs(np.zeros(3, int), np.array([0, 6, 90]), 1, I)
    many = from_pairs(RNG.integers(0, U, 900), RNG.integers(0, 9, 900), U, I)
    model = dataclasses.replace(MODEL, valid=many, options=MODEL.options.replace_options(margin=3.0))

    def by_hand(margin, train):
        options = make_options(**OPTIONS, margin=margin)
        return fold_in.fold_in(options, MODEL.params, train.to_device(), rows)[0]

    found = model.fold_in(history)
    np.testing.assert_allclose(found, by_hand(3.0, TRAIN), atol=1e-5)
    for other in (by_hand(3.0, union(TRAIN, many)), by_hand(1.0, TRAIN)):
        assert np.abs(found - other).max() > 0.01


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        (lambda: MODEL.recommend("u2"), "user 'u2' is unknown to the model; did you mean 'u2"),
        (lambda: MODEL.recommend(["u01", "?"]), r"user '\?' is unknown to the model; it was not in training"),
        (lambda: MODEL.recommend("u01", allow=[6]), "item '6' is unknown to the model; did you mean '65'"),
        (lambda: MODEL.recommend("u01", deny=ITEM_NAMES), "no item is left that may be listed"),
        (lambda: MODEL.recommend("u01", allow=[]), "no item is left that may be listed"),
        (lambda: MODEL.recommend([]), "no user is given"),
        (lambda: MODEL.recommend(2.5), r"2\.5 is neither a raw id nor a list"),
        (lambda: MODEL.recommend("u01", 0), "k = 0 must be"),
        (lambda: MODEL.recommend("u01", NO_COUNT), r"k = 2\.0 must be"),
        (lambda: MODEL.recommend("u01", True), "k = True must be"),
        (lambda: MODEL.similar_items([5, 15]), "neighbours are those of one item, not of 2"),
        (lambda: MODEL.similar_users("nobody"), "user 'nobody' is unknown"),
        (lambda: MODEL.fold_in([]), "a new user has no item"),
        (lambda: MODEL.recommend_for(np.zeros(D + 1)), "a point must be an array of 6 finite numbers"),
        (lambda: MODEL.recommend_for(np.full(D, np.nan)), "a point must be an array of 6 finite numbers"),
    ],
)
def test_bad_input_is_named(use, sentence):
    with pytest.raises(UserError, match=sentence) as caught:
        use()
    assert "\n" not in str(caught.value)


def test_close_names_among_many():
    ids = RawIds(np.array([f"song-{n}" for n in range(30_000)], object), "item")
    with pytest.raises(DataError, match="did you mean"):
        ids.rows(["song-31x"])
    assert ids.rows(["song-29999", "song-0"]).tolist() == [29_999, 0]
