"""Batches of positives: every training pair once a pass."""

import jax
import jax.numpy as jnp

from cml_jax import draws
from cml_jax.types import Array, DeviceInteractions


def steps_per_pass(num_pairs: int, batch_size: int) -> int:
    """Steps that see every training pair once; the last batch of a pass may be partly masked."""
    return -(-num_pairs // batch_size)


def positives(key: Array, step: Array, data: DeviceInteractions, batch_size: int) -> tuple[Array, Array, Array]:
    """The batch of training pairs of a step; every pass goes through all pairs once, in an order of its own.

    Args:
        key: PRNG key of the run, the same at every step.
        step: int32 scalar, from 0.
        data: training interactions.
        batch_size: B.

    Returns:
        users Array[B] int32, items Array[B] int32, valid Array[B] bool (False past the end of the pass).
    """
    per_pass = steps_per_pass(data.num_pairs, batch_size)
    place = (step % per_pass) * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
    valid = place < data.num_pairs
    pair = draws.permute(jax.random.fold_in(key, step // per_pass), jnp.where(valid, place, 0), data.num_pairs)
    return data.users[pair], data.items[pair], valid
