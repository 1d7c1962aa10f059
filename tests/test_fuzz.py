"""Readers on damaged files, and on well-formed ones in any dress: `CML_FUZZ_EXAMPLES=10000 pytest tests/test_fuzz.py`.

Damaged files give a data set or one sentence that names the file, and nothing else. Well-formed files give the pairs
that plain Python finds in the rows that were written, and the notes account for every line that is not among them.
"""

import csv
import gzip
import io
import os
import tempfile
import warnings
from pathlib import Path
from typing import Literal

import hypothesis
import numpy as np
import polars as pl
import pytest
import scipy.sparse
from hypothesis import strategies as st

from cml_jax.data import datasets
from cml_jax.errors import DataError
from tests.data import written_files
from tests.data.test_readers import ECHONEST, MOVIELENS, raw_pairs

NUM_PROPERTIES = 20  # each test once a format
fuzz = hypothesis.settings(
    max_examples=-(-int(os.environ.get("CML_FUZZ_EXAMPLES", "400")) // NUM_PROPERTIES),
    derandomize="CML_FUZZ_EXAMPLES" not in os.environ,  # the short run is the same every time
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)


def load(path, format, **options):
    """A data set that is sound; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = datasets.load("fuzzed", str(path), format, **options)
    keys = [part.users.astype(np.int64) * part.num_items + part.items for part in dataset[:3]]
    assert len(np.unique(np.concatenate(keys))) == sum(len(key) for key in keys) > 0
    assert min(dataset.train.degrees) > 0 and np.all(np.concatenate([part.items for part in dataset[:3]]) >= 0)
    return dataset


def load_or_refuse(path, format, **options):
    """A data set, or None where one sentence says why there is none."""
    try:
        return load(path, format, **options)
    except DataError as error:
        sentence = str(error)
        assert sentence.startswith(str(path)) and sentence.endswith(".") and len(sentence) < 400 + len(str(path))
        assert len(sentence.splitlines()) == 1 and sentence.isprintable()
        return None


def write_files(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)


def assert_is(dataset, pairs, num_lines):
    """The data set has the pairs, and its notes say what became of the other lines."""
    found = {(str(user), str(item)) for user, item in raw_pairs(dataset)}
    assert found == pairs
    assert len(found) + written_files.num_dropped(dataset.notes) == num_lines


# ---- Well-formed files.
FILE_OF = {
    "csv": "a.csv",
    "tsv": "a.tsv",
    "echonest": "train_triplets.txt",
    "u.data": "u.data",
    "ratings.dat": "ratings.dat",
    "ratings.csv": "ratings.csv",
}


def format_of(kind):
    return "movielens" if kind in MOVIELENS else kind


@pytest.mark.parametrize("kind", FILE_OF)
@fuzz
@hypothesis.given(data=st.data())
def test_text_in_any_dress_gives_the_rows_that_were_written(kind, data):
    rows, options = data.draw(written_files.rows(kind)), data.draw(written_files.options(kind))
    content, num_blank = data.draw(written_files.text_file(rows, kind))
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), {FILE_OF[kind]: content})
        dataset = load(Path(folder) / FILE_OF[kind], format_of(kind), **options)
    assert_is(dataset, written_files.expected_pairs(rows, options), len(rows) + num_blank)


@fuzz
@hypothesis.given(data=st.data())
def test_parquet_of_any_types_gives_the_rows_that_were_written(data):
    rows, options = data.draw(written_files.rows("parquet")), data.draw(written_files.options("parquet"))
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), {"a.parquet": data.draw(written_files.parquet_file(rows))})
        dataset = load(Path(folder) / "a.parquet", "parquet", **options)
    assert_is(dataset, written_files.expected_pairs(rows, options), len(rows))


@fuzz
@hypothesis.given(data=st.data())
def test_matrices_give_the_entries_that_were_stored(data):
    rows, options = data.draw(written_files.rows("npz")), data.draw(written_files.options("npz"))
    content, entries = data.draw(written_files.npz_file(rows))
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), {"a.npz": content})
        dataset = load(Path(folder) / "a.npz", "npz", **options)
    assert_is(dataset, written_files.expected_pairs(entries, options), len(rows))


@st.composite
def parts(draw):
    """Raw pairs of train, valid and test: disjoint, and every user has training items."""
    numbers = st.integers(0, 9) | st.integers(0, 2**63 - 1)
    users = draw(st.lists(numbers, min_size=1, max_size=5, unique=True))
    items = draw(st.lists(numbers, min_size=3, max_size=9, unique=True))
    part_of = {(user, item): draw(st.sampled_from([0, 0, 1, 2, 3])) for user in users for item in items}
    part_of |= {(user, items[0]): 0 for user in users} | {(users[0], items[1]): 1, (users[0], items[2]): 2}
    return [[pair for pair, part in part_of.items() if part == number] for number in range(3)]


@st.composite
def adjacency_file(draw, pairs, repeats):
    """Pairs and some of them again, in lines of several items."""
    lines = []
    pairs = draw(st.permutations([*pairs, *pairs[:repeats]]))
    gap = draw(st.sampled_from([" ", "\t", "   "]))
    for user, item in pairs:
        if lines and lines[-1][0] == user and draw(st.booleans()):
            lines[-1].append(item)
        else:
            lines.append([user, item])
    end = draw(st.sampled_from(["\n", "\r\n", "\r", "\n\n", " \n"]))
    text = end.join(gap.join(map(str, line)) for line in lines) + draw(st.sampled_from(["", end]))
    return draw(st.sampled_from([text, "\ufeff" + text])).encode()


@pytest.mark.parametrize("format", ["adjacency", "csv"])
@fuzz
@hypothesis.given(data=st.data())
def test_folders_give_the_parts_that_were_written(format, data):
    given_parts, repeats = data.draw(parts()), data.draw(st.integers(0, 2))
    files, num_lines, num_blank = {}, 0, 0
    for name, pairs in zip(("train", "valid", "test"), given_parts, strict=True):
        num_lines += len(pairs) + len(pairs[:repeats])
        if format == "adjacency":
            files[f"{name}.txt"] = data.draw(adjacency_file(pairs, repeats))
        else:
            lines = ["user,item", *(f"{user},{item}" for user, item in [*pairs, *pairs[:repeats]])]
            files[f"{name}.csv"], blank = data.draw(written_files.dressed(lines))
            num_blank += blank
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), files)
        dataset = load(folder, format)
    assert_is(dataset, {(str(u), str(i)) for pairs in given_parts for u, i in pairs}, num_lines + num_blank)
    for name, pairs in zip(("train", "valid", "test"), given_parts, strict=True):
        assert raw_pairs(dataset, name) == sorted(pairs)


def test_user_with_a_million_items_is_read_whole(tmp_path):
    count = 1_000_000
    items = " ".join(map(str, range(count)))
    write_files(tmp_path, {"train.txt": f"5 {items}\n6 0\n".encode(), "test.txt": f"5 {count}\n".encode()})
    dataset = load(tmp_path, "adjacency", valid_fraction=0.2)
    assert dataset.train.degrees.tolist() == [800_000, 1] and dataset.valid.degrees.tolist() == [200_000, 0]
    assert dataset.item_ids.tolist() == list(range(count + 1)) and raw_pairs(dataset, "test") == [(5, count)]
    rows = "user,item\n" + "".join(f"5,{item}\n" for item in range(count))
    write_files(tmp_path, {"a.csv": rows.encode()})
    dataset = load(tmp_path / "a.csv", "csv", split="leave_one_out")
    assert dataset.train.num_pairs == count - 2 and dataset.item_ids.tolist() == list(range(count))


# ---- Damaged files.
def matrix_bytes(format: Literal["coo", "csr"]):
    written = io.BytesIO()
    scipy.sparse.save_npz(written, scipy.sparse.random_array((4, 9), density=0.8, rng=0, format=format), False)
    return written.getvalue()


CSV = b"user,item,r,t\n" + b"".join(b'%d,"i%d",%d.5,%d\n' % (u, i, i, u + i) for u in range(3) for i in range(6))
GOOD = {
    "csv": {"a.csv": CSV},
    "tsv": {"a.tsv": CSV.replace(b",", b"\t")},
    "echonest": {"train_triplets.txt": ECHONEST.encode()},
    **{name: {name: content.encode()} for name, content in MOVIELENS.items()},
    "adjacency": {
        "train.txt": b"10 3 5 900\n7 5\n22 3 4 5 6\n",
        "valid.txt": b"10 4\n",
        "test.txt": b"22 900\n7 3 4\n",
    },
    "npz": {"a.npz": matrix_bytes("csr")},
    "npz of triplets": {"a.npz": matrix_bytes("coo")},
}
TOKENS = [
    b'"',
    b",",
    b"\t",
    b"\n",
    b"\r",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"::",
    b"-1",
    b"9" * 25,
    b"nan",
    b"1e999",
    b" ",
]
TOKENS += [b"\xc3", "\u2028".encode(), b"{", b"%s", b"x" * 99, b"\x1f\x8b", b"PK\x03\x04", b"+262143-01-01", b"inf"]


@st.composite
def damaged(draw, content):
    """The content after a few cuts, insertions and overwritten bytes, perhaps packed in between; or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=60) | st.lists(st.sampled_from(TOKENS), max_size=30).map(b"".join))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(content)))
        new = draw(st.sampled_from(TOKENS) | st.binary(max_size=6))
        kind = draw(
            st.sampled_from(["insert", "insert", "overwrite", "overwrite", "cut", "truncate", "repeat", "gzip"])
        )
        if kind == "gzip":
            content = gzip.compress(content, mtime=0)
        elif kind == "truncate":
            content = content[:place]
        else:
            middle = {"insert": new, "overwrite": new, "cut": b"", "repeat": content[place : place + 20] * 2}[kind]
            skip = {"insert": 0, "overwrite": len(new), "cut": len(new), "repeat": 20}[kind]
            content = content[:place] + middle + content[place + skip :]
    return content


