import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import losses
from tests import oracles

RNG = np.random.default_rng(1)
USER, POSITIVE = RNG.normal(size=5), RNG.normal(size=5) * 0.5
OTHERS = RNG.normal(size=(4, 5)) * 0.7
VALID = np.array([True, False, True, True])


def loss_triplet(user, positive, others):
    return losses.triplet_loss(user, positive, others, 1.5)


def loss_softmax(user, positive, others):
    return losses.softmax_loss(user, positive, others, jnp.asarray(VALID), 0.3)


def loss_decoupled(user, positive, others):
    return losses.softmax_loss(user, positive, others, jnp.asarray(VALID), 0.3, decoupled=True)


def loss_bpr(user, positive, others):
    return losses.bpr_loss(user, positive, others, 0.7)


def loss_gor(user, positive, others):
    products = jnp.stack([others @ user, others @ positive])
    return losses.gor(products, jnp.stack([jnp.asarray(VALID, jnp.float32)] * 2), 5)


# Two triplets of two negatives each; of the second triplet one negative counts, and the third triplet not at all.
SUM_WEIGHTS = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])


def loss_gor_sum(user, positive, others):
    products = jnp.stack([others[:2] @ user, others[2:] @ user, others[:2] @ positive])
    return losses.gor_sum(products, jnp.asarray(SUM_WEIGHTS), 5)


LOSSES = {
    "triplet": loss_triplet,
    "softmax": loss_softmax,
    "decoupled": loss_decoupled,
    "bpr": loss_bpr,
    "gor": loss_gor,
    "gor_sum": loss_gor_sum,
}
EXPECTED = {
    "triplet": oracles.triplet_loss(USER, POSITIVE, OTHERS, 1.5),
    "softmax": oracles.softmax_loss(USER, POSITIVE, OTHERS, VALID, 0.3),
    "decoupled": oracles.softmax_loss(USER, POSITIVE, OTHERS, VALID, 0.3, decoupled=True),
    "bpr": oracles.bpr_loss(USER, POSITIVE, OTHERS, 0.7),
    "gor": oracles.gor(np.stack([OTHERS @ USER, OTHERS @ POSITIVE]), np.stack([VALID, VALID]), 5),
    "gor_sum": oracles.gor_sum([OTHERS[:2] @ USER, OTHERS[2:] @ USER, OTHERS[:2] @ POSITIVE], SUM_WEIGHTS, 5),
}


@pytest.mark.parametrize("name", LOSSES)
def test_loss_equals_oracle(name):
    arguments = map(jnp.float32, (USER, POSITIVE, OTHERS))
    assert EXPECTED[name] > 0.1, "a loss of 0 would show nothing"
    np.testing.assert_allclose(LOSSES[name](*arguments), EXPECTED[name], rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_equals_finite_differences(name):
    rng = np.random.default_rng(2)
    with jax.enable_x64(True):
        point = tuple(map(jnp.float64, (USER, POSITIVE, OTHERS)))
        gradient = jax.grad(LOSSES[name], argnums=(0, 1, 2))(*point)
        for _ in range(3):
            direction = [rng.normal(size=x.shape) for x in point]
            step = 1e-6
            ahead, behind = (
                LOSSES[name](*[x + sign * step * d for x, d in zip(point, direction, strict=True)]) for sign in (1, -1)
            )
            along = sum(float((g * d).sum()) for g, d in zip(gradient, direction, strict=True))
            np.testing.assert_allclose((ahead - behind) / (2 * step), along, rtol=1e-6, atol=1e-9)


def test_triplet_closest_negative_alone_has_a_gradient():
    gradient = jax.grad(loss_triplet, argnums=2)(*map(jnp.float32, (USER, POSITIVE, OTHERS)))
    closest = np.argmin(((OTHERS - USER) ** 2).sum(axis=1))
    assert np.flatnonzero(np.abs(gradient).sum(axis=1)).tolist() == [closest]


def test_triplet_beyond_the_margin_is_zero_with_zero_gradient():
    far = OTHERS + 100.0
    value, gradient = jax.value_and_grad(loss_triplet)(*map(jnp.float32, (USER, POSITIVE, far)))
    assert value == 0 and not np.any(gradient)


@pytest.mark.parametrize("decoupled", [False, True])
def test_softmax_without_valid_candidates_is_zero_and_finite(decoupled):
    def loss(user):
        return losses.softmax_loss(user, jnp.float32(POSITIVE), jnp.float32(OTHERS), jnp.zeros(4, bool), 0.1, decoupled)

    value, gradient = jax.value_and_grad(loss)(jnp.float32(USER))
    assert value == 0 and np.all(gradient == 0)


def test_softmax_survives_a_temperature_that_overflows_exp():
    value = losses.softmax_loss(
        jnp.float32(USER), jnp.float32(POSITIVE), jnp.float32(OTHERS), jnp.asarray(VALID), jnp.float32(1e-3)
    )
    assert np.isfinite(value) and value > 0


@pytest.mark.parametrize("form", [losses.gor, losses.gor_sum])
def test_gor_of_no_pairs_is_zero_with_zero_gradient(form):
    value, gradient = jax.value_and_grad(form)(jnp.ones((2, 3)), jnp.zeros((2, 3)), 5)
    assert value == 0 and np.all(gradient == 0)
