import gzip
import io
import pickle
import zipfile
import zlib

import numpy as np
import polars as pl
import pytest
import scipy.sparse

from cml_jax.data import datasets
from cml_jax.errors import ConfigError, DataError
from tests.data.test_readers import ECHONEST, FRAME, MOVIELENS, load, raw_pairs, write


def npz(**arrays):
    written = io.BytesIO()
    np.savez(written, **arrays)
    return written.getvalue()


def npy(array):
    written = io.BytesIO()
    np.save(written, array)
    return written.getvalue()


def csr(indices, indptr):
    return npz(format=b"csr", shape=[2, 3], data=[1.0, 1.0], indices=indices, indptr=indptr)


def parquet_with_a_hole():
    written = io.BytesIO()
    pl.DataFrame({"user": [1, 2] * 99, "item": [3, 4] * 99}).write_parquet(written)
    content = written.getvalue()
    return content[:4] + content[-8 - int.from_bytes(content[-8:-4], "little") :]


BAD = [
    ("echonest", "u\ts\t1\nu\tt\tmany\n", r"line 2: column 'play count' = 'many' is not a finite number"),
    ("echonest", "u\ts\t1\nu\tt\tnan\n", r"line 2: column 'play count' = 'nan' is not a finite number"),
    ("echonest", "u\ts\t1\n\nu\tt\n", r"line 3: column 'play count' is empty"),
    ("echonest", "u\ts\t1\nu\tt\n", r"line 2: column 'play count' is empty"),
    ("echonest", "u s 1\nu t 1\n", r"line 1: has 1 fields, not 3"),
    ("echonest", gzip.compress(b"u\ts\t1\nu\tt\t1\t9\n"), r"line 2: has 4 fields, not 3"),
    ("echonest", gzip.compress(b"u\ts\t1\n" * 999)[:-12], r"cannot be read \("),
    ("echonest", "u\ts\t1\n\tt\t3\n", r"line 2: column 'user' is empty"),
    ("echonest", "u\ts\t1\nu\tt\t3\t4\n", r"line 2: has 4 fields, not 3"),
    ("echonest", b"u\ts\t1\n\xff\tt\t3\n", r"line 2: not UTF-8"),
    ("echonest", "", r"the file is empty|no pairs are left"),
    ("echonest", "\n\n", r"data\.txt: no pairs are left"),
    ("echonest", "\n\nu\ts\t1\nu\tt\n", r"line 4: column 'play count' is empty"),
    ("echonest", "u\ts\tmany\n".encode("utf-16"), r"line 1: column 'play count' = 'many' is not a finite number"),
    ("echonest", "u\ts\t1\n".encode("utf-16")[:-1], r"not utf-16 text|line 1: not utf-16 text"),
    ("csv", gzip.compress(b""), r"the file is empty"),
    ("csv", b"\xef\xbb\xbf", r"the file is empty"),
    ("csv", gzip.compress(b"user,item\n1,2\n")[:-8] + bytes(8), r"cannot be read \(corrupt gzip"),
    ("csv", gzip.compress(b"user,item\n1,2\n")[:5], r"cannot be read \("),
    ("csv", zlib.compress(b"user,item\n1,2\n" * 999)[:-6], r"is packed with zlib; unpack it, or pack it with gzip"),
    ("tsv", b"PK\x03\x04 and so on", r"is packed with zip; unpack it, or pack it with gzip"),
    ("csv", b"\x28\xb5\x2f\xfd and so on", r"is packed with zstd; unpack it"),
    ("csv", 'user,item\n1,2\n3,"4\n5,6\n', r"line 3: a quote opens or closes in the wrong place"),
    ("csv", 'user,item\n1,2\n3,"4"4\n5,6\n', r"line 3: a quote opens or closes in the wrong place"),
    ("csv", 'user,item\n1,2\n3,4"4\n5,6\n', r"line 3: a quote opens or closes in the wrong place"),
    ("csv", 'user,item,x\n1,2,3\n4,"5,6\n7,"8,9\n', r"line 3: a quote opens or closes in the wrong place"),
    ("csv", "user,item\r1,2\r3\r", r"line 3: column 'item' is empty"),
    ("csv", 'user,item\n1,2\n"",3\n', r"line 3: column 'user' is empty"),
    ("csv", '\n\nuser,item\n"1\n1",2\n,3\n', r"line 6: column 'user' is empty"),
    ("csv", "user,item\nv\r,d\n1,2,3\n", r"line 3: has 3 fields, not 2"),
    ("csv", f"user,item\n{'x' * 200_000},d\n1,2,3\n", r"line 3: has 3 fields, not 2"),
    ("csv", "user,item,user\n1,2,3\n", r"has two columns 'user'"),
    ("csv", "user,item\n1,2\n,3\n", r"line 3: column 'user' is empty"),
    ("csv", "user,item\n1,2\n3,4,5\n", r"line 3: has 3 fields, not 2"),
    ("csv", "who;what\na;b\n", r"has no column 'user' \(dataset\.user_column\); its columns are 'who, what'"),
    ("csv", "user,item\n", r"no pairs are left"),
    ("csv", "", r"the file is empty"),
    ("csv", b"PAR1\x00\xff\xfe\n\x00\n", r"has no column 'user'"),
    ("csv", b"user,item\n1,2\n\xff\xfe,3\n", r"line 3: not UTF-8"),
    ("parquet", "user,item\n1,2\n", r"cannot be read as Parquet"),
    ("parquet", b"", r"cannot be read as Parquet"),
    ("parquet", parquet_with_a_hole(), r"cannot be read as Parquet"),
    ("npz", csr([0, -1], [0, 1, 2]), r"not a matrix of scipy\.sparse\.save_npz"),
    ("npz", csr([0, 3], [0, 1, 2]), r"not a matrix of scipy\.sparse\.save_npz"),
    ("npz", csr([0, 1], [0, 2**31 - 5, 2]), r"not a matrix of scipy\.sparse\.save_npz"),
    ("npz", npz(format=b"csr", shape=[2, 3]), r"not a matrix of scipy\.sparse\.save_npz"),
    ("npz", npz(format=b"lil", shape=[2, 3]), r"not a matrix of scipy\.sparse\.save_npz"),
    ("npz", csr([0, 1], [0, 1, 2])[:-30], r"not a matrix of scipy\.sparse\.save_npz"),
    ("npz", b"", r"not a matrix of scipy\.sparse\.save_npz"),
    ("npz", "user,item\n", r"not a matrix of scipy\.sparse\.save_npz"),
    ("movielens", "7::30::5::978300760\n", r"neither u\.data, ratings\.dat nor ratings\.csv"),
]


