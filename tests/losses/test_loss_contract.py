"""What every registered loss keeps to; a new one needs an oracle and cases in `oracles.LOSSES` and `LOSS_CASES`.

Those that take the batch alone, of `oracles.BATCH_LOSSES`, are tried in test_batch_losses.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax.candidate_mask import CandidateMask
from cml_jax.data.interactions import from_pairs
from cml_jax.losses import LOSSES
from cml_jax.models.base import loss_of_points
from cml_jax.options import declared
from cml_jax.types import Batch
from tests.conftest import assert_gradient
from tests.oracles import losses as oracles

RNG = np.random.default_rng(1)
USER, POSITIVE = RNG.normal(size=5), RNG.normal(size=5) * 0.5
OTHERS = RNG.normal(size=(4, 5)) * 0.7
VALID = np.array([True, False, True, True])
TRAIN = from_pairs(np.array([0, 0, 0, 1]), np.array([4, 5, 6, 0]), 2, 7)  # user 0, that of the pair, has other items
CASES = [(name, case) for name in oracles.LOSSES for case in oracles.LOSS_CASES[name]]


def make_loss(name, case):
    strategy = LOSSES[name]
    return strategy.make(strategy.options(**case))


def loss_of_one(loss, user, positive, others, valid=VALID):
    """The loss of one pair of points, as a model takes it."""
    one, none = jnp.ones(1, bool), jnp.int32([0])
    if loss.takes == "negatives":
        batch = Batch(none, none, none[None], one, jnp.asarray(valid)[None], none[0])
        return loss_of_points(loss, user[None], positive[None], others[None], batch)[0]
    mask = CandidateMask(TRAIN.to_device(), jnp.arange(len(others)), jnp.asarray(valid), None, none, one, none)
    return loss_of_points(loss, user[None], positive[None], others, Batch(none, none, mask.ids, one, mask, none[0]))


def value_and_gradients(name, case):
    """A function of the similarities of others and of valid, with respect to the pair's own similarity and theirs."""
    example = jax.jit(jax.value_and_grad(make_loss(name, case).example, argnums=(0, 1)))
    return lambda others, valid: example(jnp.float32(0.3), others, jnp.asarray(valid))


@pytest.mark.parametrize("name", LOSSES)
def test_has_an_oracle_and_cases_of_every_option(name):
    takes = make_loss(name, {}).takes
    known = oracles.BATCH_LOSSES if takes == "batch" else oracles.LOSSES
    assert name in known, f"loss '{name}' has no oracle; write it in NumPy and name it in oracles.LOSSES"
    cases = oracles.LOSS_CASES.get(name, [])
    for option in declared(LOSSES[name].options):
        assert any(case.get(option.name, option.default) != option.default for case in cases), (
            f"no case of oracles.LOSS_CASES['{name}'] has a value of '{option.name}' other than its default"
        )


@pytest.mark.parametrize(("name", "case"), CASES, ids=str)
def test_value_equals_oracle(name, case):
    more = {"relative_degree": 3 / 2} if "temperature_degree_exponent" in case else {}
    expected = oracles.LOSSES[name](USER, POSITIVE, OTHERS, VALID, **case, **more)
    assert expected > 0.1, "a loss of 0 would show nothing"
    found = jax.jit(functools.partial(loss_of_one, make_loss(name, case)))(*map(jnp.float32, (USER, POSITIVE, OTHERS)))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize(("name", "case"), CASES, ids=str)
def test_gradient_equals_finite_differences(name, case):
    with jax.enable_x64(True):
        value = jax.jit(functools.partial(loss_of_one, make_loss(name, case)))
        point = (USER, POSITIVE, OTHERS)
        gradient = jax.jit(jax.grad(value, argnums=(0, 1, 2)))(*point)
        assert_gradient(value, gradient, point)


@pytest.mark.parametrize(("name", "case"), CASES, ids=str)
def test_nothing_valid_is_zero_with_zero_gradient(name, case):
    example = value_and_gradients(name, case)
    value, gradients = example(jnp.float32([0.1, -0.2, 0.9, 0.0]), np.zeros(4, bool))
    assert value == 0 and not any(np.any(gradient) for gradient in gradients)


@pytest.mark.parametrize(("name", "case"), CASES, ids=str)
def test_others_that_are_not_valid_make_no_difference(name, case):
    example = value_and_gradients(name, case)

    def with_other(similarity):
        return example(jnp.float32([0.1, similarity, 0.9, -0.4]), VALID)

    one, other = with_other(0.8), with_other(5.0)
    jax.tree.map(np.testing.assert_array_equal, one, other)
    assert one[1][1][1] == 0


@pytest.mark.parametrize(("name", "case"), CASES, ids=str)
def test_nearer_positive_and_farther_others_cost_less(name, case):
    _, (own, others) = value_and_gradients(name, case)(jnp.float32([0.1, 0.2, 0.9, -0.4]), np.ones(4, bool))
    assert own < 0 and np.all(others >= 0) and np.any(others > 0)
