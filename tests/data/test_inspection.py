"""A data set at a glance: every count is checked against NumPy's."""

import numpy as np
import pytest

from cml_jax.data import inspection
from cml_jax.data.interactions import Dataset, from_pairs, nothing
from cml_jax.data.sources import dataset_of

RNG = np.random.default_rng(3)


def bars(lines):
    """Label -> (count, length of the bar) of a histogram."""
    found = {}
    for line in lines[:-1]:
        label, count, *bar = line.split()
        found[label] = int(count.replace(",", "")), len(bar[0]) if bar else 0
    return found


def test_histogram_counts_by_powers_of_two():
    counts = np.array([0, 0, 1, 1, 1, 2, 3, 3, 7, 8, 15, 16, 31, 1500])
    lines = inspection.histogram(counts)
    expected = {"0": 2, "1": 3, "2-3": 3, "4-7": 1, "8-15": 2, "16-31": 2, "32-63": 0, "1,024-2,047": 1}
    found = bars(lines)
    assert {label: found[label][0] for label in expected} == expected
    assert sum(count for count, _ in found.values()) == len(counts)
    assert lines[-1].strip() == "median 3, mean 113.4, largest 1,500"


@pytest.mark.parametrize("low", [1, 5, 64])
def test_histogram_starts_at_the_first_count_and_agrees_with_numpy(low):
    counts = RNG.integers(low, 300, 500)
    found = bars(inspection.histogram(counts))
    for label, (count, bar) in found.items():
        first, last = (int(end) for end in (label.split("-") if "-" in label else (label, label)))
        assert count == np.sum((counts >= first) & (counts <= last)), label
        assert (bar > 0) == (count > 0)
    assert next(iter(found.values()))[0] > 0
    assert max(bar for _, bar in found.values()) == 40


def test_histogram_of_nothing():
    assert inspection.histogram([]) == ["  none"]


def dataset(weights=None):
    train = from_pairs(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 3]), 3, 5, weights)
    test = from_pairs(np.array([0, 2]), np.array([4, 0]), 3, 5)
    return Dataset(train, nothing(3, 5), test, np.arange(3), np.arange(5))


def test_describe_counts_the_parts():
    lines = inspection.describe(dataset()).splitlines()
    assert lines[0] == "3 users, 5 items, 6 pairs, density 0.4"
    assert [line.split() for line in lines[1:4]] == [
        ["train", "4", "pairs", "of", "3", "users"],
        ["valid", "0", "pairs", "of", "0", "users"],
        ["test", "2", "pairs", "of", "2", "users"],
    ]
    text = "\n".join(lines)
    assert "weights" not in text
    of_users, of_items = text.split("Pairs of a user:")[1].split("Pairs of an item:")
    assert bars(of_users.strip("\n").splitlines()) == {"1": (1, 20), "2-3": (2, 40)}
    assert bars(of_items.strip("\n").splitlines()) == {"0": (1, 20), "1": (2, 40), "2-3": (2, 40)}


def test_describe_shows_the_range_of_weights():
    text = inspection.describe(dataset(np.array([0.5, 4.0, 1.0, 20.0])))
    assert "weights of training pairs: 0.5 to 20, median 2.5" in text


def test_describe_shows_dislikes_features_and_what_test_shares_with_training():
    rows = {
        "user": ["a", "a", "b", "b", "c", "c", "a"],
        "item": ["x", "y", "x", "z", "y", "x", "z"],
        "rating": [5, 5, 4, 5, 4, 5, 1],
        "time": [1e9, 1.1e9, 1e9, 1.1e9, 1e9, 1.1e9, 1e9],
        "genre": ["p", "q", "p", None, "q", "p", None],
    }
    made = dataset_of(
        rows,
        rating_column="rating",
        time_column="time",
        min_rating=4,
        dislike_rating=2,
        split="temporal_global",
        split_ratio=(1, 0, 1),
        valid_fraction=0,
        item_features={name: rows[name] for name in ("item", "genre")},
    )
    text = inspection.describe(made)
    assert "  dislikes 1 of 1 users" in text
    assert "  items' genre: categorical, 2 values, 1 missing" in text
    assert "Of test, 3 of 3 users (100.0%), 2 of 3 items (66.7%), 0 of 3 pairs (0.0%) are in training." in text
    assert "Newest training pair 2001-09-09 01:46:40, oldest test pair 2004-11-09 11:33:20" in text