@pytest.mark.parametrize(("format", "content", "sentence"), BAD, ids=[f"{f}-{s}" for f, _, s in BAD])
def test_bad_files_are_refused_with_file_and_line(tmp_path, format, content, sentence):
    path = write(tmp_path / "data.txt", content)
    with pytest.raises(DataError, match=sentence) as caught:
        load(path, format)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value) and str(caught.value).endswith(".")


TIMED = [
    (
        "csv",
        "user,item,t\nu,a,2020-01-03\nu,b,02/01/2019\nu,c,2020-02-01\n",
        r"line 3: column 't' = '02/01/2019' is not",
    ),
    ("csv", "user,item,t\nu,a,02/01/2019\n", r"line 2: column 't' = '02/01/2019' is not a time"),
    ("csv", b"user,item,t\n1,2,3\n\xff,3,4\n", r"line 3: not UTF-8"),
    ("csv", "user,item,t,row\n1,2,3,4\n1,2,x,4\n", r"line 3: column 't' = 'x' is not a time"),
    ("csv", f"user,item,t\n1,2,3\n1,3,{'9' * 999}y\n", r"line 3: column 't' = '9{60}' is not a time"),
]


@pytest.mark.parametrize(("format", "content", "sentence"), TIMED, ids=[s for *_, s in TIMED])
def test_bad_times_are_refused_with_file_and_line(tmp_path, format, content, sentence):
    with pytest.raises(DataError, match=sentence) as caught:
        load(write(tmp_path / "data.csv", content), format, time_column="t")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("u.data", "1\t2\t3\t4\t5\n", r"line 1: has 5 fields, not 4"),
        (
            "u.data",
            "user\titem\trating\ttime\n1\t2\t3\t4\n",
            r"line 1: column 'rating' = 'rating' is not a finite number",
        ),
        ("ratings.dat", "1,2,3,4\n", r"line 1: has 1 fields, not 7"),
        ("ratings.dat", "1::2::3::4\n1::2::3\n", r"line 2: column 'time' is empty"),
        ("ratings.dat", "1::2::3::4\n1:9:2::3::4\n", r"line 2: column 'first ::' = '9' is not empty"),
    ],
)
def test_bad_movielens_files_are_refused_with_file_and_line(tmp_path, name, content, sentence):
    with pytest.raises(DataError, match=rf"{name}, {sentence}"):
        load(write(tmp_path / name, content), "movielens")


