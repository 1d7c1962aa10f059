"""Weights of training pairs are of rows that were known when training ended, against plain Python."""

import collections
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cml_jax.data.sources import dataset_of
from cml_jax.errors import DataError

SPLITS = ("leave_one_out", "temporal_user", "temporal_global")
DAY = 86_400
START = 1_600_000_000


def load(rows, *, unit=1, **options):
    users, items, days, weights = zip(*rows, strict=True)
    times = [(START + day * DAY) * unit for day in days]
    frame = pl.DataFrame({"user": [f"u{u}" for u in users], "item": [f"i{i}" for i in items], "t": times, "w": weights})
    return dataset_of(frame, **{"time_column": "t", "valid_fraction": 0.0, **options})


def pairs(dataset, part):
    found = getattr(dataset, part)
    users, items = dataset.user_ids[found.users], dataset.item_ids[found.items]
    return [(int(u[1:]), int(i[1:])) for u, i in zip(users, items, strict=True)]


def weights_of(dataset):
    return dict(zip(pairs(dataset, "train"), dataset.train.weights.tolist(), strict=True))


ROW = st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 9), st.sampled_from([1.0, 2.0, 4.0, 8.0]))


@pytest.mark.parametrize("split", SPLITS)
@given(rows=st.lists(ROW, min_size=15, max_size=60), least=st.integers(0, 2))
@settings(deadline=None, max_examples=25)
def test_rows_as_new_as_held_out_pairs_weigh_nothing(split, rows, least):
    options = {"split": split, "min_item_users": least}
    options |= {} if split == "leave_one_out" else {"split_ratio": (2, 1, 1)}
    try:
        plain = load(rows, **options)
    except DataError:
        assume(False)
        return
    found = load(rows, weight_column="w", **options)
    first = collections.defaultdict(lambda: 99)
    for user, item, day, _ in rows:
        first[user, item] = min(first[user, item], day)
    for part in ("train", "valid", "test"):
        assert pairs(found, part) == pairs(plain, part), "weights do not change the split"
    held_out = pairs(plain, "valid") + pairs(plain, "test")
    cuts = collections.defaultdict(lambda: 99)
    for pair in held_out:
        cuts[pair[0]] = min(cuts[pair[0]], first[pair])
    if split == "temporal_global":  # also users without training pairs tell when training ended
        kept = rows if least < 2 else [row for row in rows if len({r[0] for r in rows if r[1] == row[1]}) >= least]
        times = sorted(first[pair] for pair in {row[:2] for row in kept})
        cuts = collections.defaultdict(lambda: times[len(times) * 2 // 4])
    expected = collections.Counter()
    for user, item, day, weight in rows:
        if day < cuts[user] or day == first[user, item]:
            expected[user, item] += weight
    assert weights_of(found) == {pair: expected[pair] for pair in pairs(plain, "train")}


def test_what_is_left_out_is_counted_and_transforms_are_of_the_rest():
    rows = [(0, 0, 0, 1.0), (0, 0, 2, 2.0), (0, 0, 9, 64.0), (0, 1, 1, 4.0), (0, 2, 5, 1.0), (0, 3, 6, 1.0)]
    options: dict[str, Any] = {"split": "leave_one_out", "weight_column": "w"}
    found = load(rows, **options)
    assert weights_of(found) == {(0, 0): 3.0, (0, 1): 4.0} and pairs(found, "test") == [(0, 3)]
    assert "Dropped 1 rows of repeated pairs that are as new as held-out pairs: they weigh nothing." in found.notes
    assert "Dropped 1 repeated pairs, their weights added up." in found.notes
    logged = weights_of(load(rows, weight_transform="log1p", **options))
    assert logged == {(0, 0): pytest.approx(np.log1p(3.0)), (0, 1): pytest.approx(np.log1p(4.0))}
    counted = weights_of(load(rows, split="leave_one_out", weight_transform="confidence", weight_alpha=10.0))
    assert counted == {(0, 0): 21.0, (0, 1): 11.0}, "rows count 1 each without a column"


@pytest.mark.parametrize(
    "options",
    [
        {"split": "temporal_date", "test_from": "2020-12-01"},
        {"split": "temporal_days", "test_days": 20.0},
        {"split": "temporal_global", "split_ratio": (1, 0, 1)},
        {"split": "temporal_user", "split_ratio": (1, 0, 1)},
        {"split": "leave_one_out"},
    ],
)
@pytest.mark.parametrize("repeats", [False, True])
def test_decay_is_not_lost_in_the_time_between_training_and_test(options, repeats):
    """Test is 200 half-lives after training, where 0.5^200 is less than the least weight; ratios of training stay."""
    rows = [(0, 0, 0, 1.0), (0, 1, 1, 1.0), (0, 2, 4, 1.0), (0, 3, 204, 1.0), (0, 4, 205, 1.0), (0, 5, 206, 1.0)]
    rows = rows[:5] if options["split"] == "leave_one_out" else rows
    if repeats:
        rows += [(0, 0, 4, 1.0), (0, 0, 206, 1.0)]
    expected = {(0, 0): 2.0**-4 + repeats, (0, 1): 2.0**-3, (0, 2): 1.0}
    assert weights_of(load(rows, half_life_days=1.0, **options)) == expected


def test_parts_that_are_given_count_ages_from_training(tmp_path):
    for name, rows in (("train", [(0, 0, 0), (0, 1, 3), (1, 0, 1)]), ("test", [(0, 2, 300), (1, 1, 301)])):
        lines = [f"u{u},i{i},{START + day * DAY}" for u, i, day in rows]
        (tmp_path / f"{name}.csv").write_text("\n".join(["user,item,t", *lines]) + "\n")
    found = dataset_of(tmp_path, time_column="t", half_life_days=1.0, valid_fraction=0.0)
    assert weights_of(found) == {(0, 0): 0.125, (0, 1): 1.0, (1, 0): 0.25}
