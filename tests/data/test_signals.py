"""Kinds, transforms, decay and dislikes: from rows to weights of pairs, and what is liked and what is not."""

import decimal
import re

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from cml_jax.data import datasets, saved
from cml_jax.data.interactions import from_pairs
from cml_jax.data.signals import parse_kind_weights, written_kind_weights
from cml_jax.data.sources import dataset_of, known_pairs
from cml_jax.errors import ConfigError, DataError

ROWS = [
    ("ann", "a", "view", 2.0, "2024-01-01"),
    ("ann", "a", "buy", 1.0, "2024-01-11"),
    ("ann", "b", "view", 4.0, "2024-01-21"),
    ("bob", "a", "cart", 1.0, "2024-01-21"),
    ("bob", "b", "return", 1.0, "2024-01-05"),
    ("bob", "c", "view", 3.0, "2024-01-11"),
    ("cid", "c", "junk", 1.0, "2024-01-01"),
    ("cid", "b", "view", 1.0, "2024-01-01"),
]
FRAME = pl.DataFrame(ROWS, schema=["user", "item", "what", "w", "day"], orient="row")
KINDS = {"kind_column": "what", "kind_weights": "view=1, cart=2.5,buy=5,return=-1,junk=0", "valid_fraction": 0.0}


def pairs_of(part, dataset):
    return list(zip(dataset.user_ids[part.users].tolist(), dataset.item_ids[part.items].tolist(), strict=True))


def weights_of(dataset):
    return dict(zip(pairs_of(dataset.train, dataset), dataset.train.weights.tolist(), strict=True))


def dislikes_of(dataset):
    return [] if dataset.dislikes is None else pairs_of(dataset.dislikes, dataset)


@pytest.mark.parametrize("format", ["csv", "parquet", "frame"])
def test_kinds_weigh_what_they_are_said_to(tmp_path, format):
    path = tmp_path / f"rows.{format}"
    if format == "csv":
        FRAME.write_csv(path)
    elif format == "parquet":
        FRAME.write_parquet(path)
    dataset = dataset_of(FRAME if format == "frame" else path, **KINDS)
    assert weights_of(dataset) == {
        ("ann", "a"): 6.0,
        ("ann", "b"): 1.0,
        ("bob", "a"): 2.5,
        ("bob", "c"): 1.0,
        ("cid", "b"): 1.0,
    }
    assert dislikes_of(dataset) == [("bob", "b")]
    said = "Kinds that are likes: buy 1 (weight 5), cart 1 (weight 2.5), view 4 (weight 1)."
    for note in (said, "Kinds that are dislikes: return 1.", "Kinds that are left out: junk 1."):
        assert note in dataset.notes
    assert "1 dislikes of 1 users." in dataset.notes
    times_column = weights_of(dataset_of(FRAME, weight_column="w", **KINDS))
    assert times_column["ann", "a"] == 2.0 + 5.0 and times_column["bob", "c"] == 3.0


def test_an_unlisted_kind_stops_with_all_kinds_and_their_counts():
    options = KINDS | {"kind_weights": "view=1,buy=2,return=-1,junk=0"}
    with pytest.raises(
        DataError, match=r"no weight of the kind 'cart'; the kinds are 'view' \(4\), .*'cart' \(1\).*: give"
    ):
        dataset_of(FRAME, **options)
    more = dataset_of(FRAME, **KINDS | {"kind_weights": KINDS["kind_weights"] + ",wish=3"})
    assert "Kinds with a weight that no row is of: wish." in more.notes


def test_kinds_may_be_numbers_and_an_empty_one_is_named():
    frame = pl.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1], "what": [0, 3, 3]})
    dataset = dataset_of(frame, kind_column="what", kind_weights="0=1,3=2", valid_fraction=0.0)
    assert weights_of(dataset) == {(1, 1): 1.0, (1, 2): 2.0, (2, 1): 2.0}
    empty = pl.DataFrame({"user": [1, 1], "item": [1, 2], "what": ["a", None]})
    with pytest.raises(DataError, match=r"row 2: column 'what' is empty"):
        dataset_of(empty, kind_column="what", kind_weights="a=1")


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)