def test_two_movielens_releases_in_one_folder_and_odd_files_are_refused(tmp_path):
    write(tmp_path / "u.data", MOVIELENS["u.data"])
    write(tmp_path / "ratings.csv", MOVIELENS["ratings.csv"])
    with pytest.raises(DataError, match=r"holds u\.data and ratings\.csv; give one of the files"):
        load(tmp_path, "movielens")
    for part in ("train", "test"):
        write(tmp_path / f"{part}.csv", "user,item\n1,2\n")
    (tmp_path / "valid.csv").mkdir()
    with pytest.raises(DataError, match=r"valid\.csv: no such file; a folder needs"):
        load(tmp_path, "csv", split=None)


def test_parts_with_times_of_different_kinds_are_refused(tmp_path):
    write(tmp_path / "train.csv", "user,item,t\n1,2,100\n1,3,200\n")
    write(tmp_path / "test.csv", "user,item,t\n1,4,2020-01-01\n")
    with pytest.raises(DataError, match=r"test\.csv: times are dates, but numbers in .*train\.csv"):
        load(tmp_path, "csv", time_column="t")
    write(tmp_path / "test.csv", "user,item,t\n1,4,3.5\n")
    dataset = load(tmp_path, "csv", time_column="t")
    assert raw_pairs(dataset, "train") == [(1, 4)] and raw_pairs(dataset, "test") == [(1, 3)]


def test_times_with_zones_are_compared_at_one_moment(tmp_path):
    rows = "u,a,2020-01-05T10:00:00Z\nu,b,2020-01-05T11:30:00+02:00\nu,c,2020-01-05T10:00:01-00:00\n"
    dataset = load(write(tmp_path / "t.csv", "user,item,t\n" + rows), "csv", time_column="t")
    assert [raw_pairs(dataset, part)[0][1] for part in ("train", "valid", "test")] == ["b", "a", "c"]


def test_path_is_no_pattern(tmp_path):
    for name in ("[ab].csv", "a.csv", "a*.csv"):
        write(tmp_path / name, f"user,item\n1,{name}\n1,x\n1,y\n")
    for name in ("[ab].csv", "a*.csv"):
        assert (1, name) in [(u, str(i)) for u, i in raw_pairs(load(tmp_path / name, "csv"))]
        FRAME.select(user="who", item="what").write_parquet(tmp_path / f"{name}.parquet")
        assert load(tmp_path / f"{name}.parquet", "parquet").train.num_pairs == 2


def test_k_core_is_asked_for_by_name(tmp_path):
    rows = "".join(f"{u},{i}\n" for u in range(4) for i in range(4)) + "9,0\n9,1\n9,8\n8,8\n8,0\n"
    path = write(tmp_path / "k.csv", "user,item\n" + rows)
    options = {"min_user_items": 3, "min_item_users": 2}
    assert load(path, "csv", **options).user_ids.tolist() == [0, 1, 2, 3, 9]
    assert load(path, "csv", filter="k_core", **options).user_ids.tolist() == [0, 1, 2, 3]


def test_bad_times_ratings_and_types_are_named(tmp_path):
    path = write(tmp_path / "a.csv", "user,item,r,t\n1,2,3,4\n1,3,x,y\n")
    with pytest.raises(DataError, match="line 3: column 't' = 'y' is not a time"):
        load(path, "csv", time_column="t")
    with pytest.raises(DataError, match="line 3: column 'r' = 'x' is not a finite number"):
        load(path, "csv", rating_column="r", min_rating=1)
    with pytest.raises(DataError, match="has no column 'when'"):
        load(path, "csv", time_column="when")
    pl.DataFrame({"user": [1.5], "item": [1]}).write_parquet(tmp_path / "f.parquet")
    with pytest.raises(DataError, match=r"column 'user' .* is of type Float64; ids must be integers or text"):
        load(tmp_path / "f.parquet", "parquet")
    pl.DataFrame({"user": [1, 2, None], "item": [1, 2, 3]}).write_parquet(tmp_path / "n.parquet")
    with pytest.raises(DataError, match="row 3: column 'user' is empty"):
        load(tmp_path / "n.parquet", "parquet")
    for name, matrix, sentence in (
        ("deep", scipy.sparse.coo_array(np.ones(3)), r"has 1 dimension"),
        ("inf", scipy.sparse.csr_array([[np.inf, 1.0]]), "not finite numbers"),
    ):
        scipy.sparse.save_npz(tmp_path / name, matrix)
        with pytest.raises(DataError, match=sentence):
            load(tmp_path / f"{name}.npz", "npz")
    scipy.sparse.save_npz(tmp_path / "train.npz", scipy.sparse.csr_array(np.ones((2, 3))))
    scipy.sparse.save_npz(tmp_path / "test.npz", scipy.sparse.csr_array(np.ones((2, 4))))
    with pytest.raises(DataError, match=r"test\.npz: has shape \(2, 4\), not \(2, 3\)"):
        load(tmp_path, "npz")


