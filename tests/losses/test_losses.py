import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax.losses.covariance import covariance_penalty
from cml_jax.losses.gor import GOR_FORMS, gor, gor_penalty, gor_sum
from cml_jax.losses.softmax import softmax_loss
from cml_jax.losses.triplet import triplet_loss
from tests.conftest import assert_gradient
from tests.oracles import losses as oracles

RNG = np.random.default_rng(1)
USER, POSITIVE = RNG.normal(size=5), RNG.normal(size=5) * 0.5
OTHERS = RNG.normal(size=(4, 5)) * 0.7
VALID = np.array([True, False, True, True])
OWN, SIMILARITIES = -1.3, np.array([-0.7, -0.1, -2.0, -0.6])  # squared distances, negative


def loss_gor(user, positive, others):
    products = jnp.stack([others @ user, others @ positive])
    return gor(products, jnp.stack([jnp.asarray(VALID, jnp.float32)] * 2), 5)


# Two triplets of two negatives each; of the second triplet one negative counts, and the third triplet not at all.
SUM_WEIGHTS = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])


def loss_gor_sum(user, positive, others):
    products = jnp.stack([others[:2] @ user, others[2:] @ user, others[:2] @ positive])
    return gor_sum(products, jnp.asarray(SUM_WEIGHTS), 5)


def loss_covariance(user, positive, others):
    return covariance_penalty(jnp.stack([user, positive, *others]), jnp.array([1.0, 1.0, *VALID]))


TERMS = {
    "covariance": (loss_covariance, oracles.covariance_term(np.stack([USER, POSITIVE, *OTHERS[VALID]]))),
    "gor": (loss_gor, oracles.gor(np.stack([OTHERS @ USER, OTHERS @ POSITIVE]), np.stack([VALID, VALID]), 5)),
    "gor_sum": (
        loss_gor_sum,
        oracles.gor_sum([OTHERS[:2] @ USER, OTHERS[2:] @ USER, OTHERS[:2] @ POSITIVE], SUM_WEIGHTS, 5),
    ),
}


@pytest.mark.parametrize(("term", "expected"), TERMS.values(), ids=TERMS)
def test_term_of_the_batch_equals_oracle(term, expected):
    assert expected > 0.1, "a term of 0 would show nothing"
    np.testing.assert_allclose(jax.jit(term)(*map(jnp.float32, (USER, POSITIVE, OTHERS))), expected, rtol=1e-5)


@pytest.mark.parametrize("term", [term for term, _ in TERMS.values()], ids=TERMS)
def test_gradient_of_a_term_equals_finite_differences(term):
    with jax.enable_x64(True):
        point = (USER, POSITIVE, OTHERS)
        value, gradient = jax.jit(term), jax.jit(jax.grad(term, argnums=(0, 1, 2)))(*point)
        assert_gradient(value, gradient, point)


@pytest.mark.parametrize("form", [gor, gor_sum])
def test_gor_of_no_pairs_is_zero_with_zero_gradient(form):
    value, gradient = jax.jit(jax.value_and_grad(form), static_argnums=2)(jnp.ones((2, 3)), jnp.zeros((2, 3)), 5)
    assert value == 0 and np.all(gradient == 0)


@pytest.mark.parametrize("form", GOR_FORMS)
def test_gor_of_shared_others_is_that_of_each_pairs_own(form):
    users, positives, others = (jnp.float32(RNG.normal(size=(n, 5))) for n in (3, 3, 4))
    valid = jnp.asarray(RNG.random((3, 4)) < 0.6)
    penalty = jax.jit(gor_penalty, static_argnums=0)
    shared = penalty(form, users, positives, others, valid)
    own = penalty(form, users, positives, jnp.broadcast_to(others, (3, 4, 5)), valid)
    np.testing.assert_allclose(shared, own, rtol=1e-5)
    assert shared > 0


def test_triplet_closest_valid_negative_alone_has_a_gradient():
    gradient = jax.jit(jax.grad(triplet_loss, argnums=1))(OWN, jnp.float32(SIMILARITIES), jnp.asarray(VALID), 1.5)
    assert gradient.tolist() == [0, 0, 0, 1]


def test_triplet_beyond_the_margin_is_zero_with_zero_gradient():
    far = jnp.float32(SIMILARITIES - 100.0)
    value, gradients = jax.jit(jax.value_and_grad(triplet_loss, argnums=(0, 1)))(OWN, far, jnp.asarray(VALID), 1.5)
    assert value == 0 and not any(np.any(gradient) for gradient in gradients)


def test_softmax_survives_a_temperature_that_overflows_exp():
    others = jnp.float32([0.4, 1.0, -0.9, 0.1])
    value = jax.jit(softmax_loss)(jnp.float32(-0.2), others, jnp.asarray(VALID), jnp.float32(1e-3))
    assert np.isfinite(value) and value > 0