@given(st.dictionaries(NAMES, st.floats(-1e20, 1e20).filter(lambda w: w == 0 or abs(w) > 1e-20), min_size=1))
@settings(deadline=None, max_examples=200)
def test_a_dict_of_kinds_is_read_back_from_its_text(weights):
    assert parse_kind_weights(written_kind_weights(weights)) == weights == parse_kind_weights(weights)


@pytest.mark.parametrize(
    "text", ["", "view", "view=", "=1", "view=1,", "view=much", '{"view": "1"}', '{"view": true}', "{view: 1}", "[1]"]
)
def test_what_is_no_weight_of_a_kind_is_refused(text):
    with pytest.raises(ConfigError, match=r"dataset\.kind_weights = .* must be weights of kinds, such as"):
        parse_kind_weights(text)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"kind_column": "what"}, "kind_column and dataset.kind_weights go together"),
        ({"kind_weights": "a=1"}, "kind_column and dataset.kind_weights go together"),
        ({"kind_column": "what", "kind_weights": "a=0,b=-1"}, "has no weight above 0"),
        ({"kind_column": "what", "kind_weights": "a=1,a=2"}, "has a kind twice"),
        ({"kind_column": "what", "kind_weights": "a=nan"}, "must be 0 or of a size of 1e-30 to 1e30"),
        ({"weight_alpha": 2.0}, "weight_alpha = 2 has an effect only with dataset.weight_transform = 'confidence'"),
        ({"rating_column": "w", "min_rating": 2, "dislike_rating": 2}, "dislike_rating = 2 must be below dataset.min"),
        ({"rating_column": "w"}, "name the least rating of a like, or by dataset.dislike_rating the largest"),
        ({"dislike_rating": 2}, "rating_column and dataset.dislike_rating go together"),
        ({"min_rating": -1}, "rating_column and dataset.min_rating go together"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, sentence):
    with pytest.raises(ConfigError, match=sentence.replace(".", r"\.")):
        dataset_of(FRAME, **options)


def test_transforms_are_of_what_the_rows_of_a_pair_add_up_to():
    """log1p of play counts that were logged play by play is that of the counts."""
    plays = {("ann", "a"): 3, ("ann", "b"): 1, ("bob", "a"): 12}
    one_a_row = pl.DataFrame(
        [pair for pair, n in plays.items() for _ in range(n)], schema=["user", "item"], orient="row"
    )
    counted = pl.DataFrame([(*pair, n) for pair, n in plays.items()], schema=["user", "item", "n"], orient="row")
    formulas = {"log1p": np.log1p, "confidence": lambda w: 1 + 2.5 * w}
    for transform, formula in formulas.items():
        options = {"weight_transform": transform, "valid_fraction": 0.0}
        options |= {"weight_alpha": 2.5} if transform == "confidence" else {}
        found = [dataset_of(one_a_row, **options), dataset_of(counted, weight_column="n", **options)]
        for dataset in found:
            expected = {pair: pytest.approx(formula(n), rel=1e-6) for pair, n in plays.items()}
            assert weights_of(dataset) == expected
        assert any("of what the rows of a pair add up to" in note for note in found[0].notes)


def test_rows_count_half_after_each_half_life():
    options = {"time_column": "day", "half_life_days": 10.0, "valid_fraction": 0.0}
    frame = FRAME.filter(pl.col("what") != "junk")
    found = weights_of(dataset_of(frame, **options))
    assert found["ann", "a"] == pytest.approx(0.25 + 0.5), "each row is as old as it is itself"
    assert found["ann", "b"] == found["bob", "a"] == 1.0 and found["cid", "b"] == 0.25
    seconds = frame.with_columns(day=pl.col("day").str.to_datetime().dt.epoch("s"))
    for unit, factor in (("s", 1), ("ms", 1000), ("ns", 10**9)):
        as_numbers = seconds.with_columns(pl.col("day") * factor)
        assert weights_of(dataset_of(as_numbers, **options)) == pytest.approx(found)
        assert weights_of(dataset_of(as_numbers, time_unit=unit, **options)) == pytest.approx(found)
    weighted = weights_of(dataset_of(frame, weight_column="w", **options))
    assert weighted["ann", "a"] == pytest.approx(2 * 0.25 + 1 * 0.5)
    logged = weights_of(dataset_of(frame, weight_column="w", weight_transform="log1p", **options))
    assert logged["ann", "a"] == pytest.approx(np.log1p(3.0) * (2 * 0.25 + 1 * 0.5) / 3.0)


