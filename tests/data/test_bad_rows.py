"""Rows that cannot be read, refused or skipped, and the account of them."""

import collections
import io

import hypothesis
import polars as pl
import pytest
from hypothesis import strategies as st

from cml_jax.data import datasets, text_copies
from cml_jax.data.dialects import Dialect
from cml_jax.data.skipped import Skipped
from cml_jax.data.sources import dataset_of
from cml_jax.data.text_lines import TextLayout
from cml_jax.errors import DataError
from tests.data.test_readers import raw_pairs, write

OPTIONS: dict = {"rating_column": "r", "min_rating": 0, "split": "all", "valid_fraction": 0}


def load(path, **options):
    return datasets.load("mine", str(path), **OPTIONS, **options)


GOOD = ['1,"a,b",5', '2,"c\nd",4', "3,e,3"]
BAD = {
    "4,f,5,6": "more than 3 values",
    '"5,g,5': "a quote opens or closes in the wrong place",
    '6,"h"h,5': "a quote opens or closes in the wrong place",
    ",i,5": "'user' is empty",
    "7,,5": "'item' is empty",
    "8,j": "'r' is empty",
    "9,k,many": "'r' is not a finite number",
}


@pytest.mark.parametrize("line", BAD)
@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_bad_row_is_refused_or_skipped_and_named(tmp_path, line, place):
    records = [*GOOD[:place], line, *GOOD[place:]]
    path = write(tmp_path / "a.csv", "\n".join(["user,item,r", *records]) + "\n")
    number = 2 + sum(record.count("\n") + 1 for record in records[:place])
    with pytest.raises(DataError, match=rf"a\.csv, line {number}: "):
        load(path)
    dataset = load(path, bad_rows="skip")
    assert raw_pairs(dataset) == [(1, "a,b"), (2, "c\nd"), (3, "e")]
    assert dataset.notes[0] == f"Skipped 1 bad rows of {path}: 1 where {BAD[line]} (line {number})."
    assert dataset.notes[1] == "Kept 3 of 3 pairs whose r is at least 0."


def test_reasons_are_counted_and_the_first_lines_named(tmp_path):
    lines = ["user,item,r", *["1,a,x"] * 5, "", "2,b,5", "3,c,1,2", "3,c,1"]
    path = write(tmp_path / "a.csv", "\n".join(lines) + "\n")
    dataset = load(path, bad_rows="skip")
    assert dataset.notes[0] == (
        f"Skipped 6 bad rows of {path}: 1 where more than 3 values (line 9); 5 where 'r' is not a finite number "
        f"(line 2, line 3, line 4, ...)."
    )
    assert dataset.notes[1:3] == ("Skipped 1 empty lines.", "Kept 2 of 2 pairs whose r is at least 0.")


def test_bad_rows_of_other_forms_are_skipped(tmp_path):
    lines = '{"user": 1, "item": "a", "r": 5}\n{"user": 1}\nno\n\n{"user": [1], "item": "a", "r": 5}\n'
    dataset = load(write(tmp_path / "a.jsonl", lines), bad_rows="skip")
    assert raw_pairs(dataset) == [(1, "a")]
    assert (
        "1 where the line is no object of JSON (line 3); 1 where 'user' is no string or number (line 5)"
        in (dataset.notes[0])
    )
    assert "1 where 'item' is empty (line 2)" in dataset.notes[0]
    frame = pl.DataFrame({"user": ["1", None, "2"], "item": ["a", "b", "c"], "r": [1.0, 2.0, float("nan")]})
    frame.write_parquet(tmp_path / "a.parquet")
    for source, label in ((frame, "data"), (tmp_path / "a.parquet", str(tmp_path / "a.parquet"))):
        dataset = dataset_of(source, bad_rows="skip", rating_column="r", min_rating=0, valid_fraction=0)
        assert raw_pairs(dataset) == [("1" if label == "data" else 1, "a")]
        said = "1 where 'user' is empty (row 2); 1 where 'r' is not a finite number (row 3)."
        assert f"Skipped 2 bad rows of {label}: {said}" in dataset.notes
    path = write(tmp_path / "a.csv", b"user,item,r\n1,a,5\n\xff\xfe,b,5\n")
    assert "1 where not UTF-8 text (line 3)" in load(path, bad_rows="skip").notes[0]
    path = write(tmp_path / "a.csv", b'user,item,r\n1,a,5\n2,"b\n\xff",5\n3,c,5\n')
    assert raw_pairs(load(path, bad_rows="skip")) == [(1, "a"), (3, "c")]
    path = write(tmp_path / "b.txt", "user::item::r\n1::a::5\n1::b::5::9\n")
    assert "1 where more than 3 values (line 3)" in " ".join(load(path, bad_rows="skip", separator="::").notes)


