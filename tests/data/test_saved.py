import numpy as np
import pytest

from cml_jax.data import saved
from cml_jax.data.interactions import Dataset, from_pairs
from cml_jax.errors import DataError

TRAIN = from_pairs(np.array([0, 0, 2, 3]), np.array([1, 4, 0, 2]), 4, 5)
VALID = from_pairs(np.array([1, 3]), np.array([3, 4]), 4, 5)
TEST = from_pairs(np.array([1]), np.array([0]), 4, 5)
TEXT = np.array(["", 'naïve, "quoted"\nline', "\0 ends in zero\0", "日本語" * 9, "x"], object)


def dataset(user_ids, item_ids):
    return Dataset(TRAIN, VALID, TEST, user_ids, item_ids)


@pytest.mark.parametrize("user_ids", [np.array([7, -3, 2**62, 0]), TEXT[:4], np.array(["a", "b", "c", "dd"])], ids=str)
def test_round_trip(user_ids, tmp_path):
    data = dataset(user_ids, TEXT)
    saved.save_dataset(tmp_path / "dataset.npz", data, data.sha256())
    read = saved.load_dataset(tmp_path / "dataset.npz")
    assert read.user_ids.tolist() == user_ids.tolist() and read.item_ids.tolist() == TEXT.tolist()
    for part in ("train", "valid"):
        for mine, theirs in zip(getattr(read, part), getattr(data, part), strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert read.sha256 == data.sha256()
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.npz"]


def test_written_once_and_again_for_other_data(tmp_path):
    path = tmp_path / "dataset.npz"
    saved.save_dataset(path, dataset(np.arange(4), np.arange(5)), "a")
    first = path.stat().st_mtime_ns, path.stat().st_ino
    saved.save_dataset(path, dataset(np.arange(4), np.arange(5)), "a")
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == first
    saved.save_dataset(path, dataset(np.arange(4) + 1, np.arange(5)), "b")
    assert saved.load_dataset(path).user_ids.tolist() == [1, 2, 3, 4]


def test_every_damage_is_named(tmp_path):
    path = tmp_path / "dataset.npz"
    saved.save_dataset(path, dataset(TEXT[:4], TEXT), "a")
    whole = path.read_bytes()
    damaged = [b"", b"not a zip", whole[: len(whole) // 2], whole[:-30]]
    damaged += [whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :] for place in range(0, len(whole), 37)]
    for content in damaged:
        path.write_bytes(content)
        try:
            read = saved.load_dataset(path)  # a byte of the zip's own that nothing depends on
        except DataError as error:
            assert str(path) in str(error) and "\n" not in str(error)
        else:
            assert read.item_ids.tolist() == TEXT.tolist() and read.train.items.tolist() == TRAIN.items.tolist()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"dataset\.npz: damaged; delete it and start the run again"):
        saved.load_dataset(path)
    with pytest.raises(DataError, match=r"none\.npz: no such file"):
        saved.load_dataset(tmp_path / "none.npz")


def test_numbers_out_of_range_are_damage(tmp_path):
    path = tmp_path / "dataset.npz"
    for items in (np.array([1, 4, 0, 9], np.int32), np.array([1, -4, 0, 2], np.int32)):
        broken = dataset(np.arange(4), np.arange(5))._replace(train=TRAIN._replace(items=items))
        saved.save_dataset(path, broken, "a" * len(items))
        with pytest.raises(DataError, match="damaged"):
            saved.load_dataset(path)
        path.unlink()


def test_the_digest_changes_with_each_part_and_with_the_ids():
    data = dataset(np.arange(4), np.arange(5))
    other = from_pairs(np.array([0, 2]), np.array([2, 3]), 4, 5)
    changed = [data, *(data._replace(**{part: other}) for part in ("train", "valid", "test"))]
    changed += [data._replace(user_ids=np.array([0, 1, 3, 2])), data._replace(item_ids=np.array([0, 1, 2, 4, 3]))]
    changed += [
        data._replace(valid=TEST, test=VALID),
        data._replace(test=from_pairs(np.array([1]), np.array([4]), 4, 5)),
    ]
    assert len({one.sha256() for one in changed}) == len(changed)
    assert dataset(np.arange(4), np.arange(5))._replace(notes=("said",)).sha256() == data.sha256()
