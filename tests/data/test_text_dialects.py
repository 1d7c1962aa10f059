"""Separators, headers, quotes, encodings and comments: what is guessed, what is said, and what is refused."""

import pytest

from cml_jax.data import datasets, readers, sources
from cml_jax.data.tables import Columns
from cml_jax.errors import ConfigError, DataError
from tests.data.test_readers import raw_pairs, write

PAIRS = [("a", "x"), ("b", "y"), ("b", "z")]


def load(path, format=None, **options):
    return datasets.load("mine", str(path), format, **{"split": "all", "valid_fraction": 0, **options})


def pairs(dataset):
    return [(str(user), str(item)) for user, item in raw_pairs(dataset)]


def rows(separator, *, header="user{0}item{0}r\n", ratings=("1", "-2", "3")):
    lines = [separator.join((*pair, rating)) for pair, rating in zip(PAIRS, ratings, strict=True)]
    return header.format(separator) + "\n".join(lines) + "\n"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.txt", "a.dat"])
def test_separators_are_found_and_said(tmp_path, separator, name):
    dataset = load(write(tmp_path / name, rows(separator)))
    assert pairs(dataset) == PAIRS
    usual = {"a.csv": ",", "a.tsv": "\t"}.get(name)
    said = [note for note in dataset.notes if ": separator" in note]
    assert len(said) == (separator != usual) and all(
        ("tab" if separator == "\t" else separator) in note for note in said
    )


@pytest.mark.parametrize("separator", ["::", "->", "\u00a6", "space", "tab", "\\t", "semicolon"])
def test_separators_of_several_characters_and_by_name(tmp_path, separator):
    text = {"space": "  ", "tab": "\t", "\\t": "\t", "semicolon": ";"}.get(separator, separator)
    path = write(tmp_path / "a.txt", rows(text).replace("x", "x:\u00e9"))
    assert pairs(load(path, separator=separator)) == [("a", "x:\u00e9"), *PAIRS[1:]]
    by_number = load(write(tmp_path / "b.txt", rows(text, header="")), separator=separator, header=False)
    assert pairs(by_number) == PAIRS


def test_a_separator_of_several_characters_leaves_control_characters_alone(tmp_path):
    dataset = load(write(tmp_path / "a.txt", "user::item\n\x1f1::\x1e2\n"), separator="::")
    assert pairs(dataset) == [("\x1f1", "\x1e2")]


def test_a_line_with_a_missing_or_further_value_is_named_whatever_the_separator(tmp_path):
    for content, sentence in (
        ("user::item\na::x\nb::\n", r"line 3: column 'item' is empty"),
        ("user::item\na::x\nb::y::z\n", r"line 3: has 3 fields, not 2"),
    ):
        with pytest.raises(DataError, match=sentence):
            load(write(tmp_path / "a.txt", content), separator="::")


HEADERLESS = [
    ("A1,B1,5.0,1365811213\nA1,B2,4.0,1365811214\n", "a rating"),
    ("7,8\n7,9\n", "numbers"),
    ("ann,x\nann,y\n", "a value that comes again"),
    ("ann,2020-01-01\nbob,2020-01-02\n", "a date"),
]


@pytest.mark.parametrize("content", [content for content, _ in HEADERLESS], ids=[why for _, why in HEADERLESS])
def test_the_first_row_of_a_file_without_header_is_read(tmp_path, content):
    dataset = load(write(tmp_path / "a.csv", content))
    first = content.split("\n")[0].split(",")[:2]
    assert dataset.train.num_pairs == 2 and tuple(first) in pairs(dataset)
    assert f"{tmp_path}/a.csv: no header: columns 1 and 2 are users and items." in dataset.notes


