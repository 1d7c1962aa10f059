import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import evaluation, ranking
from cml_jax.data.interactions import from_pairs, keep_users
from cml_jax.left_out import _PIECE, left_out, mask
from cml_jax.models.points import distance_factors
from tests.oracles import lists as oracles

NUM_ITEMS = 2 * _PIECE + 700
RNG = np.random.default_rng(2)


def pairs_of(lists, num_items=NUM_ITEMS):
    users = np.repeat(np.arange(len(lists)), [len(own) for own in lists])
    return from_pairs(users, np.concatenate([*lists, []]).astype(int), len(lists), num_items)


@pytest.mark.parametrize(
    "lengths", [[0, 3, _PIECE, 0, 5], [_PIECE - 1, 1, 1, 2 * _PIECE + 1], [0, 0, 0], [NUM_ITEMS, 0, 1]]
)
def test_exactly_the_items_of_the_own_list_are_masked(lengths):
    lists = [RNG.choice(NUM_ITEMS, length, replace=False) for length in lengths]
    seen, users = pairs_of(lists), np.arange(len(lists))[::-1]
    size = len(users) + 1  # one user is missing
    flat = left_out(seen, users, size, 2 * sum(lengths) + 1)
    (start,), (ends,) = flat.grouped(size)
    found = mask(jnp.zeros((size, NUM_ITEMS)), flat.items, start, ends)
    expected = np.zeros((size, NUM_ITEMS), bool)
    for place, user in enumerate(users):
        expected[place, lists[user]] = True
    np.testing.assert_array_equal(np.isneginf(found), expected)
    np.testing.assert_array_equal(np.asarray(found)[~expected], 0)


def test_groups_begin_where_the_group_before_ends():
    flat = left_out(pairs_of([[1], [2, 3], [], [4, 5, 6]]), np.arange(4), 6, 16)
    starts, ends = flat.grouped(2)
    assert starts.tolist() == [0, 3, 6] and ends.tolist() == [[1, 3], [3, 6], [6, 6]]


def test_items_are_numbered_anew_and_those_without_a_number_are_not_left_out():
    numbers = np.array([-1, 0, -1, 1, 2], np.int32)
    flat = left_out(pairs_of([[0, 1, 4], [0, 2], [3]], 5), np.arange(3), 3, 8, numbers)
    assert flat.items.tolist()[:3] == [0, 2, 1] and flat.ends.tolist() == [2, 2, 3]


def test_a_chunk_has_room_for_its_lists_and_no_more_than_its_share_of_the_budget():
    rng = np.random.default_rng(0)
    for _ in range(200):
        degrees = rng.integers(0, rng.choice([3, 100_000]), rng.integers(1, 3000))
        at_once, k, budget = int(rng.integers(1, 200)), int(rng.integers(1, 5000)), float(10 ** rng.uniform(4, 9))
        size, length = ranking._chunk(degrees, at_once, k, budget)
        assert size % at_once == 0 and size // at_once <= max(1, 1024 // at_once)
        assert size == at_once or (4 * length <= max(budget, 4 * ranking._SHORTEST) and 8 * k * size <= budget)
        for start in range(0, len(degrees), size):
            assert degrees[start : start + size].sum() <= length


def heavy_data():
    """40 users of a few items each, but for two who have nearly all; and points with whole coordinates, so ties."""
    rng = np.random.default_rng(4)
    lists = [rng.choice(NUM_ITEMS, 5, replace=False) for _ in range(40)]
    lists[7], lists[8] = np.delete(np.arange(NUM_ITEMS), [3, 900, 8000]), np.arange(NUM_ITEMS)
    users, items = rng.integers(-2, 3, (40, 3)), rng.integers(-2, 3, (NUM_ITEMS, 3))
    return pairs_of(lists), users.astype(np.float32), items.astype(np.float32)


@pytest.mark.parametrize("budget", [0.5, 4.0, 512.0])
def test_lists_with_a_heavy_user_equal_brute_force(budget):
    seen, users, items = heavy_data()
    factors = distance_factors(jnp.asarray(users), jnp.asarray(items))
    rows = np.array([7, 0, 39, 8, 8, 7, 12])
    found = ranking.top_k(factors, rows, seen, 6, memory_budget_mb=budget)
    expected = oracles.top_k(users.astype(float)[rows], items, [set(seen.row(u).tolist()) for u in rows], 6)
    np.testing.assert_array_equal(found, expected)
    assert sorted(found[0].tolist()) == [-1, -1, -1, 3, 900, 8000] and found[3].tolist() == [-1] * 6


def test_ndcg_by_popularity_of_a_user_who_holds_out_most_of_the_catalogue_equals_oracle():
    held_out, users, items = heavy_data()
    train = keep_users(held_out, (np.arange(40) + 2) % 40)
    factors = distance_factors(jnp.asarray(users), jnp.asarray(items))
    deciles = evaluation.popularity_deciles(train.popularity)
    found = evaluation.evaluate(factors, train, train, held_out, ks=(6,), users=np.array([7, 3]), by_popularity=True)
    lists = oracles.top_k(users.astype(float)[[3, 7]], items, [set(train.row(u).tolist()) for u in (3, 7)], 6)
    for decile, value in enumerate(found.by_popularity["ndcg@6"]):
        own = [[i for i in held_out.row(user) if deciles[i] == decile] for user in (3, 7)]
        scores = [
            oracles.user_metrics(ranked, of_user, train.popularity)["ndcg"]
            for ranked, of_user in zip(lists, own, strict=True)
            if of_user
        ]
        assert (value is None) == (not scores)
        assert not scores or value == pytest.approx(np.mean(scores), rel=1e-5)
