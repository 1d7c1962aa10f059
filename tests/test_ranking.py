import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import evaluation, metrics, ranking
from cml_jax.data.interactions import from_pairs, nothing
from cml_jax.models.points import distance_factors
from tests.oracles import lists as oracles

RNG = np.random.default_rng(7)
NUM_USERS, NUM_ITEMS = 37, 53


def random_pairs(share):
    users, items = np.nonzero(RNG.random((NUM_USERS, NUM_ITEMS)) < share * RNG.random(NUM_USERS)[:, None] * 2)
    return from_pairs(users, items, NUM_USERS, NUM_ITEMS)


USERS, ITEMS = (RNG.normal(size=(n, 5)).astype(np.float32) for n in (NUM_USERS, NUM_ITEMS))
FACTORS = distance_factors(jnp.asarray(USERS), jnp.asarray(ITEMS))
TRAIN = random_pairs(0.2)
HELD_OUT = random_pairs(0.15)
SMALLEST_BUDGET = 1e-3  # MiB: a chunk of one user


def expected_lists(users, k, seen=TRAIN):
    points = USERS.astype(np.float64)[users], ITEMS.astype(np.float64)
    return oracles.top_k(*points, [set(seen.row(u).tolist()) for u in users], k)


@pytest.mark.parametrize("budget", [SMALLEST_BUDGET, 0.005, 512.0])
def test_top_k_equals_brute_force(budget):
    users = np.array([5, 0, 36, 5, 17, 8])
    np.testing.assert_array_equal(
        ranking.top_k(FACTORS, users, TRAIN, 10, memory_budget_mb=budget), expected_lists(users, 10)
    )


def test_top_k_of_the_whole_catalogue_ends_in_minus_one():
    users = np.arange(NUM_USERS)
    ranked = ranking.top_k(FACTORS, users, TRAIN, NUM_ITEMS)
    np.testing.assert_array_equal(ranked, expected_lists(users, NUM_ITEMS))
    assert ((ranked == -1).sum(axis=1) == TRAIN.degrees).all()


def test_equal_distances_rank_by_id():
    factors = distance_factors(jnp.zeros((1, 2)), jnp.float32([[1, 0], [0, 1], [-1, 0], [0.5, 0], [0, -1]]))
    nothing = from_pairs(np.array([], int), np.array([], int), 1, 5)
    assert ranking.top_k(factors, np.array([0]), nothing, 5).tolist() == [[3, 0, 1, 2, 4]]


@pytest.mark.parametrize("budget", [SMALLEST_BUDGET, 0.01, 512.0])
def test_evaluate_equals_oracle_whatever_the_chunk_size(budget):
    found = evaluation.evaluate(FACTORS, TRAIN, TRAIN, HELD_OUT, ks=(3, 10), memory_budget_mb=budget)
    users = np.flatnonzero(HELD_OUT.degrees)
    np.testing.assert_array_equal(found.users, users)
    assert 0 < len(users) < NUM_USERS, "some user must be left out for this to show anything"
    for k in (3, 10):
        lists = expected_lists(users, k)
        rows = [
            oracles.user_metrics(r, HELD_OUT.row(int(u)), TRAIN.popularity) for r, u in zip(lists, users, strict=True)
        ]
        for name in rows[0]:
            expected = [row[name] for row in rows]
            np.testing.assert_allclose(found.per_user[f"{name}@{k}"], expected, rtol=1e-5, err_msg=name)
            np.testing.assert_allclose(found.values[f"{name}@{k}"], np.mean(expected), rtol=1e-5, err_msg=name)
        exposure = np.bincount(lists.ravel(), minlength=NUM_ITEMS)
        np.testing.assert_allclose(found.values[f"coverage@{k}"], (exposure > 0).mean())
        np.testing.assert_allclose(found.values[f"gini@{k}"], oracles.gini(exposure), rtol=1e-9)


def test_evaluate_scores_the_users_asked_for():
    chosen = np.array([3, 11, 12])
    some = evaluation.evaluate(FACTORS, TRAIN, TRAIN, HELD_OUT, ks=(10,), users=chosen)
    everyone = evaluation.evaluate(FACTORS, TRAIN, TRAIN, HELD_OUT, ks=(10,))
    scored = chosen[HELD_OUT.degrees[chosen] > 0]
    np.testing.assert_array_equal(some.users, scored)
    places = np.searchsorted(everyone.users, scored)
    np.testing.assert_array_equal(some.per_user["ndcg@10"], everyone.per_user["ndcg@10"][places])


