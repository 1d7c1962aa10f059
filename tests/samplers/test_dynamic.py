"""Dynamic negative sampling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import make_options
from cml_jax.errors import ConfigError
from cml_jax.types import Points
from tests.conftest import assert_law
from tests.samplers.sampled import ITEMS, PAIRS, draw_many, sampler_options
from tests.samplers.sampled import USERS as USER_POINTS

USERS, POSITIVES = np.array(PAIRS).T


@pytest.mark.parametrize("num_hardest", [1, 3, 40])
def test_law_is_uniform_over_the_nearest_that_are_not_known(num_hardest, ragged):
    """With C = all items."""
    options = sampler_options("dynamic", num_negatives=2, num_hardest=num_hardest, num_candidates=0)
    negatives, valid = draw_many(options, ragged.to_device(), 3000, USERS, POSITIVES)
    for b, user in enumerate(USERS):
        known = np.isin(np.arange(11), ragged.row(user))
        distance = ((ITEMS - USER_POINTS[user]) ** 2).sum(axis=1)
        hardest = [i for i in np.argsort(distance) if not known[i]][:num_hardest]
        assert valid[:, b].all() == (len(hardest) > 0)
        if hardest:
            law = np.zeros(11)
            law[hardest] = 1 / len(hardest)
            assert_law(np.bincount(negatives[:, b].ravel(), minlength=11), law)


def test_a_user_of_several_points_has_the_items_nearest_to_any(ragged):
    options = sampler_options("dynamic", num_hardest=1, num_candidates=0)
    sampler = options.make_sampler(ragged.to_device())
    users, items = jnp.asarray(np.stack([USER_POINTS, -2 * USER_POINTS], axis=1)), jnp.asarray(ITEMS)
    points = Points(lambda ids: users[ids], lambda ids: items[ids], lambda ids: items[ids])
    found, _ = sampler.sample(jax.random.key(1), sampler.init(), points, jnp.int32(USERS), jnp.int32(POSITIVES))
    for b, user in enumerate(USERS):
        apart = ((ITEMS[None] - np.asarray(users)[user][:, None]) ** 2).sum(axis=2).min(axis=0)
        apart[ragged.row(user)] = np.inf
        if np.isfinite(apart).any():
            assert found.ids[b, 0] == apart.argmin() and found.valid[b]


def test_candidates_are_not_offered():
    with pytest.raises(ConfigError, match=r"takes candidates, which sampler\.name = 'dynamic' does not offer"):
        make_options(sampler="dynamic", loss="softmax", dim=2)
