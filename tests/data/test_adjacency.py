import numpy as np
import pytest

from cml_jax.data import adjacency, datasets, splits, tables
from cml_jax.data.interactions import from_pairs
from cml_jax.errors import ConfigError, DataError

GOOD = {"train.txt": "10 3 5 900\n7 5\n22 3 4 5 6\n", "valid.txt": "10 4\n", "test.txt": "22 900\n7 3 4\n10\n"}


def write(folder, **changes):
    for name, text in (GOOD | {key.replace("_", "."): value for key, value in changes.items()}).items():
        if text is not None:
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def read(folder):
    return splits.split(tables.without_repeats(adjacency.read_adjacency(folder)), "given")


def raw_pairs(dataset, part):
    """The pairs of a part in raw ids."""
    interactions = getattr(dataset, part)
    users, items = dataset.user_ids[interactions.users], dataset.item_ids[interactions.items]
    return sorted(zip(users.tolist(), items.tolist(), strict=True))


def test_adjacency_reads_what_was_written(tmp_path):
    dataset = read(write(tmp_path))
    assert dataset.user_ids.tolist() == [7, 10, 22]
    assert dataset.item_ids.tolist() == [3, 4, 5, 6, 900]
    assert raw_pairs(dataset, "train") == [(7, 5), (10, 3), (10, 5), (10, 900), (22, 3), (22, 4), (22, 5), (22, 6)]
    assert raw_pairs(dataset, "valid") == [(10, 4)]
    assert raw_pairs(dataset, "test") == [(7, 3), (7, 4), (22, 900)]
    assert dataset.train.popularity.tolist() == [2, 1, 3, 1, 1]
    assert dataset.notes == ()


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff10 3 5 900\r\n7 5\r\n\r\n22 3 4 5 6\r\n",
        "10   3\t5 900  \n7 5\n22 3 4 5 6",
        "22 3 4\n10 3 5 900\n22 5 6\n7 5\n",
        "22\n10 3 5 900\n7 5\n22 3 4 5 6\n10\n",
        "10 3 5 900\r7 5\r22 3 4 5 6\r",
        "007\n010 3 5 900\n7 5\n22 3 4 5 6\n",
    ],
    ids=[
        "windows",
        "spaces and no last newline",
        "user on two lines",
        "user also on an empty line",
        "CR alone",
        "zeros ahead",
    ],
)
def test_adjacency_reads_variants_alike(tmp_path, text):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain = read(write(tmp_path / "a"))
    variant = read(write(tmp_path / "b", train_txt=text))
    assert plain.sha256() == variant.sha256()


def test_adjacency_counts_repeated_pairs(tmp_path):
    dataset = read(write(tmp_path, train_txt="10 3 5 3 900\n7 5\n22 3 4 5 6\n7 5\n"))
    assert dataset.train.num_pairs == 8
    assert dataset.notes == ("Dropped 2 repeated pairs.",)


BAD = [
    ({"train_txt": None}, r"train\.txt: no such file"),
    ({"test_txt": None}, r"test\.txt: no such file"),
    ({"train_txt": ""}, r"train\.txt: the file is empty"),
    ({"valid_txt": "\n \n"}, r"valid\.txt: the file is empty"),
    ({"test_txt": "7\n10\n"}, r"test\.txt: no line has an item"),
    ({"train_txt": "10 3\n7 5\n22 x7 4\n"}, r"train\.txt, line 3: 'x7' is not an integer"),
    ({"train_txt": "10 3\nu7 5\n22 4\n"}, r"train\.txt, line 2: 'u7' is not an integer"),
    ({"train_txt": "10 3\n\n7 5.0\n22 4\n"}, r"train\.txt, line 3: '5\.0' is not an integer"),
    ({"train_txt": "10,3\n"}, r"train\.txt, line 1: '10,3' is not an integer"),
    ({"test_txt": "22 900\nx7\n"}, r"test\.txt, line 2: 'x7' is not an integer"),
    ({"train_txt": "10 3\r7 5\r22 4\r\r" + "x" * 999}, r"train\.txt, line 5: 'x{60}' is not an integer"),
    ({"test_txt": "22 900\n7 \x1b[2J\n"}, r"test\.txt, line 2: '\\x1b\[2J' is not an integer"),
    ({"train_txt": "10 3\n7 99999999999999999999\n22 4\n"}, r"train\.txt, line 2: '9+' is not an integer id"),
    ({"train_txt": "10 3\n7 5 -2\n22 4\n"}, r"train\.txt, line 2: item id -2 is negative"),
    ({"train_txt": "10 3\n7 5\n-22 4\n"}, r"train\.txt, line 3: user id -22 is negative"),
    ({"test_txt": "22 900\n10 4 5\n"}, r"test\.txt, line 2: item 5 of user 10 is also in train\.txt"),
    ({"test_txt": "22 900\n10 4\n"}, r"test\.txt, line 2: item 4 of user 10 is also in valid\.txt"),
    ({"valid_txt": "10 4\n7 6 5\n"}, r"valid\.txt, line 2: item 5 of user 7 is also in train\.txt"),
    ({"test_txt": "22 900\n8 4\n"}, r"test\.txt, line 2: user 8 has no training items"),
    ({"train_txt": "10 3\n7\n22 4\n"}, r"train\.txt, line 2: user 7 has no training items"),
    ({"train_txt": b"10 3\n7 5\xff\n"}, r"train\.txt, line 2: not UTF-8"),
]


