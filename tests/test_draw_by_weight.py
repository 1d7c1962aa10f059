"""Pairs drawn in proportion to their weights, systematically over a pass."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import batches, population, sharding, training
from cml_jax.data.interactions import from_pairs, shares_of
from cml_jax.types import Shares
from tests.conftest import assert_law
from tests.steps import make, run


def weighted(interactions, weights):
    return interactions._replace(weights=np.asarray(weights, np.float32))


def whole_weights(interactions):
    return np.random.default_rng(3).integers(1, 6, interactions.num_pairs)


@functools.partial(jax.jit, static_argnames=("passes", "batch_size"))
def counts_of(key, data, passes, batch_size):
    """How often each pair was seen in each pass, Array[passes, n], by position of its user and item."""
    per_pass = batches.steps_per_pass(data.num_pairs, batch_size)

    def one_step(step):
        found = batches.positives(key, step, data, batch_size)
        same = (found.users[:, None] == data.users[None, :]) & (found.items[:, None] == data.items[None, :])
        return jnp.sum(same & found.valid[:, None], axis=0)

    seen = jax.lax.map(one_step, jnp.arange(passes * per_pass))
    return seen.reshape(passes, per_pass, -1).sum(axis=1)


@pytest.mark.parametrize("weight", [1.0, 7.0, 0.3, 1e-20])
def test_equal_weights_give_the_batches_of_none_to_the_bit(ragged, weight):
    plain, drawn = ragged.to_device(), weighted(ragged, np.full(22, weight)).to_device(draw_by_weight=True)
    assert drawn.shares is not None and drawn.weights is None
    for step in range(5):
        found, expected = (batches.positives(jax.random.key(8), jnp.int32(step), data, 9) for data in (drawn, plain))
        jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_equal_weights_have_a_slot_each_whatever_they_are():
    for weight in (0.3, 1e-7, 3e8, 1.7252367):  # the last but for division by the mean of the sums
        shares = shares_of(np.full(300_001, weight, np.float32))
        np.testing.assert_array_equal(shares.whole, np.arange(1, 300_002))
        assert not np.any(shares.rest)


def test_each_pass_has_a_pair_as_often_as_its_share_rounded_up_or_down(ragged):
    weights = np.random.default_rng(5).exponential(size=22) ** 2 + 0.01
    share = 22 * weights / weights.sum()
    assert share.max() > 2 and share.min() < 0.1
    found = np.asarray(counts_of(jax.random.key(1), weighted(ragged, weights).to_device(draw_by_weight=True), 400, 9))
    assert np.all(found.sum(axis=1) == 22)
    assert np.all((found == np.floor(share)) | (found == np.ceil(share)))
    assert len({tuple(row) for row in found.tolist()}) > 20, "each pass starts elsewhere"


def test_whole_weights_draw_pairs_as_often_as_repeated_rows_do(ragged):
    """The law of a slot, against that of a uniform row of the repeated rows (false alarms: `FALSE_ALARM_RATE`)."""
    weights = whole_weights(ragged)
    data = weighted(ragged, weights).to_device(draw_by_weight=True)

    def first_of(key):  # independent: one slot of a run of its own
        found = batches.positives(key, jnp.int32(0), data, 1)
        return jnp.argmax((found.users[0] == data.users) & (found.items[0] == data.items))

    drawn = jax.jit(jax.vmap(first_of))(jax.random.split(jax.random.key(2), 20_000))
    repeated = np.repeat(np.arange(22), weights)
    assert_law(np.bincount(drawn, minlength=22), np.bincount(repeated, minlength=22) / len(repeated))


def test_points_are_found_beyond_what_float32_tells_apart():
    whole = jnp.asarray([2**30, 2**30 + 1, 2**30 + 1, 2**30 + 4], jnp.int32)
    shares = Shares(whole, jnp.asarray([7, 0, 2**30, 0], jnp.int32))
    slots = jnp.asarray([2**30 - 1, 2**30, 2**30, 2**30 + 1, 2**30 + 1, 2**30 + 2, 2**30 + 3], jnp.int32)
    starts = [2**31 - 1, 6, 7, 2**30 - 1, 2**30, 0, 5]
    found = [int(batches.holders(shares, slot, jnp.int32(start))) for slot, start in zip(slots, starts, strict=True)]
    assert found == [0, 0, 1, 2, 3, 3, 3]


def test_shares_end_at_the_number_of_pairs_and_never_go_back():
    weights = np.exp(np.random.default_rng(1).normal(0, 4, 100_000)).astype(np.float32)
    whole, rest = (np.asarray(part, np.float64) for part in shares_of(weights))
    ends = whole + rest / 2**31
    assert whole[-1] == 100_000 and rest[-1] == 0 and np.all(np.diff(ends) >= 0)
    np.testing.assert_allclose(np.diff(ends, prepend=0), weights / weights.mean(dtype=np.float64), atol=1e-7)


def test_drawn_losses_do_not_count_twice(ragged):
    options = make(sampler="uniform", weight_use="draw")
    data = batches.to_device(weighted(ragged, whole_weights(ragged)), None, options)
    batch, _ = training.draw_batch(
        options, options.make_model(), options.make_sampler(data), data, training.init_state(options, data, 0)
    )
    assert batch.weights is None and data.shares is not None
    by_loss = batches.to_device(weighted(ragged, whole_weights(ragged)), None, make(sampler="uniform"))
    assert by_loss.shares is None and by_loss.weights is not None
    assert batches.to_device(ragged, None, options).shares is None


def test_expected_gradient_is_that_of_the_weighted_loss():
    """Over a pass of whole shares the users move as one step over the repeated rows would move them."""
    users, items, weights = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2]), np.array([1.0, 2.0, 1.0, 4.0])
    pairs = from_pairs(users, items, 3, 4, weights)
    seen = np.asarray(counts_of(jax.random.key(4), pairs.to_device(draw_by_weight=True), 4000, 4))
    # The mean over passes of the factor of a pair's loss, against its weight over the mean weight; sd below 0.008.
    np.testing.assert_allclose(seen.mean(axis=0), weights / weights.mean(), atol=0.05)
    by_loss = pairs.to_device().weights
    assert by_loss is not None
    np.testing.assert_allclose(by_loss, weights / weights.mean(), rtol=1e-6)


def test_a_run_goes_on_with_the_same_pairs(ragged):
    options = make(sampler="uniform", weight_use="draw")
    data = batches.to_device(weighted(ragged, whole_weights(ragged)), None, options)
    whole, _ = run(options, data, 7)
    state, _ = run(options, data, 4)
    resumed, _ = training.run_steps(state, data, options, num_steps=3)
    jax.tree.map(np.testing.assert_array_equal, whole.params, resumed.params)


def test_sharded_and_population_runs_draw_the_same(ragged):
    options = make(sampler="uniform", weight_use="draw")
    data = batches.to_device(weighted(ragged, whole_weights(ragged)), None, options)
    whole, metrics = run(options, data, 6)
    over_8, split = sharding.replicate((data, dataclasses.replace(options, num_shards=8)), 8)
    _, split_metrics = run(split, over_8, 6)
    np.testing.assert_allclose(split_metrics.loss, metrics.loss, rtol=1e-4)
    seeds, members = jnp.asarray([0, 3], jnp.int32), population.stacked([options, options])
    states = population.init_population(data, members, seeds)
    states, _ = population.run_population_steps(states, data, members, num_steps=6)
    one = population.member_state(states, 0)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one.params, whole.params)
