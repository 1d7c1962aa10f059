import re
import uuid

import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cml_jax import DataError, Params, Recommender, evaluate, make_options
from cml_jax.data.interactions import from_pairs
from cml_jax.data.sources import known_pairs
from cml_jax.serving.raw_ids import RawIds
from tests.steps import DRAWN

SIZE = 80
POINTS = np.random.default_rng(3).normal(size=(SIZE, 3)).astype(np.float32)


def written(value):
    """A test's name, the same in every process: without addresses."""
    return re.sub(r" at 0x\w+", "", repr(value))


def model_of(user_ids, item_ids):
    """Every user has an item of the same row, and every item is trained on."""
    rows = np.arange(len(user_ids)) % len(item_ids)
    nobody = from_pairs(rows[:0], rows[:0], len(user_ids), len(item_ids))
    return Recommender(
        options=make_options(**DRAWN | {"dim": 3, "sampler": "uniform", "constraint": "none"}),
        params=Params({"users": jnp.asarray(POINTS[: len(user_ids)]), "items": jnp.asarray(-POINTS[: len(item_ids)])}),
        user_ids=RawIds(user_ids, "user"),
        item_ids=RawIds(item_ids, "item"),
        train=from_pairs(np.arange(len(user_ids)), rows, len(user_ids), len(item_ids)),
        valid=nobody,
        step=1,
    )


MODEL = model_of(np.arange(SIZE), np.arange(SIZE))  # '7', and '55', which is the byte of '7'
IS_7 = [7, "7", b"7", bytearray(b"7"), memoryview(b"7"), np.str_("7"), np.bytes_(b"7"), np.int8(7), np.uint64(7)]
IS_7 += [7.0, np.float32(7), np.array(7), np.array("7"), np.array(b"7")]
LISTS_OF_7 = [[7], ("7",), {"7"}, {7: 0}.keys(), iter([b"7"]), np.array([7]), np.array(["7"]), np.array([b"7"])]
LISTS_OF_7 += [np.array([7.0]), pl.Series([7]), pl.Series([b"7"]), pd.Series(["7"]), pd.Index([7]), range(7, 8)]
NOBODY = [7.5, True, np.bool_(True), None, float("nan"), float("inf"), 2.0**60, 7 + 0j, [7, None], [True], [[7]]]
NOBODY += [{7: 1}, {"7": "7"}, pl.DataFrame({"7": [7]}), pd.DataFrame({"7": [7]}), (7, (8,)), b"\xff", [b"7", b"\xff"]]
NOBODY += [
    "7 ",
    " 7",
    "07",
    "7.0",
    b"7\n",
    "b'7'",
    "",
    np.array([[7]]),
    object(),
    uuid.UUID(int=7),
    np.datetime64(7, "s"),
]


@pytest.mark.parametrize("name", [*IS_7, *LISTS_OF_7], ids=written)
def test_a_name_is_the_same_user_however_it_is_held(name):
    assert MODEL.user_ids.rows(name).tolist() == [7] if not hasattr(name, "__next__") else True
    if hasattr(name, "__next__"):
        name = [b"7"]
    assert MODEL.recommend(name, 1)["user"].to_list() == [7]
    assert MODEL.recommend(0, SIZE, deny=name)["item"].n_unique() == SIZE - 2  # without the own item and the denied
    assert MODEL.recommend(0, SIZE, allow=name)["item"].to_list() == [7]
    assert 7 not in MODEL.similar_items(name, SIZE)["item"] and 7 not in MODEL.similar_users(name, SIZE)["user"]
    np.testing.assert_array_equal(MODEL.fold_in(name), MODEL.fold_in("7"))


@pytest.mark.parametrize("name", NOBODY, ids=written)
def test_what_is_no_known_name_is_refused_and_never_somebody_else(name):
    uses = [
        MODEL.recommend,
        MODEL.similar_users,
        MODEL.similar_items,
        MODEL.fold_in,
        MODEL.recommend_for,
        lambda ids: MODEL.recommend(0, allow=ids) if ids is not None else MODEL.recommend([ids]),
        lambda ids: MODEL.recommend(0, deny=ids) if ids is not None else MODEL.recommend([ids]),
    ]
    for use in uses:
        with pytest.raises(DataError) as caught:
            use(name)
        assert "\n" not in str(caught.value)


def test_whole_floats_are_the_text_that_is_known_and_refused_where_two_are():
    ids = RawIds(np.array(["7", "8.0", "9", "9.0"], object), "user")
    assert ids.rows([7.0, np.float64(8)]).tolist() == [0, 1]
    with pytest.raises(DataError, match=r"user 9\.0 may be '9' or '9\.0'; give it as text"):
        ids.rows([9.0])


def test_uuids_are_their_text():
    name = uuid.UUID(int=77)
    ids = RawIds(np.array([str(name)], object), "user")
    assert ids.rows(name).tolist() == ids.rows([name]).tolist() == [0]


def test_a_denied_item_is_not_listed_where_it_is_allowed_too():
    found = MODEL.recommend(5, SIZE, allow=[1, 2, b"3", "4"], deny=["2", np.int64(3)], exclude_seen=False)
    assert sorted(found["item"].to_list()) == [1, 4]


def test_held_out_pairs_of_whole_floats_are_those_of_the_text_and_bytes_are_refused():
    held = {"user": np.array(["7", "3"]), "item": np.array([3.0, 5.0])}
    pairs, _ = known_pairs(held, MODEL.user_ids.values, MODEL.item_ids.values)
    assert pairs.users.tolist() == [3, 7] and pairs.items.tolist() == [5, 3]
    assert MODEL.evaluate(held, ks=[SIZE]) == evaluate(MODEL.ranking, MODEL.train, MODEL.train, pairs, ks=[SIZE]).values
    for user in ([b"7"], np.array([b"7"]), pl.Series([b"7"])):
        with pytest.raises(DataError, match=r"column 'user' .* Binary; ids must be integers or text"):
            MODEL.evaluate({"user": user, "item": [5]})


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
AROUND = st.sampled_from(["", " ", "\t", "\n", "\r", '"', ",", "'", "\u00a0", "\ufeff", "7"])


@settings(max_examples=200, deadline=None)
@example(["\0", "", "7", "7\0"])  # NumPy drops NULs at the end of text
@given(st.lists(st.builds(lambda a, b, c: a + b + c, AROUND, TEXT, AROUND), min_size=2, max_size=12, unique=True))
def test_any_text_is_its_own_row_as_text_and_as_bytes(names):
    ids = RawIds(np.array(names, object), "item")
    for row, name in enumerate(names):
        for held in (name, name.encode(), np.str_(name), np.bytes_(name.encode()), [name], np.array([name], object)):
            assert ids.rows(held).tolist() == [row]
    assert ids.rows(ids.series(np.arange(len(names)), "item")).tolist() == list(range(len(names)))
