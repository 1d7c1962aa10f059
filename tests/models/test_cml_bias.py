"""CML with item biases: the loss of a pair, and what the biases come to."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import batches, make_options, training
from cml_jax.data.interactions import from_pairs
from cml_jax.types import Factors
from tests.models.biased_softmax import check_loss, drawn, unit_vectors

SHARED: dict[str, Any] = {"model": "cml_bias", "loss": "softmax", "sampler": "uniform"}


def test_loss_equals_numpy(ragged):
    check_loss(ragged, **SHARED)


@pytest.mark.parametrize(("sampler", "hinge"), [("two_stage", "closest"), ("uniform", "sum")])
def test_a_hinge_takes_squared_distances_of_unit_vectors_with_twice_the_biases(sampler, hinge, ragged):
    options = make_options(
        **{"model": "cml_bias", "loss": "triplet", "hinge": hinge, "margin": 0.7, "bias_scale": 0.6},
        **{"sampler": sampler, "num_negatives": 3, "num_candidates": 6, "dim": 4, "batch_size": 8},
    )
    model, data, state, batch = drawn(options, ragged)
    biases = np.asarray(state.params.tables["item_biases"], np.float64)
    users, items = unit_vectors(state)

    def away(user, item):
        return ((users[user] - items[item]) ** 2).sum() - 2 * 0.6 * biases[item]

    points = {role: state.params.tables[of.table][of.ids] for role, of in model.lookups(batch, data).items()}
    found, pick = jax.jit(model.loss)(points, {}, batch), {"closest": max, "sum": sum}[hinge]
    for pair in np.flatnonzero(batch.trained):
        user, valid = int(batch.users[pair]), np.flatnonzero(batch.valid[pair])
        own = away(user, int(batch.positives[pair]))
        hinges = [max(0.0, 0.7 + own - away(user, int(batch.others[pair, n]))) for n in valid]
        np.testing.assert_allclose(found[pair], pick(hinges), rtol=1e-5, atol=1e-6)


def test_biases_come_to_the_logarithm_of_popularity_where_points_say_nothing():
    """With a coupled softmax over all items, T (log p_i - log p_j) is the difference of two items' scores."""
    users, popularity = 400, np.array([200, 100, 50, 25, 12, 6])
    items = np.repeat(np.arange(6), popularity)
    train = from_pairs(np.arange(len(items)) % users, items, users, 6)
    options = make_options(
        **SHARED,
        temperature=0.4,
        decoupled=False,
        dim=2,
        batch_size=train.num_pairs,
        num_candidates=0,
        negative_exponent=1.0,
        bias_scale=1.0,
        learning_rate=0.02,
    ).as_arrays()
    data = batches.to_device(train, None, options)
    state = training.init_state(options, data, 0)
    # Users in one place, so that cosines differ by item alone.
    tables = state.params.tables | {"users": jnp.ones((users, 2)) / 2**0.5, "items": jnp.ones((6, 2)) / 2**0.5}
    state = dataclasses.replace(state, params=state.params._replace(tables=tables))
    for _ in range(10):
        state, _ = training.run_steps(state, data, options, num_steps=50)
    ranking = options.make_model().ranking(state.params, data)
    assert isinstance(ranking, Factors)
    scores = np.asarray(ranking.queries @ ranking.keys.T).mean(axis=0)
    expected = 0.4 * np.log(popularity / popularity[0])
    np.testing.assert_allclose(scores - scores[0], expected, atol=0.12)
    assert np.all(np.diff(scores) < 0)