def test_a_newer_row_of_another_user_does_not_change_relative_weights():
    """The moment from which ages are counted cancels, so that no time of a held-out row shows in training."""
    options = {"time_column": "day", "half_life_days": 7.0, "weight_transform": "log1p", "valid_fraction": 0.0}
    later = pl.concat(
        [FRAME, FRAME.filter(pl.col("user") == "cid").with_columns(day=pl.lit("2024-09-01"), user=pl.lit("dan"))]
    )
    found = [weights_of(dataset_of(frame, **options)) for frame in (FRAME, later)]
    ratios = [found[1][pair] / weight for pair, weight in found[0].items()]
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-5)
    assert ratios[0] < 1e-6


@pytest.mark.parametrize(("size", "kept"), [(1e30, 1e30), (1e-30, 1e-30)])
def test_products_of_extreme_weights_stay_numbers(size, kept):
    frame = pl.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1], "what": ["a", "b", "b"], "w": [size, 1.0, 1.0]})
    dataset = dataset_of(
        frame, kind_column="what", kind_weights=f"a={size},b=1", weight_column="w", split="all", valid_fraction=0.0
    )
    assert weights_of(dataset) == {(1, 1): pytest.approx(kept), (1, 2): 1.0, (2, 1): 1.0}
    assert any(note.startswith("Set 1 weights to the nearest of 1e-30 and 1e30") for note in dataset.notes)
    assert np.all(np.isfinite(np.asarray(dataset.train.to_device().weights)))


def test_ages_need_times_in_a_known_unit_and_are_never_lost():
    with pytest.raises(DataError, match=r"dataset\.half_life_days needs times, .* name dataset\.time_column"):
        dataset_of(FRAME, half_life_days=3.0)
    steps = FRAME.with_columns(day=pl.int_range(pl.len()))
    with pytest.raises(DataError, match=r"dataset\.half_life_days needs times in a known unit; set dataset\.time_unit"):
        dataset_of(steps, half_life_days=3.0, time_column="day")
    old = FRAME.with_columns(day=pl.when(pl.col("user") == "cid").then(pl.lit("1990-01-01")).otherwise("day"))
    dataset = dataset_of(old, half_life_days=1.0, time_column="day", valid_fraction=0.0)
    assert weights_of(dataset)["cid", "c"] == pytest.approx(1e-30)
    assert any(note.startswith("Set 2 weights to the nearest of 1e-30 and 1e30") for note in dataset.notes)


RATED = pl.DataFrame(
    [
        ("ann", "a", 5),
        ("ann", "b", 1),
        ("ann", "c", 3),
        ("bob", "a", 2),
        ("bob", "b", 4),
        ("cid", "d", 1),
        ("cid", "a", 4),
    ],
    schema=["user", "item", "stars"],
    orient="row",
)
THRESHOLDS = {"rating_column": "stars", "min_rating": 4, "dislike_rating": 2, "valid_fraction": 0.0}


