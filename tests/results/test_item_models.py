"""Item-KNN, EASE and SLIM against what their papers say, in NumPy on tiny data."""

import importlib.util

import numpy as np
import pytest

from cml_jax.data.interactions import from_pairs
from cml_jax.ranking import top_k
from cml_jax.types import Score
from experiments.results import baselines, item_models

needs_implicit = pytest.mark.skipif(importlib.util.find_spec("implicit") is None, reason="implicit is not installed")
needs_irspack = pytest.mark.skipif(importlib.util.find_spec("irspack") is None, reason="irspack is not installed")
NUM_USERS, NUM_ITEMS = 150, 12


@pytest.fixture(scope="module")
def train():
    """Pairs in which items differ in popularity and go together."""
    rng = np.random.default_rng(4)
    chance = rng.random((NUM_USERS, 3)) ** 3 @ rng.random((3, NUM_ITEMS)) ** 2
    users, items = np.nonzero(rng.random(chance.shape) < chance)
    return from_pairs(users, items, NUM_USERS, NUM_ITEMS)


@pytest.fixture(scope="module")
def ones(train):
    return np.asarray(baselines.matrix_of(train).todense(), np.float64)


def ranking_of(name, train, **options):
    ranking = baselines.fit(name, baselines._DEFAULTS[name] | options, train, 8, 0)
    assert isinstance(ranking, Score)
    return ranking


def fitted(name, train, **options):
    """The scores of every user and item."""
    ranking = ranking_of(name, train, **options)
    return np.asarray(ranking.score(ranking.users, ranking.items, ranking.shared))


def nearest(similarity, number):
    """The largest similarities of each row, zeros elsewhere."""
    kept = np.zeros_like(similarity)
    for row, order in enumerate(np.argsort(-similarity, axis=1)):
        kept[row, order[:number]] = similarity[row, order[:number]]
    return kept


def to_unit_columns(x):
    return x / np.sqrt((x**2).sum(axis=0))


def weighted(ones, weighting):
    if weighting == "cosine":
        return to_unit_columns(ones)
    idf = np.log(NUM_ITEMS / (1 + ones.sum(axis=1)))[:, None]  # of users, as they are an item's words
    if weighting == "tfidf":
        return to_unit_columns(ones * idf)
    length = ones.sum(axis=0) / ones.sum(axis=0).mean()
    return ones * 2.2 / (1.2 * (0.25 + 0.75 * length) + 1) * idf


@needs_implicit
@pytest.mark.parametrize("weighting", item_models.WEIGHTINGS)
@pytest.mark.parametrize("number", [4, NUM_ITEMS])
def test_item_knn_sums_the_similarities_of_the_nearest(train, ones, weighting, number):
    x = weighted(ones, weighting)
    similarity = x.T @ x
    gaps = -np.diff(-np.sort(-similarity, axis=1), axis=1)[:, number - 1 : number]
    assert (gaps > 1e-6).all(), "no ties"
    found = fitted("item_knn", train, weighting=weighting, num_neighbours=number)
    np.testing.assert_allclose(found, ones @ nearest(similarity, number), rtol=1e-5, atol=1e-5)


@needs_irspack
def test_ease_predicts_every_item_from_the_others_by_ridge_regression(train, ones):
    weights = np.zeros((NUM_ITEMS, NUM_ITEMS))
    for item in range(NUM_ITEMS):
        others = np.arange(NUM_ITEMS) != item
        x = ones[:, others]
        weights[others, item] = np.linalg.solve(x.T @ x + 7.0 * np.eye(NUM_ITEMS - 1), x.T @ ones[:, item])
    assert (weights < 0).any(), "else a sum of positive weights would do"
    np.testing.assert_allclose(fitted("ease", train, regularization=7.0), ones @ weights, rtol=1e-4, atol=1e-4)


@needs_irspack
def test_slim_is_the_same_with_a_sparse_and_nonnegative_weight(train, ones):
    alpha, share = 0.05, 0.3
    l1, l2 = NUM_USERS * alpha * share, NUM_USERS * alpha * (1 - share)
    gram = ones.T @ ones
    step = 1 / (np.linalg.eigvalsh(gram)[-1] + l2)
    weights = np.zeros_like(gram)
    for _ in range(5000):  # proximal gradient
        weights = np.maximum(weights - step * (gram @ weights - gram + l2 * weights + l1), 0)
        np.fill_diagonal(weights, 0)
    assert 0.1 < np.mean(weights == 0) < 0.9
    found = fitted("slim", train, alpha=alpha, l1_ratio=share, iterations=1000)
    np.testing.assert_allclose(found, ones @ weights, rtol=1e-2, atol=2e-3)
    assert abs(fitted("slim", train, alpha=alpha, l1_ratio=share, iterations=1) - found).max() > 0.01


@needs_implicit
def test_lists_are_those_of_the_scores_without_what_a_user_has(train, ones):
    ranking = ranking_of("item_knn", train, weighting="cosine", num_neighbours=NUM_ITEMS)
    scores = np.where(ones > 0, -np.inf, np.asarray(ranking.users))
    users = np.arange(0, NUM_USERS, 7)
    for user, listed in zip(users, top_k(ranking, users, train, 5), strict=True):
        known = listed[listed >= 0]
        assert not (ones[user, known] > 0).any()
        np.testing.assert_allclose(scores[user, known], np.sort(scores[user])[::-1][: len(known)], rtol=1e-6)
