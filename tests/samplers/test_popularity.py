import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax.samplers.stage1 import popularity_weights
from tests.conftest import assert_law
from tests.oracles import samplers as oracles
from tests.samplers.sampled import DIRECTIONS, OPTIONS, PAIRS, draw_many, sampler_options


def test_law_with_a_cap(ragged):
    users, items = np.array(PAIRS).T
    options = {"popularity_cap": 2.0}
    negatives, valid = draw_many(
        sampler_options("popularity", num_negatives=3, **options), ragged.to_device(), 2500, users, items
    )
    assert valid.all() and ragged.popularity.max() > 2
    for b, (user, positive) in enumerate(PAIRS):
        known = np.isin(np.arange(11), ragged.row(user))
        law = oracles.popularity_law(known, positive, ragged.popularity, DIRECTIONS, OPTIONS | options)
        assert_law(np.bincount(negatives[:, b].ravel(), minlength=11), law)


@pytest.mark.parametrize("num_draws", [0, 60])
def test_without_replacement_over_the_batch(ragged, num_draws):
    """Six users with one item each, item 4 or 3: the negatives differ but where a known positive was redrawn."""
    users, items = [1] * 3 + [6] * 3, [4] * 3 + [3] * 3
    options = sampler_options("popularity", num_draws=num_draws, without_replacement=True)
    negatives, valid = draw_many(options, ragged.to_device(), 20_000, users, items)
    assert valid.all()
    num_distinct = np.array([len(set(row)) for row in negatives[:, :, 0].tolist()])
    assert num_distinct.min() >= 4 and (num_distinct == 6).mean() > 0.7
    weights = ragged.popularity**0.7 * (ragged.popularity > 0)
    first = np.where(np.arange(11) == 4, 0, weights)
    assert_law(np.bincount(negatives[:, 0, 0], minlength=11), first / first.sum())
    # How often each item is among the six: numpy's own draws without replacement, redrawn alike.
    rng = np.random.default_rng(0)
    law, expected = weights / weights.sum(), np.zeros(11)
    for _ in range(20_000):
        drawn = rng.choice(11, 6, replace=False, p=law)
        for b, own in enumerate(items):
            while drawn[b] == own:
                drawn[b] = rng.choice(11, p=law)
        expected += np.bincount(drawn, minlength=11)
    share = (np.bincount(negatives.ravel(), minlength=11) - expected) / np.sqrt(np.maximum(2 * expected, 1))
    assert np.abs(share).max() < 5  # false alarm below 1e-5


@pytest.mark.parametrize(("exponent", "cap"), [(60.0, np.inf), (2.0, 1e-30), (9.0, np.inf)])
def test_weights_survive_what_overflows_float32(exponent, cap):
    popularity = np.append(np.arange(20_000), 0)
    weights = np.asarray(popularity_weights(jnp.float32(popularity), exponent, cap), np.float64)
    counts = np.minimum(popularity, cap)
    np.testing.assert_allclose(weights, (counts / counts.max()) ** exponent, rtol=1e-4, atol=1e-37)
    assert weights[0] == weights[-1] == 0
