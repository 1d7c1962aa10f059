import numpy as np
import polars as pl
import pytest

from cml_jax.data import tables
from cml_jax.data.tables import Table
from cml_jax.errors import DataError


def make_table(pairs, times=None, parts=None):
    users, items = np.array(pairs, np.int32).T
    return Table(
        users,
        items,
        np.array([f"u{u}" for u in range(users.max() + 1)]),
        np.array([f"i{i}" for i in range(items.max() + 1)]),
        None if times is None else np.array(times),
        None if parts is None else np.array(parts, np.int8),
    )


def raw(table):
    users, items = table.user_ids[table.users], table.item_ids[table.items]
    return list(zip(users.tolist(), items.tolist(), strict=True))


@pytest.mark.parametrize(
    ("values", "ids"),
    [
        (["10", "9", "10", "-3"], [-3, 9, 10]),
        (["10", "9", "007"], ["007", "10", "9"]),
        (["b", "a", "b"], ["a", "b"]),
        (["99999999999999999999", "1"], ["1", "99999999999999999999"]),
        (["1.0", "1"], ["1", "1.0"]),
        (["é", "z", " z"], [" z", "z", "é"]),
    ],
    ids=str,
)
def test_encode_keeps_raw_ids_and_orders_them(values, ids):
    pl.Series(["a stale category"]).cast(pl.Categorical)  # the dictionary is shared, its other entries must not show
    rows, found = tables.encode(pl.Series(values).cast(pl.Categorical))
    assert found.tolist() == ids
    assert [str(found[row]) for row in rows] == values


def test_repeats_keep_the_earliest_and_are_counted():
    pairs, times = [(1, 0), (0, 2), (1, 0), (0, 1), (1, 0)], [30, 5, 10, 7, 20]
    kept = tables.without_repeats(make_table(pairs, times))
    assert raw(kept) == [("u0", "i2"), ("u1", "i0"), ("u0", "i1")], "in the order of the file"
    assert kept.times is not None and kept.times.tolist() == [5, 10, 7]
    assert kept.notes == ("Dropped 2 repeated pairs.",)
    assert tables.without_repeats(kept) is kept
    first = tables.without_repeats(make_table(pairs))
    assert raw(first) == [("u1", "i0"), ("u0", "i2"), ("u0", "i1")]


def test_pair_in_two_parts_is_refused_and_repeats_within_a_part_are_not():
    pairs = [(0, 0), (1, 1), (0, 0), (1, 1)]
    assert tables.without_repeats(make_table(pairs, parts=[0, 2, 0, 2])).num_pairs == 2
    with pytest.raises(DataError, match="item i1 of user u1 is in two parts"):
        tables.without_repeats(make_table(pairs, parts=[0, 2, 0, 0]))


def filtered_by_hand(pairs, min_user_items, min_item_users, repeat):
    while True:
        by_item = {pair for pair in pairs if sum(p[1] == pair[1] for p in pairs) >= min_item_users}
        by_user = {pair for pair in by_item if sum(p[0] == pair[0] for p in by_item) >= min_user_items}
        if not repeat or by_user == pairs:
            return by_user
        pairs = by_user


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize(("min_user_items", "min_item_users"), [(4, 0), (0, 4), (4, 4), (5, 3)])
def test_filter_equals_a_filter_by_hand(min_user_items, min_item_users, repeat):
    rng = np.random.default_rng(2)
    drawn = (30 * rng.random((260, 2)) ** 1.5).astype(int)  # small numbers more often, so that there is a core
    pairs = sorted({(int(u), int(i)) for u, i in drawn})
    table = make_table(pairs, times=range(len(pairs)))
    kept = tables.keep_min_degrees(table, min_user_items, min_item_users, repeat=repeat)
    expected = filtered_by_hand(set(pairs), min_user_items, min_item_users, repeat)
    assert 0 < len(expected) < len(pairs)
    assert sorted(raw(kept)) == sorted((f"u{u}", f"i{i}") for u, i in expected)
    assert len(kept.user_ids) == len({u for u, _ in expected}) and len(kept.item_ids) == len({i for _, i in expected})
    assert kept.times is not None and [pairs[t] for t in kept.times] == [(int(u[1:]), int(i[1:])) for u, i in raw(kept)]
    assert f"{len(expected)} of {len(pairs)} pairs" in kept.notes[-1]


def test_k_core_is_stricter_than_one_pass():
    pairs = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3)]
    assert tables.keep_min_degrees(make_table(pairs), 2, 2, repeat=False).num_pairs == 4
    with pytest.raises(
        DataError, match=r"no pair is left by the filter \(at least 2 items a user and 2 users an item\)"
    ):
        tables.keep_min_degrees(make_table(pairs), 2, 2, repeat=True)


def test_no_filter_changes_nothing():
    table = make_table([(0, 0), (1, 2)])
    assert tables.keep_min_degrees(table, 0, 1, repeat=True) is table
