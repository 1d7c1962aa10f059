"""Uniform negatives."""

import jax
import jax.numpy as jnp

from cml_jax import csr, draws
from cml_jax.options import options
from cml_jax.registry import Strategy
from cml_jax.samplers.base import BatchShape, Candidates, Negatives, Sampler
from cml_jax.samplers.stage1 import CandidateOptions, in_order
from cml_jax.types import Array, DeviceInteractions


@options
class UniformOptions(CandidateOptions):
    """Options of uniform negatives."""


def uniform_negatives(key: Array, data: DeviceInteractions, users: Array, count: int) -> Negatives:
    """Draws for each user, with replacement, uniformly among the items that are not known positives.

    Args:
        key: PRNG key, consumed.
        data: training interactions.
        users: Array[B] int32.
        count: N.
    """
    free = data.num_items - (data.indptr[users + 1] - data.indptr[users])
    rank = jax.random.randint(key, (users.shape[0], count), 0, jnp.maximum(free, 1)[:, None])
    return Negatives(csr.complement_element(data, users[:, None], rank), free > 0)


def uniform_candidates(key: Array, options: CandidateOptions, data: DeviceInteractions) -> Candidates:
    """C distinct items, uniform over the catalogue, or all of it; the key is consumed."""
    count = options.candidates_among(data.num_items)
    if options.num_draws:
        drawn = jax.random.randint(key, (options.num_draws,), 0, data.num_items)
        taken = draws.among_first_distinct(drawn, count)
    elif count == data.num_items:
        drawn, taken = jnp.arange(count, dtype=jnp.int32), jnp.ones(count, bool)
    else:
        drawn, taken = draws.gumbel_top_k(key, jnp.ones(data.num_items), count)
    return in_order(drawn, taken, count, data.num_items)


def make(options: UniformOptions, data: DeviceInteractions, shape: BatchShape) -> Sampler:
    """Each negative uniform over the items that are not known positives of the user; exact, nothing is rejected.

    Candidates are C distinct items, uniform over the catalogue, or all of it.
    """

    def sample(key, state, points, users, positives):
        del points, positives
        return uniform_negatives(key, data, users, shape.num_negatives), state

    def candidates(key, state, positives, filled):
        del positives, filled
        return uniform_candidates(key, options, data), state

    return Sampler(lambda: (), sample, candidates)


UNIFORM = Strategy("uniform", UniformOptions, make)