def test_columns_have_numbers_where_there_is_no_header(tmp_path):
    assert pairs(load(write(tmp_path / "b.csv", "1,2,5\n1,3,5\n"), user_column="1", item_column="2")) == [
        ("1", "2"),
        ("1", "3"),
    ]
    path = write(tmp_path / "a.csv", "5,B1,9,A1\n3,B2,8,A2\n")
    options = {"user_column": "4", "item_column": "2", "rating_column": "1", "min_rating": 4}
    for header in (False, None):
        dataset = load(path, header=header, **options)
        assert pairs(dataset) == [("A1", "B1")]
        assert "Kept 1 of 2 pairs whose column 1 is at least 4." in dataset.notes
    with pytest.raises(
        DataError, match=r"no column '6' .*it has no header, and its first line is 1 '5', 2 'B1', 3 '9'"
    ):
        load(path, user_column="6", item_column="2")
    with pytest.raises(
        DataError, match=r"has no column 'user' .*its columns are '5, B1, 9, A1'.* dataset\.header=False"
    ):
        load(path, header=True)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("A1,B1,5.0\nA1,B2,4.0\n", {"user_column": "A1", "item_column": "B1"}),
        ("A1,B1,5.0\nA2,B2,4.0\n", {"user_column": "A1", "item_column": "B1"}),
        ("ann,x\nbob,y\n", {"user_column": "1", "item_column": "2"}),
        ("1,2\n1,3\n", {"user_column": "1", "item_column": "2"}),
    ],
    ids=["its name comes again", "with a number beside", "by number", "numbers in order"],
)
def test_a_first_row_that_may_be_names_or_data_is_refused(tmp_path, content, options):
    path = write(tmp_path / "a.csv", content)
    with pytest.raises(
        DataError, match=r"a\.csv: its first line is 1 '.*may be names of columns or data; set dataset\.h"
    ):
        load(path, **options)
    explicit = load(path, header=False, user_column="1", item_column="2")
    assert explicit.train.num_pairs == 2


def test_a_header_with_numbers_in_it_is_a_header(tmp_path):
    assert pairs(load(write(tmp_path / "a.csv", "user,item,2019\na,x,1\n"))) == [("a", "x")]
    assert pairs(load(write(tmp_path / "b.csv", "who,what,2019\na,x,q\n"), user_column="who", item_column="what")) == [
        ("a", "x")
    ]


def test_columns_that_cannot_be_told_are_shown_with_their_numbers(tmp_path):
    path = write(tmp_path / "a.csv", "ann,x\nbob,y\n")
    with pytest.raises(
        DataError, match=r"set dataset\.user_column and .*line \(1 'ann', 2 'x'\) is no header, dataset\."
    ):
        load(path)
    with pytest.raises(DataError, match=r"what separates its values cannot be told; its first line is 'ann'"):
        load(write(tmp_path / "b.txt", "ann\nbob x\n"))


QUOTES = [
    ('user\titem\tx\na\t"x\t1\nb\ty"\t2\nb\tz\t3\n', [("a", '"x'), ("b", 'y"'), ("b", "z")]),
    ('user\titem\tx\na\tx\t"1\nb\ty\t"2\nb\tz\t5" d\n', PAIRS),
    ('user\titem\tx\na\t"x"\t1\nb\t"y ""q"""\t2\n', [("a", '"x"'), ("b", '"y ""q"""')]),
    ('user\titem\tx\na\t"x\t1"\t2\nb\t"y"\t3\n', [("a", "x\t1"), ("b", "y")]),
    ('"user"\t"item"\n"a"\t"x"\n', [("a", "x")]),
]


@pytest.mark.parametrize(("content", "expected"), QUOTES, ids=["read", "unread", "whole", "needed", "header too"])
def test_quotes_of_a_tab_file_swallow_no_row(tmp_path, content, expected):
    for name in ("a.tsv", "a.dat"):
        assert pairs(load(write(tmp_path / name, content))) == expected


def test_quotes_of_tab_files_that_are_parts_of_ids_are_counted(tmp_path):
    path = write(tmp_path / "a.tsv", 'user\titem\na\t"x"\nb\ty\n')
    assert any("a.tsv: 1 ids stand in quotes, which are a part of them" in note for note in load(path).notes)
    quoted = load(path, quote='"')
    assert pairs(quoted) == [("a", "x"), ("b", "y")] and not any("in quotes" in note for note in quoted.notes)


def test_a_stray_quote_behind_the_lines_that_were_looked_at_is_named(tmp_path):
    """Quotes mean something, since the header is quoted, so one that is out of place cannot be read."""
    content = '"user"\t"item"\n' + "".join(f'"{user}"\t"x"\n' for user in range(300)) + '"a"\t"x\n"b"\t"y"\n'
    with pytest.raises(DataError, match=r"line 302: a quote opens or closes in the wrong place"):
        load(write(tmp_path / "a.tsv", content))


def test_the_quote_character_is_chosen(tmp_path):
    assert pairs(load(write(tmp_path / "a.csv", "user,item\n'a,b',\"x\n"), quote="'")) == [("a,b", '"x')]
    assert pairs(load(write(tmp_path / "b.csv", 'user,item\na,"x\nb,y"\n'), quote="none")) == [("a", '"x'), ("b", 'y"')]
    with pytest.raises(DataError, match=r"line 2: a quote .*; correct the file, or set dataset\.quote=none"):
        load(write(tmp_path / "b.csv", 'user,item\na,"x\nb,"y\n'))


