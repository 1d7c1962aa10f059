"""Scores of a new item, by which users are compared: a term of the user alone counts."""

import jax.numpy as jnp
import numpy as np

from cml_jax.data.interactions import from_pairs
from cml_jax.serving.new_items import _scores_of_new
from cml_jax.strategies import make_options
from cml_jax.types import Params


def test_scores_are_negative_squared_distances_of_users_of_any_norm():
    rng = np.random.default_rng(0)
    users = (rng.normal(size=(5, 3)) * np.array([[0.1], [0.4], [0.9], [0.2], [0.6]])).astype(np.float32)
    items, new = rng.normal(size=(4, 3)).astype(np.float32), rng.normal(size=(1, 3)).astype(np.float32)
    train = from_pairs(np.arange(5), np.array([0, 1, 2, 3, 0]), 5, 4)
    options = make_options(train=train, model="cml", loss="triplet", dim=3, constraint="none")
    params = Params({"users": jnp.asarray(users), "items": jnp.asarray(items)}, None)
    scores = _scores_of_new(options, train.to_device())
    found = np.asarray(scores(params, jnp.asarray(new), jnp.zeros(5, bool)))
    expected = -np.square(users - new).sum(axis=1)
    # Up to a constant of the item, which cancels between users.
    np.testing.assert_allclose(found - found[0], expected - expected[0], atol=1e-5)
