"""Losses that read the whole batch: against NumPy, over devices, in populations, and what nothing is drawn for."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import ConfigError, batches, make_options, population, sharding, training
from cml_jax.data.interactions import from_pairs
from cml_jax.losses.directau import uniformity
from tests.conftest import assert_gradient
from tests.oracles import losses as oracles
from tests.steps import DRAWN, assert_trees, run

SHARED: dict[str, Any] = DRAWN | {"sampler": "uniform", "dim": 6, "batch_size": 16, "learning_rate": 0.03}
CASES = [(name, case) for name in oracles.BATCH_LOSSES for case in oracles.LOSS_CASES[name]]


def make(name, case, **more):
    return make_options(**SHARED | {"loss": name} | case | more)


def loss_of(options, data, state):
    """The objective of a step's batch as a function of the rows of both tables, and the batch."""
    model = options.make_model()
    batch, _ = training.draw_batch(options, model, options.make_sampler(data), data, state)

    def value(users, items):
        tables = {"users": users, "items": items}
        found = model.lookups(batch, data)
        points = {
            role: model.constraints[lookup.table].embed(tables[lookup.table])[lookup.ids]
            for role, lookup in found.items()
        }
        each = jnp.where(batch.trained, model.loss(points, (), batch), 0.0)
        return jnp.sum(each) / options.batch_size + model.penalty(points, (), batch, jnp.sum)

    return value, batch


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize(("name", "case"), CASES, ids=str)
def test_value_and_gradient_of_a_batch(name, case, step, ragged):
    """Users and items come twice; the second batch has 6 pairs in its 16 slots, which weigh as much as in the first."""
    options, data = make(name, case, constraint="none"), ragged.to_device()
    state = training.init_state(options.as_arrays(), data, 0)
    rng = np.random.default_rng(step)
    with jax.enable_x64(True):
        value, batch = loss_of(options, data, dataclasses.replace(state, step=jnp.int32(step)))
        trained = np.asarray(batch.trained)
        count = int(trained.sum())
        assert count == (16, 6)[step] and len(set(batch.users[trained].tolist())) < count
        point = tuple(rng.normal(size=(n, 6)) for n in (7, 11))
        rows = point[0][batch.users[trained]], point[1][batch.positives[trained]]
        expected = oracles.BATCH_LOSSES[name](*rows, **case) * count / 16
        np.testing.assert_allclose(jax.jit(value)(*point), expected, rtol=1e-9)
        assert_gradient(jax.jit(value), jax.jit(jax.grad(value, argnums=(0, 1)))(*point), point)


@pytest.mark.parametrize("rows", ["catch_up", "lazy"])
@pytest.mark.parametrize(
    ("name", "case"), [*CASES, ("softmax", {"positives": "batch_mean", "temperature": 0.5})], ids=str
)
def test_sharded_over_8_devices_equals_unsharded(name, case, rows, ragged):
    """Two pairs a device, of which one alone would have no uniformity; some have none in the last batch of a pass."""
    options, here = make(name, case, constraint="sphere", rows=rows).as_arrays(), ragged.to_device()
    data, split = sharding.replicate((here, dataclasses.replace(options, num_shards=8)), 8)
    (whole, metrics), (parts, split_metrics) = run(options, here, 6), run(split, data, 6)
    np.testing.assert_allclose(split_metrics.loss, metrics.loss, rtol=1e-5)
    for table, found in parts.params.tables.items():
        np.testing.assert_allclose(found[: len(whole.params.tables[table])], whole.params.tables[table], atol=1e-5)


@pytest.mark.parametrize(("name", "case"), CASES, ids=str)
def test_member_of_a_population_equals_the_run_alone(name, case, ragged):
    members = [make(name, case | {"uniformity_weight": weight}).as_arrays() for weight in (0.5, 3.0)]
    data, together = ragged.to_device(), population.stacked(members)
    states = population.init_population(data, together, jnp.int32([4, 0]))
    states, _ = population.run_population_steps(states, data, together, num_steps=5)
    for m, (seed, own) in enumerate(zip((4, 0), members, strict=True)):
        alone = run(own, data, 5, seed)[0].params
        assert_trees(population.member_state(states, m).params, alone, atol=1e-5)
    assert population.member_bytes(members[0], data) > 24 * 16 * 16