def test_users_with_too_few_held_out_items_do_not_count_where_asked():
    ks = (2, 4, NUM_ITEMS)
    all_users = evaluation.evaluate(FACTORS, TRAIN, TRAIN, HELD_OUT, ks=ks)
    found = evaluation.evaluate(FACTORS, TRAIN, TRAIN, HELD_OUT, ks=ks, enough_held_out=True)
    degrees = HELD_OUT.degrees[found.users]
    assert 0 < (degrees < 2).sum() < (degrees < 4).sum() < len(degrees)
    for k in (2, 4):
        for name in ("precision", "recall", "ndcg", "hit_rate"):
            expected = all_users.per_user[f"{name}@{k}"][degrees >= k].mean()
            np.testing.assert_allclose(found.values[f"{name}@{k}"], expected, rtol=1e-6)
        for name in ("map", "mrr", "mmr"):
            assert found.values[f"{name}@{k}"] == all_users.values[f"{name}@{k}"]
    assert f"ndcg@{NUM_ITEMS}" not in found.values, "nobody holds out the whole catalogue"
    assert found.values[f"map@{NUM_ITEMS}"] == all_users.values[f"map@{NUM_ITEMS}"]


def test_deciles_hold_a_tenth_of_the_pairs_each_and_ascend():
    popularity = np.random.default_rng(3).zipf(1.6, 5000).clip(max=800)
    deciles = evaluation.popularity_deciles(popularity)
    pairs = np.bincount(deciles, popularity, minlength=10)
    assert np.abs(pairs / popularity.sum() - 0.1).max() < popularity.max() / popularity.sum()
    ends = [(popularity[deciles == i].min(), popularity[deciles == i].max()) for i in range(10)]
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(ends))


