import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import draws, hashing
from tests.conftest import assert_law
from tests.oracles import samplers as oracles

WEIGHTS = np.array([5.0, 0.0, 1.0, 3.0, 0.5, 0.0, 2.0, 9.0, 1.0, 4.0, 0.0])
KEY = jax.random.key(3)


@pytest.mark.parametrize("size", [1, 2, 3, 17, 1000, 4097])
def test_permute_is_a_permutation(size):
    places = draws.permute(KEY, jnp.arange(size), size)
    assert sorted(places.tolist()) == list(range(size))


@pytest.mark.parametrize("size", [3, 5, 7, 20])
def test_permute_sends_each_place_everywhere_alike(size):
    keys = jax.random.split(KEY, 20_000)
    permuted = jax.jit(jax.vmap(lambda key: draws.permute(key, jnp.arange(size), size)))(keys)
    for place in range(size):
        assert_law(np.bincount(permuted[:, place], minlength=size), np.full(size, 1 / size))
    for other in (1, size - 1):  # pairs of places are independent but for being distinct
        pairs = np.asarray(permuted[:, 0] * size + permuted[:, other])
        expected = (1 - np.eye(size)).ravel() / (size * (size - 1))
        assert_law(np.bincount(pairs, minlength=size**2), expected)


def test_draw_has_the_law_of_the_weights():
    table = draws.make_weight_table(jnp.float32(WEIGHTS))
    drawn = jax.jit(draws.draw)(jax.random.uniform(KEY, (2, 200, 100)), table)
    assert drawn.shape == (200, 100)
    assert_law(np.bincount(drawn.ravel(), minlength=len(WEIGHTS)), WEIGHTS / WEIGHTS.sum())