def test_a_file_of_bad_rows_alone_is_refused_with_the_first(tmp_path):
    with pytest.raises(DataError, match=r"line 2: column 'r' = 'x' is not a finite number"):
        load(write(tmp_path / "a.csv", "user,item,r\n1,a,x\n2,b,y\n"), bad_rows="skip")


def test_fixed_formats_skip_as_well(tmp_path):
    path = write(tmp_path / "train_triplets.txt", "u\ts\t10\nu\tt\n\tx\t20\nu\tv\t30\t4\nu\tw\t20\n")
    dataset = datasets.load("mine", str(path), "echonest", bad_rows="skip", split="all", valid_fraction=0)
    assert raw_pairs(dataset) == [("u", "s"), ("u", "w")]
    assert "Skipped 3 bad rows" in dataset.notes[0]
    path = write(tmp_path / "ratings.dat", "1::2::3::4\n1:9:2::3::4\n1::3::3::5\n")
    dataset = datasets.load("mine", str(path), "movielens", bad_rows="skip", split="all", valid_fraction=0)
    assert raw_pairs(dataset) == [(1, 2), (1, 3)] and "(line 2)" in dataset.notes[0]


FIELDS = st.text(st.sampled_from('ab",\n '), max_size=4)


@hypothesis.settings(max_examples=300, deadline=None, derandomize=True)
@hypothesis.given(records=st.lists(st.lists(FIELDS, min_size=1, max_size=4), max_size=8), broken=st.booleans())
def test_every_line_is_read_or_counted(tmp_path_factory, records, broken):
    """Rows are those that are read, empty or skipped, and quoted values may hold line ends."""

    def quoted(value):
        return value if broken else '"' + value.replace('"', '""') + '"'

    text = "user,item,r\nu,v,1\n" + "".join(",".join(map(quoted, record)) + "\n" for record in records)
    path = write(tmp_path_factory.mktemp("rows") / "a.csv", text)
    dataset = datasets.load("mine", str(path), "csv", split="all", valid_fraction=0, bad_rows="skip")
    found = collections.Counter()
    for note in dataset.notes:
        words = note.split()
        if words[0] in ("Skipped", "Dropped"):
            found[" ".join(words[2:4])] += int(words[1])
    pairs = dataset.train.num_pairs + found["repeated pairs."] + found["bad rows"] + found["empty lines."]
    if not broken:
        assert pairs == len(records) + 1
    else:
        assert len(text.split("\n")) - 2 >= pairs > 0


def test_a_copy_keeps_every_line_in_its_place(tmp_path):
    path = write(tmp_path / "a.csv", "a,b\n1,2\n\n# c\n3,4,5\n6,7")
    skipped = Skipped()
    copy = text_copies.copy_of(path, None, Dialect(TextLayout(","), ",", [], ()), "#", skipped)
    copy.file.seek(0)
    assert io.TextIOWrapper(copy.file).read() == "a,b\n1,2\n\n\n\n6,7"
    assert (copy.num_blanked, copy.num_comments, skipped.total) == (2, 1, 1)
