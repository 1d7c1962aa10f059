"""Nearest items: against loops over all pairs of items, whatever the size of a block."""

import numpy as np
import pytest

from cml_jax.data import nearest
from cml_jax.data.interactions import from_pairs
from tests.oracles import models as oracle


@pytest.mark.parametrize("products", [1, 40, 10**6])
@pytest.mark.parametrize("count", [1, 3, 40])
def test_nearest_items_are_those_of_loops(products, count, monkeypatch):
    monkeypatch.setattr(nearest, "_PRODUCTS", products)
    rng = np.random.default_rng(3)
    users, items = rng.integers(0, 25, 150), rng.zipf(1.5, 150) % 31
    pairs = from_pairs(users, items, 26, 33)  # a user and an item without pairs, at least
    found = nearest.nearest_items(pairs, count)
    assert found.dtype == np.int32 and found.shape == (33, count)
    np.testing.assert_array_equal(found, oracle.nearest_items(pairs, count))
    found = nearest.nearest_users(pairs, count)
    assert found.dtype == np.int32 and found.shape == (26, count)
    np.testing.assert_array_equal(found, oracle.nearest_users(pairs, count))


def test_few_users_say_more_and_missing_ones_are_the_item_itself():
    # Items 0 and 1 share a user of two items, 0 and 2 one of three; 4 has a user of its own, 5 none.
    pairs = from_pairs(np.array([0, 0, 1, 1, 1, 2]), np.array([0, 1, 0, 2, 3, 4]), 3, 6)
    found = nearest.nearest_items(pairs, 4)
    assert found[0].tolist() == [1, 2, 3, 0]  # 2 and 3 are as near: the smaller id first
    assert found[1].tolist() == [0, 1, 1, 1]
    assert found[4].tolist() == [4] * 4 and found[5].tolist() == [5] * 4


def test_weights_of_pairs_do_not_count():
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 9, 40), rng.integers(0, 7, 40)
    plain = from_pairs(users, items, 9, 7)
    weighted = plain._replace(weights=rng.uniform(0.1, 9.0, plain.num_pairs).astype(np.float32))
    np.testing.assert_array_equal(nearest.nearest_items(weighted, 3), nearest.nearest_items(plain, 3))