TEXT = "user,item\nZo\u00eb,caf\u00e9\nZoe,cafe\n"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1", "utf-8", "utf-8-sig"])
def test_encodings_are_told_and_said(tmp_path, encoding):
    dataset = load(write(tmp_path / "a.csv", TEXT.encode(encoding)))
    assert pairs(dataset) == [("Zoe", "cafe"), ("Zo\u00eb", "caf\u00e9")]
    said = [note for note in dataset.notes if ": encoding" in note]
    assert len(said) == (not encoding.startswith("utf-8")) and all(f"encoding {encoding}" in note for note in said)
    if encoding == "latin-1":
        assert "since 1 lines are not UTF-8" in said[0]


def test_bytes_of_windows_are_told_and_those_of_no_text_are_refused(tmp_path):
    path = write(tmp_path / "a.csv", "user,item\n\u201cann\u201d,x\n".encode("cp1252").replace(b'"', b""))
    dataset = load(path)
    assert pairs(dataset) == [("\u201cann\u201d", "x")] and any("encoding cp1252" in note for note in dataset.notes)
    with pytest.raises(DataError, match=r"line 2: not UTF-8 text; set dataset\.encoding"):
        load(write(tmp_path / "b.csv", "user,item\n\u65e5\u672c\u3001,x\n".encode("shift-jis")))
    assert pairs(load(tmp_path / "b.csv", encoding="shift-jis")) == [("\u65e5\u672c\u3001", "x")]


def test_utf8_that_is_damaged_is_not_taken_for_another_encoding(tmp_path):
    content = "user,item\n" + "Zo\u00eb,x\n" * 20
    with pytest.raises(DataError, match=r"line 22: not UTF-8 text"):
        load(write(tmp_path / "a.csv", content.encode() + b"Zo\xeb,x\n"))


def test_bytes_that_are_not_utf8_far_behind_the_start_are_told_as_well(tmp_path):
    content = "user,item\n" + "".join(f"{number},x\n" for number in range(60_000)) + "Zo\u00eb,y\n"
    dataset = load(write(tmp_path / "a.csv", content.encode("latin-1")))
    assert ("Zo\u00eb", "y") in pairs(dataset) and dataset.train.num_pairs == 60_001
    assert any("encoding latin-1, since 1 lines are not UTF-8" in note for note in dataset.notes)


def test_a_wrong_encoding_is_refused_with_its_line(tmp_path):
    with pytest.raises(DataError, match=r"line 2: not UTF-8 text; set dataset\.encoding|line 2: not UTF-8"):
        load(write(tmp_path / "a.csv", TEXT.encode("latin-1")), encoding="utf-8")
    with pytest.raises(DataError, match=r"not utf-16 text"):
        load(write(tmp_path / "b.csv", TEXT.encode("utf-16")[:-1]))


def test_comments_are_skipped_and_counted_wherever_they_stand(tmp_path):
    content = "# made\n# by hand\nuser,item\na,x\n# more\n\nb,y\n"
    dataset = load(write(tmp_path / "a.csv", content), comment="#")
    assert pairs(dataset) == PAIRS[:2]
    assert (
        f"{tmp_path}/a.csv: skipped 3 lines of comment." in dataset.notes and "Skipped 1 empty lines." in dataset.notes
    )
    with pytest.raises(DataError, match=r"line 8: column 'item' is empty"):
        load(write(tmp_path / "b.csv", content + "c,\n"), comment="#")


def test_a_decimal_comma_is_read_where_it_is_said_and_named_where_not(tmp_path):
    path = write(tmp_path / "a.csv", rows(";", ratings=("1,5", "-2,5", "3")))
    options = {"rating_column": "r", "min_rating": 1.5}
    assert pairs(load(path, decimal=",", **options)) == [PAIRS[0], PAIRS[2]]
    with pytest.raises(DataError, match=r"'1,5' is not a finite number; .*set dataset\.decimal"):
        load(path, **options)


