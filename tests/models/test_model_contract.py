"""What every registered model keeps to; a new one needs `oracles.MODEL_SCORES` and options in `oracles.MODEL_CASES`."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cml_jax import batches, make_options, population, ranking, sharding, training
from cml_jax.data.synthetic import make_interactions
from cml_jax.geometry import Constraint
from cml_jax.models import MODELS
from cml_jax.options import declared
from cml_jax.table_kinds import with_context
from cml_jax.types import Params
from tests import some_features
from tests.oracles import models as oracles
from tests.steps import DRAWN

SHARED: dict[str, Any] = DRAWN | {
    "dim": 6,
    "batch_size": 8,
    "num_candidates": 9,
    "num_negatives": 2,
    "sampler": "uniform",
    "learning_rate": 0.03,
    "margin": 0.8,
}
STEPS = 10  # of one dispatch
FIRST = [name for name in MODELS if name in oracles.MODEL_CASES]
EVERY = [(name, number) for name in FIRST for number in range(len(oracles.MODEL_CASES[name]))]
SOON = [*((name, 0) for name in FIRST), ("cml_graph", 1)]  # the last one's users are moved too
# What a case shares with the first of its model is tried again in the slow tests alone.
EVERY_SOME_SLOW = [pytest.param(*case, marks=[pytest.mark.slow] * (case not in SOON)) for case in EVERY]


def make(name, number, **more):
    return make_options(model=name, **SHARED | oracles.MODEL_CASES[name][number] | more)


def run(options, data, dispatches=1, seed=0):
    state, losses = training.init_state(options, data, seed), []
    for _ in range(dispatches):
        state, metrics = training.run_steps(state, data, options, num_steps=STEPS)
        losses.append(metrics.loss)
    return state, np.concatenate(losses)


def to_device(interactions, options):
    known = some_features.known(interactions.num_users, interactions.num_items)
    return batches.with_features(batches.to_device(interactions, None, options), options.make_model(), known)


def ranking_of(options, params, data):
    model = options.make_model()
    return model.ranking(with_context(model, params, data), data)


def close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


@pytest.mark.parametrize("name", MODELS)
def test_has_an_oracle_and_cases_of_every_option(name):
    assert name in oracles.MODEL_SCORES, f"model '{name}' has no oracle; write its scores in oracles.MODEL_SCORES"
    cases = oracles.MODEL_CASES.get(name)
    assert cases, f"model '{name}' has no options to be tried with; name some in oracles.MODEL_CASES"
    inherited = {"dim", "constraint", "init_scale"}  # of points; tried with 'cml'
    for option in declared(MODELS[name].options):
        tried = any((SHARED | case).get(option.name, option.default) != option.default for case in cases)
        own = option.name not in inherited and not (name != "cml" and option.name.startswith("gor_"))
        assert tried or not own, (
            f"no case of oracles.MODEL_CASES['{name}'] has another '{option.name}' than its default"
        )


@pytest.mark.parametrize(("name", "number"), EVERY)
def test_loss_is_finite_and_falls(name, number, ragged):
    options = make(name, number).as_arrays()
    _, losses = run(options, to_device(ragged, options), 8)
    assert np.isfinite(losses).all()
    assert losses[-20:].mean() < losses[:20].mean()


def constraint_of(model, table):
    return model.constraints.get(table, Constraint())


def whole_loss(options, data, batch, params):
    """The loss of a batch as a function of the whole tables."""
    model = options.make_model()
    # The whole tables are embedded, then looked up.
    whole = {table: constraint_of(model, table).embed(rows) for table, rows in params.tables.items()}
    points = {role: whole[lookup.table][lookup.ids] for role, lookup in model.lookups(batch, data).items()}
    found = model.loss(points, params.dense, batch)
    total = jnp.sum(jnp.where(batch.trained, found, 0.0)) if found.ndim else found
    total /= 1 if options.objective.loss_reduction == "sum" else options.batch_size
    return total + model.penalty(points, params.dense, batch, jnp.sum)


def draw(options, data, state):
    return training.draw_batch(options, options.make_model(), options.make_sampler(data), data, state)[0]


@pytest.mark.parametrize(("name", "number"), EVERY_SOME_SLOW)
def test_dense_rows_equal_a_plain_optax_loop_over_the_whole_tables(name, number, ragged):
    options = make(name, number, rows="dense").as_arrays()
    data = to_device(ragged, options)
    state = training.init_state(options, data, 0)
    transform, model = optax.adam(SHARED["learning_rate"]), options.make_model()

    def one_step(carry, step):
        params, opt_state = carry
        batch = draw(options, data, dataclasses.replace(state, params=params, step=step))
        loss, grads = jax.value_and_grad(functools.partial(whole_loss, options, data, batch))(params)
        updates, opt_state = transform.update(grads, opt_state, params)
        params: Any = optax.apply_updates(params, updates)
        tables = {table: constraint_of(model, table).project(rows) for table, rows in params.tables.items()}
        return (Params(tables, params.dense), opt_state), loss

    start = state.params, transform.init(state.params)
    (params, _), losses = jax.jit(lambda start: jax.lax.scan(one_step, start, jnp.arange(STEPS)))(start)
    after, found = run(options, data)
    np.testing.assert_allclose(found, losses, rtol=1e-4, atol=1e-5)
    close(after.params, params, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "number"), SOON)
def test_sharded_over_8_devices_equals_unsharded(name, number, ragged):
    options = make(name, number).as_arrays()
    here = to_device(ragged, options)
    data, split = sharding.replicate((here, dataclasses.replace(options, num_shards=8)), 8)
    whole, losses = run(options, here)
    parts, split_losses = run(split, data)
    np.testing.assert_allclose(split_losses, losses, rtol=1e-4, atol=1e-6)
    close(parts.params.dense, whole.params.dense, atol=1e-4)
    for table, rows in whole.params.tables.items():
        found = parts.params.tables[table]
        assert len(found.sharding.device_set) == 8 and len(found) == sharding.padded(len(rows), 8)
        np.testing.assert_allclose(found[: len(rows)], rows, atol=1e-4)
        assert not np.any(found[len(rows) :])
    lists = [
        ranking.top_k(ranking_of(o, training.evaluation_params(s, o), d), np.arange(7), ragged, 11)
        for o, s, d in ((options, whole, here), (split, parts, data))
    ]
    np.testing.assert_array_equal(lists[0], lists[1])


@pytest.mark.parametrize(("name", "number"), SOON)
def test_member_of_a_population_equals_the_run_alone(name, number, ragged):
    seeds = 5, 0
    members = [
        make(name, number, learning_rate=rate, init_scale=scale).as_arrays() for rate, scale in ((0.03, 1), (0.1, 0.5))
    ]
    data = to_device(ragged, members[0])
    together = population.stacked(members)
    states = population.init_population(data, together, jnp.int32(seeds))
    states, metrics = population.run_population_steps(states, data, together, num_steps=STEPS)
    for m, (seed, own) in enumerate(zip(seeds, members, strict=True)):
        state, losses = run(own, data, seed=seed)
        # But for rounding; test_population has cases that are equal to the bit.
        np.testing.assert_allclose(metrics.loss[m], losses, rtol=1e-5, atol=1e-6)
        close(population.member_state(states, m).params, state.params, atol=1e-4)


@pytest.mark.parametrize(("name", "number"), EVERY)
def test_gradients_equal_finite_differences(name, number, ragged):
    options = make(name, number)
    data = to_device(ragged, options)
    state = training.init_state(options.as_arrays(), data, 1)
    batch = jax.jit(draw)(options.as_arrays(), data, state)
    rng, step = np.random.default_rng(2), 1e-6
    params = jax.tree.map(lambda x: np.asarray(x, np.float64) + 0.1 * rng.normal(size=x.shape), state.params)
    with jax.enable_x64(True):
        value = jax.jit(jax.value_and_grad(functools.partial(whole_loss, options, data, batch)))
        loss, gradient = value(params)
        assert loss.dtype == jnp.float64 and loss != 0
        for _ in range(3):
            direction = jax.tree.map(lambda x: rng.normal(size=x.shape), params)
            ahead, behind = (
                value(jax.tree.map(lambda x, d, sign=sign: x + sign * step * d, params, direction))[0]
                for sign in (1, -1)
            )
            along = sum(map(lambda g, d: float((g * d).sum()), *map(jax.tree.leaves, (gradient, direction))))
            np.testing.assert_allclose((ahead - behind) / (2 * step), along, rtol=1e-5, atol=1e-8)
    for table, rows in gradient.tables.items():
        assert np.any(rows), f"nothing reaches the table '{table}'"
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient.dense))


@pytest.mark.parametrize(("name", "number"), EVERY)
def test_lists_equal_brute_force_from_the_oracles_scores(name, number, ragged):
    options = make(name, number).as_arrays()
    data = to_device(ragged, options)
    params = training.evaluation_params(run(options, data, 2)[0], options)
    exact = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    known = {"train": ragged, "item_features": some_features.known(7, 11).item_features}
    scores = oracles.MODEL_SCORES[name](exact.tables, exact.dense, options.values() | known)
    found = ranking_of(options, params, data)
    lists = ranking.top_k(found, np.arange(7), ragged, 11)
    for user, row in enumerate(lists):
        expected = [item for item in np.argsort(-scores[user], kind="stable") if item not in ragged.row(user)]
        assert row.tolist() == expected + [-1] * (11 - len(expected))
    assert len({tuple(row) for row in lists.tolist()}) > 1


@pytest.mark.parametrize("name", FIRST)
def test_start_depends_on_the_key_and_tables_are_drawn_apart(name, ragged):
    data, model = ragged.to_device(), make(name, 0).make_model()
    first, again, other = (model.init(jax.random.key(key), data) for key in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    for table in ("users", "items"):
        assert not np.any(np.asarray(first.tables[table]) == np.asarray(other.tables[table]))
    users, items = (np.asarray(first.tables[table]).reshape(-1) for table in ("users", "items"))
    assert not np.isin(users, items).any()


@pytest.mark.parametrize("name", FIRST)
def test_rows_of_pairs_that_do_not_count_are_not_touched(name):
    """Places past the end of the pass; moments are above 0, so that a touched row moves without a gradient too."""
    interactions = make_interactions(30, 80, 100)
    options = make(name, 0, batch_size=40).as_arrays()
    data = to_device(interactions, options)
    state = dataclasses.replace(training.init_state(options, data, 4), step=jnp.int32(3))
    moments = jax.tree.map(lambda leaf: leaf + 0.1 if leaf.ndim else leaf, state.opt_state)
    state = dataclasses.replace(state, opt_state=moments)
    batch, after = jax.jit(lambda s, o: (draw(o, data, s), training.make_step(o)(s, data)[0]))(state, options)
    trained, valid = np.asarray(batch.trained), np.asarray(batch.dense_valid())
    assert trained.sum() == interactions.num_pairs - 120
    users, positives, others = map(np.asarray, (batch.users, batch.positives, batch.others))
    counted = {
        "users": {*users[trained].tolist()},
        "items": {*positives[trained].tolist(), *np.broadcast_to(others, valid.shape)[valid].tolist()},
    }
    for table, ids, of_pairs, shared in options.make_model().lookups(batch, data).values():  # with roles of its own
        assert shared or not np.any(np.asarray(of_pairs)[~trained])
        if table in counted:
            counted[table] |= {*np.asarray(ids)[np.asarray(of_pairs)].tolist()}
    for table, expected in counted.items():
        moved = np.asarray(state.params.tables[table] != after.params.tables[table])
        assert set(np.flatnonzero(moved.reshape(len(moved), -1).any(axis=1)).tolist()) == expected
    # Candidates that pairs share count for some pair each.
    assert batch.shared or len({*positives.tolist(), *others.ravel().tolist()} - counted["items"]) >= 3
