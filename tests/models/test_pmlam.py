"""What PMLAM is beside a model among others: its loss, what its margins come to, and standard deviations."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cml_jax import ConfigError
from cml_jax.types import Batch
from tests.oracles import losses as oracles
from tests.steps import make, run

MARGIN, QUANTILE = 0.4, 0.3


def options_of(**more):
    given = {"model": "pmlam", "loss": "triplet", "sampler": "uniform", "margin": MARGIN, "margin_quantile": QUANTILE}
    return make(**{**given, "constraint": "ball", "dim": 2, **more})


def loss_of(users, positives, others, dense, valid=None):
    valid = np.ones(others.shape[:2], bool) if valid is None else valid
    pair = jnp.zeros(len(users), jnp.int32)
    ids = jnp.zeros(valid.shape, jnp.int32)
    batch = Batch(pair, pair, ids, pair == 0, jnp.asarray(valid), jnp.int32(0))
    points = {name: jnp.float32(x) for name, x in (("user", users), ("positive", positives), ("others", others))}
    return options_of().make_model().loss(points, dense, batch)


def fresh_generator(ragged):
    return options_of().make_model().init(jax.random.key(1), ragged.to_device()).dense


def margin_by_hand(user, positive, dense):
    hidden = np.tanh((user - positive) ** 2 @ dense["hidden"] + dense["hidden_bias"])
    return 2 * MARGIN / (1 + np.exp(-hidden @ dense["output"] - dense["output_bias"]))


def test_loss_is_the_hinge_with_the_generated_margin_and_the_term_of_the_quantile(ragged):
    rng = np.random.default_rng(0)
    users, positives, others = rng.uniform(0, 0.6, (3, 4)), rng.uniform(0, 0.6, (3, 4)), rng.uniform(0, 0.6, (3, 5, 4))
    valid = np.array([[1, 1, 0, 1, 1], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
    start = fresh_generator(ragged)
    dense = {name: rng.normal(size=array.shape) for name, array in start.items()}
    for generator in (start, dense):
        expected = []
        for user, positive, negatives, there in zip(users, positives, others, valid, strict=True):
            margin = MARGIN if generator is start else margin_by_hand(user, positive, dense)
            hinge = oracles.triplet_loss(user, positive, negatives, there, margin)
            expected.append(hinge - QUANTILE * margin)
        as_arrays = {name: jnp.float32(array) for name, array in generator.items()}
        np.testing.assert_allclose(loss_of(users, positives, others, as_arrays, valid), expected, rtol=1e-5, atol=1e-6)


def test_margins_come_to_the_quantile_of_separations_of_like_pairs(ragged):
    """Pairs of two kinds, whose positives lie on two axes and whose negatives are at other distances."""
    rng, size = np.random.default_rng(3), 400
    kind = np.arange(size) % 2
    users = np.zeros((size, 4))
    positives = 0.3 * np.eye(4)[kind]
    apart = rng.uniform(0.0, 0.4, size) + 0.3 * kind  # separations, squared distances to negatives less 0.09
    others = np.sqrt(apart + 0.09)[:, None, None] * np.eye(4)[[2]][None]
    transform, dense = optax.adam(0.03), fresh_generator(ragged)

    def one_step(carry, _):
        dense, state = carry
        grads = jax.grad(lambda dense: jnp.mean(loss_of(users, positives, others, dense)))(dense)
        updates, state = transform.update(grads, state)
        return (optax.apply_updates(dense, updates), state), None

    found: Any = jax.lax.scan(one_step, (dense, transform.init(dense)), length=600)[0][0]
    exact = {name: np.asarray(array, np.float64) for name, array in found.items()}
    margins = np.array(list(map(functools.partial(margin_by_hand, dense=exact), users, positives)))
    for of_kind in (kind == 0, kind == 1):
        assert np.ptp(margins[of_kind]) < 1e-6
        np.testing.assert_allclose(margins[of_kind][0], np.quantile(apart[of_kind], QUANTILE), atol=0.01)


def test_standard_deviations_are_at_least_zero_and_both_parts_within_the_ball(ragged):
    options = options_of(margin=3.0, learning_rate=0.2)
    for rows in run(options, ragged.to_device(), 40)[0].params.tables.values():
        means, deviations = np.split(np.asarray(rows), 2, axis=1)
        assert deviations.min() == 0.0 and means.min() < -0.1
        for half in (means, deviations):
            norms = np.linalg.norm(half, axis=1)
            assert norms.max() <= 1 + 1e-6 and np.any(norms > 1 - 1e-6)


def test_rows_within_the_constraint_are_gaussians_whose_deviations_can_still_move():
    for constraint, norm in (("ball", 1.0), ("sphere", 1.0), ("none", 0.7)):
        parametrize = options_of(constraint=constraint).make_model().parametrize_user
        row, scale = jnp.array([3.0, -4.0, -3.0, 4.0]), jnp.float32(0.7)
        np.testing.assert_allclose(parametrize(row, scale), norm * jnp.array([0.6, -0.8, 0.6, 0.8]), rtol=1e-5)
        slopes = jax.jacobian(parametrize)(row, scale)
        assert np.abs(slopes[:, 2]).max() > 1e-3, "an entry below 0 has a gradient"


@pytest.mark.parametrize("name", ["pmlam", "sml"])
def test_losses_without_a_margin_for_each_pair_are_refused(name):
    sentence = f"'{name}' learns margins, which model.loss = 'squared' does not have; use model.loss = 'triplet'"
    with pytest.raises(ConfigError, match=sentence):
        make(model=name, loss="squared", sampler="uniform")