@pytest.mark.parametrize("format", ["csv", "tsv", "parquet", "frame"])
def test_low_ratings_are_dislikes_and_no_pairs(tmp_path, format):
    path = tmp_path / f"rows.{format}"
    if format == "parquet":
        RATED.write_parquet(path)
    elif format != "frame":
        RATED.write_csv(path, separator="," if format == "csv" else "\t")
    dataset = dataset_of(RATED if format == "frame" else path, **THRESHOLDS)
    assert pairs_of(dataset.train, dataset) == [("ann", "a"), ("bob", "b"), ("cid", "a")]
    assert dislikes_of(dataset) == [("ann", "b"), ("bob", "a")]
    said = "Kept 3 of 7 pairs whose stars is at least 4, and 3 dislikes of 2 or less; left out 1 between."
    assert said in dataset.notes
    assert "2 dislikes of 2 users; left out 1 of users or items without a like in the data." in dataset.notes


def test_without_a_threshold_of_likes_they_are_above_the_dislikes_and_above_0():
    dataset = dataset_of(RATED, rating_column="stars", dislike_rating=2, valid_fraction=0.0)
    assert ("ann", "c") in pairs_of(dataset.train, dataset) and len(dislikes_of(dataset)) == 3 - 1
    signs = pl.DataFrame({"user": [1, 1, 1, 2, 2], "item": [1, 2, 3, 1, 2], "r": [1.0, -1.0, -0.25, 0.0, 2.0]})
    dataset = dataset_of(signs, rating_column="r", dislike_rating=-1, valid_fraction=0.0)
    assert pairs_of(dataset.train, dataset) == [(1, 1), (2, 2)] and dislikes_of(dataset) == [(1, 2)]
    assert any("whose r is more than 0, and 1 dislikes of -1 or less; left out 2 between" in n for n in dataset.notes)


def test_dislikes_weigh_nothing_so_that_signs_may_be_weights():
    signs = pl.DataFrame({"user": [1, 1, 2, 2], "item": [1, 2, 1, 2], "r": [3.0, -1.0, 2.0, 5.0]})
    dataset = dataset_of(signs, rating_column="r", weight_column="r", dislike_rating=-1, valid_fraction=0.0)
    assert weights_of(dataset) == {(1, 1): 3.0, (2, 1): 2.0, (2, 2): 5.0} and dislikes_of(dataset) == [(1, 2)]
    matrix = scipy.sparse.coo_array((signs["r"].to_numpy(), (signs["user"].to_numpy(), signs["item"].to_numpy())))
    held = dataset_of(matrix, weight_column="value", dislike_rating=-1, valid_fraction=0.0)
    assert weights_of(held) == weights_of(dataset) and dislikes_of(held) == [(1, 2)]


SIGNED = scipy.sparse.coo_array(([1, -1, 1, -1, 1, 0], ([0, 0, 1, 1, 2, 2], [0, 1, 1, 0, 0, 1])))


def test_negative_values_are_never_likes_in_silence(tmp_path):
    scipy.sparse.save_npz(tmp_path / "m.npz", SIGNED)
    sentence = r"2 pairs have a negative value, which is no like; set dataset\.min_rating, .* dataset\.dislike_rating"
    for data in (SIGNED, tmp_path / "m.npz"):
        with pytest.raises(DataError, match=sentence):
            dataset_of(data, valid_fraction=0.0)
        for options, expected in (
            ({"min_rating": 1}, []),
            ({"min_rating": 1, "dislike_rating": -1}, [(0, 1), (1, 0)]),
            ({"dislike_rating": -1}, [(0, 1), (1, 0)]),
            ({"dislike_rating": -0.5, "min_rating": 0.5}, [(0, 1), (1, 0)]),
        ):
            dataset = dataset_of(data, valid_fraction=0.0, **options)
            assert pairs_of(dataset.train, dataset) == [(0, 0), (1, 1), (2, 0)]
            assert dislikes_of(dataset) == expected
    with pytest.raises(DataError, match="negative value"):
        known_pairs(SIGNED, np.arange(3), np.arange(2))
    movies = tmp_path / "u.data"
    movies.write_text("1\t1\t5\t10\n1\t2\t-5\t11\n2\t1\t3\t12\n")
    with pytest.raises(DataError, match=r"1 pairs have a negative rating.*dataset\.min_rating"):
        dataset_of(movies)
    assert dislikes_of(dataset_of(movies, dislike_rating=-5, valid_fraction=0.0)) == []


