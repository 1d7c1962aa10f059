"""Packed files of every format, whole and cut off."""

import bz2
import gzip
import io
import lzma
import zipfile

import pytest
import zstandard

from cml_jax.data import datasets, packing, text_copies
from cml_jax.data.sources import dataset_of
from cml_jax.errors import DataError
from tests.data.test_readers import ECHONEST, MOVIELENS, raw_pairs, write


def zipped(content, *names):
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/", "")
        for name in names or ("folder/data",):
            archive.writestr(name, content)
    return written.getvalue()


PACK = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".zip": zipped,
}
CSV = "user,item,t\n" + "".join(f"u{row % 7},i{row % 11},{row}\n" for row in range(60))
FILES = {
    "a.csv": (CSV, "csv"),
    "a.tsv": (CSV.replace(",", "\t"), "tsv"),
    "a.txt": (CSV.replace(",", "::"), "text"),
    "a.inter": ("user_id:token\titem_id:token\n" + "".join(f"u{r % 7}\ti{r % 11}\n" for r in range(60)), "inter"),
    "a.jsonl": ("".join(f'{{"user": {row % 7}, "item": "i{row % 11}"}}\n' for row in range(60)), "jsonl"),
    "train_triplets.txt": (ECHONEST, "echonest"),
    "u.data": (MOVIELENS["u.data"], "movielens"),
    "ratings.csv": (MOVIELENS["ratings.csv"], "movielens"),
}


@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize("name", FILES)
def test_packed_files_are_read_as_plain_ones(tmp_path, name, packed):
    content, format = FILES[name]
    plain = datasets.load("x", str(write(tmp_path / name, content)), format, split="all", valid_fraction=0)
    path = write(tmp_path / f"{name}{packed}", PACK[packed](content.encode()))
    for dataset in (
        dataset_of(path, valid_fraction=0),
        datasets.load("x", str(path), format, split="all", valid_fraction=0),
    ):
        assert dataset.sha256() == plain.sha256() and dataset.train.num_pairs == plain.train.num_pairs > 2
    assert any(f"{path}: read as {format}" in note for note in dataset_of(path, valid_fraction=0).notes)


@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize("format", ["csv", "tsv", "jsonl", "adjacency", "inter"])
def test_folders_of_packed_parts_are_split_as_given(tmp_path, format, packed):
    lines = {
        "csv": ("user,item\n1,2\n1,3\n2,3\n", "user,item\n2,2\n"),
        "tsv": ("user\titem\n1\t2\n1\t3\n2\t3\n", "user\titem\n2\t2\n"),
        "inter": ("user_id:token\titem_id:token\n1\t2\n1\t3\n2\t3\n", "user_id:token\titem_id:token\n2\t2\n"),
        "jsonl": ('{"user":1,"item":2}\n{"user":1,"item":3}\n{"user":2,"item":3}\n', '{"user":2,"item":2}\n'),
        "adjacency": ("1 2 3\n2 3\n", "2 2\n"),
    }[format]
    suffix = "txt" if format == "adjacency" else format
    for part, content in zip(("train", "test"), lines, strict=True):
        write(tmp_path / f"{part}.{suffix}{packed}", PACK[packed](content.encode()))
    for dataset in (dataset_of(tmp_path, valid_fraction=0), datasets.load("x", str(tmp_path), valid_fraction=0)):
        assert raw_pairs(dataset, "train") == [(1, 2), (1, 3), (2, 3)] and raw_pairs(dataset, "test") == [(2, 2)]
    write(tmp_path / f"train.{suffix}", lines[0])
    with pytest.raises(DataError, match=rf"holds train\.{suffix} and train\.{suffix}\{packed}; keep one of them"):
        datasets.load("x", str(tmp_path), format, valid_fraction=0)


@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_cut_off_and_damaged_files_are_one_sentence(tmp_path, name, packed):
    content, format = FILES[name]
    whole = PACK[packed]((content * 50).encode())
    middle = len(whole) // 2
    for place, damaged in enumerate((whole[:-5], whole[:middle], whole[:middle] + b"\0" * 20 + whole[middle + 20 :])):
        path = write(tmp_path / f"{place}{name}{packed}", damaged)
        with pytest.raises(DataError) as caught:
            datasets.load("x", str(path), format, split="all")
        sentence = str(caught.value)
        assert sentence.startswith(f"{path}: ") and "cannot be read" in sentence and len(sentence.splitlines()) == 1


def test_frames_of_zstd_behind_each_other_are_all_read(tmp_path):
    pack = zstandard.ZstdCompressor().compress
    path = write(tmp_path / "a.csv.zst", pack(CSV[:100].encode()) + pack(CSV[100:].encode()))
    with packing.unpacked(path) as file:
        assert file.read().decode() == CSV


def test_archives_of_several_files_are_named(tmp_path):
    path = write(tmp_path / "a.csv.zip", zipped(CSV.encode(), "a.csv", "b.csv"))
    with pytest.raises(DataError, match=r"is a zip archive of 2 files \('a\.csv, b\.csv'\); unpack it and give one"):
        datasets.load("x", str(path), "csv")
    tar = bytes(257) + b"ustar" + bytes(250)
    with pytest.raises(DataError, match=r"a\.csv\.gz: is a tar archive; unpack it and give one of its files"):
        datasets.load("x", str(write(tmp_path / "a.csv.gz", gzip.compress(tar))), "csv")
    with pytest.raises(DataError, match=r"a\.csv: is packed with 7-Zip; unpack it, or pack it with gzip"):
        datasets.load("x", str(write(tmp_path / "a.csv", b"7z\xbc\xaf\x27\x1c and so on")), "csv")


def test_text_that_begins_like_a_packed_file_is_text(tmp_path):
    path = write(tmp_path / "a.csv", "BZh9user,item\n1,2\n")
    dataset = datasets.load("x", str(path), "csv", split="all", valid_fraction=0, user_column="BZh9user")
    assert raw_pairs(dataset) == [(1, 2)]


def test_copies_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(text_copies.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    for content in (CSV, "user,item\n1,\n"):
        path = write(tmp_path / "a.csv.bz2", bz2.compress(content.encode()))
        try:
            datasets.load("x", str(path), "csv", split="all", valid_fraction=0)
        except DataError as error:
            assert "line 2: column 'item' is empty" in str(error)
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("outer", ["gz", "bz2", "xz", "zst", "zip"])
@pytest.mark.parametrize("name", ["a.csv", "a.txt", "a.jsonl"])
def test_what_is_packed_twice_is_named(tmp_path, name, outer):
    inner = gzip.compress(b"user,item\na,x\n")
    path = tmp_path / f"{name}.{outer}"
    if outer == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, inner)
    else:
        pack = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.compress}[outer]
        path.write_bytes(pack(inner))
    for format in (None, "adjacency"):
        with pytest.raises(DataError, match=r"is packed twice, with \w+ around gzip; unpack it once"):
            datasets.load("mine", str(path), format)


@pytest.mark.parametrize("name", ["validation.csv", "val.csv.gz"])
def test_parts_of_other_names_are_said(tmp_path, name):
    for part in ("train.csv", "test.csv"):
        (tmp_path / part).write_text(f"user,item\na,{part}\n")
    (tmp_path / name).write_bytes(gzip.compress(b"user,item\na,z\n"))
    notes = datasets.load("mine", str(tmp_path), valid_fraction=0).notes
    assert f"Warning: {tmp_path}: not read is {name}; parts are called train, valid, test." in notes
