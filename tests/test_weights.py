"""Weights of pairs in the step: the data side is in tests/data/test_weighted_data.py."""

import collections
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import batches, population, sharding, training
from cml_jax.data.interactions import from_pairs
from tests.oracles import losses as oracles
from tests.steps import make, run

CASES = {
    "triplet": {"sampler": "uniform", "constraint": "none"},
    "softmax": {"loss": "softmax", "sampler": "uniform", "constraint": "none"},
    "bpr": {"loss": "bpr", "sampler": "uniform", "constraint": "none", "l2_weight": 0.1},
}


def weighted(interactions, weights):
    return interactions._replace(weights=np.asarray(weights, np.float32))


def random_weights(interactions, seed=3):
    return np.random.default_rng(seed).integers(1, 5, interactions.num_pairs)


def batch_of(options, data, state):
    batch = training.draw_batch(options, options.make_model(), options.make_sampler(data), data, state)[0]
    return batch._replace(valid=batch.dense_valid())


def losses_by_hand(case, tables, batch):
    """The loss of every pair of the batch, in plain NumPy, of tables without a constraint."""
    users, items = tables["users"], tables["items"]
    found = []
    for j, (user, positive) in enumerate(zip(batch.users, batch.positives, strict=True)):
        others = batch.others if batch.others.ndim == 1 else batch.others[j]
        points = users[user], items[positive], items[others], np.asarray(batch.valid[j])
        if case == "softmax":
            found.append(oracles.softmax_loss(*points, temperature=0.5))
        elif case == "triplet":
            found.append(oracles.triplet_loss(*points, margin=0.8))
        else:
            found.append(oracles.bpr_loss(*points, l2_weight=0.1))
    return np.array(found)


@pytest.mark.parametrize("case", CASES)
def test_a_pair_of_weight_2_is_two_pairs(ragged, case):
    """The loss of a batch of all pairs, and its derivatives by differences, are means over the repeated pairs."""
    weights = random_weights(ragged)
    weights[0] = 2
    more = {"temperature": 0.5} if case == "softmax" else {}
    size = ragged.num_pairs
    options = make(batch_size=size, optimizer="sgd", learning_rate=1.0, rows="dense", **CASES[case], **more)
    data = weighted(ragged, weights).to_device()
    state = training.init_state(options, data, 0)
    tables = {name: np.asarray(table, np.float64) for name, table in state.params.tables.items()}
    batch = batch_of(options, data, state)
    assert bool(np.all(batch.trained))
    weight_of = dict(zip(zip(ragged.users.tolist(), ragged.items.tolist(), strict=True), weights.tolist(), strict=True))
    pairs = zip(batch.users.tolist(), batch.positives.tolist(), strict=True)
    times = [weight_of[pair] for pair in pairs]

    def repeated(tables):
        return np.repeat(losses_by_hand(case, tables, batch), times).mean()

    after, metrics = training.run_steps(training.init_state(options, data, 0), data, options, num_steps=1)
    np.testing.assert_allclose(metrics.loss[0], repeated(tables), rtol=1e-5)
    step = 1e-6
    for name in ("users", "items"):
        moved = tables[name] - np.asarray(after.params.tables[name], np.float64)  # the gradient, at a rate of 1
        for row, column in np.random.default_rng(1).integers(0, tables[name].shape, (8, 2)):
            ahead, behind = (
                repeated(tables | {name: tables[name] + sign * step * unit(tables[name].shape, row, column)})
                for sign in (1, -1)
            )
            np.testing.assert_allclose(moved[row, column], (ahead - behind) / (2 * step), rtol=1e-3, atol=1e-6)


def unit(shape, row, column):
    found = np.zeros(shape)
    found[row, column] = 1
    return found


@pytest.mark.parametrize("weight", [1.0, 7.0, 0.3, 1e-20])
@pytest.mark.parametrize("case", ["triplet", "softmax"])
def test_equal_weights_change_nothing(ragged, case, weight):
    options = make(**CASES[case])
    plain, metrics = run(options, ragged.to_device(), 9)
    same, same_metrics = run(options, weighted(ragged, np.full(ragged.num_pairs, weight)).to_device(), 9)
    np.testing.assert_array_equal(metrics.loss, same_metrics.loss)
    jax.tree.map(np.testing.assert_array_equal, plain.params, same.params)