def test_a_threshold_of_0_or_below_is_a_number():
    for data in (SIGNED, SIGNED.tocsr()):
        zero = dataset_of(data, min_rating=0, valid_fraction=0.0)
        assert pairs_of(zero.train, zero) == [(0, 0), (1, 1), (2, 0), (2, 1)], "a stored zero is at least 0"
        assert "Kept 4 of 6 pairs whose value is at least 0." in zero.notes
        below = dataset_of(data, min_rating=-0.5, valid_fraction=0.0)
        assert pairs_of(below.train, below) == pairs_of(zero.train, zero)
        everything = dataset_of(data, min_rating=-1, valid_fraction=0.0)
        assert everything.train.num_pairs == 6
        zeros = dataset_of(data, min_rating=1, dislike_rating=0, valid_fraction=0.0)
        assert dislikes_of(zeros) == [(0, 1), (1, 0), (2, 1)]
    positive = dataset_of(abs(SIGNED), valid_fraction=0.0)
    assert positive.train.num_pairs == 5 and "Skipped 1 stored zeros." in positive.notes
    rated = pl.DataFrame({"user": [1, 1, 1, 2], "item": [1, 2, 3, 1], "r": [-1.5, 0.0, 2.0, 1.0]})
    for least, count in ((0, 3), (-1, 3), (-1.5, 4), (0.5, 2)):
        dataset = dataset_of(rated, rating_column="r", min_rating=least, valid_fraction=0.0)
        assert dataset.train.num_pairs == count
        assert f"Kept {count} of 4 pairs whose r is at least {least:g}." in dataset.notes
    assert dataset_of(rated, min_rating=0, valid_fraction=0.0).train.num_pairs == 4, "nothing is rated"
    pairs = from_pairs(np.array([0, 1]), np.array([0, 1]), 2, 2)
    assert dataset_of(pairs, min_rating=0, valid_fraction=0.0).train.num_pairs == 2


def test_the_newest_row_decides_of_a_pair_that_is_liked_and_disliked():
    rows = [
        (1, 1, 5, 1),
        (1, 1, 1, 2),
        (1, 2, 1, 1),
        (1, 2, 5, 2),
        (1, 3, 5, 3),
        (1, 3, 1, 3),
        (1, 4, 5, 1),
        (1, 4, 5, 9),
    ]
    rows += [(2, item, 5, 1) for item in (1, 2, 3)]
    frame = pl.DataFrame(rows, schema=["user", "item", "stars", "t"], orient="row")
    timed = dataset_of(frame, time_column="t", **THRESHOLDS)
    assert dislikes_of(timed) == [(1, 1)]
    assert pairs_of(timed.train, timed) == [(1, 2), (1, 3), (1, 4), (2, 1), (2, 2), (2, 3)], "of equal times the like"
    assert "3 pairs were both liked and disliked; by the newest row 1 are dislikes." in timed.notes
    untimed = dataset_of(frame, **THRESHOLDS)
    assert dislikes_of(untimed) == [] and untimed.train.num_pairs == 7
    assert "3 pairs were both liked and disliked; times are not known, so they are likes." in untimed.notes


