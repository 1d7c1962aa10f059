"""What HyperML is beside a model among others: its loss, its geometry, and rows that are not touched."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import training
from cml_jax.models import hyperml
from cml_jax.types import Batch
from tests.oracles import models as oracles
from tests.steps import make, run

WEIGHT, MARGIN = 0.7, 0.4


def rows_of(seed, scale, *shape):
    return scale * np.random.default_rng(seed).normal(size=shape)


def loss_by_hand(user, positive, others, valid):
    items = np.array([positive, *others[valid]])
    found = oracles.hyperbolic_distances(user[None], items)[0]
    apart = np.linalg.norm(user - items, axis=1)
    distortion = np.abs(found - apart) / apart
    hinge = max(0.0, MARGIN + found[0] ** 2 - found[1:].min() ** 2)
    return hinge + WEIGHT * (distortion[0] + distortion[1:].mean())


@pytest.mark.parametrize("shared", [False, True])
def test_loss_is_the_hinge_and_the_distortion_of_the_paper(shared):
    users, positives = rows_of(1, 0.5, 3, 4), rows_of(2, 0.5, 3, 4)
    others = rows_of(3, 0.5, *((5, 4) if shared else (3, 5, 4)))
    valid = np.array([[1, 1, 0, 1, 1], [0, 1, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
    ids = jnp.zeros(5 if shared else (3, 5), jnp.int32)

    class Mask:
        def dense(self):
            return jnp.asarray(valid)

    pair = jnp.zeros(3, jnp.int32)
    batch = Batch(pair, pair, ids, pair == 0, Mask() if shared else jnp.asarray(valid), jnp.int32(0))
    model = make(model="hyperml", loss="triplet", margin=MARGIN, distortion_weight=WEIGHT).make_model()
    points = {name: jnp.float32(x) for name, x in (("user", users), ("positive", positives), ("others", others))}
    expected = [
        loss_by_hand(users[j], positives[j], others if shared else others[j], valid[j]) for j in range(len(users))
    ]
    np.testing.assert_allclose(model.loss(points, (), batch), expected, rtol=1e-5)
    assert min(expected) > 0.01


def test_distances_are_those_of_the_ball_near_the_origin_and_near_the_boundary():
    """At radius 8 a point of the unit ball is 7e-4 away from its boundary."""
    for scale, tolerance in ((1e-4, 1e-3), (0.3, 1e-5), (2.5, 1e-5)):
        user, items = rows_of(4, scale, 9), rows_of(5, scale, 6, 9)
        expected = oracles.hyperbolic_distances(user[None], items)[0]
        np.testing.assert_allclose(hyperml.hyperbolic(jnp.float32(user), jnp.float32(items)), expected, rtol=tolerance)
    direction = np.eye(4)[0]
    ends = jnp.float32([8.0 * direction, -8.0 * direction])
    np.testing.assert_allclose(hyperml.hyperbolic(ends[0], ends), [0.0, 16.0], atol=1e-2)


def test_equal_and_zero_rows_have_finite_gradients():
    for user, item in ((np.zeros(3), np.zeros(3)), (np.ones(3), np.ones(3)), (np.zeros(3), np.ones(3))):
        value, slopes = jax.value_and_grad(lambda u, i: jnp.square(hyperml.hyperbolic(u, i)), (0, 1))(
            jnp.float32(user), jnp.float32(item)
        )
        assert np.isfinite(value) and all(np.isfinite(slope).all() for slope in slopes)


def test_points_stay_within_the_radius_and_reach_it(ragged):
    options = make(model="hyperml", loss="triplet", sampler="uniform", max_radius=0.5, margin=3.0)
    tables = run(options, ragged.to_device(), 30)[0].params.tables
    for rows in tables.values():
        radius = np.linalg.norm(rows, axis=1)
        assert radius.max() <= 0.5 + 1e-6 and np.any(radius > 0.5 - 1e-6)


def test_rows_that_catch_up_end_where_those_of_dense_adam_do(ragged):
    """No row reaches the radius, whose projection catching up applies once and dense rows at each step."""
    ends = []
    for rows in ("catch_up", "dense"):
        options = make(
            model="hyperml",
            loss="triplet",
            sampler="uniform",
            rows=rows,
            batch_size=4,
            init_scale=0.5,
            learning_rate=0.003,
            max_radius=8.0,
        )
        state, _ = run(options, ragged.to_device(), 25)
        ends.append(training.evaluation_params(state, options).tables)
    for table in ends[0]:
        np.testing.assert_allclose(ends[0][table], ends[1][table], atol=2e-5)
