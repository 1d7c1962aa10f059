"""What every registered sampler keeps to; a new one names its law in `oracles.SAMPLER_LAWS`, None if it states none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax.data.interactions import from_pairs
from cml_jax.options import field_names
from cml_jax.samplers import SAMPLERS
from tests.conftest import assert_law
from tests.oracles import samplers as oracles
from tests.samplers.sampled import (
    DIM,
    DIRECTIONS,
    OPTIONS,
    PAIRS,
    draw_many,
    draw_many_candidates,
    make_points,
    sampler_options,
)

USERS, POSITIVES = np.array(PAIRS).T
ROUNDS = {1: 6000, 3: 2500}  # N -> rounds
CASES = [(name, num_negatives) for name in SAMPLERS for num_negatives in ROUNDS]
OFFERING = [
    name for name, s in SAMPLERS.items() if s.options.offers_candidates and "num_candidates" in field_names(s.options)
]
CANDIDATES = [(name, num_draws) for name in OFFERING for num_draws in (0, 300)]


@pytest.fixture(scope="module", params=CASES, ids=str)
def drawn(request, ragged):
    """Name, N, and negatives [rounds, B, N] and valid [rounds, B] of the pairs."""
    name, num_negatives = request.param
    options = sampler_options(name, num_negatives=num_negatives)
    return *request.param, *draw_many(options, ragged.to_device(), ROUNDS[num_negatives], USERS, POSITIVES)


def test_in_range_and_never_a_known_positive(drawn, ragged):
    _, num_negatives, negatives, valid = drawn
    assert negatives.shape == (ROUNDS[num_negatives], len(PAIRS), num_negatives) and negatives.dtype == np.int32
    assert valid.any()
    for b, user in enumerate(USERS):
        ids = negatives[valid[:, b], b]
        assert ids.size == 0 or (ids.min() >= 0 and ids.max() < ragged.num_items)
        assert not np.isin(ids, ragged.row(user)).any()


def test_has_the_law_that_is_stated(drawn, ragged):
    """With C = the items that can be drawn, stage 1 is certain and what comes after it decides."""
    name, _, negatives, valid = drawn
    assert name in oracles.SAMPLER_LAWS, f"sampler '{name}' has no entry in oracles.SAMPLER_LAWS; None states no law"
    if oracles.SAMPLER_LAWS[name] is None:
        return
    num_checked = 0
    for b, (user, positive) in enumerate(PAIRS):
        known = np.isin(np.arange(11), ragged.row(user))
        law = oracles.SAMPLER_LAWS[name](known, positive, ragged.popularity, DIRECTIONS, OPTIONS)
        assert valid[:, b].all() == (law.sum() > 0) and valid[:, b].any() == (law.sum() > 0)
        if law.sum() > 0 and law[law > 0].min() > 1e-3:
            assert_law(np.bincount(negatives[:, b].ravel(), minlength=11), law)
            num_checked += np.count_nonzero(law) > 1
    assert num_checked >= 3


def test_negatives_of_a_pair_and_of_two_pairs_are_drawn_each_for_itself(drawn):
    """Equal pairs of one batch, and the negatives of one pair, differ from one another some of the time."""
    _, num_negatives, negatives, _ = drawn
    first = negatives[:, 2]  # a user with one item
    assert np.any(first[1:] != first[:-1]), "from key to key"
    if num_negatives > 1:
        assert np.any(first[:, 0] != first[:, 1])


@pytest.mark.parametrize(("name", "num_negatives"), CASES)
def test_user_who_has_everything_is_invalid(name, num_negatives):
    data = from_pairs(np.array([0, 0, 0, 0, 1]), np.array([0, 1, 2, 3, 2]), 2, 4).to_device()
    options = sampler_options(name, num_negatives=num_negatives, num_candidates=4)
    negatives, valid = draw_many(options, data, 50, [0, 1], [0, 2], items=np.ones((4, DIM), np.float32))
    assert not valid[:, 0].any() and valid[:, 1].all()
    assert not np.any(negatives[:, 1] == 2)


@pytest.mark.parametrize("name", SAMPLERS)
def test_jit_equals_eager_and_the_state_keeps_its_structure(name, ragged):
    sampler = sampler_options(name, num_negatives=3).make_sampler(ragged.to_device())
    key, state, points = jax.random.key(5), sampler.init(), make_points()
    arguments = key, state, points, jnp.int32(USERS), jnp.int32(POSITIVES)
    with jax.disable_jit():
        eager = sampler.sample(*arguments)
    jitted = jax.jit(lambda key, state, users, positives: sampler.sample(key, state, points, users, positives))(
        key, state, *arguments[3:]
    )
    jax.tree.map(np.testing.assert_array_equal, eager, jitted)
    assert_same_structure(state, jitted[1])


def assert_same_structure(before, after):
    def types(tree):
        return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)

    assert types(before) == types(after)


@pytest.mark.parametrize("name", OFFERING)
def test_candidates_state_keeps_its_structure(name, ragged):
    sampler = sampler_options(name, loss="softmax", num_candidates=4).make_sampler(ragged.to_device())
    state = sampler.init()
    assert sampler.candidates is not None
    zeros = jnp.zeros(len(PAIRS), jnp.int32)
    assert_same_structure(state, jax.eval_shape(sampler.candidates, jax.random.key(0), state, zeros, zeros == 0)[1])


@pytest.mark.parametrize(("name", "num_draws"), CANDIDATES)
def test_candidates_are_distinct_in_range_and_of_stage_ones_law(name, num_draws, ragged):
    rounds, count = 5000, 4
    options = sampler_options(name, loss="softmax", num_candidates=count, num_draws=num_draws)
    ids, filled = draw_many_candidates(options, ragged.to_device(), rounds)
    assert ids.shape == (rounds, count) and ids.dtype == np.int32 and filled.all()
    assert np.all(np.diff(ids, axis=1) > 0), "ascending, so distinct"
    assert ids.min() >= 0 and ids.max() < ragged.num_items
    assert name in oracles.CANDIDATE_WEIGHTS, f"sampler '{name}' has no entry in oracles.CANDIDATE_WEIGHTS"
    weights = oracles.CANDIDATE_WEIGHTS[name](ragged.popularity, OPTIONS)
    included = np.bincount(ids.ravel(), minlength=11)
    expected = oracles.inclusion_frequencies(weights, count, rounds, seed=2)
    share = (included + expected) / (2 * rounds)
    deviation = np.sqrt(2 * rounds * share * (1 - share))
    assert np.all(np.abs(included - expected) <= 5 * deviation + 1e-9)  # false alarm below 1e-5


@pytest.mark.parametrize("name", OFFERING)
def test_candidates_left_over_are_last_marked_and_in_range(name, ragged):
    options = sampler_options(name, loss="softmax", num_candidates=8, num_draws=3)
    ids, filled = draw_many_candidates(options, ragged.to_device(), 20)
    counts = filled.sum(axis=1)
    assert counts.min() >= 1 and counts.max() <= 3
    np.testing.assert_array_equal(filled, np.arange(8) < counts[:, None])
    for row, count in zip(ids, counts, strict=True):
        assert np.all(np.diff(row[:count]) > 0)
    assert ids.min() >= 0 and ids.max() < ragged.num_items


@pytest.mark.parametrize("num_candidates", [0, 11, 50])
@pytest.mark.parametrize("name", OFFERING)
def test_more_candidates_than_items_or_0_are_all_that_can_be_drawn(name, num_candidates, ragged):
    options = sampler_options(name, loss="softmax", num_candidates=num_candidates)
    ids, filled = draw_many_candidates(options, ragged.to_device(), 3)
    drawable = np.flatnonzero(oracles.CANDIDATE_WEIGHTS[name](ragged.popularity, OPTIONS))
    for row, ok in zip(ids, filled, strict=True):
        assert row[ok].tolist() == drawable.tolist()