def test_draw_keeps_its_precision_in_a_large_table():
    weights = jnp.ones(3_000_000).at[-1].set(1e6)  # a single running sum in float32 would lose the small ones
    drawn = np.asarray(draws.draw(jax.random.uniform(KEY, (2, 40_000)), draws.make_weight_table(weights)))
    is_last = drawn == 2_999_999
    assert_law([is_last.sum(), (~is_last).sum()], [1e6 / 3999999, 2999999 / 3999999])
    assert_law(np.bincount(drawn[~is_last] * 10 // 3_000_000, minlength=10), np.full(10, 0.1))


def test_weight_table_is_monotone_and_flat_where_weights_are_0():
    weights = np.random.default_rng(0).random(300_000) * (np.arange(300_000) % 3 > 0)
    inside = np.asarray(draws.make_weight_table(jnp.float32(weights)).inside)
    steps = np.diff(inside, axis=1, prepend=0).ravel()[: len(weights)]
    assert (steps[weights == 0] == 0).all() and (steps[weights > 1e-4] > 0).all()


def test_draw_per_row_has_the_law_of_each_row():
    rows = np.stack([WEIGHTS, WEIGHTS[::-1], np.eye(11)[4], np.ones(11)])
    uniform = jax.random.uniform(KEY, (4, 20_000))
    slots = jax.jit(draws.draw_per_row)(draws.make_row_tables(jnp.float32(rows)), uniform)
    for row, drawn in zip(rows, slots, strict=True):
        assert_law(np.bincount(drawn, minlength=11), row / row.sum())


@pytest.mark.parametrize("num_slots", [1, 2, 5, 64, 1000])
def test_draw_per_row_never_picks_weight_zero_at_the_edges(num_slots):
    rng = np.random.default_rng(0)
    rows = rng.random((50, num_slots)) * (rng.random((50, num_slots)) < 0.2)
    rows[:, rng.integers(num_slots)] += 1e-3
    extreme = jnp.broadcast_to(jnp.float32([0.0, 0.5, 1 - 2.0**-24]), (50, 3))
    slots = np.asarray(draws.draw_per_row(draws.make_row_tables(jnp.float32(rows)), extreme))
    assert (np.take_along_axis(rows, slots, axis=1) > 0).all()


def test_draw_per_row_of_an_empty_row_is_slot_0():
    tables = draws.make_row_tables(jnp.zeros((2, 10)))
    assert draws.draw_per_row(tables, jnp.full((2, 3), 0.7)).tolist() == [[0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("count", [1, 3, 6])
def test_first_distinct_equals_oracle(count):
    ids = np.array([4, 2, 4, 4, 9, 2, 0, 7, 9])
    values, valid = jax.jit(draws.first_distinct, static_argnums=1)(jnp.int32(ids), count)
    expected = list(dict.fromkeys(ids.tolist()))[:count]
    assert values[valid].tolist() == expected
    assert int(valid.sum()) == len(expected)


def test_first_appearance_equals_oracle_whatever_collides():
    """Numbers that share low bits collide in the first round, and all sizes from one number up must settle."""
    rng = np.random.default_rng(3)
    for ids in (
        np.array([7]),
        np.zeros(5, int),
        rng.integers(0, 40, 300),
        rng.integers(0, 50, 500) * 2**14,
        rng.integers(0, 2**31 - 1, 4000),
        np.concatenate([np.arange(700) * 2**20, np.arange(700) * 2**20]),
    ):
        first = np.asarray(jax.jit(hashing.first_appearance)(jnp.int32(ids)))
        expected = {}
        for place, number in enumerate(ids.tolist()):
            expected.setdefault(number, place)
        assert first.tolist() == [expected[number] for number in ids.tolist()]


@functools.cache
def inclusion_frequencies(count, rounds):
    return oracles.inclusion_frequencies(WEIGHTS, count, rounds, seed=5)


@pytest.mark.parametrize("count", [2, 6])
@pytest.mark.parametrize("method", ["repeats_dropped", "gumbel"])
def test_draws_without_replacement_equal_numpys_inclusion_frequencies(method, count):
    rounds = 20_000
    keys = jax.random.split(jax.random.fold_in(KEY, count), rounds)
    weights = jnp.float32(WEIGHTS)
    table = draws.make_weight_table(weights)

    def repeats_dropped(key):
        return draws.first_distinct(draws.draw(jax.random.uniform(key, (2, 150)), table), count)

    def gumbel(key):
        return draws.gumbel_top_k(key, weights, count)

    values, valid = jax.jit(jax.vmap({"repeats_dropped": repeats_dropped, "gumbel": gumbel}[method]))(keys)
    assert valid.all()
    assert all(len(set(row)) == count for row in values[:500].tolist())
    included = np.bincount(np.asarray(values).ravel(), minlength=len(WEIGHTS))
    expected = inclusion_frequencies(count, rounds)
    # Two binomial samples of the same probability: the difference has variance 2 n p (1 - p).
    share = (included + expected) / (2 * rounds)
    deviation = np.sqrt(2 * rounds * share * (1 - share)) + 1e-9
    assert np.all(np.abs(included - expected) <= 5 * deviation)  # false alarm below 1e-5 over the 8 elements
    assert included[WEIGHTS == 0].sum() == 0
    first = np.bincount(np.asarray(values[:, 0]), minlength=len(WEIGHTS))
    assert_law(first, WEIGHTS / WEIGHTS.sum())


def test_gumbel_top_k_marks_slots_without_weight():
    values, valid = draws.gumbel_top_k(KEY, jnp.float32(WEIGHTS), 10)
    assert int(valid.sum()) == 8 and np.all(WEIGHTS[values[valid]] > 0)


def test_num_draws_needed_finds_enough_distinct_values():
    weights = np.arange(1, 2001) ** -1.0
    needed = draws.num_draws_needed(weights, 300)
    assert 300 < needed <= 2000
    rng = np.random.default_rng(0)
    distinct = [len(set(rng.choice(2000, needed, p=weights / weights.sum()))) for _ in range(200)]
    assert min(distinct) >= 300 and np.mean(distinct) < 400, "enough, and not far more than enough"
    assert draws.num_draws_needed(weights, 1900) == 0