def test_a_factor_of_all_weights_changes_nothing(ragged):
    options, weights = make(), random_weights(ragged)
    one, eight = (run(options, weighted(ragged, factor * weights).to_device(), 9)[0] for factor in (1, 8))
    jax.tree.map(np.testing.assert_array_equal, one.params, eight.params)
    other = run(options, ragged.to_device(), 9)[0]
    assert np.abs(one.params.tables["users"] - other.params.tables["users"]).max() > 1e-3


def primitives(jaxpr):
    """How often each primitive stands in a program."""
    found = collections.Counter()
    for equation in jaxpr.eqns:
        found[equation.primitive.name] += 1
        for parameter in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(parameter, "jaxpr", parameter)
            found += primitives(inner) if hasattr(inner, "eqns") else collections.Counter()
    return found


@pytest.mark.parametrize(("loss", "products"), [("triplet", 2), ("softmax", 0)])
def test_without_weights_the_step_has_no_operation_for_them(ragged, loss, products):
    """A loss is multiplied by them, and what flows back; the softmax takes them as they are, in the place of ones."""
    options, programs = make(loss=loss, sampler="uniform"), []
    for interactions in (ragged, weighted(ragged, random_weights(ragged))):
        data = interactions.to_device()
        state = training.init_state(options, data, 0)
        programs.append(primitives(jax.make_jaxpr(training.make_step(options))(state, data).jaxpr))
    without, with_weights = programs
    assert with_weights["gather"] - without["gather"] == 1, "the weights of the batch are looked up"
    assert with_weights["mul"] - without["mul"] == products
    assert all(without[name] <= count for name, count in with_weights.items())


def test_batches_bring_the_weights_of_their_pairs(ragged):
    data = weighted(ragged, 1 + 100 * ragged.users + ragged.items).to_device()
    mean = np.mean(1 + 100 * ragged.users + ragged.items)
    found = batches.positives(jax.random.key(8), jnp.int32(1), data, 9)
    assert found.weights is not None
    np.testing.assert_allclose(found.weights, (1 + 100 * found.users + found.items) / mean, rtol=1e-6)
    assert batches.positives(jax.random.key(8), jnp.int32(1), ragged.to_device(), 9).weights is None


@pytest.mark.parametrize("case", [{"sampler": "uniform"}, {"loss": "softmax", "sampler": "uniform"}], ids=str)
def test_sharded_steps_with_weights_equal_unsharded_ones(ragged, case):
    data = weighted(ragged, random_weights(ragged)).to_device()
    options = make(**case)
    whole, metrics = run(options, data, 7)
    over_8, split = sharding.replicate((data, dataclasses.replace(options, num_shards=8)), 8)
    parts, split_metrics = run(split, over_8, 7)
    np.testing.assert_allclose(split_metrics.loss, metrics.loss, rtol=1e-4)
    for name, rows in whole.params.tables.items():
        np.testing.assert_allclose(parts.params.tables[name][: len(rows)], rows, atol=1e-5)


def test_members_with_weights_are_runs_alone(ragged):
    data, seeds = weighted(ragged, random_weights(ragged)).to_device(), (5, 0)
    members = [make(learning_rate=rate, sampler="uniform") for rate in (0.05, 0.01)]
    options = population.stacked(members)
    states = population.init_population(data, options, jnp.asarray(seeds, jnp.int32))
    states, metrics = population.run_population_steps(states, data, options, num_steps=6)
    for number, (member, seed) in enumerate(zip(members, seeds, strict=True)):
        alone, losses = run(member, data, 6, seed)
        np.testing.assert_allclose(metrics.loss[number], losses.loss, rtol=1e-5)
        one = population.member_state(states, number)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one.params, alone.params)


def test_interactions_keep_weights_with_their_pairs():
    users, items, weights = np.array([2, 0, 2, 0, 2]), np.array([1, 3, 0, 1, 1]), np.array([5.0, 1.0, 2.0, 4.0, 0.5])
    made = from_pairs(users, items, 3, 4, weights)
    assert made.items.tolist() == [1, 3, 0, 1] and made.weights is not None
    assert made.weights.dtype == np.float32 and made.weights.tolist() == [4.0, 1.0, 2.0, 5.5], "equal pairs add up"
    data = made.to_device()
    assert data.weights is not None
    np.testing.assert_allclose(data.weights, np.array([4.0, 1.0, 2.0, 5.5]) / 3.125)
