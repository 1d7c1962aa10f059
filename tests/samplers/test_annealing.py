"""Annealing of two-stage sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import make_options
from cml_jax.draws import num_draws_needed
from cml_jax.samplers.annealing import TABLE_EVERY
from tests.conftest import assert_law
from tests.oracles import samplers as oracles
from tests.samplers.sampled import DIRECTIONS, OPTIONS, PAIRS, make_points

USERS, POSITIVES = np.array(PAIRS).T
ENDS = {"similarity_cutoff_end": 0.9, "popularity_exponent_end": -0.5, "anneal_passes": 100.0}


def options_of(ragged, **values):
    return make_options(ragged, **OPTIONS | {"sampler": "two_stage"} | values)


def test_values_move_linearly_and_then_stay(ragged):
    options = options_of(ragged, **ENDS)
    steps = options.sampler.options.anneal_steps
    assert steps == 100 * ragged.num_pairs / len(PAIRS)
    for share, exponent, cutoff in ((0.0, 0.7, 0.35), (0.25, 0.4, 0.4875), (1.0, -0.5, 0.9), (7.0, -0.5, 0.9)):
        now = options.sampler.options.at(jnp.float32(share * steps))
        np.testing.assert_allclose([now.popularity_exponent, now.similarity_cutoff], [exponent, cutoff], rtol=1e-5)


def test_what_does_not_move_stays(ragged):
    now = options_of(ragged, similarity_cutoff_end=0.9).sampler.options
    assert now.ends_elsewhere and not now.anneals_exponent
    assert now.at(jnp.int32(50)).popularity_exponent == 0.7
    assert not options_of(ragged).sampler.options.ends_elsewhere


def test_draws_are_enough_at_both_ends(ragged):
    counts = {}
    for name, exponent, end in (("start", 0.0, None), ("end", 3.0, None), ("both", 0.0, 3.0), ("back", 3.0, 0.0)):
        values = {"popularity_exponent": exponent, "num_candidates": 2}
        values |= {} if end is None else {"popularity_exponent_end": end}
        counts[name] = options_of(ragged, **values).sampler.options.num_draws
    assert num_draws_needed(np.where(ragged.popularity > 0, 1.0, 0.0), 2) == counts["start"]
    expected = max(counts["start"], counts["end"]) if min(counts["start"], counts["end"]) else 0
    assert counts["both"] == counts["back"] == expected


@pytest.mark.parametrize(("step", "exponent"), [(0, 0.7), (TABLE_EVERY, -0.5), (TABLE_EVERY + 1, None)])
def test_law_is_that_of_the_values_at_the_step(step, exponent, ragged):
    """After a step that is a multiple of TABLE_EVERY stage 1 has the exponent of that step, and until the next."""
    options = options_of(ragged, **ENDS | {"anneal_passes": 1e-6, "num_candidates": 4, "num_draws": 0}).as_arrays()
    data = ragged.to_device()
    sampler = options.make_sampler(data)
    stage1, _ = sampler.init()
    points, arguments = make_points(), (jnp.int32(USERS), jnp.int32(POSITIVES))
    _, (after, number) = jax.jit(lambda state: sampler.sample(jax.random.key(0), state, points, *arguments))(
        (stage1, jnp.int32(step))
    )
    assert number == step + 1
    if exponent is None:
        np.testing.assert_array_equal(after, stage1)
    else:
        weights = oracles.popularity_weights(ragged.popularity.astype(float), {"popularity_exponent": exponent})
        np.testing.assert_allclose(after, weights / weights.max(), rtol=1e-5)


def test_cut_off_at_the_end_is_that_of_the_law(ragged):
    options = options_of(ragged, similarity_cutoff_end=0.9, anneal_passes=1e-6, num_negatives=3).as_arrays()
    sampler = options.make_sampler(ragged.to_device())
    stage1, _ = sampler.init()
    points, arguments = make_points(), (jnp.int32(USERS), jnp.int32(POSITIVES))
    sample = jax.jit(jax.vmap(lambda key: sampler.sample(key, (stage1, jnp.int32(5)), points, *arguments)[0]))
    found = sample(jax.random.split(jax.random.key(2), 2500))
    for b, (user, positive) in enumerate(PAIRS):
        known = np.isin(np.arange(11), ragged.row(user))
        law = oracles.two_stage_law(
            known, positive, ragged.popularity, DIRECTIONS, OPTIONS | {"similarity_cutoff": 0.9}
        )
        if law.sum() > 0 and law[law > 0].min() > 1e-3:
            assert_law(np.bincount(np.asarray(found.ids[:, b]).ravel(), minlength=11), law)


def test_without_an_end_the_state_is_that_of_stage_1(ragged):
    state = options_of(ragged, num_draws=0).as_arrays().make_sampler(ragged.to_device()).init()
    assert state.shape == (11,)