def test_a_row_that_the_batch_has_twice_is_near_to_itself():
    """It adds to the sum, has no gradient, and makes that of the others smaller."""
    line = jnp.float32([[1.0, 0.0], [0.6, 0.8], [-0.8, 0.6], [1.0, 0.0]])

    def term(rows):
        return uniformity(rows, jax.lax.stop_gradient(rows), ~jnp.eye(len(rows), dtype=bool))

    def pairs_of(*products):
        return np.log(np.mean(np.exp(4.0 * np.array(products) - 4.0)))

    once, twice = term(line[:3]), term(line)
    np.testing.assert_allclose(once, pairs_of(0.6, -0.8, 0.0), rtol=1e-5)
    np.testing.assert_allclose(twice, pairs_of(0.6, -0.8, 0.0, 1.0, 0.6, -0.8), rtol=1e-5)
    of_two = jax.grad(term)(jnp.stack([line[0], line[0]]))
    np.testing.assert_allclose(of_two[:, 1], 0.0, atol=1e-6)  # but along the row, which has unit norm


@pytest.mark.parametrize("count", [0, 1])
def test_of_no_two_rows_nothing_comes(count):
    rows = jnp.float32([[1.0, 0.0], [0.6, 0.8]])
    counts = jnp.arange(2) < count
    apart = counts[:, None] & counts[None, :] & ~jnp.eye(2, dtype=bool)
    value, slope = jax.value_and_grad(uniformity)(rows, rows, apart)
    assert value == 0 and np.all(slope == 0)


@pytest.mark.parametrize(("name", "case"), CASES, ids=str)
def test_samplers_make_no_difference(name, case, ragged):
    """Nor do dislikes; a sampler's state is not even made."""
    dislikes = from_pairs(np.array([0, 1]), np.array([4, 0]), 7, 11)
    found = []
    for sampler, disliked in (("uniform", None), ("two_stage", dislikes), ("srns", None)):
        options = make(name, case, sampler=sampler, num_candidates=50, batch_size=8).as_arrays()
        options.check_data(ragged)  # more candidates than items, of which none is drawn
        state, metrics = run(options, batches.to_device(ragged, disliked, options), 3)
        assert state.sampler_state == () and not np.any(metrics.no_negative)
        found.append(state.params)
    for other in found[1:]:
        jax.tree.map(np.testing.assert_array_equal, found[0], other)


def test_positives_of_a_user_in_the_batch_are_pooled(ragged):
    """In a batch of all pairs only users with one item are drawn where they were; test_step has the values."""
    found = {}
    for positives in ("one", "batch_mean"):
        plain = {"batch_size": ragged.num_pairs, "optimizer": "sgd", "learning_rate": 1.0}
        options = make("softmax", {"positives": positives}, **plain).as_arrays()
        found[positives] = run(options, ragged.to_device(), 1)[0].params.tables["users"]
    moved = np.abs(found["one"] - found["batch_mean"]).max(axis=1) > 1e-6
    np.testing.assert_array_equal(moved, ragged.degrees > 1)


@pytest.mark.parametrize("model", ["dpcml", "lrml"])
def test_models_that_move_users_do_not_pool_positives(model):
    with pytest.raises(ConfigError, match=f"model.positives = 'batch_mean' does not go with model.name = '{model}'"):
        make_options(loss="softmax", model=model, positives="batch_mean")


@pytest.mark.parametrize("model", ["dpcml", "lrml", "sml", "inner_product"])
@pytest.mark.parametrize("name", oracles.BATCH_LOSSES)
def test_models_that_move_users_refuse_it(name, model):
    with pytest.raises(ConfigError, match=f"model.loss = '{name}' does not go with model.name = '{model}'; "):
        make_options(loss=name, model=model, constraint="none")