def num_records(content, separator, quoted):
    """Lines of a text file as Python's own reader counts them, from the first that is not blank."""
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    text = io.StringIO(content.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", " "), newline="\n")
    records = list(csv.reader(text, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE))
    return len(records) - next((place for place, record in enumerate(records) if record), 0)


OPTIONS = [{}, {"split": "leave_one_out"}, {"split": "leave_one_out", "min_rating": 2.0}, {"split": "temporal_user"}]


@pytest.mark.parametrize("kind", GOOD)
@fuzz
@hypothesis.given(data=st.data())
def test_damaged_files_give_a_data_set_or_one_sentence(kind, data):
    format = "npz" if kind.startswith("npz") else format_of(kind)
    options = {} if kind == "adjacency" else dict(data.draw(st.sampled_from(OPTIONS)))
    if format in ("csv", "tsv") and "split" in options:
        options |= {"time_column": "t"} | ({"rating_column": "r"} if "min_rating" in options else {})
    files = {name: data.draw(damaged(content)) for name, content in GOOD[kind].items()}
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), files)
        (name, content), path = next(iter(files.items())), Path(folder)
        dataset = load_or_refuse(path if len(files) > 1 else path / name, format, **options)
    if dataset is not None and kind in FILE_OF:
        layout = {"csv": (",", True), "ratings.csv": (",", True), "tsv": ("\t", False), "ratings.dat": (":", False)}
        lines = num_records(content, *layout.get(kind, ("\t", False))) - (kind in ("csv", "tsv", "ratings.csv"))
        assert len(raw_pairs(dataset)) + written_files.num_dropped(dataset.notes) == lines


