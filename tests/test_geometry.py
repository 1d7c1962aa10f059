import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import geometry
from tests.oracles import geometry as oracles

ROWS = np.random.default_rng(0).normal(size=(5, 3)) * [[0.1], [0.4], [1.0], [3.0], [1e3]]


@pytest.mark.parametrize("name", ["to_ball", "to_sphere"])
def test_projection_equals_oracle(name):
    np.testing.assert_allclose(getattr(geometry, name)(jnp.float32(ROWS)), getattr(oracles, name)(ROWS), rtol=1e-6)


@pytest.mark.parametrize("constraint", geometry.CONSTRAINTS)
def test_constraint_is_kept_and_zero_rows_stay_finite(constraint):
    embed, project, _ = geometry.CONSTRAINTS[constraint]
    points = embed(project(jnp.float32(ROWS)))
    norms = np.linalg.norm(points, axis=1)
    bound = {"ball": norms.max() <= 1 + 1e-6, "sphere": np.allclose(norms, 1, atol=1e-6), "none": norms.max() > 100}
    assert bound[constraint]
    zero_gradient = jax.grad(lambda row: embed(project(row)).sum())(jnp.zeros(3))
    assert np.isfinite(zero_gradient).all()


def test_squared_distance_equals_oracle():
    a, b = ROWS[:4], ROWS[1:]
    expected = ((a - b) ** 2).sum(axis=1)
    np.testing.assert_allclose(geometry.squared_distance(jnp.float32(a), jnp.float32(b)), expected, rtol=1e-6)
