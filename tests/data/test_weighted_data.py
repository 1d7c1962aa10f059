"""Weights from files and data in memory to training interactions."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse

from cml_jax.data import datasets, saved, tables
from cml_jax.data.interactions import from_pairs, keep_items, keep_users
from cml_jax.data.sources import dataset_of
from cml_jax.errors import ConfigError, DataError
from tests.data.test_readers import ECHONEST, MOVIELENS, write
from tests.data.test_tables import make_table

ROWS = [("b", "x", 2.0, 1), ("a", "x", 0.5, 2), ("b", "x", 1.5, 0), ("a", "y", 8.0, 3), ("b", "z", 1.0, 4)]
FRAME = pl.DataFrame(ROWS, schema=["user", "item", "w", "t"], orient="row")
WEIGHTS = {("a", "x"): 0.5, ("a", "y"): 8.0, ("b", "x"): 3.5, ("b", "z"): 1.0}


def weights_of(dataset):
    train = dataset.train
    ids = zip(dataset.user_ids[train.users].tolist(), dataset.item_ids[train.items].tolist(), strict=True)
    return dict(zip(ids, train.weights.tolist(), strict=True))


@pytest.mark.parametrize("format", ["csv", "tsv", "parquet"])
def test_files_and_frames_of_weights_are_the_same_data(tmp_path, format):
    path = tmp_path / f"rows.{format}"
    if format == "parquet":
        FRAME.write_parquet(path)
    else:
        FRAME.write_csv(path, separator="," if format == "csv" else "\t")
    options: dict = {"weight_column": "w", "split": "all", "valid_fraction": 0.0}
    read = datasets.load("mine", str(path), format, **options)
    assert weights_of(read) == WEIGHTS
    assert "Dropped 1 repeated pairs, their weights added up." in read.notes
    held = dataset_of(pd.DataFrame(FRAME.to_dict(as_series=False)), **options)
    assert held.sha256() == read.sha256() == dataset_of(path, **options).sha256()
    assert held.sha256() != dataset_of(FRAME, valid_fraction=0).sha256()
    by_time = datasets.load("mine", str(path), format, time_column="t", **options)
    assert weights_of(by_time) == WEIGHTS


def test_other_weights_are_other_data_and_none_are_not_part_of_the_digest():
    plain = dataset_of(FRAME, valid_fraction=0)
    digests = {plain.sha256()}
    for column in (pl.col("w"), pl.col("w") + 1, pl.lit(1.0)):
        data = dataset_of(FRAME.with_columns(w=column), weight_column="w", valid_fraction=0)
        digests.add(data.sha256())
        assert data._replace(train=data.train._replace(weights=None)).sha256() == plain.sha256()
    assert len(digests) == 4


def test_only_training_pairs_have_weights_and_keep_their_own():
    users, items = np.repeat(np.arange(6), 10), np.tile(np.arange(10), 6)
    data = {"user": users, "item": items, "w": 1.0 + users + 100 * items}
    for options in ({"split": "ratio"}, {"split": "ratio", "split_ratio": (4, 0, 1)}, {"valid_fraction": 0.3}):
        dataset = dataset_of(data, weight_column="w", **options)
        train = dataset.train
        assert dataset.valid.num_pairs and dataset.valid.weights is None and dataset.test.weights is None
        np.testing.assert_array_equal(train.weights, 1.0 + train.users + 100 * train.items)
    kept = dataset_of(data, weight_column="w", min_user_items=5, valid_fraction=0.0)
    assert kept.train.weights is not None and len(kept.train.weights) == 60


def test_matrices_give_their_values_where_they_are_asked_for(tmp_path):
    matrix = scipy.sparse.coo_array(([2.0, 3.0, 9.0, 0.0], ([0, 0, 2, 2], [1, 1, 4, 0])), shape=(4, 6))
    scipy.sparse.save_npz(tmp_path / "m.npz", matrix)
    options: dict = {"weight_column": "value", "valid_fraction": 0.0}
    held = dataset_of(matrix, **options)
    assert weights_of(held) == {(0, 1): 5.0, (2, 4): 9.0}
    assert dataset_of(tmp_path / "m.npz", **options).sha256() == held.sha256()
    assert weights_of(dataset_of(matrix, min_rating=6, **options)) == {(2, 4): 9.0}
    assert dataset_of(matrix, valid_fraction=0).train.weights is None
    matrix.data[2] = -1
    with pytest.raises(DataError, match=r"data: the value -1 in row 2, column 4 is not a weight, which is a positive"):
        dataset_of(matrix, **options)


def test_interactions_bring_their_weights():
    pairs = from_pairs(np.array([0, 2]), np.array([1, 4]), 4, 6, np.array([2.0, 5.0]))
    assert weights_of(dataset_of(pairs, valid_fraction=0)) == {(0, 1): 2.0, (2, 4): 5.0}
    assert dataset_of(pairs._replace(weights=None), valid_fraction=0).train.weights is None
    with pytest.raises(DataError, match="is not a weight"):
        dataset_of(pairs._replace(weights=np.array([1.0, 0.0], np.float32) - 1), valid_fraction=0)


def test_play_counts_and_ratings_can_be_weights(tmp_path):
    options: dict = {"split": "all", "valid_fraction": 0.0}
    path = write(tmp_path / "train_triplets.txt", ECHONEST)
    played = datasets.load("x", str(path), "echonest", weight_column="play count", **options)
    assert weights_of(played)["u2", "S4"] == 99 and len(played.train.items) == 6
    for name, content in MOVIELENS.items():
        folder = tmp_path / f"folder of {name}"
        folder.mkdir()
        write(folder / name, content)
        rated = dataset_of(folder, weight_column="rating", **options)
        assert weights_of(rated) == {(7, 10): 3.0, (7, 20): 4.0, (7, 30): 5.0}
        assert weights_of(dataset_of(folder / name, weight_column="rating", **options)) == weights_of(rated)


BAD = [
    ([1.0, 0.0], r"row 2: column 'w' = '0\.0' is not a weight, which is a positive number from 1e-30 to 1e30"),
    ([1.0, -2.5], r"row 2: column 'w' = '-2\.5' is not a weight"),
    ([np.inf, 1.0], r"row 1: column 'w' = 'inf' is not a weight"),
    ([1.0, np.nan], r"row 2: column 'w' is empty|row 2: column 'w' = 'NaN'"),
    ([1.0, 1e300], r"row 2: column 'w' = '1e\+300' is not a weight"),
    (["1", "much"], r"row 2: column 'w' = 'much' is not a weight"),
    ([True, True], r"column 'w' \(weight=\) is of type Boolean, not of numbers"),
]


@pytest.mark.parametrize(("weights", "sentence"), BAD, ids=[s for _, s in BAD])
def test_bad_weights_are_named(tmp_path, weights, sentence):
    frame = pl.DataFrame({"user": [1, 2], "item": [1, 2], "w": weights})
    with pytest.raises(DataError, match=f"data.*{sentence}"):
        dataset_of(frame, weight_column="w", valid_fraction=0)


def test_bad_weights_of_files_are_named_with_their_line(tmp_path):
    path = write(tmp_path / "a.csv", "user,item,w\n1,2,1\n1,3,-1\n")
    with pytest.raises(DataError, match=r"a\.csv, line 3: column 'w' = '-1' is not a weight, which is a positive"):
        datasets.load("mine", str(path), "csv", weight_column="w")
    with pytest.raises(DataError, match=r"has no column 'x' \(dataset\.weight_column\)"):
        datasets.load("mine", str(path), "csv", weight_column="x")
    with pytest.raises(DataError, match=r"no column 'x'; the columns are 'user, item, w, t', name it by weight="):
        dataset_of(FRAME, weight_column="x")


def test_weights_that_do_not_fit_the_data_are_refused(tmp_path):
    for name, format, column, sentence in (
        ("x", "npz", "w", r"weight_column = 'w' does not fit dataset\.format = 'npz': its weight can be 'value'"),
        ("x", "adjacency", "w", r"weight_column = 'w' does not fit .* 'adjacency': it has no columns to name"),
        ("x", "echonest", "value", r"'echonest': its weight can be 'play count'"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            datasets.load(name, str(tmp_path), format, weight_column=column)
    with pytest.raises(ConfigError, match="is generated with its split"):
        datasets.load("synthetic", weight_column="w")
    with pytest.raises(ConfigError, match=r"does not fit a sparse matrix: its weight can be 'value'"):
        dataset_of(scipy.sparse.csr_array(np.eye(3)), weight_column="w")


def test_repeated_weights_add_up_in_the_row_that_stays():
    pairs = [(1, 0), (0, 2), (1, 0), (0, 1), (1, 0)]
    weights = np.array([1.0, 2.0, 4.0, 8.0, 16.0])
    table = tables.without_repeats(make_table(pairs)._replace(weights=weights))
    assert table.weights is not None and table.weights.tolist() == [21.0, 2.0, 8.0]
    timed = tables.without_repeats(make_table(pairs, times=[30, 5, 10, 7, 20])._replace(weights=weights))
    assert timed.weights is not None and timed.weights.tolist() == [2.0, 21.0, 8.0]
    kept = table.where(np.array([False, True, True]))
    assert kept.weights is not None and kept.weights.tolist() == [2.0, 8.0]


def test_chosen_users_and_items_keep_their_weights():
    pairs = from_pairs(np.array([0, 0, 1, 2]), np.array([0, 2, 1, 2]), 3, 3, np.array([1.0, 2.0, 3.0, 4.0]))
    users, items = keep_users(pairs, np.array([2, 0])), keep_items(pairs, np.array([1, 2]))
    assert users.weights is not None and users.weights.tolist() == [4.0, 1.0, 2.0]
    assert items.weights is not None and items.weights.tolist() == [2.0, 3.0, 4.0]


def test_weights_are_saved_and_checked(tmp_path):
    dataset = dataset_of(FRAME, weight_column="w", valid_fraction=0)
    saved.save_dataset(tmp_path / "dataset.npz", dataset, dataset.sha256())
    read = saved.load_dataset(tmp_path / "dataset.npz")
    np.testing.assert_array_equal(read.train.weights, dataset.train.weights)
    assert read.train.weights is not None and read.train.weights.dtype == np.float32 and read.valid.weights is None
    for number, weights in enumerate((np.ones(3), [1, 2, -1, 3], [1, np.inf, 1, 1])):
        broken = dataset._replace(train=dataset.train._replace(weights=np.asarray(weights, np.float32)))
        saved.save_dataset(tmp_path / "dataset.npz", broken, str(number))
        with pytest.raises(DataError, match="damaged"):
            saved.load_dataset(tmp_path / "dataset.npz")
