"""Floors of steps: the gathers, products and exponentials that a loss and a sampler cannot do without, and no more."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from cml_jax.data.interactions import Interactions
from cml_jax.strategies import Options
from cml_jax.types import Array


def of_candidates(users: Array, items: Array, ids: tuple[Array, Array, Array]) -> tuple[Array, ...]:
    """Rows of B users, B positives and C candidates, similarities, exponentials, and the gradient's two products.

    Args:
        users: Array[U, D].
        items: Array[I, D].
        ids: of users Array[B], positives Array[B] and candidates Array[C].
    """
    user, positive, candidate = users[ids[0]], items[ids[1]], items[ids[2]]
    terms = jnp.exp(user @ candidate.T)
    return positive, terms @ candidate, terms.T @ user


def of_negatives(
    users: Array, items: Array, ids: tuple[Array, Array, Array], candidates: Array | None = None
) -> tuple[Array, ...]:
    """Rows of B users, B positives and B N negatives, and the similarities of each pair.

    Args:
        users: Array[U, D].
        items: Array[I, D].
        ids: of users Array[B], positives Array[B] and negatives Array[B, N].
        candidates: Array[C], whose similarities with all positives stage 2 needs; None without a second stage.
    """
    user, positive, negative = users[ids[0]], items[ids[1]], items[ids[2]]
    found = jnp.einsum("bd,bd->b", user, positive), jnp.einsum("bd,bnd->bn", user, negative)
    return found if candidates is None else (*found, positive @ items[candidates].T)


def of_batch(users: Array, items: Array, ids: tuple[Array, Array]) -> tuple[Array, ...]:
    """Rows of B users and B positives, exponentials of all pairs of either, and the gradient's products.

    Args:
        users: Array[U, D].
        items: Array[I, D].
        ids: of users Array[B] and positives Array[B].
    """
    found = []
    for rows in (users[ids[0]], items[ids[1]]):
        terms = jnp.exp(rows @ rows.T)
        found.append((terms + terms.T) @ rows)
    return tuple(found)


def num_products(options: Options, train: Interactions) -> int:
    """Products of [B, D] and [C, D] in a step; C = B where the batch is compared with itself."""
    if options.loss_takes == "batch":
        return 4
    if options.loss_takes == "candidates":
        return 3
    return int(options.make_sampler(train.to_device()).scores_per_pair > 0)


def num_compared(options: Options, train: Interactions) -> int:
    """C."""
    if options.loss_takes == "batch":
        return options.batch_size
    return options.sampler.options.candidates_of(options.batch_size, train.num_items)


def floor_of(options: Options, train: Interactions) -> Callable[[], Any]:
    """A compiled floor of a step, on tables and rows of its sizes drawn at random."""
    keys = jax.random.split(jax.random.key(0), 6)
    dim, size, count = options.model.options.dim, options.batch_size, options.num_negatives
    users = jax.random.normal(keys[0], (train.num_users, dim)) / dim**0.5
    items = jax.random.normal(keys[1], (train.num_items, dim)) / dim**0.5
    of_pairs = (
        jax.random.randint(keys[2], (size,), 0, train.num_users),
        jax.random.randint(keys[3], (size,), 0, train.num_items),
    )
    if options.loss_takes == "batch":
        return functools.partial(jax.jit(of_batch), users, items, of_pairs)
    candidates = None
    if num_products(options, train):
        num_candidates = num_compared(options, train)
        candidates = jnp.sort(jax.random.permutation(keys[4], train.num_items)[:num_candidates])
    if options.loss_takes == "candidates":
        return functools.partial(jax.jit(of_candidates), users, items, (*of_pairs, candidates))
    negatives = jax.random.randint(keys[5], (size, count), 0, train.num_items)
    return functools.partial(jax.jit(of_negatives), users, items, (*of_pairs, negatives), candidates)
