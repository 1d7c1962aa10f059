import datetime
import gzip
import os
import subprocess
import sys
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from cml_jax.data import datasets
from cml_jax.data.interactions import from_pairs
from cml_jax.data.sources import dataset_of, known_pairs
from cml_jax.errors import ConfigError, DataError
from tests.data.test_readers import ECHONEST, FRAME, MOVIELENS, NAMES, raw_pairs, write

WHO, WHAT = FRAME["who"].to_list(), FRAME["what"].to_list()
PAIRS = sorted(set(zip(WHO, WHAT, strict=True)))


class Exported:
    """An object of which nothing is known but the Arrow PyCapsule interface."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


FRAMES = {
    "pandas": lambda: FRAME_OF_PANDAS.copy(),
    "pandas of categories": lambda: FRAME_OF_PANDAS.astype({"who": "category", "what": "category"}),
    "pandas of pyarrow": lambda: FRAME_OF_PANDAS.convert_dtypes(dtype_backend="pyarrow"),
    "pandas of objects": lambda: FRAME_OF_PANDAS.astype(object),
    "polars": lambda: FRAME,
    "polars, lazy": lambda: FRAME.lazy().with_columns(more=1),
    "polars of categories": lambda: FRAME.with_columns(pl.col("who", "what").cast(pl.Categorical)),
    "Arrow table": lambda: FRAME.to_arrow(),
    "Arrow batch": lambda: FRAME.to_arrow().combine_chunks().to_batches()[0],
    "Arrow capsule": lambda: Exported(FRAME.to_arrow()),
    "Arrow dictionaries": lambda: pa.table(
        {n: c.dictionary_encode() if n in ("who", "what") else c for n, c in arrow_columns().items()}
    ),
    "dict of lists": lambda: FRAME.to_dict(as_series=False),
    "dict of arrays": lambda: {name: np.array(FRAME[name].to_list()) for name in FRAME.columns},
    "dict of all kinds": lambda: {
        "who": pd.Series(WHO, index=range(9, 0, -1)),
        "what": FRAME["what"],
        "stars": FRAME["stars"].to_list(),
        "when": pa.array(FRAME["when"].to_list()),
    },
}
FRAME_OF_PANDAS = pd.DataFrame(FRAME.to_dict(as_series=False), index=range(100, 109))


def arrow_columns():
    table = FRAME.to_arrow()
    return {name: table[name].cast(pa.string()) if name in ("who", "what") else table[name] for name in FRAME.columns}


@pytest.mark.parametrize("kind", FRAMES)
@pytest.mark.parametrize(
    "options",
    [
        {"split": "all", "valid_fraction": 0.0},
        {"split": "all", "valid_fraction": 0.4},
        {"split": "leave_one_out", "time_column": "when"},
        {"rating_column": "stars", "min_rating": 3.0, "time_column": "when", "split": "temporal_global"},
    ],
    ids=["all", "carved", "leave one out", "by time"],
)
def test_data_in_memory_are_those_of_the_file(tmp_path, kind, options):
    FRAME.write_csv(tmp_path / "rows.csv")
    read = datasets.load("mine", str(tmp_path / "rows.csv"), "csv", **NAMES, **options)
    held = dataset_of(FRAMES[kind](), **NAMES, **options)
    assert held.sha256() == read.sha256() == dataset_of(FRAMES[kind](), **NAMES, **options).sha256()
    assert raw_pairs(held) == raw_pairs(read) and held.notes == read.notes
    by_path = dataset_of(tmp_path / "rows.csv", **NAMES, **options)
    assert by_path.sha256() == read.sha256() and f"{tmp_path / 'rows.csv'}: read as csv, by its name." in by_path.notes


def test_by_default_every_pair_is_for_training_but_a_tenth_of_each_users():
    pairs = {"user": np.repeat(np.arange(3), 10), "item": np.tile(np.arange(10), 3)}
    dataset = dataset_of(pairs)
    assert dataset.train.degrees.tolist() == [9, 9, 9] and dataset.valid.degrees.tolist() == [1, 1, 1]
    assert dataset.test.num_pairs == 0
    assert dataset_of(pairs, valid_fraction=0).train.num_pairs == 30
    with pytest.raises(DataError, match=r"data: no user has enough training items .*, or set it to 0 to do without"):
        dataset_of(([1, 2], [3, 4]))


def test_a_tuple_is_of_users_items_ratings_and_times():
    columns = (FRAME["who"], FRAME_OF_PANDAS["what"], FRAME["stars"].to_numpy(), FRAME["when"].to_list())
    plain = dataset_of(columns[:2], valid_fraction=0)
    assert raw_pairs(plain) == PAIRS and plain.notes == ("Dropped 1 repeated pairs.", *plain.notes[1:])
    rated = dataset_of(columns, rating_column="rating", min_rating=3.0, valid_fraction=0)
    assert len(raw_pairs(rated)) == 6
    assert "data: not used are time, since no option names them." in rated.notes
    timed = dataset_of(columns, time_column="time", split="leave_one_out")
    assert raw_pairs(timed, "test") == [("007", "x"), ("7", "y,z")]
    assert "data: not used are rating, since no option names them." in timed.notes


def test_matrices_and_interactions_have_row_numbers_for_ids(tmp_path):
    entries = ([2.0, 3.0, 9.0, 0.0, 1.0], ([0, 0, 2, 2, 2], [1, 1, 4, 0, 1]))
    matrix = scipy.sparse.coo_array(entries, shape=(4, 6))
    scipy.sparse.save_npz(tmp_path / "m.npz", matrix)
    for data in (
        matrix,
        scipy.sparse.coo_matrix(entries, shape=(4, 6)),
        matrix.tocsr(),
        matrix.tocsc(),
        matrix.tolil(),
    ):
        before = data.copy().toarray()
        dataset = dataset_of(data, valid_fraction=0)
        assert raw_pairs(dataset) == [(0, 1), (2, 1), (2, 4)]
        assert raw_pairs(dataset_of(data, min_rating=5, valid_fraction=0)) == [(0, 1), (2, 4)]
        np.testing.assert_array_equal(data.toarray(), before)
        assert dataset.sha256() == dataset_of(str(tmp_path / "m.npz"), valid_fraction=0).sha256()
    assert matrix.nnz == 5, "the caller's matrix still has each place twice"
    same = dataset_of(from_pairs(np.array([0, 2, 2]), np.array([1, 1, 4]), 4, 6), valid_fraction=0)
    assert same.sha256() == dataset.sha256()


IDS = {
    "int": (st.integers(-(2**63), 2**63 - 1), int),
    "small int": (st.integers(0, 30), int),
    "large int": (st.integers(0, 2**64 - 1), int),
    "str": (st.text(st.characters(codec="utf-8"), min_size=1, max_size=5), str),
    "digits": (st.integers(0, 120).map(str), str),
}
HOLDERS = {
    "pandas": lambda users, items: pd.DataFrame({"user": users, "item": items}),
    "polars": lambda users, items: pl.DataFrame({"user": users, "item": items}),
    "pyarrow": lambda users, items: pl.DataFrame({"user": users, "item": items}).to_arrow(),
    "objects": lambda users, items: (np.array(users, object), np.array(items, object)),
    "lists": lambda users, items: {"user": users, "item": items},
    "categories": lambda users, items: pd.DataFrame({"user": users, "item": items}).astype("category"),
}


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("kind", IDS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_ids_come_back_as_they_are(kind, holder, data):
    ids, type_of = IDS[kind]
    pairs = data.draw(st.lists(st.tuples(ids, ids), min_size=1, max_size=12))
    users, items = (list(column) for column in zip(*pairs, strict=True))
    dataset = dataset_of(HOLDERS[holder](users, items), valid_fraction=0)
    assert raw_pairs(dataset) == sorted(set(pairs))
    assert {type(value) for value in (*dataset.user_ids.tolist(), *dataset.item_ids.tolist())} == {type_of}
    found, notes = known_pairs(HOLDERS[holder](users, items), dataset.user_ids, dataset.item_ids)
    np.testing.assert_array_equal(found.items, dataset.train.items)
    np.testing.assert_array_equal(found.indptr, dataset.train.indptr)
    assert not any("not in training" in note for note in notes)


def test_ids_that_are_read_as_something_else_are_said():
    name = uuid.UUID(int=7)
    dataset = dataset_of({"user": [name, name], "item": pd.Series([3.0, 4.0])}, valid_fraction=0)
    assert dataset.user_ids.tolist() == [str(name)] and dataset.item_ids.tolist() == [3, 4]
    assert dataset.item_ids.dtype.kind == "i"
    assert dataset.notes[:2] == (
        "data: the ids of column 'user' are UUIDs; their text is the raw id.",
        "data: the ids of column 'item' are whole numbers of type Float64; they are read as integers.",
    )
    held = dataset_of(pl.DataFrame({"user": pl.Series([name], dtype=pl.Object), "item": [1]}), valid_fraction=0)
    assert held.user_ids.tolist() == [str(name)]


BAD = [
    (pd.DataFrame({"user": [1.0, None], "item": [2, 3]}), r"data, row 2: column 'user' is empty; correct or remove it"),
    (pd.DataFrame({"user": ["a", None], "item": [2, 3]}), r"data, row 2: column 'user' is empty"),
    (pd.DataFrame({"user": [1, 2], "item": [2, 3.5]}), r"data, row 2: column 'item' = 3\.5 is no id; ids must be"),
    (pd.DataFrame({"who": [1], "item": [2]}), r"data: no column 'user'; the columns are 'who, item', name it by user="),
    (pd.DataFrame([[1, 2, 3]], columns=["user", "user", "item"]), r"data: has two columns 'user' \(user=\)"),
    (pd.DataFrame({"user": [1, "1"], "item": [2, 3]}), r"column 'user' holds values of the types int and str; make"),
    (pd.DataFrame({"user": [True, False], "item": [2, 3]}), r"column 'user' \(user=\) is of type Boolean; ids must be"),
    (pd.DataFrame({"user": pd.Categorical(["a", None]), "item": [2, 3]}), r"row 2: column 'user' is empty"),
    (pd.DataFrame({"user": pd.array([1, None], "Int64"), "item": [2, 3]}), r"row 2: column 'user' is empty"),
    (pl.DataFrame({"user": [1, 2], "item": ["a", ""]}), r"data, row 2: column 'item' is empty"),
    (pl.DataFrame({"user": [1], "item": [[2]]}), r"column 'item' \(item=\) is of type List\(Int64\); ids must be"),
    (pl.DataFrame({"user": [], "item": []}), r"data: no pairs are left; check the data"),
    (pl.DataFrame({"user": [2**53 * 1.0], "item": [1]}), r"row 1: column 'user' = .* is no id"),
    (pl.DataFrame({"user": [float("inf")], "item": [1]}), r"row 1: column 'user' = inf is no id"),
    (pl.LazyFrame({"user": ["a"], "item": [1]}).with_columns(pl.col("user").cast(pl.Int64)), r"cannot be collected \("),
    (pl.LazyFrame({"user": [1]}), r"no column 'item'; the columns are 'user', name it by item="),
    (pa.table({"user": [b"a"], "item": [1]}), r"column 'user' \(user=\) is of type Binary; ids must be"),
    (pa.table({"user": [1, None], "item": [1, 2]}), r"row 2: column 'user' is empty"),
    (pa.table({"user": [1]}), r"no column 'item'"),
    (pa.array([1, 2]), r"data: cannot be read as an Arrow table \("),
    ({"user": [1, 2], "item": [1]}, r"columns must be equally long, but 'user' has 2, 'item' has 1 values"),
    ({"user": [2**64], "item": [1]}, r"column 'user' holds integers of more than 64 bits; make them text"),
    ({"user": "ab", "item": [1, 2]}, r"column 'user' is of type str; give a series, an array or a list"),
    ({"user": [1, True], "item": [1, 2]}, r"types bool and int"),
    ({"user": np.ones((2, 2)), "item": [1, 2]}, r"column 'user' has shape \(2, 2\); a column has one axis"),
    ({"user": np.ma.masked_equal([1, 2], 2), "item": [1, 2]}, r"row 2: column 'user' is empty"),
    ({"user": np.array([b"a"]), "item": [1]}, r"is of type Binary"),
    ({"user": [datetime.date(2020, 1, 1)], "item": [1]}, r"is of type Date; ids must be"),
    (([1, 2],), r"data: a tuple of 1; give two to four columns, user, item, rating, time"),
    ((1, 2), r"column 'user' is of type int; give a series"),
    ([(1, 2), (3, 4)], r"data: is of type list; give a pandas or Polars DataFrame, .* or Interactions"),
    (np.ones((3, 2)), r"data: is of type ndarray; give"),
    (pd.Series([1]), r"data: is of type Series; give"),
    (None, r"data: is of type NoneType; give"),
    (scipy.sparse.coo_array(np.ones(3)), r"data: has 1 dimension\(s\); the matrix must be users x items"),
    (scipy.sparse.csr_array([[np.inf, 1.0]]), r"data: holds values that are not finite numbers"),
    (scipy.sparse.csr_array((3, 4)), r"data: no pairs are left"),
    ("no/such/file.csv", r"file\.csv: no such file or folder"),
]


@pytest.mark.parametrize(("data", "sentence"), BAD, ids=[s for _, s in BAD])
def test_bad_data_are_refused_with_column_and_row(data, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        dataset_of(data)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_matrix_whose_indices_are_wrong_is_refused():
    matrix = scipy.sparse.csr_array(np.eye(3))
    matrix.indices[1] = 7
    with pytest.raises(DataError, match=r"data: not a consistent sparse matrix \("):
        dataset_of(matrix)


def test_options_that_do_not_fit_the_data_are_refused():
    matrix, pairs = scipy.sparse.csr_array(np.eye(3)), ([1, 2, 1], [1, 2, 2])
    interactions = from_pairs(np.arange(3), np.arange(3), 3, 3)
    for data, options, sentence in (
        (matrix, {"user_column": "u"}, r"user_column = 'u' does not fit a sparse matrix: it has no columns to name"),
        (interactions, {"time_column": "t"}, r"time_column = 't' does not fit Interactions"),
        (interactions, {"min_rating": 2}, r"min_rating = 2 does not fit Interactions: it has none"),
        (pairs, {"min_rating": 2}, r"rating_column and dataset\.min_rating go together"),
        (pairs, {"user_column": "item"}, r"are both 'item'"),
        (pairs, {"split": "all", "split_ratio": (8, 1, 1)}, r"split_ratio has no effect with dataset\.split = 'all'"),
        (pairs, {"split": "some"}, r"dataset\.split = 'some' is unknown; choose one of all, given"),
        (pairs, {"split": "ratio", "valid": pairs}, r"dataset\.split = 'ratio' does not go with valid"),
        (pairs, {"valid_fraction": 0.2, "valid": pairs}, r"valid_fraction = 0\.2 has no effect where validation pairs"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            dataset_of(data, **options)
    with pytest.raises(TypeError, match="colum"):
        dataset_of(pairs, user_colum="u")
    for options, sentence in (
        ({"split": "temporal_user"}, r"data: dataset\.split = 'temporal_user' needs times"),
        ({"split": "given"}, r"data: dataset\.split = 'given' needs files for each part"),
    ):
        with pytest.raises(DataError, match=sentence):
            dataset_of(pairs, **options)


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_times_of_every_kind_order_the_pairs(zone):
    moments = pd.Series(
        pd.to_datetime(["2020-01-05 10:00", "2020-01-05 09:00", "2020-01-05 09:30", "2020-01-05 09:59"])
    )
    moments = moments.dt.tz_localize(zone)
    kinds = [
        moments,
        moments.astype(object),
        moments.astype("datetime64[s]" if zone is None else f"datetime64[s, {zone}]"),
        pl.Series(moments.to_list()),
        pa.array(moments.to_list()),
        moments.to_list(),
        [5, 1, 2, 4],
        np.array([0.5, 0.1, 0.2, 0.4]),
        pd.array([5, 1, 2, 4], "Int64"),
        np.array(["2020-01-05", "2020-01-01", "2020-01-02", "2020-01-04"], "datetime64[D]"),
        ["2020-01-05T10:00:00", "2020-01-05T09:00:00", "2020-01-05T09:30:00", "2020-01-05T09:59:59"],
    ]
    for times in kinds:
        data = {"user": [7] * 4, "item": ["d", "a", "b", "c"], "t": times}
        dataset = dataset_of(data, time_column="t", split="temporal_user", split_ratio=(2, 1, 1))
        parts = [[item for _, item in raw_pairs(dataset, part)] for part in ("train", "valid", "test")]
        assert parts == [["a", "b"], ["c"], ["d"]], type(times)


def test_moments_of_several_zones_are_compared_at_one_moment():
    offset = datetime.timezone(datetime.timedelta(hours=2))
    times = pd.Series(
        [pd.Timestamp("2020-01-05T10:00Z"), pd.Timestamp("2020-01-05T11:30").tz_localize(offset)],
        dtype="datetime64[us, UTC]",
    )
    data = pd.DataFrame({"user": 1, "item": ["late", "early"], "t": times})
    dataset = dataset_of(data, time_column="t", split="temporal_user", split_ratio=(1, 0, 1), valid_fraction=0)
    assert raw_pairs(dataset, "test") == [(1, "late")]


@pytest.mark.parametrize(
    ("column", "values", "sentence"),
    [
        ("t", [1, None], r"data, row 2: column 't' is empty"),
        ("t", pd.to_datetime(pd.Series(["2020-01-01", None])), r"data, row 2: column 't' is empty"),
        ("t", ["2020-01-01", "soon"], r"data, row 2: column 't' = 'soon' is not a time like the first"),
        ("t", [True, False], r"column 't' \(time=\) is of type Boolean, not of numbers"),
        ("r", [5.0, np.inf], r"data, row 2: column 'r' = 'inf' is not a finite number"),
        ("r", ["5", "many"], r"data, row 2: column 'r' = 'many' is not a finite number"),
        ("r", [[5], [4]], r"column 'r' \(rating=\) is of type List"),
        ("r", [uuid.UUID(int=1)] * 2, r"column 'r' \(rating=\) is of type Object"),
    ],
)
def test_bad_times_and_ratings_are_named(column, values, sentence):
    data = {"user": [1, 2], "item": [1, 2], column: values}
    with pytest.raises(DataError, match=sentence):
        dataset_of(data, **({"time_column": "t"} if column == "t" else {"rating_column": "r", "min_rating": 1}))


def test_names_of_columns_need_not_be_strings():
    data = pd.DataFrame([[1, 2], [1, 3]])
    assert raw_pairs(dataset_of(data, user_column="0", item_column="1", valid_fraction=0)) == [(1, 2), (1, 3)]


def test_validation_pairs_of_their_own_are_known_ones():
    data = pl.DataFrame({"user": ["b", "a", "a"], "item": [1, 2, 3]})
    valid = pd.DataFrame({"user": ["a", "a", "b", "c", "c", "a"], "item": [1, 1, 9, 1, 2, 8]})
    dataset = dataset_of(data, valid=valid)
    assert raw_pairs(dataset, "train") == [("a", 2), ("a", 3), ("b", 1)] and raw_pairs(dataset, "valid") == [("a", 1)]
    assert dataset.notes[-3:] == (
        "Dropped 1 repeated pairs.",
        "valid: dropped 2 pairs of 1 users that are not in training.",
        "valid: dropped 2 pairs of 2 items that are not in training.",
    )
    for bad, sentence in (
        (
            (["b", "a", "b"], [2, 2, 1]),
            r"valid: item 2 of user a is also in .* \(as are 1 more pairs\); keep each in one",
        ),
        ((["z"], [1]), r"valid: no pair is of a user and an item that are in training; check the ids"),
        ({"who": ["a"]}, r"valid: no column 'user'"),
    ):
        with pytest.raises(DataError, match=sentence):
            dataset_of(data, valid=bad)


def test_validation_goes_by_the_same_columns_and_least_rating():
    columns: dict = {"user_column": "u", "item_column": "i", "rating_column": "r", "min_rating": 3, "time_column": "t"}
    data = {"u": [1, 1, 2], "i": [1, 2, 3], "r": [5, 5, 5], "t": [1, 2, 3]}
    dataset = dataset_of(data, valid={"u": [1, 2], "i": [3, 1], "r": [5, 2]}, **columns)
    assert raw_pairs(dataset, "valid") == [(1, 3)]
    assert "Kept 1 of 2 pairs whose r is at least 3." in dataset.notes


def test_known_pairs_are_counted():
    pairs, notes = known_pairs(
        (["7", "8", "7", "9"], ["x", "x", "x", "y"]), np.array([7, 8]), np.array(["y", "x"], object), label="test data"
    )
    assert pairs.users.tolist() == [0, 1] and pairs.items.tolist() == [1, 1] and pairs.num_items == 2
    assert notes == (
        "Dropped 1 repeated pairs.",
        "test data: dropped 1 pairs of 1 users that are not in training.",
    )
    with pytest.raises(DataError, match="test data: no column 'u'"):
        known_pairs({"user": [1]}, np.array([7]), np.array([7]), label="test data", user_column="u")


FILES = {
    "a.csv": ("user,item\n1,2\n1,3\n", "csv, by its name"),
    "a.CSV": ("user,item\n1,2\n1,3\n", "csv, by its name"),
    "a.tsv": ("user\titem\n1\t2\n1\t3\n", "tsv, by its name"),
    "ratings.csv": (MOVIELENS["ratings.csv"], "movielens, by its name and columns"),
    "ratings.dat": (MOVIELENS["ratings.dat"], "movielens, by its name"),
    "u.data": (MOVIELENS["u.data"], "movielens, by its name"),
    "train_triplets.txt": (ECHONEST, "echonest, by its name"),
}


@pytest.mark.parametrize("name", FILES)
def test_the_format_of_a_file_is_told_by_its_name(tmp_path, name):
    content, said = FILES[name]
    path = write(tmp_path / name, content)
    dataset = dataset_of(path, valid_fraction=0)
    assert f"{path}: read as {said}." in dataset.notes and dataset.test.num_pairs == 0
    format = said.split(",")[0]
    assert dataset.sha256() == datasets.load("x", str(path), format, split="all", valid_fraction=0).sha256()


def test_ratings_csv_of_another_origin_and_compressed_files_are_read(tmp_path):
    path = write(tmp_path / "ratings.csv", "user,item\n1,2\n")
    assert raw_pairs(dataset_of(path, valid_fraction=0)) == [(1, 2)]
    path = write(tmp_path / "ratings.csv", "userId,movieId,x\n1,2,0\n")
    assert raw_pairs(dataset_of(path, user_column="userId", item_column="movieId", valid_fraction=0)) == [(1, 2)]
    path = write(tmp_path / "b.csv.gz", gzip.compress(b"user,item\n1,2\n"))
    assert raw_pairs(dataset_of(str(path), valid_fraction=0)) == [(1, 2)]


@pytest.mark.parametrize("format", ["csv", "tsv", "parquet", "npz"])
def test_a_folder_of_parts_is_split_as_given(tmp_path, format):
    parts = {"train": [(1, 1), (1, 2), (2, 2)], "test": [(2, 1)]}
    for name, rows in parts.items():
        frame = pl.DataFrame(rows, schema=["user", "item"], orient="row")
        path = tmp_path / f"{name}.{format}"
        if format == "npz":
            scipy.sparse.save_npz(path, scipy.sparse.coo_array((np.ones(len(rows)), np.array(rows).T), shape=(3, 3)))
        elif format == "parquet":
            frame.write_parquet(path)
        else:
            frame.write_csv(path, separator="," if format == "csv" else "\t")
    dataset = dataset_of(tmp_path, valid_fraction=0)
    assert raw_pairs(dataset, "train") == parts["train"] and raw_pairs(dataset, "test") == parts["test"]
    assert f"{tmp_path}: read as {format}, since train.{format} is in it." in dataset.notes
    with pytest.raises(DataError, match="valid: comes in parts; give the path of one of the files"):
        dataset_of(([1], [1]), valid=tmp_path)


def test_an_adjacency_folder_with_validation_takes_no_other(tmp_path):
    write(tmp_path / "train.txt", "1 1 2\n2 1\n")
    write(tmp_path / "test.txt", "2 2\n")
    dataset = dataset_of(tmp_path, valid_fraction=0)
    assert (
        raw_pairs(dataset, "test") == [(2, 2)]
        and f"{tmp_path}: read as adjacency, since train.txt is in it." in dataset.notes
    )
    with pytest.raises(DataError, match=r"valid: item 2 of user 2 is also in another part"):
        dataset_of(tmp_path, valid=([2], [2]))
    write(tmp_path / "valid.txt", "1 3\n")
    with pytest.raises(ConfigError, match="valid does not go with data that have a validation part of their own"):
        dataset_of(tmp_path, valid=([2], [2]))


def test_a_path_that_tells_no_format_is_refused(tmp_path):
    for path in (write(tmp_path / "a.out", "1 2\n"), write(tmp_path / "a.npz.gz", b""), write(tmp_path / "csv", "")):
        with pytest.raises(DataError, match=r"its name does not tell the format; name it \.csv, \.tsv"):
            dataset_of(path)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(DataError, match=r"folder: holds none of train\.txt, train\.csv"):
        dataset_of(folder)
    write(folder / "train.csv", "user,item\n")
    write(folder / "train.txt", "1 2\n")
    with pytest.raises(DataError, match=r"folder: holds train\.txt and train\.csv; give the path of one"):
        dataset_of(folder)
    with pytest.raises(DataError, match=r"x: cannot be read \(File name too long\)|no such file"):
        dataset_of("x" * 999)


def test_pandas_and_pyarrow_are_not_imported():
    code = (
        "import sys\n"
        "from cml_jax.data.sources import dataset_of\n"
        "import polars as pl\n"
        "dataset_of(pl.DataFrame({'user': [1, 2], 'item': [1, 2]}), valid_fraction=0)\n"
        "dataset_of(([1, 2], [1, 2]), valid_fraction=0)\n"
        "sys.exit(any(name in sys.modules for name in ('pandas', 'pyarrow')))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("form", ["csv", "txt", "parquet", "jsonl", "polars", "lazy", "pandas", "dict"])
@pytest.mark.parametrize("names", [("user_id", "item_id"), ("userId", "movieId"), ("UID", "item"), ("User ID", "Item")])
def test_columns_of_usual_names_are_read_and_said(tmp_path, form, names):
    frame = pl.DataFrame({"r2019": [9, 9], names[0]: [7, 8], names[1]: [1, 2]})
    path = tmp_path / f"rows.{form}"
    if form in ("csv", "txt"):
        frame.write_csv(path)
    elif form in ("parquet", "jsonl"):
        {"parquet": frame.write_parquet, "jsonl": frame.write_ndjson}[form](path)
    columns = frame.to_dict(as_series=False)
    data = {"polars": frame, "lazy": frame.lazy(), "pandas": pd.DataFrame(columns), "dict": columns}.get(form, path)
    dataset = dataset_of(data, valid_fraction=0.0)
    assert [str(value) for value in (*dataset.user_ids, *dataset.item_ids)] == ["7", "8", "1", "2"]
    said = [note for note in dataset.notes if f"column '{names[0]}' is users" in note]
    assert len(said) == 1 and (f"column '{names[1]}' is items" in said[0]) == (names[1] != "item")


def test_usual_names_are_not_guessed_where_two_may_be_meant():
    both = {"user_id": [7], "uid": [8], "item": [1]}
    with pytest.raises(DataError, match="no column 'user'"):
        dataset_of(both, valid_fraction=0.0)
    assert dataset_of(both, user_column="uid", valid_fraction=0.0).user_ids.tolist() == [8]
    with pytest.raises(DataError, match="no column 'who'"):
        dataset_of({"user_id": [7], "item": [1]}, user_column="who")
    named = dataset_of({"user": [7], "user_id": [8], "item": [1]}, valid_fraction=0.0)
    assert named.user_ids.tolist() == [7] and not any("is users" in note for note in named.notes)


def test_rows_of_ratings_are_not_taken_for_lists_of_items(tmp_path):
    for part in ("train.txt", "test.txt"):
        lines = [
            f"{user}\t{10 * user + item + (part == 'test.txt') * 5}\t5\n" for user in range(6, 9) for item in range(3)
        ]
        (tmp_path / part).write_text("".join(lines))
    with pytest.raises(
        DataError, match=r"train\.txt: each line has 3 values, .*; set dataset\.format = adjacency or text"
    ):
        dataset_of(tmp_path, valid_fraction=0.0)
    dataset = datasets.load("mine", str(tmp_path), "text", valid_fraction=0.0)
    assert dataset.train.num_pairs == dataset.test.num_pairs == 9 and 5 not in dataset.item_ids
    (tmp_path / "lists.txt").write_text("1 2 3\n2 3 4\n")
    notes = dataset_of(tmp_path / "lists.txt", valid_fraction=0.0).notes
    assert any(
        "read as text, by its name; if its lines are a user and items, set dataset.format=adj" in n for n in notes
    )


@pytest.mark.parametrize("format", [None, "csv"])
def test_pipes_are_named(tmp_path, format):
    os.mkfifo(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"a\.csv: is a pipe or a device"):
        datasets.load("mine", str(tmp_path / "a.csv"), format)
