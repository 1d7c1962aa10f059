"""Files of JSON lines: values as they are written, and what is refused."""

import json

import pytest

from cml_jax.data import datasets
from cml_jax.errors import DataError
from tests.data.test_readers import raw_pairs, write


def load(path, **options):
    return datasets.load("mine", str(path), "jsonl", **{"split": "all", "valid_fraction": 0, **options})


def test_keys_are_columns_in_any_order_and_other_keys_may_be_anything(tmp_path):
    lines = [
        {"who": "007", "what": 12345678901234567890123, "stars": 5, "more": [1, {"a": None}]},
        {"what": " a ", "stars": 3.5, "who": "\u00e9"},
        {"more": 7, "stars": -1, "what": '"', "who": 7},
    ]
    content = "\ufeff" + "\r\n\n".join(json.dumps(line) for line in lines)
    path = write(tmp_path / "a.jsonl", content)
    names = {"user_column": "who", "item_column": "what"}
    assert raw_pairs(load(path, **names)) == [("007", "12345678901234567890123"), ("7", '"'), ("\u00e9", " a ")]
    liked = load(path, **names, rating_column="stars", min_rating=3.5)
    assert len(raw_pairs(liked)) == 2 and "Kept 2 of 3 pairs whose stars is at least 3.5." in liked.notes


BAD = [
    ('{"user": 1, "item": 2}\n\n{"user": 3}\n', r"line 3: column 'item' is empty"),
    ('{"user": 1, "item": 2}\n{"user": null, "item": 3}\n', r"line 2: column 'user' is empty"),
    ('{"user": 1, "item": 2}\n{"user": "", "item": 3}\n', r"line 2: column 'user' is empty"),
    (
        '{"user": 1, "item": 2}\n{"user": {"id": 1}, "item": 3}\n',
        r"line 2: the value of 'user' is '{\"id\": 1}'; it must",
    ),
    ('{"user": 1, "item": [2]}\n', r"line 1: the value of 'item' is '\[2\]'; it must be a string or a number"),
    ('{"user": 1, "item": 2}\n{"user": "\\ud800", "item": 3}\n', r"line 2: the value of 'user' is"),
    ('{"user": 1, "item": 2}\n{"user": 1, "it\n', r"line 2: not an object of JSON"),
    ('{"user": 1, "item": 2} {"user": 3, "item": 4}\n', r"line 1: not an object of JSON"),
    ('[{"user": 1, "item": 2}]\n', r"line 1: not an object of JSON"),
    (
        '{"who": 1, "what": 2}\n',
        r"has no column 'user' \(dataset\.user_column\); the keys of its first objects are 'who, what'",
    ),
    ("user,item\n1,2\n", r"line 1: not an object of JSON"),
    ("", r"the file is empty"),
    ("{}\n", r"the file is empty"),
    (b'{"user": "\xe9", "item": 2}\n', r"not UTF-8 text; set dataset\.encoding"),
]


@pytest.mark.parametrize(("content", "sentence"), BAD)
def test_bad_lines_are_named(tmp_path, content, sentence):
    path = write(tmp_path / "a.jsonl", content)
    with pytest.raises(DataError, match=sentence) as caught:
        load(path)
    assert str(caught.value).startswith(str(path)) and len(str(caught.value).splitlines()) == 1


def test_text_that_looks_nested_is_text(tmp_path):
    path = write(tmp_path / "a.jsonl", json.dumps({"user": '{"id": 1}', "item": "[1]"}) + "\n")
    assert raw_pairs(load(path)) == [('{"id": 1}', "[1]")]


def test_other_encodings_are_read(tmp_path):
    line = json.dumps({"user": "\u00e9", "item": 1}, ensure_ascii=False)
    dataset = load(write(tmp_path / "a.jsonl", line.encode("utf-16")))
    assert raw_pairs(dataset) == [("\u00e9", 1)] and f"{tmp_path}/a.jsonl: encoding utf-16." in dataset.notes
    assert raw_pairs(load(write(tmp_path / "a.jsonl", line.encode("latin-1")), encoding="latin-1")) == [("\u00e9", 1)]


def test_a_folder_of_parts_is_split_as_given(tmp_path):
    write(tmp_path / "train.ndjson", '{"user": 1, "item": 2}\n{"user": 1, "item": 3}\n')
    write(tmp_path / "test.jsonl", '{"user": 1, "item": 4}\n')
    dataset = load(tmp_path, split="given")
    assert raw_pairs(dataset, "test") == [(1, 4)] and dataset.train.num_pairs == 2


def test_what_python_writes_for_numbers_that_are_none_is_named(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"user": 1, "item": 2}\n{"user": 1, "item": 3, "x": NaN}\n')
    with pytest.raises(DataError, match="line 2: not an object of JSON"):
        load(path)
    skipped = load(path, bad_rows="skip")
    assert raw_pairs(skipped) == [(1, 2)] and any("Skipped 1 bad rows" in note for note in skipped.notes)