@pytest.mark.parametrize(("changes", "sentence"), BAD, ids=[sentence for _, sentence in BAD])
def test_bad_adjacency_is_refused_with_file_and_line(tmp_path, changes, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        read(write(tmp_path, **changes))
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_valid_that_is_not_a_file_is_refused(tmp_path):
    write(tmp_path, valid_txt=None)
    (tmp_path / "valid.txt").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"valid\.txt: not a file"):
        read(tmp_path)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        read(tmp_path / "nowhere")


def test_bytes_that_are_no_text_are_not_read_as_ids(tmp_path):
    with pytest.raises(DataError, match="not UTF-8"):
        read(write(tmp_path, train_txt=b"10 3\n\xb5\xff 3\n"))


def test_from_pairs_sorts_rows_and_merges_repeats():
    interactions = from_pairs(np.array([2, 0, 2, 2, 0]), np.array([4, 1, 0, 4, 3]), 4, 5)
    assert interactions.indptr.tolist() == [0, 2, 2, 4, 4]
    assert interactions.items.tolist() == [1, 3, 0, 4]
    assert interactions.users.tolist() == [0, 0, 2, 2]


def test_sha256_depends_on_pairs_parts_and_raw_ids(tmp_path):
    texts = [
        {},
        {"train_txt": GOOD["train.txt"].replace("900", "901"), "test_txt": GOOD["test.txt"].replace("900", "901")},
        {"valid_txt": "10 6\n"},
        {"valid_txt": "22 900\n", "test_txt": "10 4\n7 3 4\n"},
    ]
    digests = set()
    for number, changes in enumerate(texts):
        folder = tmp_path / str(number)
        folder.mkdir()
        digests.add(read(write(folder, **changes)).sha256())
    assert len(digests) == len(texts)


def assert_disjoint_union(parts, whole):
    pairs = np.concatenate([part.users.astype(np.int64) * 1000 + part.items for part in parts])
    assert sorted(pairs.tolist()) == (whole.users.astype(np.int64) * 1000 + whole.items).tolist()


def test_carved_validation_takes_its_share_and_leaves_an_item(tmp_path):
    folder = write(tmp_path, train_txt="1 1\n2 1 2 3 4\n3 1 2 3 4 5 6 7 8 9 10\n", valid_txt=None, test_txt="3 11\n")
    whole = read(folder)
    dataset = splits.carve_validation(whole, 0.25, seed=0)
    assert dataset.valid.degrees.tolist() == [0, 1, 3] and dataset.train.degrees.tolist() == [1, 3, 7]
    assert_disjoint_union([dataset.train, dataset.valid], whole.train)
    assert "carved 4 of 15 training pairs" in dataset.notes[-1]
    np.testing.assert_array_equal(splits.carve_validation(whole, 0.99, seed=0).train.degrees, [1, 1, 1])


def test_load_carves_only_where_validation_is_missing(tmp_path):
    (tmp_path / "with").mkdir()
    (tmp_path / "without").mkdir()
    assert datasets.load("x", str(write(tmp_path / "with"))).valid.num_pairs == 1
    carved = datasets.load("x", str(write(tmp_path / "without", valid_txt=None)), valid_fraction=0.4)
    assert carved.valid.num_pairs == 3 and "carved" in carved.notes[0]


