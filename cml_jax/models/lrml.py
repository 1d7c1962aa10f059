"""Latent relational metric learning (LRML): a user is moved towards an item by a relation of the two."""

import functools
from typing import ClassVar

import jax
import jax.numpy as jnp

from cml_jax.losses.base import Loss
from cml_jax.models.base import Model, loss_of_points
from cml_jax.models.points import PointOptions, init_points, make_point_model
from cml_jax.options import AT_LEAST_1, options, static
from cml_jax.registry import Strategy
from cml_jax.types import Array, DeviceInteractions, Params, Score


@options
class LrmlOptions(PointOptions):
    """Options of LRML."""

    similarities: ClassVar[tuple[str, ...]] = ("distance", "cosine")

    num_memories: int = static(20, "memory slots of LRML and HLR", AT_LEAST_1)


def attention(users: Array, items: Array, keys: Array) -> Array:
    """Weights of the memory slots, softmax_s <u * i, k_s>: Array[b, D] twice, Array[S, D] -> Array[b, S]."""
    return jax.nn.softmax((users * items) @ keys.T, axis=1)


def relational_scores(users: Array, items: Array, shared: dict[str, Array]) -> Array:
    """-||u + r(u, i) - i||^2 for all pairs, in products of matrices (Tay et al. 2018, eq. 5).

    ||u - i||^2 + 2 <r, u - i> + ||r||^2, where r = sum_s a_s m_s, so that <r, u> = sum_s a_s <m_s, u>, <r, i> likewise,
    and ||r||^2 = a^T (M M^T) a.

    Args:
        users: Array[c, D].
        items: Array[n, D].
        shared: 'keys' Array[S, D] and 'memories' Array[S, D].

    Returns:
        Array[c, n].
    """
    with jax.default_matmul_precision("highest"):
        keys, memories = shared["keys"], shared["memories"]
        logits = (users[:, None, :] * keys[None, :, :]) @ items.T  # [c, S, n]
        weights = jax.nn.softmax(logits, axis=1)
        to_user, to_item = users @ memories.T, memories @ items.T  # [c, S], [S, n]
        across = jnp.sum(weights * (to_user[:, :, None] - to_item[None, :, :]), axis=1)
        size = jnp.sum(weights * ((memories @ memories.T) @ weights), axis=1)
        norms = jnp.sum(jnp.square(users), axis=1)[:, None] + jnp.sum(jnp.square(items), axis=1)[None, :]
        apart = norms - 2.0 * users @ items.T
        return -(apart + 2.0 * across + size)


def init_memories(options: LrmlOptions, key: Array, data: DeviceInteractions) -> Params:
    """Fresh points, and 'keys' and 'memories' Array[S, D] as dense parameters."""
    points_key, keys_key, memories_key = jax.random.split(key, 3)
    shape = (options.num_memories, options.dim)
    # As the rows of the tables: a relation is as long as a point where one slot has all the attention.
    dense = {
        "keys": jax.random.normal(keys_key, shape) / options.dim**0.5,
        "memories": options.init_scale * jax.random.normal(memories_key, shape) / options.dim**0.5,
    }
    return init_points(options, points_key, data)._replace(dense=dense)


def make(options: LrmlOptions, loss: Loss) -> Model:
    """LRML (Tay et al., WWW 2018): d(u, i) = ||u + r - i||, r = sum_s softmax_s(<u * i, k_s>) m_s.

    In training the relation of user and positive serves the negatives too (eq. 6); in ranking every item has its own.
    Keys k and memories m are dense parameters. Items are ranked by a score function, since there are no factors.
    """

    def relation(users, items, dense):
        return attention(users, items, dense["keys"]) @ dense["memories"]

    def pair_losses(points, dense, batch):
        users, positives, others = (points[role] for role in ("user", "positive", "others"))
        moved = users + relation(users, positives, dense)
        return loss_of_points(loss, moved, positives, others, batch)

    def ranking(params, data):
        del data
        users, items = (options.embed(params.tables[name]) for name in ("users", "items"))
        return Score(users, items, params.dense, relational_scores, row_numbers=4 * options.num_memories)

    init = functools.partial(init_memories, options)
    return make_point_model(options, pair_losses, init=init, ranking=ranking)


LRML = Strategy("lrml", LrmlOptions, make)