COLUMNS = [
    pl.Series([1, 2, None]), pl.Series(["a", "", "b"]), pl.Series(["a", "b", "c"]), pl.Series([1.5, float("nan"), 2.0]),
    pl.Series([True, False, None]), pl.Series([[1], [2], []]), pl.Series([{"a": 1}, {"a": 2}, None]),
    pl.Series([None, None, None]), pl.Series([2**64 - 1, 0, 1], dtype=pl.UInt64), pl.Series([b"a", b"\xff", b""]),
    pl.Series([1, 2, 3], dtype=pl.Date), pl.Series([1, 2, 3], dtype=pl.Datetime("ns", "Asia/Tokyo")),
    pl.Series([1, 2, 3], dtype=pl.Duration), pl.Series([1, 2, 3], dtype=pl.Time), pl.Series([1, 2, 3], dtype=pl.Int8),
    pl.Series(["1", "2", "3"], dtype=pl.Categorical), pl.Series([1, 2, 3], dtype=pl.Decimal(9, 2)),
]  # fmt: skip


@fuzz
@hypothesis.given(data=st.data())
def test_parquet_of_odd_types_or_cut_off_gives_a_data_set_or_one_sentence(data):
    """Bytes within the pages are left alone: for some of them Polars ends the process."""
    names = data.draw(st.permutations(["user", "item", "r", "t"]))[: data.draw(st.integers(2, 4))]
    written = io.BytesIO()
    pl.DataFrame({name: data.draw(st.sampled_from(COLUMNS)) for name in names}).write_parquet(written)
    content = written.getvalue()
    content = content[: data.draw(st.none() | st.integers(0, len(content)))]
    content += data.draw(st.just(b"") | st.binary(max_size=9))
    options = data.draw(st.sampled_from([{}, {"rating_column": "r", "min_rating": 2.0}, {"time_column": "t"}]))
    with tempfile.TemporaryDirectory() as folder:
        write_files(Path(folder), {"a.parquet": content})
        load_or_refuse(Path(folder) / "a.parquet", "parquet", split="leave_one_out", **options)
