import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import draws
from cml_jax.samplers import base, two_stage
from cml_jax.samplers.stage2 import OWN_POSITIVE, stage2_weights
from tests.conftest import assert_law
from tests.oracles import samplers as oracles
from tests.oracles.geometry import to_sphere
from tests.samplers.sampled import (
    CUTOFF,
    DIM,
    DIRECTIONS,
    ITEMS,
    OPTIONS,
    PAIRS,
    draw_many,
    sample_all,
    sampler_options,
)

USERS, POSITIVES = np.array(PAIRS).T
RELEASED = {"own_positive": "uniform_draw", "known_positives": "retry_then_keep"}


def sample_anew(*arguments):
    """Compiled anew, since what a test has changed is not seen by a compiled program."""
    return jax.jit(lambda *args: sample_all(*args))(*arguments)


def check_law(ragged, cutoff, **more):
    """With C = the items that can be drawn, stage 1 is certain and stage 2 alone decides."""
    options = sampler_options("two_stage", num_negatives=3, similarity_cutoff=cutoff)
    negatives, valid = draw_many(options, ragged.to_device(), 2500, USERS, POSITIVES, **more)
    num_checked = 0
    for b, (user, positive) in enumerate(PAIRS):
        known = np.isin(np.arange(11), ragged.row(user))
        law = oracles.two_stage_law(
            known, positive, ragged.popularity, DIRECTIONS, OPTIONS | {"similarity_cutoff": cutoff}
        )
        assert valid[:, b].all() == (law.sum() > 0)
        if law.sum() > 0 and law[law > 0].min() > 1e-3:
            assert_law(np.bincount(negatives[:, b].ravel(), minlength=11), law)
            num_checked += np.count_nonzero(law) > 1
    assert num_checked >= 3


def test_law_without_a_cutoff(ragged):
    check_law(ragged, 1.0)


def test_redraws_and_the_masked_draw_have_one_law(ragged, monkeypatch):
    """With no redraws allowed, every hit goes to the fully masked weights; the law must not change."""
    monkeypatch.setattr(two_stage, "_REDRAWS", 1)
    check_law(ragged, CUTOFF, sample=sample_anew)


@pytest.mark.slow
def test_law_over_both_stages(ragged):
    """C = 1 of independent candidates: the negative is the candidate, wherever that is usable."""
    options = sampler_options("two_stage", num_candidates=1, num_draws=64)
    negatives, valid = draw_many(options, ragged.to_device(), 6000, [5], [9])
    usable = (DIRECTIONS @ DIRECTIONS[9] > 0) & ~np.isin(np.arange(11), ragged.row(5))
    law = np.where(usable, ragged.popularity**0.7, 0.0) * (ragged.popularity > 0)
    share_usable = law.sum() / (ragged.popularity[ragged.popularity > 0] ** 0.7).sum()
    assert_law([valid.sum(), (~valid).sum()], [share_usable, 1 - share_usable])
    assert_law(np.bincount(negatives[valid].ravel(), minlength=11), law / law.sum())


@pytest.mark.parametrize("released", [{}, RELEASED], ids=["paper", "released"])
def test_second_stage_in_chunks_draws_the_same(ragged, released, monkeypatch):
    users, items = np.tile(np.array(PAIRS).T, 4)
    options = sampler_options("two_stage", num_negatives=3, num_candidates=6, num_draws=40, **released)
    monkeypatch.setattr(base, "_CHUNK", 10**9)
    whole = draw_many(options, ragged.to_device(), 50, users, items, sample=sample_anew)
    monkeypatch.setattr(base, "_CHUNK", 7)
    in_chunks = draw_many(options, ragged.to_device(), 50, users, items, sample=sample_anew)
    np.testing.assert_array_equal(in_chunks[1], whole[1])
    np.testing.assert_array_equal(in_chunks[0][whole[1]], whole[0][whole[1]])
    assert whole[1].any() and np.any(whole[0][:, :7] != whole[0][:, 7:14])


