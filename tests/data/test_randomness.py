"""Whether test is a random sample: its numbers against sums pair by pair, and its law."""

import numpy as np
import pytest

from cml_jax.data import inspection, randomness
from cml_jax.data.interactions import Dataset, from_pairs, nothing, union

USERS, ITEMS = 400, 60


def pairs(rng):
    """Users and items of a matrix whose later items have more users."""
    return np.nonzero(rng.random((USERS, ITEMS)) < np.linspace(0.1, 0.7, ITEMS))


def dataset(users, items, in_test, in_valid=None):
    """A data set whose test pairs are named by ndarray[n] bool."""
    valid = nothing(USERS, ITEMS)
    if in_valid is not None:
        valid = from_pairs(users[in_valid], items[in_valid], USERS, ITEMS)
    in_train = ~in_test if in_valid is None else ~in_test & ~in_valid
    train, test = (from_pairs(users[of], items[of], USERS, ITEMS) for of in (in_train, in_test))
    return Dataset(train, valid, test, np.arange(USERS), np.arange(ITEMS))


def measure(parts):
    return randomness.measure(union(union(parts.train, parts.valid), parts.test), parts.test)


def measured(users, items, in_test, in_valid=None):
    found = measure(dataset(users, items, in_test, in_valid))
    assert found is not None
    return found


def random_test(rng, users):
    """A fifth to a half of each user's pairs, at random."""
    in_test = np.zeros(len(users), bool)
    for user in np.unique(users):
        own = np.flatnonzero(users == user)
        share = 0.2 if user % 3 else 0.5
        in_test[rng.choice(own, int(share * len(own)), replace=False)] = True
    return in_test


def oracle(users, items, in_test):
    """The ratio over items, and test shares of the tenths, pair by pair."""
    chance = {user: np.mean(in_test[users == user]) for user in np.unique(users)}
    ratios, counts = [], np.bincount(items, minlength=ITEMS)
    for item in range(ITEMS):
        own = [chance[user] for user in users[items == item]]
        if sum(own) >= 5:
            found = np.sum(in_test[items == item])
            ratios.append((found - sum(own)) ** 2 / sum(p * (1 - p) for p in own))
    shares, seen = [[] for _ in range(10)], 0
    for item in np.argsort(counts, kind="stable"):
        shares[int(seen * 10 / len(items))] += in_test[items == item].tolist()
        seen += counts[item]
    return np.mean(ratios), len(ratios), [np.mean(share) for share in shares]


def test_numbers_are_those_of_sums_over_pairs():
    rng = np.random.default_rng(1)
    users, items = pairs(rng)
    in_test = random_test(rng, users) | (items > 55)
    in_valid = ~in_test & (rng.random(len(users)) < 0.1)  # counts as what is left
    found = measured(users, items, in_test, in_valid)
    ratio, num_items, shares = oracle(users, items, in_test)
    assert found.num_items == num_items
    np.testing.assert_allclose(found.ratio, ratio, rtol=1e-9)
    np.testing.assert_allclose(found.shares, shares, rtol=1e-9)
    np.testing.assert_allclose(found.error, np.sqrt(2 / num_items), rtol=1e-9)


def test_ratio_of_random_samples_is_1():
    ratios, errors = [], []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        users, items = pairs(rng)
        found = measured(users, items, random_test(rng, users))
        assert found.is_random
        ratios.append(found.ratio)
        errors.append(found.error)
    # One item less, since the totals are given; five standard errors of the mean of 40, once in two million.
    expected = (ITEMS - 1) / ITEMS
    assert abs(np.mean(ratios) - expected) < 5 * np.std(ratios, ddof=1) / np.sqrt(len(ratios))
    assert np.std(ratios, ddof=1) == pytest.approx(np.mean(errors), rel=0.5)


def test_a_split_that_goes_by_item_is_told_from_a_random_one():
    rng = np.random.default_rng(2)
    users, items = pairs(rng)
    later = rng.random(len(users)) < np.where(items >= 48, 0.35, 0.18)
    found = measured(users, items, later)
    assert found.ratio > 2 and not found.is_random
    assert found.shares[9] > found.expected[9] + 0.05
    first, second = randomness.report(found)
    assert f"by {found.ratio:.2f} times its variance: test is no random sample" in first
    assert second.endswith(f"{found.shares[9]:.1%}.")
    assert first in inspection.describe(dataset(users, items, later))


def test_a_random_split_is_called_one():
    rng = np.random.default_rng(3)
    users, items = pairs(rng)
    (sentence,) = randomness.report(measured(users, items, random_test(rng, users)))
    assert sentence.endswith("as a random sample's would.")


def test_too_few_test_pairs_say_nothing():
    rng = np.random.default_rng(4)
    users, items = pairs(rng)
    few = np.zeros(len(users), bool)
    few[:10] = True
    assert measure(dataset(users, items, few)) is None
    assert "random" not in inspection.describe(dataset(users, items, few))
