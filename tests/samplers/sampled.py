"""Draws for the tests of samplers, from the interactions of the fixture `ragged`: 7 users, 11 items."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax import make_options
from cml_jax.geometry import to_sphere
from cml_jax.types import Points
from tests.oracles import geometry as oracles
from tests.steps import DRAWN

DIM = 6
CUTOFF = 0.35
RNG = np.random.default_rng(4)
USERS = RNG.normal(size=(7, DIM)).astype(np.float32)
ITEMS = (RNG.normal(size=(11, DIM)) + 0.3).astype(np.float32)
DIRECTIONS = oracles.to_sphere(ITEMS.astype(np.float64))
PAIRS = [(0, 7), (0, 2), (1, 4), (2, 3), (4, 6), (5, 9), (6, 3)]
OPTIONS: dict[str, Any] = DRAWN | {
    "dim": DIM,
    "batch_size": len(PAIRS),
    "num_candidates": 11,
    "popularity_exponent": 0.7,
    "similarity_cutoff": CUTOFF,
}


def sampler_options(name, **options):
    return make_options(**OPTIONS | {"sampler": name} | options).as_arrays()


def make_points(users=USERS, items=ITEMS):
    users, items = jnp.asarray(users), jnp.asarray(items)
    return Points(lambda ids: users[ids], lambda ids: items[ids], lambda ids: to_sphere(items)[ids])


def sample_all(options, data, users, positives, items, keys):
    sampler = options.make_sampler(data)
    state, points = sampler.init(), make_points(items=items)
    return jax.vmap(lambda key: sampler.sample(key, state, points, users, positives)[0])(keys)


def candidates_all(options, data, keys):
    sampler = options.make_sampler(data)
    state = sampler.init()
    assert sampler.candidates is not None
    zeros = jnp.zeros(options.batch_size, jnp.int32)
    return jax.vmap(lambda key: sampler.candidates(key, state, zeros, zeros == 0)[0])(keys)


_sample_all, _candidates_all = jax.jit(sample_all), jax.jit(candidates_all)


def draw_many(options, data, rounds, users, positives, items=ITEMS, seed=0, sample: Callable = _sample_all):
    """ids [rounds, B, N] and valid [rounds, B] of pairs of users and positives."""
    keys = jax.random.split(jax.random.key(seed), rounds)
    ids, valid = sample(options, data, jnp.int32(users), jnp.int32(positives), jnp.asarray(items), keys)
    return np.asarray(ids), np.asarray(valid)


def draw_many_candidates(options, data, rounds, seed=9):
    """ids [rounds, C] and filled [rounds, C]."""
    ids, filled, _ = _candidates_all(options, data, jax.random.split(jax.random.key(seed), rounds))
    return np.asarray(ids), np.asarray(filled)
