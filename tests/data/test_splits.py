import math

import numpy as np
import pytest

from cml_jax.data import splits
from cml_jax.errors import DataError
from tests.data.test_tables import make_table


def random_table(with_times=True, seed=3):
    """Users of 1 to 25 items in mixed order; times with many ties, in [0, 40)."""
    rng = np.random.default_rng(seed)
    pairs = [(u, i) for u in range(12) for i in rng.choice(60, 1 + 2 * u, replace=False)]
    pairs = [pairs[place] for place in rng.permutation(len(pairs))]
    return make_table(pairs, times=rng.integers(0, 40, len(pairs)) if with_times else None)


def part_of(dataset, table):
    """Part of each pair of the table, or None where it was left out."""
    where = {}
    for name in ("train", "valid", "test"):
        part = getattr(dataset, name)
        for u, i in zip(dataset.user_ids[part.users], dataset.item_ids[part.items], strict=True):
            where[str(u), str(i)] = name
    return [
        where.get((str(table.user_ids[u]), str(table.item_ids[i])))
        for u, i in zip(table.users, table.items, strict=True)
    ]


def by_user(table, values):
    """user -> its values in the order of the file."""
    lists = {}
    for user, value in zip(table.users, values, strict=True):
        lists.setdefault(int(user), []).append(value)
    return lists


@pytest.mark.parametrize("ratio", [(3, 1, 1), (7, 1, 2), (8, 0, 2), (60, 20, 20)])
def test_ratio_floors_train_and_validation_and_gives_test_the_rest(ratio):
    table = random_table(with_times=False)
    parts = by_user(table, part_of(splits.split(table, "ratio", ratio, seed=5), table))
    for found in parts.values():
        n, total = len(found), sum(ratio) // math.gcd(*ratio)
        if n < total:
            assert set(found) == {None}
        else:
            train, valid = int(n * ratio[0] / sum(ratio)), int(n * ratio[1] / sum(ratio))
            assert [found.count(p) for p in ("train", "valid", "test")] == [train, valid, n - train - valid]


def test_ratio_is_seeded_and_uniform():
    table = make_table([(0, i) for i in range(5)])
    counts = np.zeros((3, 5))
    for seed in range(600):
        parts = splits.per_user_ratio(table, (3, 1, 1), seed)
        np.testing.assert_array_equal(parts, splits.per_user_ratio(table, (3, 1, 1), seed))
        counts[parts, np.arange(5)] += 1
    expected = np.array([360, 120, 120])[:, None]
    assert np.all(np.abs(counts - expected) < 5 * np.sqrt(expected))  # false alarm below 1e-5


@pytest.mark.parametrize("name", ["ratio", "leave_one_out"])
def test_random_splits_do_not_depend_on_the_order_of_the_rows(name):
    table = random_table(with_times=False)
    table = table.where(np.ones(table.num_pairs, bool))
    turned = table._replace(users=table.users[::-1], items=table.items[::-1])
    assert splits.split(table, name, seed=4).sha256() == splits.split(turned, name, seed=4).sha256()


def test_leave_one_out_takes_the_newest():
    table = random_table()
    assert table.times is not None
    parts, times = by_user(table, part_of(splits.split(table, "leave_one_out"), table)), by_user(table, table.times)
    for user, found in parts.items():
        if len(found) < 3:
            assert set(found) == {None}
            continue
        order = np.argsort(times[user], kind="stable")
        assert [found[place] for place in order] == ["train"] * (len(found) - 2) + ["valid", "test"]


def test_leave_one_out_without_times_is_random_and_seeded():
    table = random_table(with_times=False)
    first, again, other = (splits.leave_one_out(table, (3, 1, 1), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    for user in range(1, 12):
        assert np.bincount(first[table.users == user], minlength=3)[1:].tolist() == [1, 1]


def test_temporal_user_leaves_the_future_to_test():
    table = random_table()
    assert table.times is not None
    parts = part_of(splits.split(table, "temporal_user", (3, 1, 1)), table)
    for user, found in by_user(table, parts).items():
        n = len(found)
        if n < 5:
            assert set(found) == {None}
            continue
        order = np.argsort(table.times[table.users == user], kind="stable")
        train, valid = 3 * n // 5, n // 5
        assert [found[p] for p in order] == ["train"] * train + ["valid"] * valid + ["test"] * (n - train - valid)


def test_temporal_global_cuts_time_for_all_alike():
    table = random_table()
    assert table.times is not None
    parts = splits.temporal_global(table, (3, 1, 1), 0)
    latest = [table.times[parts == p].max() for p in range(3)]
    earliest = [table.times[parts == p].min() for p in range(3)]
    assert latest[0] < earliest[1] and latest[1] < earliest[2], "no time is in two parts"
    shares = np.bincount(parts) / table.num_pairs
    assert abs(shares[0] - 0.6) < 0.06 and abs(shares[2] - 0.2) < 0.06  # ties are a fortieth of the pairs each
    dataset = splits.split(table, "temporal_global", (3, 1, 1))
    known = set(table.users[parts == 0].tolist())
    assert dataset.train.degrees.min() >= 1 and dataset.train.num_users == len(known)
    assert dataset.test.num_pairs == sum(u in known for u in table.users[parts == 2].tolist())


def test_new_items_stay_in_the_catalogue_and_are_counted():
    table = make_table([(0, 0), (0, 1), (0, 2), (1, 0), (1, 3)], times=[0, 1, 9, 2, 9])
    dataset = splits.split(table, "temporal_global", (3, 0, 2))
    assert dataset.train.popularity.tolist() == [2, 1, 0, 0]
    assert dataset.notes[-1].startswith("2 items have no training user")


def test_given_parts_are_kept_and_users_without_training_dropped():
    table = make_table([(0, 0), (1, 0), (1, 1), (2, 1)], parts=[0, 0, 2, 2])
    dataset = splits.split(table, "given")
    assert dataset.user_ids.tolist() == ["u0", "u1"] and dataset.test.row(1).tolist() == [1]
    assert dataset.notes == (
        "Dropped 1 users (1 pairs) without training items.",
        "1 items have no training user: no sampler that goes by popularity draws them, but they are ranked.",
    )


@pytest.mark.parametrize(
    ("name", "table", "sentence"),
    [
        ("given", random_table(), r"dataset\.split = 'given' needs files for each part; choose one of ratio"),
        ("temporal_user", random_table(with_times=False), r"'temporal_user' needs times.* name dataset\.time_column"),
        ("temporal_global", random_table(with_times=False), r"'temporal_global' needs times"),
        ("leave_one_out", make_table([(0, 0), (0, 1)]), r"leaves no training pairs"),
        ("ratio", make_table([(0, i) for i in range(4)]), r"leaves no training pairs"),
        ("given", make_table([(0, 0), (0, 1)], parts=[0, 1]), r"leaves no test pairs"),
        ("temporal_global", make_table([(0, 0), (0, 1)], times=[4, 4]), r"leaves no training pairs"),
    ],
)
def test_split_that_cannot_be_made_is_refused(name, table, sentence):
    with pytest.raises(DataError, match=sentence):
        splits.split(table, name)
