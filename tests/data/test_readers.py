import gzip
import io

import numpy as np
import polars as pl
import pytest
import scipy.sparse

from cml_jax.data import datasets
from cml_jax.errors import DataError

# (user, item, rating, time); the user 007 is not the user 7, and one pair is repeated.
ROWS = [
    ("007", "a b", 5.0, 50),
    ("7", "x", 4.0, 10),
    ("007", "y,z", 1.0, 20),
    ("7", "a b", 2.5, 40),
    ("é", "x", 3.0, 30),
    ("7", "y,z", 4.0, 60),
    ("7", "x", 4.5, 70),
    ("007", "x", 4.0, 80),
    ("é", "y,z", 3.5, 90),
]
FRAME = pl.DataFrame(ROWS, schema=["who", "what", "stars", "when"], orient="row")
NAMES = {"user_column": "who", "item_column": "what"}


def raw_pairs(dataset, *parts):
    pairs = []
    for part in parts or ("train", "valid", "test"):
        rows = getattr(dataset, part)
        users, items = dataset.user_ids[rows.users].tolist(), dataset.item_ids[rows.items].tolist()
        pairs += zip(users, items, strict=True)
    return sorted(pairs)


def load(path, format, **options):
    with_split: dict = {"split": "leave_one_out"} | options
    return datasets.load("mine", str(path), format, **with_split)


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_csv_tsv_and_parquet_of_the_same_rows_are_the_same_data(tmp_path):
    FRAME.write_parquet(tmp_path / "rows.parquet")
    paths = {
        "csv": write(tmp_path / "rows.csv", FRAME.write_csv()),
        "tsv": write(tmp_path / "rows.tsv", FRAME.write_csv(separator="\t")),
        "parquet": tmp_path / "rows.parquet",
    }
    options = NAMES | {"time_column": "when"}
    loaded = {format: load(path, format, **options) for format, path in paths.items()}
    assert len({dataset.sha256() for dataset in loaded.values()}) == 1
    dataset = loaded["csv"]
    assert dataset.user_ids.tolist() == ["007", "7"], "é has two items and cannot be split"
    assert dataset.item_ids.tolist() == ["a b", "x", "y,z"]
    assert raw_pairs(dataset, "test") == [("007", "x"), ("7", "y,z")], "the newest; of 7's two x the first counts"
    assert raw_pairs(dataset, "valid") == [("007", "a b"), ("7", "a b")]
    assert dataset.notes[0] == "Dropped 1 repeated pairs."


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_rating_threshold_leaves_rows_out_and_counts_them(tmp_path, format):
    path = tmp_path / f"rows.{format}"
    FRAME.write_csv(path) if format == "csv" else FRAME.write_parquet(path)
    options = NAMES | {"rating_column": "stars", "min_rating": 3.0, "time_column": "when", "split": "temporal_global"}
    dataset = load(path, format, **options, split_ratio=(2, 1, 1))
    assert raw_pairs(dataset) == [("007", "a b"), ("007", "x"), ("7", "x"), ("7", "y,z"), ("é", "x"), ("é", "y,z")]
    assert dataset.notes[0] == "Kept 7 of 9 pairs whose stars is at least 3."


@pytest.mark.parametrize(
    "times",
    [
        pl.Series(["2020-01-05", "2020-01-01", "2020-01-02", "2020-01-04"]),
        pl.Series(["2020-01-05T10:00:00", "2020-01-05T09:00:00", "2020-01-05T09:30:00", "2020-01-05T09:59:59"]),
        pl.Series(["5.5", "5.1", "5.2", "5.4"]),
        pl.Series(["1600000000000000005", "1600000000000000001", "1600000000000000002", "1600000000000000004"]),
    ],
    ids=["dates", "date-times", "decimals", "integers beyond float64"],
)
@pytest.mark.parametrize("kind", ["text", "typed"])
def test_times_are_read_in_any_form(tmp_path, times, kind):
    frame = pl.DataFrame({"user": ["u"] * 4, "item": ["d", "a", "b", "c"], "t": times})
    if kind == "text":
        path, format = write(tmp_path / "t.csv", frame.write_csv()), "csv"
    else:
        typed = pl.read_csv(io.BytesIO(frame.write_csv().encode()), try_parse_dates=True)
        assert typed["t"].dtype != pl.String
        path, format = tmp_path / "t.parquet", "parquet"
        typed.write_parquet(path)
    dataset = load(path, format, time_column="t", split="temporal_user", split_ratio=(2, 1, 1))
    assert [raw_pairs(dataset, part) for part in ("train", "valid", "test")] == [
        [("u", "a"), ("u", "b")],
        [("u", "c")],
        [("u", "d")],
    ]


def test_folder_of_files_gives_the_parts(tmp_path):
    for part, rows in (("train", "1,10\n2,10\n2,11\n"), ("test", "1,11\n3,10\n")):
        write(tmp_path / f"{part}.csv", "user,item\n" + rows)
    dataset = datasets.load("mine", str(tmp_path), "csv", valid_fraction=0.5)
    assert raw_pairs(dataset, "test") == [(1, 11)] and dataset.user_ids.tolist() == [1, 2]
    assert raw_pairs(dataset, "train", "valid") == [(1, 10), (2, 10), (2, 11)] and dataset.valid.num_pairs == 1
    assert dataset.notes[0] == "Dropped 1 users (1 pairs) without training items."
    write(tmp_path / "valid.csv", "user,item\n2,11\n")
    with pytest.raises(DataError, match=r"/.*: item 11 of user 2 is in two parts"):
        datasets.load("mine", str(tmp_path), "csv")