def test_released_fall_back_is_uniform_where_the_positive_is_a_candidate(ragged):
    """C = all items, so every positive is a candidate and the draw is uniform over the others."""
    options = sampler_options("two_stage", num_negatives=2, own_positive="uniform_draw")
    negatives, valid = draw_many(options, ragged.to_device(), 3000, USERS, POSITIVES)
    assert valid.all()
    for b, user in enumerate(USERS):
        free = (ragged.popularity > 0) & ~np.isin(np.arange(11), ragged.row(user))
        assert_law(np.bincount(negatives[:, b].ravel(), minlength=11), free / free.sum())


@pytest.mark.parametrize("num_draws", [0, 8])
def test_released_fall_back_leaves_other_rows_alone(ragged, num_draws):
    """C = 1: where the candidate is not the positive, it is drawn as without the option, or where its weight is 0."""
    data, options = ragged.to_device(), {"num_candidates": 1, "num_draws": num_draws}
    first, first_valid = draw_many(sampler_options("two_stage", **options), data, 400, [5, 5], [9, 6])
    fallen_back = sampler_options("two_stage", own_positive="uniform_draw", **options)
    second, second_valid = draw_many(fallen_back, data, 400, [5, 5], [9, 6])
    np.testing.assert_array_equal(first[first_valid], second[first_valid])
    only_second = second_valid & ~first_valid
    assert only_second.any(), "candidates of no similarity are drawn"
    assert not np.isin(second[second_valid], ragged.row(5)).any()


@pytest.mark.parametrize("own_positive", OWN_POSITIVE)
def test_released_retries_keep_the_known_positive(ragged, own_positive):
    """User 0 has 8 of 10 items, so that ten retries often end on a known positive."""
    shifted = ITEMS + 2.0  # every similarity is positive
    options = sampler_options("two_stage", known_positives="retry_then_keep", own_positive=own_positive)
    negatives, valid = draw_many(options, ragged.to_device(), 20_000, [0, 0], [7, 2], items=shifted)
    assert valid.all()
    directions = to_sphere(shifted.astype(np.float64))
    is_positive = np.isin(np.arange(11), ragged.row(0))
    for b, item in enumerate([7, 2]):
        usable = (ragged.popularity > 0) & (np.arange(11) != item)
        weights = oracles.stage2_probabilities(directions @ directions[item], usable, DIM, CUTOFF)
        if own_positive == "uniform_draw":
            weights = (ragged.popularity > 0).astype(float)
        law = oracles.retried_law(weights, is_positive, 10)
        assert law[is_positive].sum() > 0.05
        assert_law(np.bincount(negatives[:, b].ravel(), minlength=11), law)


def test_sees_the_embeddings_it_is_given(ragged):
    options, data, place = sampler_options("two_stage", num_negatives=3), ragged.to_device(), PAIRS.index((4, 6))
    first, _ = draw_many(options, data, 2500, USERS, POSITIVES)
    second, _ = draw_many(options, data, 2500, USERS, POSITIVES, items=ITEMS[::-1])
    assert set(first[:, place].ravel().tolist()) != set(second[:, place].ravel().tolist())


def test_weights_survive_what_overflows_float32():
    """At D = 128 and s = 0.99 the weight 1 / q is about 10^106."""
    similarity = jnp.float32([[0.99, 0.98, 0.5, -0.2, 1.0]])
    usable = jnp.array([[True, True, True, True, False]])
    weights = stage2_weights(similarity, usable, 128, 1.0)
    expected = ((1 - 0.98**2) / (1 - 0.99**2)) ** -62.5
    np.testing.assert_allclose(weights[0], [1.0, expected, 0.0, 0.0, 0.0], rtol=1e-2, atol=1e-20)


def test_weights_equal_oracle():
    rng = np.random.default_rng(4)
    similarity, usable = rng.uniform(-0.5, 0.9, size=40), rng.random(40) < 0.7
    weights = np.asarray(stage2_weights(jnp.float32(similarity), jnp.asarray(usable), 20, 0.6), np.float64)
    expected = oracles.stage2_probabilities(similarity, usable, 20, 0.6)
    np.testing.assert_allclose(weights / weights.sum(), expected, rtol=1e-5)
    assert weights.max() == 1.0


def test_so_small_a_catalogue_is_ranked_as_a_whole_by_default(ragged):
    weights = np.where(ragged.popularity > 0, ragged.popularity**0.7, 0.0)
    assert draws.num_draws_needed(weights, 4) == 0
