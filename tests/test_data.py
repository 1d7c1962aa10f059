import gzip

import numpy as np
import pytest

from cml_jax.data import datasets, readers, splits, synthetic
from cml_jax.data.interactions import from_pairs, union
from cml_jax.errors import ConfigError, DataError
from tests import oracles

GOOD = {"train.txt": "10 3 5 900\n7 5\n22 3 4 5 6\n", "valid.txt": "10 4\n", "test.txt": "22 900\n7 3 4\n10\n"}


def write(folder, **changes):
    for name, text in (GOOD | {key.replace("_", "."): value for key, value in changes.items()}).items():
        if text is not None:
            (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


def raw_pairs(dataset, part):
    """The pairs of a part in raw ids."""
    interactions = getattr(dataset, part)
    users, items = dataset.user_ids[interactions.users], dataset.item_ids[interactions.items]
    return sorted(zip(users.tolist(), items.tolist(), strict=True))


def test_adjacency_reads_what_was_written(tmp_path):
    dataset = readers.read_adjacency(write(tmp_path))
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
    ],
    ids=["windows", "spaces and no last newline", "user on two lines", "user also on an empty line"],
)
def test_adjacency_reads_variants_alike(tmp_path, text):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    plain = readers.read_adjacency(write(tmp_path / "a"))
    variant = readers.read_adjacency(write(tmp_path / "b", train_txt=text))
    assert plain.sha256() == variant.sha256()


def test_adjacency_counts_repeated_pairs(tmp_path):
    dataset = readers.read_adjacency(write(tmp_path, train_txt="10 3 5 3 900\n7 5\n22 3 4 5 6\n7 5\n"))
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
    ({"train_txt": "10,3\n"}, r"train\.txt, line 1: (user 10,3 has no training items|'10,3' is not an integer)"),
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
        readers.read_adjacency(write(tmp_path, **changes))
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")


def test_valid_that_is_not_a_file_is_refused(tmp_path):
    write(tmp_path, valid_txt=None)
    (tmp_path / "valid.txt").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"valid\.txt: not a file"):
        readers.read_adjacency(tmp_path)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such folder"):
        readers.read_adjacency(tmp_path / "nowhere")


def test_gzip_in_disguise_is_not_read_as_ids(tmp_path):
    with pytest.raises(DataError, match="not UTF-8"):
        readers.read_adjacency(write(tmp_path, train_txt=gzip.compress(b"10 3\n")))


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
        digests.add(readers.read_adjacency(write(folder, **changes)).sha256())
    assert len(digests) == len(texts)


def random_interactions():
    rng = np.random.default_rng(3)
    return from_pairs(rng.integers(0, 40, 900), rng.integers(0, 60, 900), 40, 60)


def assert_disjoint_union(parts, whole):
    pairs = np.concatenate([part.users.astype(np.int64) * 1000 + part.items for part in parts])
    assert sorted(pairs.tolist()) == (whole.users.astype(np.int64) * 1000 + whole.items).tolist()


def test_per_user_ratio_divides_every_users_items():
    whole = random_interactions()
    parts = splits.per_user_ratio(whole, (3, 1, 1), seed=5)
    assert_disjoint_union(parts, whole)
    np.testing.assert_array_equal(parts[1].degrees, whole.degrees // 5)
    np.testing.assert_array_equal(parts[2].degrees, whole.degrees // 5)
    again, other = splits.per_user_ratio(whole, (3, 1, 1), seed=5), splits.per_user_ratio(whole, (3, 1, 1), seed=6)
    np.testing.assert_array_equal(parts[1].items, again[1].items)
    assert not np.array_equal(parts[1].items, other[1].items)


def test_carved_validation_takes_its_share_and_leaves_an_item(tmp_path):
    folder = write(tmp_path, train_txt="1 1\n2 1 2 3 4\n3 1 2 3 4 5 6 7 8 9 10\n", valid_txt=None, test_txt="3 11\n")
    whole = readers.read_adjacency(folder)
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


def test_synthetic_is_long_tailed_clustered_and_seeded():
    model = synthetic.make_taste_model(num_users=300, num_items=2000, num_genres=4, styles_per_genre=5)
    interactions = synthetic.taste_clusters(model, mean_degree=20)
    assert 17 < interactions.degrees.mean() < 23 and interactions.degrees.min() >= 5
    popularity = np.sort(interactions.popularity)[::-1]
    assert popularity[:200].sum() > 3 * popularity[-1000:].sum(), "a tenth of the items far outweighs the lower half"
    favourite = model.affinity.argmax(axis=1)
    own_style = model.style[interactions.items] == favourite[interactions.users]
    assert 0.4 < own_style.mean() < 0.95, "against 1 in 20 by chance"
    np.testing.assert_array_equal(interactions.items, synthetic.taste_clusters(model, mean_degree=20).items)


def test_synthetic_draws_follow_the_models_weights():
    """Over many users of one taste, items are included as numpy's draws without replacement include them."""
    num_users = 20_000
    model = synthetic.TasteModel(np.ones((num_users, 1)), np.zeros(10, int), np.arange(1, 11) ** -0.7)
    included = synthetic.taste_clusters(model, mean_degree=1).popularity
    assert included.sum() == 5 * num_users, "the fewest and the most items a user can have are both 5 of 10 here"
    expected = oracles.inclusion_frequencies(model.appeal, 5, num_users, seed=1)
    share = (expected + included) / (2 * num_users)
    deviation = np.sqrt(2 * num_users * share * (1 - share))
    assert np.all(np.abs(expected - included) < 5 * deviation)  # false alarm below 1e-5


def test_checkerboard_leaves_one_right_answer():
    dataset = synthetic.make_checkerboard(12)
    seen = union(dataset.train, dataset.valid)
    for user in range(12):
        parity = {item for item in range(12) if (item - user) % 2 == 0}
        assert parity - set(seen.row(user).tolist()) == set(dataset.test.row(user).tolist()) == {user}
