"""In-batch negatives, and probabilities of candidates."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import batches, make_options
from cml_jax.data.interactions import from_pairs
from cml_jax.errors import ConfigError
from cml_jax.samplers.stage1 import inclusion_rate, popularity_weights
from tests.conftest import assert_law
from tests.oracles import samplers as oracles
from tests.samplers.sampled import OPTIONS, PAIRS, draw_many, draw_many_candidates, sampler_options

USERS, POSITIVES = np.array(PAIRS).T


def test_negatives_have_the_frequency_of_the_batch_s_positives(ragged):
    options = sampler_options("in_batch", num_negatives=3)
    negatives, valid = draw_many(options, ragged.to_device(), 3000, USERS, POSITIVES)
    counts = np.bincount(POSITIVES, minlength=11)
    for b, user in enumerate(USERS):
        law = oracles.normalised(counts * ~np.isin(np.arange(11), ragged.row(user)))
        assert valid[:, b].all() == (law.sum() > 0)
        if law.sum() > 0:
            assert_law(np.bincount(negatives[:, b].ravel(), minlength=11), law)


def candidates_of(options, data, positives, filled):
    sampler = options.make_sampler(data)
    assert sampler.candidates is not None
    return sampler.candidates(jax.random.key(0), sampler.init(), jnp.int32(positives), jnp.asarray(filled))[0]


def test_candidates_are_the_distinct_positives_of_slots_that_are_filled(ragged):
    filled = np.array([True, True, True, True, True, False, True])
    options = sampler_options("in_batch", loss="softmax")
    found = candidates_of(options, ragged.to_device(), POSITIVES, filled)
    assert found.ids.shape == (7,) and found.log_probability is None
    assert found.ids[found.filled].tolist() == sorted(set(POSITIVES[filled].tolist())) and found.filled.sum() == 5
    assert not found.filled[5:].any() and found.ids.max() < 11


def test_log_probability_is_that_of_being_in_a_batch():
    """Batches of the stream of pairs, against 1 - (1 - popularity / n)^B; false alarm below 1e-5."""
    users = np.arange(400)
    items = np.repeat(np.arange(5), [200, 100, 60, 30, 10])
    data = from_pairs(users, items, 400, 5).to_device()
    options = make_options(sampler="in_batch", loss="softmax", logq=True, batch_size=8, dim=2)
    found = candidates_of(options, data, np.array([0, 1, 2, 3, 4, 0, 0, 1]), np.ones(8, bool))
    steps, key = 4000, jax.random.key(3)
    drawn = jax.vmap(lambda step: batches.positives(key, step, data, 8).items)(jnp.arange(steps))
    share = (np.asarray(drawn)[:, :, None] == np.arange(5)).any(axis=1).mean(axis=0)
    expected = np.exp(np.asarray(found.log_probability)[:5])
    # Without replacement from 400 pairs, so that the law is met to a few thousandths.
    assert np.all(np.abs(share - expected) < 5 * np.sqrt(expected * (1 - expected) / steps) + 0.006)


@pytest.mark.parametrize("exponent", [0.7, -0.6])
@pytest.mark.parametrize("name", ["popularity", "two_stage"])
def test_log_probability_is_that_of_being_a_candidate(name, exponent, ragged):
    """Of many draws of four; false alarm below 1e-5."""
    data, rounds = ragged.to_device(), 5000
    options = sampler_options(
        name, loss="softmax", logq=True, num_candidates=4, num_draws=300, popularity_exponent=exponent
    )
    ids, filled = draw_many_candidates(options, data, rounds)
    assert filled.all()
    share = np.bincount(ids.ravel(), minlength=11) / rounds
    sampler = options.make_sampler(data)
    log_probability = np.asarray(sampler.init()[1])
    offered = candidates_of(options, data, POSITIVES, np.ones(7, bool))
    np.testing.assert_array_equal(offered.log_probability, log_probability[offered.ids])
    drawable = ragged.popularity > 0
    # The rate is exact as the number of items grows; here it is a few hundredths off.
    assert np.all(np.abs(share - np.exp(log_probability))[drawable] < 0.04)
    np.testing.assert_allclose(np.exp(log_probability)[drawable].sum(), 4, rtol=1e-3)
    order = np.argsort(share[drawable])
    assert np.all(np.diff(log_probability[drawable][order]) >= -1e-6), "the likelier, the more often"


def test_a_negative_exponent_prefers_rare_items():
    weights = np.asarray(popularity_weights(jnp.float32([0, 1, 4, 100]), -0.5, np.inf))
    np.testing.assert_allclose(weights, [0, 1, 0.5, 0.1], rtol=1e-6)


def test_rate_of_as_many_candidates_as_items_makes_all_certain():
    weights = jnp.float32([1.0, 0.5, 0.0, 1e-3])
    rate = jax.jit(inclusion_rate, static_argnums=1)(weights, 3)
    np.testing.assert_allclose(-np.expm1(-float(rate) * np.asarray(weights)), [1, 1, 0, 1], atol=1e-5)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"loss": "triplet", "logq": True}, "corrects logits, which model.loss = 'triplet' does not have"),
        ({"loss": "psl", "logq": True, "sampler": "popularity"}, "use model.loss = 'softmax'"),
        ({"loss": "triplet", "logq": True, "model": "transcf"}, "'triplet' does not have; leave it out"),
        ({"loss": "softmax", "logq": True, "weight_use": "draw"}, "use train.weight_use = 'loss'"),
        ({"loss": "softmax", "batch_size": 1}, "train.batch_size of 2 or more"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(values, sentence, ragged):
    with pytest.raises(ConfigError) as caught:
        make_options(**{"sampler": "in_batch", "dim": 4, "batch_size": 8} | values).check_data(ragged)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_options_name_no_probability_where_all_candidates_are_alike():
    assert "logq" not in sampler_options("uniform").values() and OPTIONS["sampler"] == "two_stage"
