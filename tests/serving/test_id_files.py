"""Raw ids on their way out of a command and back in."""

import csv
import gzip
import io
import lzma

import numpy as np
import polars as pl
import pytest
from absl import flags
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cml_jax import DataError
from cml_jax.serving.raw_ids import RawIds
from experiments import id_files, table_files

AROUND = st.sampled_from(["", " ", "\t", "\n", "\r", "\r\n", '"', '""', ",", "'", "\u00a0", "\u2028", "7", "\\"])
NAMES = st.lists(
    st.builds(lambda a, b, c: a + b + c, AROUND, st.text(st.characters(exclude_categories=["Cs"]), max_size=5), AROUND)
    .filter(lambda name: name != ""),
    min_size=1,
    max_size=8,
    unique=True,
)  # fmt: skip


def lists_of(names, kind="item"):
    columns = {"user": ["u"] * len(names), "rank": range(1, len(names) + 1), "item": ["i"] * len(names)}
    return pl.DataFrame(columns | {kind: names} | {"score": 0.5})


@pytest.mark.parametrize("suffix", table_files.FORMATS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES)
def test_ids_that_are_written_can_be_read_again(tmp_path, suffix, names):
    ids, path = RawIds(np.array(names, object), "item"), tmp_path / f"lists{suffix}"
    table_files.write_tables(iter([lists_of(names), lists_of(names[:1])]), path)
    assert id_files.read_ids(path, ids, ("item", "song")) == [*names, names[0]]


@settings(max_examples=300, deadline=None)
@given(NAMES)
def test_ids_that_are_printed_can_be_given_in_a_flag(names):
    shown = id_files.quoted(lists_of(names))["item"].to_list()
    parser = id_files.CommaSeparated()
    on_one_line = [(name, text) for name, text in zip(names, shown, strict=True)]
    assert parser.parse(",".join(text for _, text in on_one_line)) == names


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES)
def test_lines_are_ids_with_their_blanks(tmp_path, names):
    names = [name for name in names if not {"\n", "\r"} & set(name)]
    ids = RawIds(np.array(["\ufeff", *names], object), "item")
    for end in ("\n", "\r\n"):
        (tmp_path / "ids.txt").write_text("\ufeff" + end.join(names) + end, "utf-8", newline="")
        if names:
            assert id_files.read_ids(tmp_path / "ids.txt", ids, ("item",)) == names
        else:
            with pytest.raises(DataError, match="the file is empty"):
                id_files.read_ids(tmp_path / "ids.txt", ids, ("item",))


def test_blanks_around_are_left_out_only_where_the_id_is_unknown_with_them(tmp_path):
    ids = RawIds(np.array(["a", " a", "b", "c c"], object), "user")
    (tmp_path / "ids").write_text(" a\na \n\n  b\t\r\nc c\n  \n x \n", newline="")
    assert id_files.read_ids(tmp_path / "ids", ids, ("user",)) == [" a", "a", "b", "c c", " x "]
    (tmp_path / "old").write_text("a\rb\r", newline="")
    assert id_files.read_ids(tmp_path / "old", ids, ("user",)) == ["a", "b"]


def test_a_column_is_the_wanted_one_or_the_only_one(tmp_path):
    ids = RawIds(np.arange(100), "user")
    frames = {"a.csv": {"x": [5], "gamer": [7], "user": [9]}, "b.csv": {"x": [5], "gamer": [7]}}
    for name, columns in frames.items():
        pl.DataFrame(columns).write_csv(tmp_path / name)
        pl.DataFrame(columns).write_ndjson(tmp_path / f"{name[0]}.jsonl")
        pl.DataFrame(columns).write_parquet(tmp_path / f"{name[0]}.parquet")
    for suffix in table_files.FORMATS:
        assert id_files.read_ids(tmp_path / f"a{suffix}", ids, ("user", "gamer")) == ["9"]
        assert id_files.read_ids(tmp_path / f"b{suffix}", ids, ("user", "gamer")) == ["7"]
    for suffix in (".jsonl", ".parquet"):
        with pytest.raises(DataError, match="has no column 'user'; its columns are 'x, gamer'"):
            id_files.read_ids(tmp_path / f"b{suffix}", ids, ("user",))
    pl.DataFrame({"who": [3.0, 4.0]}).write_parquet(tmp_path / "one.parquet")
    assert id_files.read_ids(tmp_path / "one.parquet", ids, ("user",)) == ["3", "4"]
    (tmp_path / "no_header.csv").write_text("user, 3\n7\n")
    comma = RawIds(np.array(["user, 3", "7"], object), "user")
    assert id_files.read_ids(tmp_path / "no_header.csv", comma, ("user",)) == ["user, 3", "7"]


def test_packed_files_are_read(tmp_path):
    ids, text = RawIds(np.arange(100), "item"), b"user,item\n1,7\n1,8\n"
    (tmp_path / "lists.csv.gz").write_bytes(gzip.compress(text))
    (tmp_path / "lists.csv.xz").write_bytes(lzma.compress(text))
    (tmp_path / "ids.txt.gz").write_bytes(gzip.compress(b"7\n8\n"))
    for name in ("lists.csv.gz", "lists.csv.xz", "ids.txt.gz"):
        assert id_files.read_ids(tmp_path / name, ids, ("item",)) == ["7", "8"]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b'item\n"7\n', "not a whole csv file"),
        ("a.csv", b"rank,item\n1\n", r"record 2: has 1 values"),
        ("a.jsonl", b'{"item": 7}\n{"item": \n', "not a whole jsonl file"),
        ("a.jsonl", b'{"item": 7}\n{"x": 7}\n', "a line has no 'item'"),
        ("a.jsonl", b'{"item": true}\n', "True is neither a raw id"),
        ("a.jsonl", b"7\n", "has no column 'item'"),
        ("a.parquet", b"PAR1", "not a whole parquet file"),
        ("a.csv", b"item\n", "the file is empty"),
        ("a.csv", b"\xff", "not UTF-8 text"),
        ("a.txt.7z", b"7z\xbc\xaf\x27\x1c", "is packed with 7-Zip"),
    ],
)
def test_bad_files_are_named(tmp_path, name, content, sentence):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=sentence) as caught:
        id_files.read_ids(tmp_path / name, RawIds(np.arange(9), "item"), ("item",))
    assert "\n" not in str(caught.value)


def test_a_flag_takes_ids_with_commas_in_quotes():
    values = flags.FlagValues()
    flags.DEFINE(id_files.CommaSeparated(), "users", None, "", flag_values=values)
    for argument, expected in (('"a, b", c', ["a, b", " c"]), ("7", ["7"]), ("", []), ('a"b,c', ['a"b', "c"])):
        values(["command", f"--users={argument}"])
        assert values["users"].value == expected
    with pytest.raises(flags.IllegalFlagValueError, match="put quotes around a value that holds a quote"):
        values(["command", '--users="a'])


def test_a_written_csv_is_plain_where_nothing_needs_quotes(tmp_path):
    table_files.write_tables(iter([lists_of(["a", "b c"])]), tmp_path / "lists.csv")
    assert list(csv.reader(io.StringIO((tmp_path / "lists.csv").read_text())))[1] == ["u", "1", "a", "0.5"]
    assert '"' not in (tmp_path / "lists.csv").read_text()
