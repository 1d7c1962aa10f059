"""CPE's loss and its covariance term against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import training
from cml_jax.errors import ConfigError
from cml_jax.models import cpe
from tests.conftest import assert_gradient
from tests.steps import make

RNG = np.random.default_rng(6)


def divergence(points):
    """tr(C) - log det(C + delta I) by eigenvalues."""
    eigenvalues = np.linalg.eigvalsh(np.cov(points.T, bias=True))
    return eigenvalues.sum() - np.log(eigenvalues + cpe._DELTA).sum()


@pytest.mark.parametrize("count", [40, 3], ids=["full_rank", "singular"])
def test_compactness_equals_numpy_in_value_and_gradient(count):
    points, weights = RNG.normal(size=(count + 2, 5)) * [1.0, 0.5, 0.2, 2.0, 0.1] + 3.0, np.ones(count + 2)
    points[:, 1] += points[:, 0]
    weights[[0, 2]] = 0.0
    with jax.enable_x64(True):
        value = jax.jit(lambda points: cpe.compactness(points, jnp.asarray(weights)))
        np.testing.assert_allclose(value(points), divergence(points[weights > 0]), rtol=1e-9)
        gradient = jax.grad(value)(points)
        assert not np.any(gradient[0]) and np.isfinite(gradient).all()
        if count > 5:  # differences of the logarithm of delta say little
            assert_gradient(value, [gradient], [points])


def test_float32_keeps_the_determinant_of_many_dimensions():
    points = np.float32(RNG.normal(size=(60, 90)) / 9)
    found = jax.jit(cpe.compactness)(points, jnp.ones(60))
    np.testing.assert_allclose(found, divergence(np.float64(points)), rtol=1e-3)


def test_a_step_s_loss_equals_numpy(ragged):
    more = {"dim": 4, "constraint": "ball", "compactness_weight": 0.3, "num_negatives": 3}
    options = make(model="cpe", loss="triplet", sampler="uniform", **more)
    data = ragged.to_device()
    state, model = training.init_state(options, data, 2), options.make_model()
    batch = training.draw_batch(options, model, options.make_sampler(data), data, state)[0]
    users, items = (np.asarray(state.params.tables[name], np.float64) for name in ("users", "items"))
    total, occurring = 0.0, []
    for user, positive, others in zip(*map(np.asarray, (batch.users, batch.positives, batch.others)), strict=True):
        margins = ((users[user] - items[others]) ** 2).sum(1) - ((users[user] - items[positive]) ** 2).sum()
        total += np.mean(np.maximum(margins - 0.8, 0) + np.maximum(0.8 - margins, 0))
        occurring += [users[user], items[positive], *items[others]]
    _, metrics = training.run_steps(state, data, options, num_steps=1)
    np.testing.assert_allclose(metrics.loss[0], total / 8 + 0.3 * divergence(np.array(occurring)), rtol=1e-5)


def test_a_loss_without_a_margin_is_refused():
    with pytest.raises(ConfigError, match=r"model\.loss = 'squared' does not have; use model\.loss = 'triplet'"):
        make(model="cpe", loss="squared")
