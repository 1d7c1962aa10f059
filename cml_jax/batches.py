"""Batches of positives: every training pair once a pass."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from cml_jax import draws
from cml_jax.types import Array, DeviceInteractions


class Positives(NamedTuple):
    """Training pairs of a step.

    Attributes:
        users: Array[B] int32.
        items: Array[B] int32.
        valid: Array[B] bool; False past the end of the pass.
        weights: Array[B] float32; factor of each pair's loss. None for 1 each.
    """

    users: Array
    items: Array
    valid: Array
    weights: Array | None


def steps_per_pass(num_pairs: int, batch_size: int) -> int:
    """Steps that see every training pair once; the last batch of a pass may be partly masked."""
    return -(-num_pairs // batch_size)


def positives(key: Array, step: Array, data: DeviceInteractions, batch_size: int) -> Positives:
    """The batch of training pairs of a step; every pass goes through all pairs once, in an order of its own.

    Args:
        key: PRNG key of the run, the same at every step.
        step: int32 scalar, from 0.
        data: training interactions.
        batch_size: B.
    """
    per_pass = steps_per_pass(data.num_pairs, batch_size)
    place = (step % per_pass) * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
    valid = place < data.num_pairs
    pair = draws.permute(jax.random.fold_in(key, step // per_pass), jnp.where(valid, place, 0), data.num_pairs)
    weights = None if data.weights is None else data.weights[pair]
    return Positives(data.users[pair], data.items[pair], valid, weights)
