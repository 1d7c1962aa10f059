"""Temperatures of users by their number of pairs, in every model that goes with the softmax."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import batches, make_options, training
from cml_jax.errors import ConfigError
from cml_jax.models import MODELS


def options_of(model, **more):
    shared = {"sampler": "uniform", "loss": "softmax", "num_candidates": 6, "dim": 4, "batch_size": 1}
    return make_options(model=model, **shared, **more).as_arrays()


def goes_with_softmax(model):
    try:
        return bool(options_of(model))
    except ConfigError:
        return False


SOFT = [model for model in MODELS if goes_with_softmax(model)]


@pytest.mark.parametrize("model", SOFT)
def test_a_user_of_many_pairs_has_the_temperature_of_its_number(model, ragged):
    """A batch of one pair has the loss of that temperature given to all."""

    def loss(step, **numbers):
        options = options_of(model, **numbers)
        data = batches.to_device(ragged, None, options)
        made, state = options.make_model(), training.init_state(options, data, 0)
        state = dataclasses.replace(state, step=np.int32(step))
        batch, _ = training.draw_batch(options, made, options.make_sampler(data), data, state)
        points = {role: state.params.tables[of.table][of.ids] for role, of in made.lookups(batch, data).items()}
        return int(batch.users[0]), float(jnp.sum(made.loss(points, state.params.dense, batch)))

    relative = ragged.degrees / ragged.degrees.mean()
    assert len(set(relative)) > 3
    for step in range(3):
        user, found = loss(step, temperature=0.3, temperature_degree_exponent=0.7)
        _, plain = loss(step, temperature=0.3)
        _, expected = loss(step, temperature=0.3 * relative[user] ** 0.7)
        np.testing.assert_allclose(found, expected, rtol=2e-5)
        assert relative[user] == 1 or abs(found - plain) > 1e-3


def test_pooled_positives_take_one_temperature():
    with pytest.raises(ConfigError, match="takes one temperature for all users; set "):
        make_options(loss="softmax", positives="batch_mean", temperature_degree_exponent=0.1)


def test_all_models_that_take_cosines_are_tried():
    assert {"cml", "cml_bias", "cml_graph", "dpcml", "lrml", "simplex"} <= {*SOFT}