def test_npz_of_repeated_entries_holds_their_sum_and_needs_no_memory_for_its_shape(tmp_path):
    rows, cols = np.array([0, 0, 0, 0, 2**40]), np.array([1, 1, 2, 3, 2])
    matrix = scipy.sparse.coo_array((np.array([3.0, 3.0, 6.0, 6.0, 9.0]), (rows, cols)), shape=(2**41, 2**20))
    scipy.sparse.save_npz(tmp_path / "m.npz", matrix)
    dataset = load(tmp_path / "m.npz", "npz", min_rating=5)
    assert raw_pairs(dataset) == [(0, 1), (0, 2), (0, 3)]
    assert dataset.notes[:2] == (
        "Added up 1 entries to others of the same row and column.",
        "Kept 4 of 4 pairs whose value is at least 5.",
    )


def test_npz_reads_a_matrix_and_its_values(tmp_path):
    matrix = np.zeros((5, 6))
    matrix[[0, 0, 0, 0, 3, 3, 3, 4], [1, 2, 4, 5, 1, 2, 4, 2]] = [1, 5, 5, 5, 4, 5, 4, 5]
    sparse = scipy.sparse.csr_array(matrix)
    sparse.data[0] = 0  # a stored zero is no pair
    scipy.sparse.save_npz(tmp_path / "m.npz", sparse)
    dataset = load(tmp_path / "m.npz", "npz", min_rating=4.5, min_user_items=0, split="ratio", split_ratio=(1, 1, 1))
    assert raw_pairs(dataset) == [(0, 2), (0, 4), (0, 5)]
    assert dataset.notes[:2] == ("Skipped 1 stored zeros.", "Kept 5 of 7 pairs whose value is at least 4.5.")
    assert raw_pairs(load(tmp_path / "m.npz", "npz")) == [(0, 2), (0, 4), (0, 5), (3, 1), (3, 2), (3, 4)]


ECHONEST = "u2\tS1\t10\nu1\tS1\t3\nu2\tS2\t1\nu2\tS3\t12\nu1\tS2\t11\nu2\tS4\t99\n"
MOVIELENS = {
    "u.data": "7\t30\t5\t881250949\n7\t10\t3\t881250940\n7\t20\t4\t881250945\n",
    "ratings.dat": "7::30::5::978300760\n7::10::3::978300750\n7::20::4::978300755\n",
    "ratings.csv": "userId,movieId,rating,timestamp\n7,30,5.0,1112486027\n7,10,3.0,1112486020\n7,20,4.0,1112486025\n",
}


@pytest.mark.parametrize("as_folder", [True, False])
def test_echonest_filters_by_play_count_then_once_by_user(tmp_path, as_folder):
    file = write(tmp_path / "train_triplets.txt", ECHONEST)
    path = tmp_path if as_folder else file
    everything = load(path, "echonest", min_rating=1, split="ratio", split_ratio=(1, 0, 1), valid_fraction=0.5)
    assert everything.train.num_pairs + everything.test.num_pairs + everything.valid.num_pairs == 6
    dataset = load(path, "echonest", min_rating=10, min_user_items=3)
    assert raw_pairs(dataset) == [("u2", "S1"), ("u2", "S3"), ("u2", "S4")]
    assert dataset.notes[0] == "Kept 4 of 6 pairs whose play count is at least 10."
    assert "3 of 4 pairs, 1 of 2 users, 3 of 4 items" in dataset.notes[1]


@pytest.mark.parametrize("name", MOVIELENS)
def test_movielens_of_every_size_is_read_by_time(tmp_path, name):
    write(tmp_path / name, MOVIELENS[name])
    dataset = load(tmp_path, "movielens")
    assert [raw_pairs(dataset, part) for part in ("train", "valid", "test")] == [[(7, 10)], [(7, 20)], [(7, 30)]]
    with pytest.raises(DataError, match="leaves no training pairs"):
        load(tmp_path / name, "movielens", min_rating=4)


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff" + ECHONEST.replace("\n", "\r\n"),
        ECHONEST.rstrip("\n"),
        ECHONEST.replace("u1\tS1", "\n\nu1\tS1"),
        gzip.compress(ECHONEST.encode()),
    ],
    ids=["BOM and CRLF", "no last newline", "blank lines", "gzip"],
)
def test_text_variants_are_read_alike(tmp_path, content):
    plain = write(tmp_path / "plain.txt", ECHONEST)
    variant = write(tmp_path / "variant.txt", content)
    options = {"min_rating": 10, "min_user_items": 3}
    assert load(plain, "echonest", **options).sha256() == load(variant, "echonest", **options).sha256()
    notes = [note for note in load(variant, "echonest", **options).notes if note != "Skipped 2 empty lines."]
    assert list(load(plain, "echonest", **options).notes) == notes
