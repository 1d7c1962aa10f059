"""SFCML's sums over items against every pair in plain NumPy, and what a step of it holds."""

import jax
import numpy as np
import pytest

from cml_jax import batches, training
from cml_jax.data.interactions import from_pairs
from cml_jax.data.synthetic import make_interactions
from cml_jax.errors import ConfigError
from tests.lowered import equations
from tests.oracles import losses as oracles
from tests.steps import make

DISLIKED = from_pairs(np.array([0, 0, 2, 5]), np.array([4, 6, 7, 1]), 7, 11)


def options_of(**more):
    return make(**{"model": "sfcml", "loss": "squared", "sampler": "uniform", "constraint": "ball"} | more)


@pytest.mark.parametrize(
    "case",
    [
        {"num_candidates": 0, "user_balance": 1.0},
        {"num_candidates": 5, "sampler": "popularity", "user_balance": 0.0},
        {"num_candidates": 4, "user_balance": 0.5, "num_dislikes": 2},
    ],
    ids=str,
)
def test_loss_of_each_pair_equals_the_mean_over_all_its_negatives(case, ragged):
    """Over all items it is the paper's objective; with candidates, over those that the user does not have."""
    options = options_of(batch_size=24, **case)
    data = batches.to_device(ragged, DISLIKED if "num_dislikes" in case else None, options)
    state, model = training.init_state(options, data, 2), options.make_model()
    batch = training.draw_batch(options, model, options.make_sampler(data), data, state)[0]
    rng = np.random.default_rng(4)
    points = {
        role: rng.normal(size=(*lookup.ids.shape, 6)) * 0.7 for role, lookup in model.lookups(batch, data).items()
    }
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(model.loss)(points, (), batch))
    degrees, valid = np.diff(ragged.indptr), np.asarray(batch.dense_valid())
    assert batch.trained.sum() > 12 and valid.sum() > 50
    for b in np.flatnonzero(batch.trained):
        pair = points["user"][b], points["positive"][b], points["others"]
        balance = (degrees.mean() / degrees[batch.users[b]]) ** case["user_balance"]
        # The margin is a number of float32.
        np.testing.assert_allclose(found[b], balance * oracles.squared_loss(*pair, valid[b], 0.8), rtol=1e-6)


def test_users_weigh_alike_in_a_pass(ragged):
    """The paper's mean over users of the mean over their items, from the pairs of one batch that has all of them."""
    options = options_of(num_candidates=0, batch_size=22)
    data = ragged.to_device()
    state, model = training.init_state(options, data, 2), options.make_model()
    batch = training.draw_batch(options, model, options.make_sampler(data), data, state)[0]
    tables = {name: np.asarray(rows, np.float64) for name, rows in state.params.tables.items()}
    expected = []
    for user in range(7):
        own, free = ragged.row(user), ~np.isin(np.arange(11), ragged.row(user))
        of_items = [
            oracles.squared_loss(tables["users"][user], tables["items"][p], tables["items"], free, 0.8) for p in own
        ]
        expected.append(np.mean(of_items))
    _, metrics = training.run_steps(state, data, options, num_steps=1)
    assert batch.trained.sum() == ragged.num_pairs == 22
    np.testing.assert_allclose(metrics.loss[0], np.mean(expected), rtol=1e-5)


def test_a_step_has_no_array_of_users_and_items():
    train = make_interactions(60, 3_000, 400)
    options, data = options_of(num_candidates=0, batch_size=64, dim=4), train.to_device()
    state = jax.eval_shape(training._init_state, options, data, 0)
    jaxpr = jax.make_jaxpr(training.make_step(options))(state, data).jaxpr
    largest = max(getattr(value.aval, "size", 0) for equation in equations(jaxpr) for value in equation.outvars)
    assert 3_000 * 4 <= largest < 64 * 3_000 / 2


@pytest.mark.parametrize("loss", ["softmax", "triplet"])
def test_a_loss_that_does_not_follow_from_sums_is_refused(loss):
    with pytest.raises(ConfigError, match=rf"model\.loss = '{loss}' .*(squared|choose one of)"):
        options_of(loss=loss)