class _Touch:
    """Makes a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("where", ["data", "indices", "format", "the file"])
def test_pickles_are_refused_and_not_loaded(tmp_path, where):
    bomb, mark = _Touch(tmp_path / "mark"), tmp_path / "mark"
    pickle.loads(pickle.dumps(bomb)).close()
    assert mark.exists()
    mark.unlink()
    arrays: dict = {"format": b"csr", "shape": [2, 3], "data": [1.0, 1.0], "indices": [0, 1], "indptr": [0, 1, 2]}
    content = npz(**arrays | {where: np.array([bomb, bomb])}) if where in arrays else pickle.dumps(bomb)
    with pytest.raises(DataError, match=r"m\.npz: not a matrix of scipy\.sparse\.save_npz"):
        load(write(tmp_path / "m.npz", content), "npz")
    assert not mark.exists()


def test_matrix_that_claims_to_be_huge_is_refused(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (2**59,)})
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("format.npy", npy(np.array(b"dia")))
        archive.writestr("data.npy", header.getvalue())
    with pytest.raises(DataError, match=r"m\.npz: needs more memory than there is\."):
        load(tmp_path / "m.npz", "npz")


def test_name_that_is_too_long_is_refused(tmp_path):
    for format in ("csv", "adjacency", "movielens"):
        with pytest.raises(DataError, match=r"xxx: cannot be read \(File name too long\)\."):
            load(tmp_path / ("x" * 999), format)


def test_options_that_do_not_fit_the_format_are_refused(tmp_path):
    write(tmp_path / "train_triplets.txt", ECHONEST)
    for options, sentence in (
        ({"user_column": "who"}, r"dataset\.user_column = 'who' does not fit dataset\.format = 'echonest'"),
        ({"split": "temporal_user"}, r"'temporal_user' needs times"),
    ):
        with pytest.raises((ConfigError, DataError), match=sentence):
            load(tmp_path, "echonest", **options)
    with pytest.raises(ConfigError, match=r"dataset\.min_rating = 3 does not fit dataset\.format = 'adjacency'"):
        load(tmp_path, "adjacency", min_rating=3)
    with pytest.raises(ConfigError, match=r"rating_column and dataset\.min_rating go together"):
        load(tmp_path, "csv", min_rating=3)
    with pytest.raises(ConfigError, match=r"rating_column and dataset\.min_rating go together"):
        load(tmp_path, "csv", rating_column="stars")
    ignored: list[dict] = [{"min_user_items": 5}, {"split_ratio": (8, 1, 1)}, {"format": "csv"}, {"filter": "k_core"}]
    for options in ignored:
        with pytest.raises(ConfigError, match="is generated with its split"):
            datasets.load("synthetic", **options)
    for options, sentence in (
        ({"filter": "kcore"}, r"dataset\.filter = 'kcore' is unknown; choose one of k_core, once"),
        ({"split": "rato"}, r"dataset\.split = 'rato' is unknown"),
        ({"filter": "k_core"}, r"'k_core' needs dataset\.min_user_items or"),
        ({"split": "given", "split_ratio": (8, 1, 1)}, r"split_ratio has no effect with dataset\.split = 'given'"),
        ({"user_column": "x", "item_column": "x"}, r"are both 'x'"),
    ):
        with pytest.raises(ConfigError, match=sentence):
            load(tmp_path, "csv", **options)
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file or folder"):
        load(tmp_path / "nowhere.csv", "csv")
    with pytest.raises(DataError, match=r"train\.csv: no such file; a folder needs"):
        load(tmp_path, "csv")