def test_load_refuses_what_it_cannot_find(tmp_path):
    with pytest.raises(ConfigError, match=r"dataset\.path is not set"):
        datasets.load("lastfm")
    with pytest.raises(ConfigError, match=r"dataset\.format = 'xml' is unknown; choose one of adjacency"):
        datasets.load("x", str(tmp_path), "xml")
    few = write(tmp_path, train_txt="1 1\n2 2\n", valid_txt=None, test_txt="1 2\n")
    with pytest.raises(DataError, match="no user has enough training items"):
        datasets.load("x", str(few))


COUNTED = {"train.txt": "3 3 5 900\n1 5\n0\n4 3 4 5 6\n", "test.txt": "1 4\n0\n0\n2 900 7\n"}


def test_lines_that_begin_with_a_count_are_of_the_user_of_their_number(tmp_path):
    folder = write(tmp_path, valid_txt=None, **{name.replace(".", "_"): text for name, text in COUNTED.items()})
    dataset = datasets.load("x", str(folder), valid_fraction=0, first_number="count")
    assert raw_pairs(dataset, "train") == [(1, 3), (1, 5), (1, 900), (2, 5), (4, 3), (4, 4), (4, 5), (4, 6)]
    assert raw_pairs(dataset, "test") == [(1, 4), (4, 7), (4, 900)]
    write(tmp_path, train_txt=COUNTED["train.txt"].replace("1 5", "2 5"))
    with pytest.raises(DataError, match=r"train\.txt, line 2: begins with 2, but has 1 items; correct it or set"):
        datasets.load("x", str(folder), valid_fraction=0, first_number="count")


def test_lines_of_items_alone_are_of_the_user_of_their_number(tmp_path):
    write(tmp_path, train_txt="3 5\n\n4 3\n", valid_txt=None, test_txt="9\n\n5\n")
    dataset = datasets.load("x", str(tmp_path), valid_fraction=0, first_number="none")
    assert raw_pairs(dataset, "train") == [(1, 3), (1, 5), (3, 3), (3, 4)]
    assert raw_pairs(dataset, "test") == [(1, 9), (3, 5)]


@pytest.mark.parametrize(
    ("text", "warns"),
    [
        ("2 8 9\n1 9\n3 7 8 9\n2 4 5\n1 8\n", True),
        ("2 8 9\n1 9\n3 7 8 9\n2 4 5\n7 8\n", False),
        ("2 8 9\n1 9\n3 7 8 9\n2 4 5\n", False),
    ],
    ids=["all", "but one", "few lines"],
)
def test_lines_that_all_begin_with_the_count_of_the_rest_are_warned_of(tmp_path, text, warns):
    (tmp_path / "users.dat").write_text(text)
    options: dict = {"split": "all", "valid_fraction": 0}
    notes = [note for note in datasets.load("x", str(tmp_path / "users.dat"), **options).notes if "Warning" in note]
    assert len(notes) == warns and all("5 lines" in note and "dataset.first_number=count" in note for note in notes)
    user = datasets.load("x", str(tmp_path / "users.dat"), first_number="user", **options)
    assert not any("Warning" in note for note in user.notes)


def test_one_file_is_split_like_any_other_and_told_by_its_lines(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_text("10 3 5 900\n7 5\n22 3 4 5 6\n")
    dataset = datasets.load("x", str(path), split="leave_one_out", valid_fraction=0)
    assert dataset.test.num_pairs == dataset.valid.num_pairs == 2
    assert any("pairs.txt: read as adjacency, since its lines are integers" in note for note in dataset.notes)
    path.write_text("10 3\n7 5\n22 3\n")
    assert any("read as text" in note for note in datasets.load("x", str(path), split="all", valid_fraction=0).notes)


def test_adjacency_in_other_encodings_and_with_comments(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain = read(write(tmp_path / "a"))
    for text in (GOOD["train.txt"].encode("utf-16"), GOOD["train.txt"].encode("utf-16-le")):
        assert read(write(tmp_path / "b", train_txt=text)).sha256() == plain.sha256()
    write(tmp_path / "b", train_txt="# 1 2\n" + GOOD["train.txt"])
    dataset = datasets.load("x", str(tmp_path / "b"), comment="#")
    assert dataset.sha256() == datasets.load("x", str(tmp_path / "a")).sha256()
    assert any("train.txt: skipped 1 lines of comment." in note for note in dataset.notes)
