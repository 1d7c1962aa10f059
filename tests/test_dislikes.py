"""Dislikes in the step: extra negatives of their users; the data side is in tests/data/test_signals.py."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import batches, population, sharding, training
from cml_jax.candidate_mask import CandidateMask
from cml_jax.data.interactions import from_pairs
from cml_jax.losses import LOSSES
from tests.conftest import assert_law
from tests.oracles import models as oracles
from tests.steps import make, run
from tests.test_weights import CASES, batch_of, losses_by_hand, unit

USERS, ITEMS = np.array([0, 0, 0, 2, 5, 6]), np.array([4, 6, 10, 0, 1, 10])
DISLIKES = from_pairs(USERS, ITEMS, 7, 11)
OWN = {0: {4, 6, 10}, 2: {0}, 5: {1}, 6: {10}}
MODELS = [
    (name, case)
    for name, cases in oracles.MODEL_CASES.items()
    for case in cases
    if LOSSES[case["loss"]].make(LOSSES[case["loss"]].options()).takes != "batch"
]


def data_of(interactions, options):
    return batches.to_device(interactions, DISLIKES, options)


def others_of(batch, row):
    """The other items that count for a pair."""
    others = batch.others if batch.others.ndim == 1 else batch.others[row]
    return np.asarray(others)[np.asarray(batch.valid[row])].tolist()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("count", [1, 3])
def test_pairs_have_their_users_dislikes_and_no_others_besides(ragged, case, count):
    with_them, without = (make(**CASES[case], num_dislikes=h) for h in (count, 0))
    data = data_of(ragged, with_them)
    state = training.init_state(with_them, data, 0)
    assert data_of(ragged, without).dislikes is None
    for step in range(4):
        now = dataclasses.replace(state, step=jnp.int32(step))
        batch, plain = batch_of(with_them, data, now), batch_of(without, data_of(ragged, without), now)
        np.testing.assert_array_equal(batch.users, plain.users)
        np.testing.assert_array_equal(batch.positives, plain.positives)
        for row, user in enumerate(np.asarray(batch.users).tolist()):
            drawn, more = others_of(plain, row), others_of(batch, row)
            assert more[: len(drawn)] == drawn, "what the sampler draws stays as it is"
            filled = bool(batch.trained[row])
            assert len(more) - len(drawn) == (count if user in OWN and filled else 0)
            assert set(more[len(drawn) :]) <= OWN.get(user, set())


def test_pairs_that_are_not_there_have_no_dislikes():
    """User 1 has no dislike, and the last pair is past the end of its pass."""
    known = from_pairs(np.array([0, 0, 2]), np.array([5, 7, 2]), 3, 9)
    dislikes = batches.Dislikes(jnp.asarray(known.indptr, jnp.int32), jnp.asarray(known.items, jnp.int32))
    users, filled = jnp.array([0, 1, 2, 2]), jnp.array([True, True, True, False])
    data, three = known.to_device(), jnp.arange(3, dtype=jnp.int32)
    shared = CandidateMask(data, three, jnp.ones(3, bool), None, users, filled, jnp.arange(4, dtype=jnp.int32))
    for others, valid in ((jnp.zeros((4, 2), jnp.int32), jnp.ones((4, 2), bool)), (three, shared)):
        drawn, has = batches.dislikes_of(jax.random.key(0), dislikes, users, filled, 2)
        found, there = batches.with_dislikes(others, valid, drawn, has)
        width, there = others.shape[-1], there.dense() if isinstance(there, CandidateMask) else there
        np.testing.assert_array_equal(there[:, width:].sum(axis=1), [2, 0, 2, 0])
        drawn = np.broadcast_to(found[..., width:], there[:, width:].shape)
        assert set(drawn[0][there[0, width:]].tolist()) <= {5, 7} and set(drawn[2][there[2, width:]].tolist()) == {2}


def test_dislikes_are_drawn_uniformly_for_each_pair(ragged):
    options = make(sampler="uniform")
    dislikes = data_of(ragged, options).dislikes
    assert dislikes is not None
    users, filled = jnp.zeros(4, jnp.int32), jnp.ones(4, bool)

    def draw(key):
        return batches.dislikes_of(key, dislikes, users, filled, 2)[0]

    drawn = np.asarray(jax.vmap(draw)(jax.random.split(jax.random.key(3), 2000))).reshape(-1)
    assert_law([np.sum(drawn == item) for item in (4, 6, 10)], np.full(3, 1 / 3))
    assert np.isin(drawn, (4, 6, 10)).all()


def test_without_dislikes_nothing_is_another_program_or_number(ragged):
    for case in CASES.values():
        found = []
        for count in (0, 1, 5):
            options = make(**case, num_dislikes=count)
            data = batches.to_device(ragged, None, options)
            state = training.init_state(options, data, 0)
            found.append((str(jax.make_jaxpr(training.make_step(options))(state, data)), run(options, data, 5)[0]))
        assert found[0][0] == found[1][0] == found[2][0]
        jax.tree.map(np.testing.assert_array_equal, found[0][1].params, found[1][1].params)


def test_a_pair_that_has_no_other_negative_is_trained_by_its_dislikes():
    """User 0 has all items but the one it dislikes; for its pairs the sampler of popular items finds nothing."""
    likes = from_pairs(np.array([0, 0, 0]), np.array([0, 1, 2]), 1, 4)
    dislikes = from_pairs(np.array([0]), np.array([3]), 1, 4)
    options = make(sampler="popularity", loss="softmax", num_candidates=3, batch_size=3)
    plain = batch_of(options, likes.to_device(), training.init_state(options, likes.to_device(), 0))
    assert int(plain.no_negative) == 3
    data = batches.to_device(likes, dislikes, options)
    batch = batch_of(options, data, training.init_state(options, data, 0))
    assert int(batch.no_negative) == 0 and bool(jnp.all(batch.trained))
    assert [others_of(batch, row) for row in range(3)] == [[3]] * 3


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients_are_those_of_the_oracle(ragged, case):
    """The loss of a batch with dislikes, and its derivatives by differences."""
    more = {"temperature": 0.5} if case == "softmax" else {}
    options = make(
        batch_size=22, optimizer="sgd", learning_rate=1.0, rows="dense", num_dislikes=2, **CASES[case], **more
    )
    data = data_of(ragged, options)
    state = training.init_state(options, data, 0)
    tables = {name: np.asarray(table, np.float64) for name, table in state.params.tables.items()}
    batch = batch_of(options, data, state)
    assert bool(jnp.all(batch.trained)) and not bool(jnp.all(batch.valid))
    after, metrics = training.run_steps(training.init_state(options, data, 0), data, options, num_steps=1)
    np.testing.assert_allclose(metrics.loss[0], losses_by_hand(case, tables, batch).mean(), rtol=1e-5)
    step, disliked = 1e-6, [("items", row) for row in (0, 1, 4, 6, 10)]
    for name, row in [*disliked, ("users", 0), ("users", 2)]:
        moved = tables[name] - np.asarray(after.params.tables[name], np.float64)  # the gradient, at a rate of 1
        ahead, behind = (
            losses_by_hand(case, tables | {name: tables[name] + sign * step * unit(tables[name].shape, row, 1)}, batch)
            for sign in (1, -1)
        )
        expected = (ahead.mean() - behind.mean()) / (2 * step)
        np.testing.assert_allclose(moved[row, 1], expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("name", "case"), MODELS, ids=[f"{name}-{case['loss']}" for name, case in MODELS])
def test_every_model_takes_dislikes_on_one_and_on_several_devices(ragged, name, case):
    options = make(**{"sampler": "uniform", "model": name, **case})
    data = data_of(ragged, options)
    assert data.dislikes is not None
    whole, metrics = run(options, data, 5)
    assert np.isfinite(metrics.loss).all()
    plain, _ = run(options, batches.to_device(ragged, None, options), 5)
    assert np.any(np.asarray(whole.params.tables["items"][10]) != np.asarray(plain.params.tables["items"][10]))
    over_8, split = sharding.replicate((data, dataclasses.replace(options, num_shards=8)), 8)
    parts, split_metrics = run(split, over_8, 5)
    np.testing.assert_allclose(split_metrics.loss, metrics.loss, rtol=1e-3)
    for table, rows in whole.params.tables.items():
        np.testing.assert_allclose(parts.params.tables[table][: len(rows)], rows, atol=1e-4)


@pytest.mark.parametrize("case", [{"sampler": "uniform"}, {"loss": "softmax", "sampler": "uniform"}], ids=str)
def test_members_of_a_population_are_runs_alone(ragged, case):
    members = [make(learning_rate=rate, **case) for rate in (0.05, 0.01)]
    data, options = data_of(ragged, members[0]), population.stacked(members)
    states = population.init_population(data, options, jnp.asarray([5, 0], jnp.int32))
    states, _ = population.run_population_steps(states, data, options, num_steps=5)
    for number, (member, seed) in enumerate(zip(members, (5, 0), strict=True)):
        alone, _ = run(member, data, 5, seed)
        one = population.member_state(states, number)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), one.params, alone.params)


@pytest.mark.parametrize("case", [{"sampler": "uniform"}, {"loss": "softmax", "sampler": "uniform"}], ids=str)
def test_disliked_items_come_lower_in_the_ranking(case):
    """Two groups of users like the same items, and each dislikes what the other likes besides."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(40), 6)
    items = np.concatenate([rng.choice(np.arange(12), 6, replace=False) for _ in range(40)])
    disliked = np.where(np.arange(40) < 20, 12, 13)
    extra = np.where(np.arange(40) < 20, 13, 12)  # liked by the other half
    likes = from_pairs(np.append(users, np.arange(40)), np.append(items, extra), 40, 20)
    dislikes = from_pairs(np.arange(40), disliked, 40, 20)

    def scores(count):
        options = make(**case, dim=8, batch_size=32, num_dislikes=count, learning_rate=0.02)
        data = batches.to_device(likes, dislikes, options)
        state, _ = run(options, data, 150)
        model = options.make_model()
        points = (
            model.user_points(state.params.tables, state.params.dense, jnp.arange(40)),
            model.item_points(state.params.tables, state.params.dense, jnp.arange(20)),
        )
        apart = np.linalg.norm(np.asarray(points[0])[:, None] - np.asarray(points[1])[None], axis=2)
        return np.argsort(np.argsort(apart, axis=1), axis=1)[np.arange(40), disliked].mean()

    assert scores(2) > scores(0) + 1
