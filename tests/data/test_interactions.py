import numpy as np
import pytest

from cml_jax.data.interactions import difference, from_pairs, nothing, union

U, I = 5, 9  # noqa: E741


def pairs_of(interactions):
    return {*zip(interactions.users.tolist(), interactions.items.tolist(), strict=True)}


@pytest.fixture(scope="module")
def parts():
    """Two sets that share some pairs; user 4 and item 8 are in neither, user 3 in the first alone."""
    rng = np.random.default_rng(3)
    first, second = (from_pairs(rng.integers(0, 4, n), rng.integers(0, 8, n), U, I) for n in (19, 13))
    keep = second.users != 3
    return first, from_pairs(second.users[keep], second.items[keep], U, I)


def test_difference_and_union_are_those_of_the_sets_of_pairs(parts):
    a, b = parts
    for x, y in ((a, b), (b, a)):
        common = pairs_of(x) & pairs_of(y)
        assert common and pairs_of(x) - common and pairs_of(y) - common
        left, dropped = difference(x, y)
        assert pairs_of(left) == pairs_of(x) - pairs_of(y) and dropped == len(common)
        assert left.num_pairs == x.num_pairs - dropped
        assert pairs_of(union(x, y)) == pairs_of(x) | pairs_of(y)
        for found in (left, union(x, y)):
            assert (found.num_users, found.num_items) == (U, I)
            for user in range(U):
                assert np.all(np.diff(found.row(user)) > 0)


def test_difference_with_nothing_and_with_itself(parts):
    a, empty = parts[0], nothing(U, I)
    left, dropped = difference(a, empty)
    assert pairs_of(left) == pairs_of(a) and dropped == 0
    left, dropped = difference(a, a)
    assert (left.num_pairs, left.num_users, left.num_items, dropped) == (0, U, I, a.num_pairs)
    left, dropped = difference(empty, a)
    assert left.num_pairs == dropped == 0


def test_more_than_two_to_the_32_possible_pairs_are_told_apart():
    """The first pair of the one is 2^32 places after the first of the other."""
    a = from_pairs(np.array([61_356, 3]), np.array([47_296, 2]), 61_357, 70_000)
    b = from_pairs(np.array([0, 3]), np.array([0, 2]), 61_357, 70_000)
    assert 61_356 * a.num_items + 47_296 == 2**32
    left, dropped = difference(a, b)
    assert pairs_of(left) == {(61_356, 47_296)} and dropped == 1
