"""Files of features: formats, headers that name kinds, and the line of what cannot be used."""

import bz2
import gzip
from typing import Any

import numpy as np
import polars as pl
import pytest

from cml_jax.data.features import Features
from cml_jax.data.sources import dataset_of
from cml_jax.errors import DataError

PAIRS = {"user": ["u", "v", "w"], "item": ["a", "b", "c"]}
FRAME = pl.DataFrame(
    {"item": ["b", "a"], "title": ['Bea, or "B"', "007"], "year": [1990, 2000], "genres": ["x|y", "y"]}
)


def read(path, **options) -> Features:
    found = dataset_of(PAIRS, valid_fraction=0, item_features=path, **options).item_features
    assert found is not None
    return found


def write_npz(path):
    columns: dict[str, Any] = {name: np.array(FRAME[name].to_list()) for name in FRAME.columns}
    np.savez(path, **columns)


WRITERS = {
    "f.csv": FRAME.write_csv,
    "f.tsv": lambda path: FRAME.write_csv(path, separator="\t", quote_style="never"),
    "f.txt": lambda path: FRAME.write_csv(path, separator=";"),
    "f.csv.bz2": lambda path: path.write_bytes(bz2.compress(FRAME.write_csv(separator=";").encode())),
    "f.CSV.gz": lambda path: path.write_bytes(gzip.compress(FRAME.write_csv().encode())),
    "f.parquet": FRAME.write_parquet,
    "f.jsonl": FRAME.write_ndjson,
    "f.npz": write_npz,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_features(tmp_path, name):
    WRITERS[name](tmp_path / name)
    assert list(read(tmp_path / name).pieces()) == list(read(FRAME).pieces())
    title, year, genres = read(str(tmp_path / name)).columns
    assert title.vocabulary[title.values[:2]].tolist() == ["007", 'Bea, or "B"']
    assert (year.kind, genres.kind) == ("numeric", "multi_hot") and np.isnan(year.values[2])


def test_files_of_recbole_name_kinds_in_their_header(tmp_path):
    path = tmp_path / "x.item"
    path.write_text(
        "item_id:token\ttitle:token_seq\tyear:token\tprice:float\tpoint:float_seq\n"
        'b\tA "Big" Big Day\t1990\t2.5\t0.5 1\n'
        "a\t\t1991\t\t2 -3\n"
    )
    title, year, price, point = read(path).columns
    assert [f.name for f in (title, year, price, point)] == ["title", "year", "price", "point"]
    assert [f.kind for f in (title, year, price, point)] == ["multi_hot", "categorical", "numeric", "vector"]
    assert title.vocabulary[title.values].tolist() == ["A", '"Big"', "Big", "Day"]
    assert title.indptr is not None and title.indptr.tolist() == [0, 0, 4, 4]
    assert year.vocabulary[year.values[:2]].tolist() == [1991, 1990]
    assert np.array_equal(price.values, [np.nan, 2.5, np.nan], equal_nan=True)
    assert point.values[:2].tolist() == [[2, -3], [0.5, 1]]
    chosen = read(path, item_feature_columns=("year:numeric", "title:categorical", "point:vector")).columns
    assert chosen[0].values[:2].tolist() == [1991, 1990] and chosen[1].vocabulary.tolist() == ['A "Big" Big Day']
    assert chosen[2].values[1].tolist() == [0.5, 1]


def test_text_without_a_header_and_in_another_encoding_has_numbered_columns(tmp_path):
    path = tmp_path / "u.item"
    path.write_bytes("1|Café (1995)|01-Jan-1995|0|1\n2|Rouge|02-Feb-1996|1|0\n".encode("latin-1"))
    dataset = dataset_of({"user": [0, 1], "item": [2, 1]}, valid_fraction=0, item_features=path)
    assert dataset.item_features is not None
    assert dataset.item_features.names == ("2", "3", "4", "5")
    title = dataset.item_features.column("2")
    assert title.vocabulary[title.values].tolist() == ["Café (1995)", "Rouge"]
    assert dataset.item_features.column("4").values.tolist() == [0, 1]
    assert any("u.item: separator '|', no header, encoding latin-1" in note for note in dataset.notes)
    swapped = dataset_of({"user": [0], "item": ["Rouge"]}, valid_fraction=0, item_features=path, item_feature_id="2")
    assert swapped.item_features is not None and swapped.item_features.column("1").values.tolist() == [2]


def test_text_that_is_not_utf8_far_from_its_beginning(tmp_path):
    path = tmp_path / "f.csv"
    lines = ["item,y", *(f"x{number},plain" for number in range(40_000)), "a,Café", ""]
    path.write_bytes("\n".join(lines).encode("latin-1"))
    (column,) = read(path).columns
    assert column.vocabulary.tolist() == ["Café"]


def test_users_of_recbole(tmp_path):
    path = tmp_path / "x.user"
    path.write_text("user_id:token\tage:float\nw\t3\nu\t1\n")
    dataset = dataset_of(PAIRS, valid_fraction=0, user_features=path)
    assert dataset.user_features is not None
    assert np.array_equal(dataset.user_features.columns[0].values, [1, np.nan, 3], equal_nan=True)


def test_the_column_of_raw_ids_is_that_of_the_interactions_or_a_chosen_one(tmp_path):
    pairs = {"user": PAIRS["user"], "sku": PAIRS["item"]}
    frame = FRAME.rename({"item": "sku"}).with_columns(ean=pl.Series(["c", "b"]))
    frame.write_csv(tmp_path / "f.csv")

    def years(**options):
        dataset = dataset_of(pairs, valid_fraction=0, item_column="sku", item_features=tmp_path / "f.csv", **options)
        assert dataset.item_features is not None
        return dataset.item_features.column("year").values.tolist()[1:]

    np.testing.assert_array_equal(years(), [1990, np.nan])
    np.testing.assert_array_equal(years(item_feature_id="ean"), [2000, 1990])


def test_vectors_of_npy_belong_to_row_numbers(tmp_path):
    np.save(tmp_path / "clip.npy", np.arange(8, dtype=np.float16).reshape(4, 2))
    dataset = dataset_of({"user": [0, 1], "item": [3, 1]}, valid_fraction=0, item_features=tmp_path / "clip.npy")
    assert dataset.item_features is not None
    (vector,) = dataset.item_features.columns
    assert (vector.name, vector.values.tolist()) == ("clip", [[2, 3], [6, 7]])
    np.savez(tmp_path / "more.npz", item=[1, 3], clip=np.ones((2, 3)), age=[1.5, np.nan])
    dataset = dataset_of({"user": [0, 1], "item": [3, 1]}, valid_fraction=0, item_features=tmp_path / "more.npz")
    assert dataset.item_features is not None
    clip, age = dataset.item_features.columns
    assert clip.values.shape == (2, 3) and np.array_equal(age.values, [1.5, np.nan], equal_nan=True)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("f.doc", b"item,a\n", "does not tell the format of features; name it .csv, .tsv"),
        ("f.parquet.gz", b"x", "does not tell the format"),
        ("f.csv", b"", "the file is empty"),
        ("f.csv", b"item,y\na,1\nb,1,2\n", "f.csv, line 3: has 3 fields, not 2"),
        ("f.csv", b'item,y\na,"1\nb,2\n', "f.csv, line 2: a quote opens"),
        ("f.csv", b"item,y\n\na,1\n,2\n", "f.csv, line 4: column 'item' is empty"),
        ("f.csv", b"item,y\n\na,1\na,2\n", "f.csv, line 4: item a has other features than on line 3"),
        ("f.parquet", b"PAR1 but damaged", "f.parquet: cannot be read as Parquet"),
        ("f.jsonl", b"item\n", "f.jsonl: cannot be read as JSON lines"),
        ("f.npz", b"PK\x03\x04", "f.npz: cannot be read"),
        ("f.item", b"item_id:token\ty:float\ty:token\na\t1\t2\n", "two columns 'y'"),
        ("f.item", b"item_id:token\ty:float\na\tsoon\n", "f.item, line 2: column 'y' = 'soon' is not a finite number"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=sentence):
        read(tmp_path / name)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"f\.csv: no such file; give it with dataset\.item_features"):
        read(tmp_path / "f.csv")
    with pytest.raises(DataError, match="is of type int; give a data frame"):
        read(7)
    np.save(tmp_path / "one.npy", np.arange(3))
    with pytest.raises(DataError, match=r"has shape \(3,\); a vector an item makes two axes"):
        read(tmp_path / "one.npy")
    np.savez(tmp_path / "two.npz", item=[1, 2], y=[1, 2, 3])
    with pytest.raises(DataError, match=r"equal numbers of rows, but have 'item' 2, 'y' 3"):
        read(tmp_path / "two.npz")
