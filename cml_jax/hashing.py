"""Hashing: a mixer of bits, and equal numbers of a list found in time linear in the list."""

import math

import jax
import jax.numpy as jnp

from cml_jax.types import Array


def avalanche(x: Array) -> Array:
    """Avalanche of 32 bits (the finaliser of MurmurHash3, public domain): Array[...] uint32 -> the same."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def first_appearance(ids: Array) -> Array:
    """Where each number of a list first stands in it.

    The earliest entry of each bucket owns it. Entries equal to the owner are settled; the others go on with another
    hash function. The first is the identity, which has no collisions among numbers below the table's size. On CPU this
    is four times faster than a sort of 2,500 numbers with their places.

    Args:
        ids: Array[R] int32, not negative.

    Returns:
        Array[R] int32; ids[result] == ids, and result[r] == r for first appearances alone.
    """
    size = ids.shape[0]
    bits = max(4, math.ceil(math.log2(size)) + 4)
    place = jnp.arange(size, dtype=jnp.int32) + jnp.zeros_like(ids)

    def one_round(carry):
        number, open_, first = carry
        multiplier = jnp.uint32(0x9E3779B1) * (2 * number + 1)  # Fibonacci hashing; odd, another one each round
        mixed = (ids.astype(jnp.uint32) * multiplier) >> (32 - bits)
        bucket = jnp.where(number == 0, ids & (2**bits - 1), mixed.astype(jnp.int32))
        bucket = jnp.where(open_, bucket, 2**bits)  # out of bounds: dropped
        owner = jnp.full(2**bits, size, jnp.int32).at[bucket].min(place, mode="drop")[bucket]
        settled = open_ & (ids[owner] == ids)
        return number + 1, open_ & ~settled, jnp.where(settled, owner, first)

    start = (jnp.uint32(0), jnp.ones_like(ids, bool), place)
    return jax.lax.while_loop(lambda carry: jnp.any(carry[1]), one_round, start)[2]
