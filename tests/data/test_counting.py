"""Counts and repeats in blocks, and what 32-bit integers cannot number."""

import numpy as np
import polars as pl
import pytest

from cml_jax.data import counting
from cml_jax.data.interactions import Interactions, difference, from_pairs, keep_pairs
from cml_jax.data.splits import split
from cml_jax.data.tables import Table, encode, without_repeats
from cml_jax.errors import DataError


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(counting, "_BLOCK", 7)


def random_table(num_pairs, seed=0, **more):
    rng = np.random.default_rng(seed)
    users, items = (rng.integers(0, size, num_pairs).astype(np.int32) for size in (6, 9))
    return Table(users, items, np.arange(6), np.arange(9), **more)


@pytest.mark.parametrize("length", [0, 1, 6, 7, 8, 50])
def test_counts_are_those_of_bincount(length):
    rows = np.random.default_rng(0).integers(0, 5, length).astype(np.int32)
    counts = counting.count_rows(rows, 6)
    assert counts.dtype == np.int64 and np.array_equal(counts, np.bincount(rows, minlength=6))


@pytest.mark.parametrize("keys", [[], [3], [5, 1, 4], [9, 2, 9, 0, 2, 7, 8, 9, 1, 3, 0, 11], [4] * 20])
def test_repeated_keys_are_all_found(keys):
    keys = np.array(keys, np.int64)
    found = counting.repeated(keys.copy)
    assert found.tolist() == [place for place, key in enumerate(keys) if np.sum(keys == key) > 1]


def test_of_equal_pairs_the_earliest_stays_and_weights_add_up():
    rng = np.random.default_rng(1)
    table = random_table(60, times=rng.integers(0, 4, 60), weights=rng.random(60) + 0.5)
    assert table.times is not None and table.weights is not None
    expected: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for row in range(60):
        expected.setdefault((table.users[row], table.items[row]), []).append((table.times[row], row))
    once = without_repeats(table)
    assert once.times is not None and once.weights is not None
    first = {pair: min(rows)[1] for pair, rows in expected.items()}
    assert once.num_pairs == len(first) < 60
    raw = zip(once.user_ids[once.users], once.item_ids[once.items], strict=True)
    for place, pair in enumerate(raw):
        assert once.times[place] == table.times[first[pair]]
        np.testing.assert_allclose(once.weights[place], sum(table.weights[row] for _, row in expected[pair]))


@pytest.mark.parametrize("name", ["ratio", "leave_one_out", "temporal_user", "temporal_global"])
def test_splits_do_not_depend_on_blocks(name, monkeypatch):
    rng = np.random.default_rng(2)
    table = without_repeats(random_table(50, times=rng.integers(0, 30, 50)))
    table = table._replace(weights=rng.random(table.num_pairs))
    digest = split(table, name, (2, 1, 1), seed=3).sha256()
    monkeypatch.setattr(counting, "_BLOCK", 10**6)
    assert split(table, name, (2, 1, 1), seed=3).sha256() == digest


def test_random_splits_stay_what_they_were():
    """The draws of a seed belong to the pairs in ascending order, however the split is computed."""
    table = without_repeats(random_table(50))
    order = np.argsort(table.pair_keys())
    chance = np.empty(table.num_pairs)
    chance[order] = np.random.default_rng(5).random(table.num_pairs)
    test = set()
    for user in range(6):
        rows = np.flatnonzero(table.users == user)
        if len(rows) >= 4:
            rows = rows[np.argsort(chance[rows])]
            test |= {(user, int(table.items[row])) for row in rows[len(rows) * 2 // 4 + len(rows) // 4 :]}
    found = split(table, "ratio", (2, 1, 1), seed=5)
    assert {*zip(found.user_ids[found.test.users], found.item_ids[found.test.items], strict=True)} == test


def test_pairs_chosen_and_left_over():
    table = random_table(40)
    whole = from_pairs(table.users, table.items, 6, 9, np.ones(40))
    chosen = np.arange(whole.num_pairs) % 3 == 0
    part = keep_pairs(whole, chosen)
    again = from_pairs(whole.users[chosen], whole.items[chosen], 6, 9)
    assert np.array_equal(part.indptr, again.indptr) and np.array_equal(part.items, again.items)
    assert (
        whole.weights is not None and part.weights is not None and np.array_equal(part.weights, whole.weights[chosen])
    )
    left, num_known = difference(whole, part)
    assert num_known == part.num_pairs and left.weights is None
    rest = keep_pairs(whole, ~chosen)
    assert np.array_equal(left.indptr, rest.indptr) and np.array_equal(left.items, rest.items)
    everything, none = difference(whole, keep_pairs(whole, np.zeros(whole.num_pairs, bool)))
    assert none == 0 and everything.num_pairs == whole.num_pairs


@pytest.mark.parametrize(
    ("pairs", "users", "items", "sentence"),
    [
        (2**31, 2, 5, "2,147,483,648 training pairs, and at most 2,147,483,647 fit into the 32-bit integers"),
        (3, 2**31, 5, "2,147,483,648 users"),
        (3, 2, 2**31, "2,147,483,648 items"),
    ],
)
def test_what_32_bits_cannot_number_is_refused(pairs, users, items, sentence):
    indptr = np.broadcast_to(np.int64(0), (users + 1,))  # no memory is taken
    there = np.broadcast_to(np.int32(0), (pairs,))
    with pytest.raises(DataError, match=sentence):
        Interactions(indptr, there, items).to_device()


def test_the_largest_number_is_allowed(monkeypatch):
    counting.refuse_beyond_32_bits({"pairs": 2**31 - 1})
    monkeypatch.setattr(counting, "LARGEST", 2)
    with pytest.raises(DataError, match="3 distinct ids of one kind"):
        encode(pl.Series(["a", "b", "c"], dtype=pl.Categorical))