def test_held_out_parts_have_likes_alone_and_no_dislike_is_known_from_them(tmp_path):
    train = pl.DataFrame({"user": [1, 1, 1, 2, 2], "item": [1, 2, 3, 1, 3], "stars": [5, 5, 1, 4, 2]})
    test = pl.DataFrame({"user": [1, 1, 2, 2], "item": [4, 5, 2, 4], "stars": [5, 1, 1, 4]})
    for name, part in (("train", train), ("test", test)):
        part.write_csv(tmp_path / f"{name}.csv")
    dataset = dataset_of(tmp_path, **THRESHOLDS)
    assert pairs_of(dataset.test, dataset) == [(1, 4), (2, 4)]
    assert 3 not in dataset.item_ids and dislikes_of(dataset) == []
    assert (
        "0 dislikes of 0 users; left out 2 of held-out parts, 2 of users or items without a like in the data."
        in dataset.notes
    )
    valid = pl.DataFrame({"user": [1, 1, 2], "item": [3, 1, 2], "stars": [5, 1, 4]})
    both = pl.concat([train, pl.DataFrame({"user": [2], "item": [3], "stars": [5]})])
    dataset = dataset_of(both, valid=valid, **THRESHOLDS)
    assert pairs_of(dataset.valid, dataset) == [(1, 3), (2, 2)]
    assert dislikes_of(dataset) == [], "item 3 of user 1 is held out as a like"
    assert any("valid: left out 1 dislikes" in note for note in dataset.notes)
    assert any("1 that are held-out pairs" in note for note in dataset.notes)


def test_splits_by_time_know_no_dislike_of_later():
    rows = [(u, i, 5, 10 * i) for u in (1, 2) for i in range(1, 6)]
    rows += [
        (1, 6, 1, 25),
        (1, 7, 1, 49),
        (2, 8, 1, 15),
        *((3, i, 5, t) for i, t in ((6, 1), (7, 2), (8, 3), (9, 40), (10, 50))),
    ]
    frame = pl.DataFrame(rows, schema=["user", "item", "stars", "t"], orient="row")
    options = THRESHOLDS | {"time_column": "t"}
    assert dislikes_of(dataset_of(frame, **options)) == [(1, 6), (1, 7), (2, 8)]
    for split in ("temporal_user", "leave_one_out", "temporal_global"):
        dataset = dataset_of(frame, split=split, **options)
        assert dislikes_of(dataset) == [(1, 6), (2, 8)], split
        assert any("left out 1 newer than training" in note for note in dataset.notes)
    dated = dataset_of(frame, split="temporal_date", test_from="40", **options)
    assert dislikes_of(dated) == [(1, 6), (2, 8)]
    assert any("left out 1 of held-out parts" in note for note in dated.notes)
    random = dataset_of(frame, split="ratio", **options)
    assert len(dislikes_of(random)) == 3


def test_dislikes_of_the_last_training_moment_are_known_of_the_same_user_or_of_all():
    """User 1 trains up to time 30 and user 2 up to 300; the split for all trains up to 400."""
    rows = [(1, i, 5, 10 * i) for i in range(1, 6)] + [(2, i, 5, 100 * i) for i in range(1, 6)]
    rows += [(1, 6, 1, 30), (1, 8, 1, 100), (1, 7, 1, 400), (2, 7, 1, 300), (2, 6, 1, 401)]
    rows += [(3, 6, 5, 1), (3, 7, 5, 2), (3, 8, 5, 3), (3, 9, 5, 900), (3, 10, 5, 901)]
    frame = pl.DataFrame(rows, schema=["user", "item", "stars", "t"], orient="row")
    options = THRESHOLDS | {"time_column": "t"}
    for split in ("temporal_user", "leave_one_out"):
        assert dislikes_of(dataset_of(frame, split=split, **options)) == [(1, 6), (2, 7)], split
    dataset = dataset_of(frame, split="temporal_global", split_ratio=(4, 0, 1), **options)
    assert dislikes_of(dataset) == [(1, 6), (1, 7), (1, 8), (2, 7)]
    dated = dataset_of(frame, split="temporal_date", valid_from="31", test_from="400", time_unit="steps", **options)
    assert dislikes_of(dated) == [(1, 6)], "those of validation are not known either"
    assert any("left out 4 of held-out parts" in note for note in dated.notes)