def test_ndcg_by_popularity_equals_oracle():
    found = evaluation.evaluate(FACTORS, TRAIN, TRAIN, HELD_OUT, ks=(3, 10), by_popularity=True)
    users, deciles = found.users, evaluation.popularity_deciles(TRAIN.popularity)
    lists = expected_lists(users, 10)
    expected = []
    for decile in range(10):
        relevant = [[i for i in HELD_OUT.row(int(u)) if deciles[i] == decile] for u in users]
        scored = [(r, own) for r, own in zip(lists, relevant, strict=True) if own]
        assert len(scored) < len(users), "some user must be left out for this to show anything"
        expected.append(np.mean([oracles.user_metrics(r, own, TRAIN.popularity)["ndcg"] for r, own in scored]))
    np.testing.assert_allclose(np.array(found.by_popularity["ndcg@10"], float), expected, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("num_hits", [0, 1, 3])
def test_user_metrics_equal_oracle(k, num_hits):
    ranked = np.random.default_rng(k).permutation(20)[:k]
    relevant = set(ranked[:: max(1, k // max(1, num_hits))][:num_hits]) | {97, 98}
    popularity = np.arange(100) ** 2
    expected = oracles.user_metrics(ranked, relevant, popularity)
    hits = jnp.asarray([i in relevant for i in ranked])
    for name, metric in metrics.USER_METRICS.items():
        np.testing.assert_allclose(metric(hits, jnp.int32(len(relevant))), expected[name], rtol=1e-6, err_msg=name)
    found = metrics.median_popularity(jnp.int32(ranked), jnp.float32(popularity))
    np.testing.assert_allclose(found, expected["mmr"])


def test_perfect_list_scores_one_and_gini_spans_its_range():
    hits = jnp.array([True, True, False, False])
    for name in ("ndcg", "map", "recall", "mrr", "hit_rate"):
        np.testing.assert_allclose(metrics.USER_METRICS[name](hits, jnp.int32(2)), 1.0, rtol=1e-6, err_msg=name)
    assert metrics.gini(np.full(8, 3)) == pytest.approx(0)
    assert metrics.gini(np.eye(8)[0]) == pytest.approx(7 / 8)
    assert metrics.gini(np.zeros(8)) == 0


@pytest.mark.parametrize("k", [1, 3])
def test_top_k_by_blocks_equals_a_sort_with_ties(k):
    """Few distinct scores, so that ties run across blocks; of equal ones the first places count."""
    scores = np.random.default_rng(k).integers(0, 6, size=(40, 1024)).astype(np.float32)
    scores[3] = -np.inf
    scores[4, 100:] = -np.inf
    best, places = ranking._top_k(jnp.asarray(scores), k)
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(best, np.take_along_axis(scores, expected, axis=1))


def test_top_k_of_a_catalogue_of_several_blocks_equals_brute_force():
    rng = np.random.default_rng(12)
    users, items = rng.normal(size=(70, 4)).astype(np.float32), rng.normal(size=(1500, 4)).astype(np.float32)
    seen = from_pairs(rng.integers(0, 70, 3000), rng.integers(0, 1500, 3000), 70, 1500)
    factors = distance_factors(jnp.asarray(users), jnp.asarray(items))
    ranked = ranking.top_k(factors, np.arange(70), seen, 5)
    expected = oracles.top_k(users.astype(np.float64), items, [set(seen.row(u).tolist()) for u in range(70)], 5)
    np.testing.assert_array_equal(ranked, expected)


def test_top_k_by_blocks_equals_a_sort_where_ties_run_across_blocks():
    """Many distinct scores: the chosen blocks come in another order than their places, and hold equal scores."""
    scores = np.random.default_rng(5).integers(0, 400, size=(200, 2048)).astype(np.float32)
    for k in (3, 6):
        expected = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        best, places = ranking._top_k(jnp.asarray(scores), k)
        np.testing.assert_array_equal(places, expected)
        np.testing.assert_array_equal(best, np.take_along_axis(scores, expected, axis=1))
    blocks, values = expected // ranking._BLOCK, np.take_along_axis(scores, expected, axis=1)
    across = (values[:, 1:] == values[:, :-1]) & (blocks[:, 1:] != blocks[:, :-1])
    assert across.any(axis=1).mean() > 0.5, "ties across blocks"


def test_empty_places_of_a_list_do_not_count_in_mmr():
    """The last item is the most popular one, so that a place of -1 taken for it would show."""
    popularity = np.array([3, 1, 8, 5, 100])
    for ids in ([2, 0, -1], [1, -1, -1], [0, 3, 2, -1, -1, -1, -1]):
        found = metrics.median_popularity(jnp.int32(ids), jnp.float32(popularity))
        assert found == np.median(popularity[[i for i in ids if i >= 0]])
    assert metrics.median_popularity(jnp.int32([-1, -1]), jnp.float32(popularity)) == 0


def test_evaluate_equals_oracle_where_lists_end_in_minus_one():
    found = evaluation.evaluate(FACTORS, TRAIN, TRAIN, HELD_OUT, ks=(NUM_ITEMS,))
    lists = expected_lists(found.users, NUM_ITEMS)
    assert (lists == -1).any(axis=1).mean() > 0.9
    for place, (ranked, user) in enumerate(zip(lists, found.users, strict=True)):
        for name, value in oracles.user_metrics(ranked, HELD_OUT.row(int(user)), TRAIN.popularity).items():
            np.testing.assert_allclose(found.per_user[f"{name}@{NUM_ITEMS}"][place], value, rtol=1e-5, err_msg=name)
    exposure = np.bincount(lists[lists >= 0], minlength=NUM_ITEMS)
    np.testing.assert_allclose(found.values[f"gini@{NUM_ITEMS}"], oracles.gini(exposure), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("popularity", "expected"),
    [
        # An item belongs to the decile in which its first pair lies, pairs counted from the rarest item on.
        ([1] * 10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ([2] * 5, [0, 2, 4, 6, 8]),
        ([5, 1, 2, 2, 10], [2, 0, 0, 1, 5]),  # first pairs 5, 0, 1, 3 and 10 of 20
        ([19, 0, 1], [0, 0, 0]),
        ([9, 1, 10], [0, 0, 5]),
        ([10, 9, 1], [5, 0, 0]),
        ([0, 0, 0], [0, 0, 0]),
    ],
)
def test_deciles_at_a_border(popularity, expected):
    assert evaluation.popularity_deciles(np.array(popularity)).tolist() == expected


def test_no_users_give_no_lists_and_no_metrics():
    nobody = np.array([], int)
    assert ranking.top_k(FACTORS, nobody, TRAIN, 10).shape == (0, 10)
    for users, held_out in ((nobody, HELD_OUT), (None, nothing(NUM_USERS, NUM_ITEMS))):
        found = evaluation.evaluate(FACTORS, TRAIN, TRAIN, held_out, ks=(3, 10), users=users, by_popularity=True)
        assert found.values == {} and found.per_user == {} and found.by_popularity == {} and len(found.users) == 0
    some = evaluation.evaluate(FACTORS, TRAIN, TRAIN, HELD_OUT, ks=(3,), users=np.flatnonzero(HELD_OUT.degrees == 0))
    assert some.values == {}, "users without a held-out item are left out"
