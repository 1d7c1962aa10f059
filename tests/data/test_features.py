"""Features of items and users: values by kind, rows in the order of raw ids, and what reaches the device."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cml_jax.data import datasets
from cml_jax.data.feature_options import Wanted, wanted_columns
from cml_jax.data.features import Features, standardised
from cml_jax.data.saved import load_dataset, save_dataset
from cml_jax.data.sources import dataset_of
from cml_jax.errors import ConfigError, DataError

PAIRS = pl.DataFrame({"user": ["u", "u", "v", "w", "w"], "item": ["a", "b", "b", "a", "c"]})
ITEMS = pl.DataFrame(
    {
        "item": ["c", "x", "a", "b"],  # x is not in the data
        "title": ["Cid", "X", "Ann", ""],
        "genres": ["drama|war", "none", "war| drama |war", None],
        "year": [1990, 1, 2000, None],
        "seen": [True, False, False, True],
        "point": [[1.0, 2.0], [9.0, 9.0], [3.0, -4.0], None],
    }
)


def read(features: Any = ITEMS, **options) -> Features:
    found = dataset_of(PAIRS, valid_fraction=0, item_features=features, **options).item_features
    assert found is not None
    return found


def sets(feature) -> list[list]:
    return [feature.vocabulary[row].tolist() for row in np.split(feature.values, feature.indptr[1:-1])]


def test_values_by_kind_in_the_order_of_raw_ids():
    features = read()
    assert features.names == ("title", "genres", "year", "seen", "point") and features.num_rows == 3
    title, genres, year, seen, point = features.columns
    assert title.kind == "categorical" and title.values.tolist() == [0, -1, 1]
    assert title.values.dtype == np.int32 and title.vocabulary.tolist() == ["Ann", "Cid"]
    assert genres.kind == "multi_hot" and sets(genres) == [["war", "drama"], [], ["drama", "war"]]
    assert (
        genres.vocabulary.tolist() == ["drama", "war"] and genres.indptr is not None and genres.indptr.dtype == np.int64
    )
    assert year.kind == "numeric" and np.array_equal(year.values, [2000, np.nan, 1990], equal_nan=True)
    assert seen.kind == "categorical" and seen.vocabulary[seen.values].tolist() == ["false", "true", "true"]
    assert point.kind == "vector" and point.values.dtype == np.float32
    assert np.array_equal(point.values, [[3, -4], [np.nan, np.nan], [1, 2]], equal_nan=True)
    assert [feature.missing.tolist() for feature in features.columns] == [[False, True, False]] * 3 + [
        [False] * 3,
        [False, True, False],
    ]


def test_what_was_read_guessed_and_left_out_is_said():
    dataset = dataset_of(
        PAIRS, valid_fraction=0, item_features=ITEMS[:3], item_feature_columns=("year", "seen:numeric")
    )
    assert dataset.notes[-3:] == (
        "item_features: features of items by column 'item': year numeric (1990 to 2000; kind guessed), seen numeric "
        "(0 to 1).",
        "item_features: 1 of 3 items have no row; their features are missing.",
        "item_features: left out 1 rows of items that are not in the data.",
    )


def test_features_of_users_and_integers_written_as_text():
    pairs = {"user": [10, 7, 10], "item": [1, 1, 2]}
    users = {"user": ["7", "10"], "age": [5, 6]}
    dataset = dataset_of(pairs, valid_fraction=0, user_features=users)
    assert dataset.user_ids.tolist() == [7, 10] and dataset.item_features is None
    assert dataset.user_features is not None and dataset.user_features.column("age").values.tolist() == [5.0, 6.0]


def test_rows_stay_with_their_items_through_filters_and_splits():
    rng = np.random.default_rng(0)
    items = rng.permutation(np.repeat(np.arange(40), 8))
    pairs = {"user": rng.integers(0, 30, 320), "item": items}
    features = {"item": np.arange(40), "twice": 2 * np.arange(40)}
    dataset = dataset_of(pairs, split="ratio", min_item_users=7, min_user_items=8, item_features=features)
    assert 0 < len(dataset.item_ids) < 40
    assert dataset.item_features is not None
    assert np.array_equal(dataset.item_features.column("twice").values, 2.0 * dataset.item_ids)


def test_a_file_of_interactions_is_a_source_of_features_too(tmp_path):
    path = tmp_path / "pairs.csv"
    path.write_text("user,item,stars,genre\nu,a,1,war\nv,b,2,love\nw,a,5,war\n")
    dataset = datasets.load(
        "x", str(path), "csv", split="all", item_features=str(path), item_feature_columns=("genre",), valid_fraction=0
    )
    assert dataset.item_features is not None
    assert dataset.item_features.column("genre").vocabulary[[1, 0]].tolist() == ["war", "love"]
    assert dataset.item_features.column("genre").values.tolist() == [1, 0]
    assert any("merged 1 rows that are equal to others" in note for note in dataset.notes)
    with pytest.raises(DataError, match=r"pairs\.csv, line 4: item a has other features than on line 2"):
        datasets.load("x", str(path), "csv", split="all", item_features=str(path), valid_fraction=0)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"item": ["a", "a"], "y": [1, 2]}, "row 2: item a has other features than on row 1"),
        ({"item": ["a", None], "y": [1, 2]}, "row 2: column 'item' is empty; give the item's raw id"),
        ({"item": ["q", "r"], "y": [1, 2]}, "item_features: no row is of an item of the data"),
        ({"who": ["a"], "y": [1]}, "has no column 'item' of raw ids; its columns are 'who, y', .*item_feature_id"),
        ({"item": ["a"]}, "has no column but 'item'"),
        ({"item": ["a"], "y": [float("inf")]}, "row 1: column 'y' = 'inf' is not a finite number"),
        ({"item": ["x", "a", "b"], "v": [[1.0], [1.0, 2.0], [1.0]]}, "row 3: column 'v' = .* has 1 numbers, the first"),
        ({"item": ["a"], "v": [[1e39]]}, "row 1: column 'v' = .* is not a vector of finite float32 numbers"),
        ({"item": ["a"], "v": [[None, 1.0]]}, "row 1: column 'v' = .* is not a vector of finite float32 numbers"),
        ({"item": ["a"], "s": [{"t": 1}]}, "column 's' .*[Ss]truct|column 's' holds"),
    ],
)
def test_what_cannot_be_a_feature_is_named(columns, sentence):
    frame = pl.DataFrame(columns)
    with pytest.raises(DataError, match=sentence):
        read(frame)


def test_text_that_is_no_number_is_named_where_numbers_are_asked_for():
    frame = pl.DataFrame({"item": ["z", "b", "a"], "year": ["", "1990", "soon"]})
    with pytest.raises(DataError, match=r"row 3: column 'year' = 'soon' is not a finite number; .* as categorical"):
        read(frame, item_feature_columns=("year:numeric",))
    assert read(frame).column("year").kind == "categorical"
    with pytest.raises(DataError, match=r"row 3: column .year. = .soon. is not a vector"):
        read(frame, item_feature_columns=("year:vector",))


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "2.5", "-3e2"], "numeric"),
        (["1", "", None], "numeric"),
        (["007", "12", "5"], "categorical"),  # codes
        (["0", "0.5", "10"], "numeric"),
        (["1", "nan", "2"], "categorical"),
        (["a|b", "c", "d"], "multi_hot"),
        ([["a"], ["b", "c"], []], "multi_hot"),
        ([[1, 2], [3], [4]], "multi_hot"),
        ([[1.0], [2.0], [3.0]], "vector"),
        ([None, None, None], "categorical"),
    ],
)
def test_kinds_are_guessed_by_type_and_values(cells, kind):
    assert read(pl.DataFrame({"item": ["a", "b", "c"], "f": cells})).columns[0].kind == kind


def test_sets_of_a_separator_and_vectors_of_text():
    frame = pl.DataFrame({"item": ["a", "b", "c"], "g": ["x, y", "y", "z,x"], "v": ["[0.5, 1]", "2;3", "4 5"]})
    genres, vectors = read(frame, item_feature_columns=("g:multi_hot:,", "v:vector")).columns
    assert sets(genres) == [["x", "y"], ["y"], ["z", "x"]]
    assert vectors.values.tolist() == [[0.5, 1], [2, 3], [4, 5]]
    decimal = pl.DataFrame({"item": ["a", "b"], "v": ["1;2", "3;4"]})
    assert read(decimal, item_feature_columns=("v:vector:;",)).columns[0].values[:2].tolist() == [[1, 2], [3, 4]]


def test_dates_are_days():
    frame = pl.DataFrame({"item": ["a", "b"], "out": pl.Series(["1970-01-11", None]).str.to_date()})
    (out,) = read(frame).columns
    assert out.kind == "numeric" and np.array_equal(out.values, [10, np.nan, np.nan], equal_nan=True)


@pytest.mark.parametrize("kind", ["pandas", "index", "arrow", "dict", "lazy"])
def test_the_same_features_however_they_are_held(kind):
    frame = ITEMS.drop("point")
    held = {
        "pandas": lambda: pd.DataFrame(frame.to_dict(as_series=False)),
        "index": lambda: pd.DataFrame(frame.to_dict(as_series=False)).set_index("item"),
        "arrow": frame.to_arrow,
        "dict": lambda: frame.to_dict(as_series=False),
        "lazy": frame.lazy,
    }[kind]()
    assert list(read(held).pieces()) == list(read(frame).pieces())


def test_a_matrix_of_a_dict_is_a_vector():
    (vector,) = read({"item": np.array(["a", "c"]), "clip": np.arange(6.0).reshape(2, 3)}).columns
    assert vector.kind == "vector"
    assert np.array_equal(vector.values, [[0, 1, 2], [np.nan] * 3, [3, 4, 5]], equal_nan=True)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"item_feature_columns": ("a",)}, "dataset.item_feature_columns has no effect without dataset.item_features"),
        ({"user_feature_id": "a"}, "dataset.user_feature_id has no effect without dataset.user_features"),
        ({"item_features": ITEMS, "item_feature_columns": ("year", "year:numeric")}, "names 'year' twice"),
        ({"item_features": ITEMS, "item_feature_columns": ("year:numeric:|",)}, "needs no separator"),
        ({"item_features": ITEMS, "item_feature_columns": ("",)}, "'' is no column"),
    ],
)
def test_options_that_do_not_go_together(options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        dataset_of(PAIRS, valid_fraction=0, **options)


def test_columns_that_are_not_there():
    with pytest.raises(DataError, match=r"no column 'year:number' .*its columns are .*, and kinds categorical, "):
        read(item_feature_columns=("year:number",))
    with pytest.raises(DataError, match="'item' is the column of raw ids"):
        read(item_feature_columns=("item",))
    with pytest.raises(DataError, match="no feature is named 'yaer'; there are title"):
        read().column("yaer")


def test_columns_are_written_with_kinds_and_separators():
    assert wanted_columns(("a", "b:numeric", "c:d:multi_hot::", "e:multi_hot:||"), "k") == (
        Wanted("a"),
        Wanted("b", "numeric"),
        Wanted("c:d", "multi_hot", ":"),
        Wanted("e", "multi_hot", "||"),
    )


def test_the_digest_depends_on_features_only_where_there_are_any():
    plain, same = dataset_of(PAIRS, valid_fraction=0), dataset_of(PAIRS, valid_fraction=0, item_features=ITEMS)
    digests = {plain.sha256(), same.sha256()}
    assert same._replace(item_features=None).sha256() == plain.sha256()
    digests.add(same._replace(item_features=None, user_features=same.item_features).sha256())
    for change in (
        pl.col("title").replace("Ann", "Anne"),
        pl.col("year") + 1,
        pl.col("genres").replace("drama|war", "war|drama"),
        pl.col("year").alias("Year"),
        pl.when(pl.col("item") == "c").then(pl.lit([1.0, 3.0])).otherwise(pl.col("point")).alias("point"),
    ):
        changed = ITEMS.with_columns(change)
        digests.add(dataset_of(PAIRS, valid_fraction=0, item_features=changed).sha256())
    assert len(digests) == 8


def equal(one: Features | None, other: Features | None) -> bool:
    if one is None or other is None:
        return one is other
    types = [[feature.values.dtype, feature.vocabulary.dtype] for feature in one.columns]
    same_types = types == [[feature.values.dtype, feature.vocabulary.dtype] for feature in other.columns]
    return list(one.pieces()) == list(other.pieces()) and same_types


def test_a_workdir_keeps_features_to_the_bit(tmp_path):
    users = {"user": ["w", "u"], "odd 名\n": ["a\0b", "ü"]}
    dataset = dataset_of(PAIRS, valid_fraction=0, item_features=ITEMS, user_features=users)
    save_dataset(tmp_path / "dataset.npz", dataset, dataset.sha256())
    saved = load_dataset(tmp_path / "dataset.npz")
    assert equal(saved.item_features, dataset.item_features) and equal(saved.user_features, dataset.user_features)
    plain = dataset_of(PAIRS, valid_fraction=0)
    save_dataset(tmp_path / "plain.npz", plain, plain.sha256())
    assert load_dataset(tmp_path / "plain.npz").item_features is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda arrays: {"item_features_0_values": arrays["item_features_0_values"] + 5},
        lambda arrays: {"item_features_0_values": arrays["item_features_0_values"][:-1]},
        lambda arrays: {"item_features_1_indptr": arrays["item_features_1_indptr"][::-1]},
        lambda arrays: {"item_features_4_values": arrays["item_features_4_values"][:, 0]},
    ],
)
def test_damaged_features_of_a_workdir_are_refused(tmp_path, damage):
    path = tmp_path / "dataset.npz"
    dataset = dataset_of(PAIRS, valid_fraction=0, item_features=ITEMS)
    save_dataset(path, dataset, dataset.sha256())
    arrays = dict(np.load(path))
    np.savez(path, **{**arrays, **damage(arrays)})
    with pytest.raises(DataError, match="damaged"):
        load_dataset(path)


def test_numbers_are_standardised():
    values = np.array([1.0, np.nan, 3.0, 5.0, 7.0])
    np.testing.assert_allclose(standardised(values), np.array([-3, 0, -1, 1, 3]) / np.sqrt(5), rtol=1e-6)
    for constant in ([2.0, 2.0, np.nan], [np.nan, np.nan]):
        assert standardised(np.array(constant)).tolist() == [0.0] * len(constant)
    moments = 1.6e9 + np.arange(4.0)  # seconds, which float32 does not tell apart
    np.testing.assert_allclose(standardised(moments), standardised(np.arange(4.0)), atol=1e-6)
    assert np.isfinite(standardised(np.array([1e300, -1e300]))).all()


def test_features_on_the_device():
    features = read().to_device()
    assert features.categorical["title"].tolist() == [0, 2, 1] and dict(features.sizes)["title"] == 2
    assert features.categorical["title"].dtype == features.multi_hot["genres"].values.dtype == jnp.int32
    assert features.numeric["year"].tolist() == [1.0, 0.0, -1.0] and features.numeric["year"].dtype == jnp.float32
    assert features.vector["point"].tolist() == [[3.0, -4.0], [0.0, 0.0], [1.0, 2.0]]
    assert {name: there.tolist() for name, there in features.missing.items()} == {
        "year": [False, True, False],
        "point": [False, True, False],
    }
    assert len(jax.tree.leaves(features)) == 8 and hash(jax.tree.structure(features))


def test_sets_of_some_rows_on_the_device():
    features = read(pl.DataFrame({"item": ["a", "b", "c"], "g": [["x"], [], ["z", "x", "y"]]})).to_device()
    values, there = jax.jit(lambda f, ids: f.multi_hot["g"].rows(ids))(features, jnp.array([2, 1, 0, 2]))
    assert there.tolist() == [[True] * 3, [False] * 3, [True, False, False], [True] * 3]
    assert values.tolist() == [[2, 0, 1], [0, 0, 0], [0, 0, 0], [2, 0, 1]]
    empty = read(pl.DataFrame({"item": ["a"], "g": pl.Series([[]], dtype=pl.List(pl.String))})).to_device()
    values, there = empty.multi_hot["g"].rows(jnp.array([0, 2]))
    assert not there.any() and values.shape == (2, 1)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)


@given(st.lists(st.tuples(TEXT, st.lists(TEXT, max_size=4), st.floats(allow_infinity=False)), min_size=3, max_size=3))
def test_any_text_and_number_comes_back(rows):
    titles, lists, numbers = zip(*rows, strict=True)
    frame = pl.DataFrame(
        {
            "item": ["b", "c", "a"],
            "t": pl.Series(titles, dtype=pl.String),
            "g": pl.Series(lists, dtype=pl.List(pl.String)),
            "n": pl.Series(numbers, dtype=pl.Float64),
        }
    )
    title, genres, number = read(frame, item_feature_columns=("t:categorical", "g", "n")).columns
    order = [2, 0, 1]
    names = [str(title.vocabulary[code]) if code >= 0 else "" for code in title.values]
    assert names == [titles[row] for row in order]
    once = [list(dict.fromkeys(filter(None, lists[row]))) for row in order]
    assert [[str(value) for value in row] for row in sets(genres)] == once
    assert np.array_equal(number.values, [numbers[row] for row in order], equal_nan=True)