def test_dislikes_are_of_the_digest_and_are_saved(tmp_path):
    dataset = dataset_of(RATED, **THRESHOLDS)
    plain = dataset_of(RATED, **{key: value for key, value in THRESHOLDS.items() if key != "dislike_rating"})
    assert dataset.sha256() != plain.sha256() == dataset._replace(dislikes=None).sha256()
    saved.save_dataset(tmp_path / "dataset.npz", dataset, dataset.sha256())
    read = saved.load_dataset(tmp_path / "dataset.npz")
    assert read.dislikes is not None and dataset.dislikes is not None
    np.testing.assert_array_equal(read.dislikes.items, dataset.dislikes.items)
    np.testing.assert_array_equal(read.dislikes.indptr, dataset.dislikes.indptr)
    saved.save_dataset(tmp_path / "dataset.npz", plain, plain.sha256())
    assert saved.load_dataset(tmp_path / "dataset.npz").dislikes is None
    broken = dataset._replace(dislikes=dataset.dislikes._replace(items=dataset.dislikes.items + 90))
    saved.save_dataset(tmp_path / "dataset.npz", broken, "x")
    with pytest.raises(DataError, match="damaged"):
        saved.load_dataset(tmp_path / "dataset.npz")


def test_only_dislikes_are_nothing_to_train_on():
    frame = pl.DataFrame({"user": [1, 2], "item": [1, 2], "what": ["bad", "bad"]})
    with pytest.raises(DataError, match=r"data: every pair is a dislike or left out"):
        dataset_of(frame, kind_column="what", kind_weights="good=1,bad=-1")


ROW = st.tuples(st.integers(0, 3), st.integers(0, 4), st.sampled_from([-1.0, -0.5, 0.0, 0.5, 2.0]), st.integers(0, 5))


@given(st.lists(ROW, min_size=1, max_size=30), st.sampled_from([None, 0.0, -0.5, 0.5]))
@settings(deadline=None, max_examples=200)
def test_no_pair_is_lost_and_no_sign_is_changed(rows, least):
    """Likes, dislikes and what notes count make up all rows; checked against a dict of the newest rows."""
    frame = pl.DataFrame(rows, schema=["user", "item", "r", "t"], orient="row")
    options = {"rating_column": "r", "min_rating": least, "dislike_rating": -1.0, "time_column": "t"}
    newest = {}
    for user, item, rating, _ in sorted(rows, key=lambda row: (row[3], row[2])):
        if rating <= -1 or rating >= (least if least is not None else 1e-9):
            newest[user, item] = rating > -1
    likes = {pair for pair, liked in newest.items() if liked}
    if not likes:
        with pytest.raises(DataError):
            dataset_of(frame, valid_fraction=0.0, **options)
        return
    dataset = dataset_of(frame, valid_fraction=0.0, **options)
    users, items = {user for user, _ in likes}, {item for _, item in likes}
    dislikes = {(u, i) for (u, i), liked in newest.items() if not liked and u in users and i in items}
    assert set(pairs_of(dataset.train, dataset)) == likes and set(dislikes_of(dataset)) == dislikes
    kept, total = (sum(row[2] <= -1 or row[2] >= (least if least is not None else 1e-9) for row in rows), len(rows))
    assert any(f"left out {total - kept} between" in note for note in dataset.notes)


def test_play_counts_keep_all_rows_at_0(tmp_path):
    path = tmp_path / "train_triplets.txt"
    path.write_text("u1\ta\t0\nu1\tb\t3\nu2\ta\t12\nu2\tb\t1\n")
    dataset = datasets.load("echonest", str(path), min_rating=0, min_user_items=0, split="all", valid_fraction=0.0)
    assert dataset.train.num_pairs == 4
    assert "Kept 4 of 4 pairs whose play count is at least 0." in dataset.notes


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl", "polars", "lazy", "pandas", "dict", "tuple"])
def test_negative_ratings_that_no_option_names_are_no_likes_either(tmp_path, form):
    frame = pl.DataFrame({"user": [1, 1, 2], "item": [1, 2, 1], "rating": [1.0, -1.0, -1.0]})
    path = tmp_path / f"rows.{form}"
    if form in ("csv", "parquet", "jsonl"):
        {"csv": frame.write_csv, "parquet": frame.write_parquet, "jsonl": frame.write_ndjson}[form](path)
    columns = frame.to_dict(as_series=False)
    held = {"polars": frame, "lazy": frame.lazy(), "pandas": pd.DataFrame(columns), "dict": columns}
    data = held.get(form, tuple(columns.values()) if form == "tuple" else path)
    sentence = r"2 pairs have a negative rating, which is no like; set dataset\.min_rating, the least rating of a like"
    for options in ({}, {"min_rating": 0}):
        with pytest.raises(DataError, match=sentence):
            dataset_of(data, **options)
    named = dataset_of(data, rating_column="rating", dislike_rating=-1, valid_fraction=0.0)
    assert pairs_of(named.train, named) == [(1, 1)]
    everything = dataset_of(data, rating_column="rating", min_rating=-1, valid_fraction=0.0)
    assert everything.train.num_pairs == 3