def test_recboles_headers_have_names_and_types(tmp_path):
    content = 'user_id:token\titem_id:token\trating:float\ttimestamp:float\na\tx"\t5\t1.5e9\nb\t"y\t1\t2\nb\tz\t3\t1\n'
    columns = Columns(rating="rating", min_rating=3.0, time="timestamp")
    for columns_ in (columns, columns._replace(user="user_id", item="item_id:token")):
        table = readers.read("inter", write(tmp_path / "a.inter", content), columns_)
        assert [table.item_ids[item] for item in table.items] == ['x"', "z"] and table.times is not None
        assert table.times.tolist() == [1_500_000_000, 1]
    assert pairs(load(tmp_path / "a.inter")) == [("a", 'x"'), ("b", '"y'), ("b", "z")]
    for part in ("train", "test"):
        write(tmp_path / f"{part}.inter", content if part == "train" else 'user_id:token\titem_id:token\nb\tx"\n')
    assert load(tmp_path, split="given").test.num_pairs == 1


def test_what_a_file_holds_is_described(tmp_path):
    path = write(tmp_path / "a.csv", rows(";").encode("utf-16"))
    (found,) = readers.describe("csv", path, Columns(), num_rows=2)
    assert found.columns == ["user", "item", "r"] and found.said == ("separator ';'", "encoding utf-16")
    assert found.rows.rows() == [("a", "x", "1"), ("b", "y", "-2")]
    (lines,) = readers.describe("jsonl", write(tmp_path / "a.jsonl", '{"user": 1, "item": "x"}\n'), Columns())
    assert lines.columns == ["user", "item"] and lines.rows.rows() == [("1", "x")]
    assert readers.describe("npz", path, Columns()) == []


CONTRADICTIONS = [
    ({"separator": ",", "decimal": ","}, r"dataset\.decimal and dataset\.separator are both ','"),
    ({"separator": "::", "quote": '"'}, r"dataset\.quote = '\"' needs a separator of one ASCII character, not '::'"),
    ({"separator": "'", "quote": "'"}, r"dataset\.quote and dataset\.separator are both"),
    ({"comment": '"', "quote": '"'}, r"dataset\.comment and dataset\.quote are both"),
    ({"first_number": "count"}, r"dataset\.first_number = 'count' has no effect on dataset\.format = 'csv'"),
]


@pytest.mark.parametrize(("options", "sentence"), CONTRADICTIONS)
def test_options_that_contradict_each_other_are_refused(tmp_path, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        load(write(tmp_path / "a.csv", rows(",")), "csv", **options)


def test_options_that_have_no_effect_are_refused(tmp_path):
    for format, options in (("npz", {"bad_rows": "skip"}), ("parquet", {"header": False}), ("jsonl", {"quote": "'"})):
        with pytest.raises(ConfigError, match=rf"dataset\.\w+ = .* has no effect on dataset\.format = '{format}'"):
            load(tmp_path, format, **options)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.txt", "::")])
def test_headers_of_files_put_together_are_no_rows(tmp_path, mark, name, separator):
    content = rows(separator) + mark + rows(separator, ratings=("2", "2", "2")).replace("a", "c")
    path = write(tmp_path / name, content)
    dataset = load(path, rating_column="r", min_rating=1)
    assert pairs(dataset) == [*PAIRS, ("c", "x")]
    assert f"{path}: skipped 1 lines that are the header once more." in dataset.notes
    assert "Kept 5 of 6 pairs whose r is at least 1." in dataset.notes
    assert not any("empty" in note or "byte-order" in note for note in dataset.notes)


def test_a_header_once_more_is_skipped_whatever_it_looks_like(tmp_path):
    path = write(tmp_path / "a.inter", "user_id:token\titem_id:token\na\tx\nuser_id:token\titem_id:token\nb\ty\n")
    assert pairs(load(path)) == PAIRS[:2]
    path = write(tmp_path / "a.csv", ",user,item\n0,a,x\n,user,item\n1,user,item\n")
    assert pairs(load(path)) == [("a", "x"), ("user", "item")]
    assert pairs(load(path, header=False, user_column="2", item_column="3")).count(("user", "item")) == 1


def test_marks_of_files_put_together_are_counted(tmp_path):
    dataset = load(write(tmp_path / "a.csv", "user,item\na,x\n\ufeffb,y\nc,z\rd\ne,w\r\n"))
    assert ("\ufeffb", "y") in pairs(dataset) and ("c", "z\rd") in pairs(dataset) and ("e", "w") in pairs(dataset)
    assert any("a.csv: 2 ids begin with a byte-order mark or hold a carriage return" in n for n in dataset.notes)
    quoted = load(write(tmp_path / "b.csv", 'user,item\r\na,"x\r\ny"\r\n'))
    assert pairs(quoted) == [("a", "x\r\ny")] and not any("carriage" in note for note in quoted.notes)


@pytest.mark.parametrize("header", ["user{0}item{0}r\n", ""])
@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("a.tsv", "\t"), ("a.dat", "::")])
def test_lines_that_end_with_cr_are_lines(tmp_path, header, name, separator):
    content = rows(separator, header=header)
    for options in ({}, {"bad_rows": "skip"}):
        dataset = load(write(tmp_path / name, content.replace("\n", "\r")), **options)
        assert pairs(dataset) == PAIRS and any("lines that end with CR" in note for note in dataset.notes)
    bad = (content + separator.join("abcd")).replace("\n", "\r")
    with pytest.raises(DataError, match=rf"line {4 + bool(header)}: has 4 fields, not 3"):
        load(write(tmp_path / name, bad))


