"""SRNS against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import make_options
from cml_jax.errors import ConfigError
from cml_jax.samplers.srns import Memory
from tests.samplers.sampled import ITEMS, OPTIONS, PAIRS, make_points, sampler_options
from tests.samplers.sampled import USERS as USER_POINTS

USERS, POSITIVES = np.array(PAIRS).T
VALUES = {"memory_size": 3, "num_explored": 4, "variance_weight": 2.0, "memory_temperature": 0.5, "score_history": 3}
SEEN = 2  # a user whose only item is 3


def memory_of(items=(4, 6, 9)):
    """A memory in which user SEEN has items, of which the second has varied most."""
    found = np.full((7, 3), -1), np.zeros((7, 3, 3), np.float32)
    found[0][SEEN] = items
    found[1][SEEN] = [[-9.0, -9.0, -9.0], [-1.0, -60.0, -20.0], [-4.0, -5.0, -4.0]]
    return Memory(jnp.int32(found[0]), jnp.asarray(found[1]))


def sampler_of(ragged, **values):
    return sampler_options("srns", **VALUES | values).make_sampler(ragged.to_device())


def sample(sampler, state, users=USERS, positives=POSITIVES, seed=0):
    draw = jax.jit(lambda key, state: sampler.sample(key, state, make_points(), jnp.int32(users), jnp.int32(positives)))
    return draw(jax.random.key(seed), state)


def scores(user, items):
    return -((ITEMS[items] - USER_POINTS[user]) ** 2).sum(axis=1)


@pytest.mark.parametrize("weight", [0.0, 2.0])
def test_negative_is_the_item_of_the_memory_with_the_largest_score_and_deviation(weight, ragged):
    memory, place = memory_of(), PAIRS.index((SEEN, 3))
    found, _ = sample(sampler_of(ragged, variance_weight=weight, num_negatives=2), memory)
    items = np.asarray(memory.items[SEEN])
    history = np.concatenate([np.asarray(memory.scores[SEEN])[:, 1:], scores(SEEN, items)[:, None]], axis=1)
    worth = scores(SEEN, items) + weight * history.std(axis=1)
    assert found.ids[place].tolist() == items[np.argsort(-worth)][:2].tolist()


def test_the_deviation_changes_what_is_drawn(ragged):
    drawn = {
        weight: sample(sampler_of(ragged, variance_weight=weight), memory_of())[0].ids[PAIRS.index((SEEN, 3)), 0]
        for weight in (0.0, 50.0)
    }
    assert drawn[0.0] != drawn[50.0] == 6


def test_memory_keeps_histories_of_what_stays_and_starts_those_of_what_comes(ragged):
    memory = memory_of()
    before = dict(zip(np.asarray(memory.items[SEEN]).tolist(), np.asarray(memory.scores[SEEN]), strict=True))
    came, stayed = 0, 0
    for seed in range(10):
        _, after = sample(sampler_of(ragged), memory, seed=seed)
        items = np.asarray(after.items[SEEN])
        assert (items >= 0).all() and not np.isin(items, ragged.row(SEEN)).any()
        for item, history in zip(items.tolist(), np.asarray(after.scores[SEEN]), strict=True):
            now = scores(SEEN, np.array([item]))[0]
            is_old = item in before and not np.allclose(history, now, rtol=1e-5)
            expected = [*before[item][1:], now] if is_old else [now] * 3
            np.testing.assert_allclose(history, expected, rtol=1e-5)
            came, stayed = came + (not is_old), stayed + is_old
    assert came and stayed


def test_the_first_of_equal_users_decides_and_others_keep_their_memory(ragged):
    memory = memory_of()
    _, after = sample(sampler_of(ragged), memory)
    np.testing.assert_array_equal(after.items[3], memory.items[3])  # not in the batch
    _, alone = sample(sampler_of(ragged), memory, [0, 0], [7, 2])
    assert (np.asarray(alone.items[0]) >= 0).all()
    _, other = sample(sampler_of(ragged), memory, [0, 5], [7, 9])
    np.testing.assert_array_equal(alone.items[0], other.items[0])


def test_near_items_gather_in_the_memory(ragged):
    """At a low temperature it holds the nearest items after a while."""
    sampler, state = sampler_of(ragged, memory_temperature=0.02), memory_of(items=(-1, -1, -1))
    for seed in range(25):
        _, state = sample(sampler, state, seed=seed)
    near = [i for i in np.argsort(-scores(SEEN, np.arange(11))) if i not in ragged.row(SEEN)]
    assert sorted(np.asarray(state.items[SEEN]).tolist()) == sorted(near[:3])


def test_more_negatives_than_places_are_refused():
    with pytest.raises(ConfigError, match=r"model\.num_negatives = 4 is above sampler\.memory_size = 3"):
        make_options(**OPTIONS | VALUES | {"sampler": "srns", "num_negatives": 4})