def test_a_column_named_rating_that_is_not_asked_for_may_hold_anything_else(tmp_path):
    for ratings in ([0.5, 1.0, 0.0], ["good", "bad", ""], [{"a": 1}, None, 3], [None, None, None], [[1], [2], [-3]]):
        columns = {"user": [1, 1, 2], "item": [1, 2, 1], "rating": ratings}
        assert dataset_of(columns, valid_fraction=0.0).train.num_pairs == 3
    (tmp_path / "a.csv").write_text("user,item,rating\n1,1,good\n1,2,\n2,1,3\n")
    assert dataset_of(tmp_path / "a.csv", valid_fraction=0.0).train.num_pairs == 3
    (tmp_path / "a.jsonl").write_text(
        '{"user": 1, "item": 1, "rating": {"n": -1}}\n{"user": 1, "item": 2, "rating": [3]}\n{"user": 2, "item": 1}\n'
        '{"user": 2, "item": 2, "rating": null}\n{"user": 2, "item": 3, "rating": true}\n'
    )
    assert dataset_of(tmp_path / "a.jsonl", valid_fraction=0.0).train.num_pairs == 5


@pytest.mark.parametrize("written", ["-1", "-0,5", " -2.5e1", "\u22121", "\u20132"])
def test_negative_ratings_are_seen_however_they_are_written(tmp_path, written):
    (tmp_path / "a.csv").write_text(f"user;item;Rating\na;x;{written}\nb;y;-0.0\n", encoding="utf-8")
    with pytest.raises(DataError, match="1 pairs have a negative Rating"):
        dataset_of(tmp_path / "a.csv", valid_fraction=0.0)
    with pytest.raises(DataError, match="1 pairs have a negative rating"):
        dataset_of({"user": ["a", "b"], "item": ["x", "y"], "rating": [written, "0"]}, valid_fraction=0.0)


def test_negative_numbers_of_columns_that_may_be_ratings_are_counted(tmp_path):
    (tmp_path / "a.csv").write_text("1,2,-1\n1,3,1\n1,4,-1\n")
    said = r"a\.csv: 2 rows have a negative number in column '3', which is not read, so they are likes"
    assert any(re.search(said, note) for note in dataset_of(tmp_path / "a.csv", valid_fraction=0.0).notes)
    decimals = [decimal.Decimal(-1), decimal.Decimal(1)]
    for data in ({"Score": [-1.5, 1.0]}, {"stars": decimals}):
        notes = dataset_of({"user": [1, 2], "item": [3, 4], **data}, valid_fraction=0.0).notes
        assert any("1 rows have a negative number in column" in note for note in notes)
    place = {"user": [1, 2], "item": [3, 4], "longitude": [-73.9, 2.0], "score": [[1], [2]]}
    assert not any("negative" in note for note in dataset_of(place, valid_fraction=0.0).notes)


def test_negative_ratings_behind_the_first_objects_are_seen(tmp_path):
    lines = ['{"user": 1, "item": 2}\n'] * 150 + ['{"user": 1, "item": 3, "rating": -1}\n']
    (tmp_path / "a.jsonl").write_text("".join(lines))
    with pytest.raises(DataError, match="1 pairs have a negative rating"):
        dataset_of(tmp_path / "a.jsonl", valid_fraction=0.0)