def test_ids_that_may_stand_for_missing_ones_are_counted(tmp_path):
    dataset = load(write(tmp_path / "a.csv", "user,item\nNA,x\nnull,NaN\nNan,x\n"))
    assert dataset.train.num_pairs == 3
    assert any("a.csv: 2 ids of column 'user' are words such as NA" in note for note in dataset.notes)
    assert any("a.csv: 1 ids of column 'item' are words such as NA" in note for note in dataset.notes)


def test_points_are_refused_where_commas_stand_before_a_fraction(tmp_path):
    """1.234 may be a thousand or one and a fraction."""
    path = write(tmp_path / "a.csv", rows(";", ratings=("1,5", "1.234", "3")))
    with pytest.raises(
        DataError, match=r"line 3: column 'r' = '1\.234' is not .*; with dataset\.decimal = ',' no point"
    ):
        load(path, decimal=",", rating_column="r", min_rating=0.5)
    with pytest.raises(DataError, match=r"line 3: column 'r' = '1\.234' is not a time"):
        load(path, decimal=",", time_column="r")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"encoding": "klingon"}, r"dataset\.encoding = 'klingon' is no encoding"),
        ({"separator": ""}, r"dataset\.separator = '' must be"),
        ({"quote": "ab"}, r"dataset\.quote = 'ab' must be one character"),
        ({"bad_rows": "drop"}, r"dataset\.bad_rows = 'drop' is unknown"),
        ({"header": "yes"}, r"dataset\.header = 'yes' must be of type bool"),
    ],
)
def test_options_out_of_range_are_refused_wherever_they_come_from(tmp_path, options, sentence):
    path = write(tmp_path / "a.csv", rows(","))
    for call in (lambda: load(path, **options), lambda: sources.dataset_of(path, **options)):
        with pytest.raises(ConfigError, match=sentence):
            call()
    with pytest.raises(ConfigError, match=r"dataset\.seperator is not an option; did you mean dataset\.separator"):
        load(path, seperator=";")


@pytest.mark.parametrize("encoding", ["cp1251", "koi8-r"])
def test_other_scripts_are_not_taken_for_latin(tmp_path, encoding):
    names = "\u0418\u0432\u0430\u043d", "\u043a\u043d\u0438\u0433\u0430"
    path = write(tmp_path / "a.csv", f"user,item\n{names[0]},{names[1]}\n".encode(encoding))
    with pytest.raises(DataError, match=r"line 2: not UTF-8 text; set dataset\.encoding"):
        load(path)
    assert pairs(load(path, encoding=encoding)) == [names]


def test_quotes_at_two_ends_of_a_tab_file_are_of_their_values_where_tabs_alone_fit(tmp_path):
    path = tmp_path / "rows.tsv"
    path.write_text('user\titem\tw\tmore\n007\t"a\t1.5\t"\n')
    table = readers.read("tsv", path, Columns(weight="w"))
    assert table.item_ids.tolist() == ['"a'] and table.weights is not None and table.weights.tolist() == [1.5]


@pytest.mark.parametrize(("separator", "end"), [(";", "\n"), ("|", "\r\n"), ("\t", "\n")])
def test_a_first_line_that_names_the_separator_is_no_row(tmp_path, separator, end):
    path = tmp_path / "rows.csv"
    rows = [("user", "item"), ("a", "x,1"), ("sep=x", "y"), ("b", "x,1")]
    path.write_bytes(end.join([f"sep={separator}", *(separator.join(row) for row in rows), ""]).encode())
    table = readers.read("csv", path, Columns())
    found = zip(table.user_ids[table.users].tolist(), table.item_ids[table.items].tolist(), strict=True)
    assert sorted(found) == [("a", "x,1"), ("b", "x,1"), ("sep=x", "y")]
    assert f"{path}: skipped 1 lines of comment." in table.notes
