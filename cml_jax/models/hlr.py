"""Hierarchical latent relations (HLR): a user is moved by relations of an item with the user's other items."""

import functools

import jax
import jax.numpy as jnp

from cml_jax.geometry import squared_distance
from cml_jax.losses.base import Loss
from cml_jax.models import neighbours
from cml_jax.models.base import Model, users_positives_others
from cml_jax.models.lrml import LrmlOptions, init_memories
from cml_jax.models.points import make_point_model
from cml_jax.options import options, static
from cml_jax.registry import Strategy
from cml_jax.types import Array, Lookup, PyTree, Score


@options
class HlrOptions(neighbours.NeighbourOptions, LrmlOptions):
    """Options of HLR."""

    item_attention: bool = static(False, "HLR++: add relations of the user with its items, weighted by the item")


def _weighted(slots: Array, logits: Array, found: Array) -> Array:
    """sum_j softmax_j(logits_j) slots_j over those found: Array[n, J, S], Array[n, J], Array[J] -> Array[n, S]."""
    weights = jax.nn.softmax(jnp.where(found[None], logits, jnp.finfo(logits.dtype).min), axis=1)
    return jnp.einsum("nj,njs->ns", weights * jnp.any(found), slots)


def relations(user: Array, items: Array, near: Array, found: Array, dense: PyTree, *, item_attention: bool) -> Array:
    """r_ui of one user and several items, see `make`.

    Args:
        user: Array[D].
        items: Array[n, D].
        near: Array[J, D]; items of the user.
        found: Array[J] bool; which of them there are.
        dense: 'keys' Array[S, D] and 'memories' Array[S, D].
        item_attention: whether it is HLR++.

    Returns:
        Array[n, D].
    """
    keys, memories = dense["keys"], dense["memories"]
    with_one, one = jnp.concatenate([user[None], near]), jnp.concatenate([jnp.ones(1, bool), found])
    beside, there = (near, found) if item_attention else (with_one, one)
    # r(i, j) = sum_s a_s m_s, so that <u, r(i, j)> = sum_s a_s <u, m_s>: only the weights a are made.
    products = items @ (beside[:, None] * keys[None]).reshape(-1, keys.shape[1]).T
    slots = jax.nn.softmax(products.reshape(len(items), len(beside), len(keys)), axis=2)
    total = _weighted(slots, slots @ (memories @ user), there)
    if item_attention:
        of_item = jax.nn.softmax((items * user[None]) @ keys.T, axis=1)[:, None, :]
        of_near = jax.nn.softmax((near * user[None]) @ keys.T, axis=1)
        slots = jnp.concatenate([of_item, jnp.broadcast_to(of_near, (len(items), *of_near.shape))], axis=1)
        total += _weighted(slots, jnp.einsum("njs,ns->nj", slots, items @ memories.T), one)
    return total @ memories


def moved_scores(user: Array, items: Array, near: Array, found: Array, dense: PyTree, *, item_attention: bool) -> Array:
    """-||u + r_ui - i||^2, Array[n]; arguments as for `relations`."""
    moved = user[None] + relations(user, items, near, found, dense, item_attention=item_attention)
    return -squared_distance(moved, items)


def all_scores(users: PyTree, items: Array, shared: PyTree, *, item_attention: bool) -> Array:
    """The same of all pairs: points Array[c, D], near Array[c, J, D], found Array[c, J], Array[n, D] -> Array[c, n]."""

    def of_user(user, near, found):
        return moved_scores(user, items, near, found, shared, item_attention=item_attention)

    with jax.default_matmul_precision("highest"):
        return jax.vmap(of_user)(*users)


_SCORES = {which: functools.partial(all_scores, item_attention=which) for which in (False, True)}


def make(options: HlrOptions, loss: Loss) -> Model:
    """HLR (Tran et al., RecSys 2021): score(u, i) = -||u + r_ui - i||^2 with relations of two levels.

    Of any two points r(x, y) = sum_s softmax_s(<x * y, k_s>) m_s, as in LRML. From those of an item with each item j
    of the user, J of them, and with the user itself, an attention of the user makes

        r_ui = sum_j softmax_j(<u, r(i, j)>) r(i, j),  j over u and its items but i.

    HLR++ (`item_attention`) takes the user's items alone in this sum and adds an attention of the item,

        sum_j softmax_j(<i, r(u, j)>) r(u, j),  j over i and the user's items.

    As in the authors' code every negative has its own relation, and of a user with more than J items some stand for
    all: in a step a draw of them without the positive, in ranking J from all over the list, theirs another draw. Their
    HLR++ counts an empty place as one more item where a user has fewer than J; here it does not.
    """
    item_attention, count = options.item_attention, options.num_neighbours

    def draw(key, batch, data):
        return neighbours.draw_without_positives(key, batch, data, count)

    def lookups(batch, data):
        del data
        near = batch.drawn
        return users_positives_others(batch) | {
            "near": Lookup("items", near.ids, near.found & batch.trained[:, None]),
        }

    def pair_losses(points, dense, batch):
        def example(user, positive, others, near, found, valid):
            items = jnp.concatenate([positive[None], others])
            scores = moved_scores(user, items, near, found, dense, item_attention=item_attention)
            return loss.example(scores[0], scores[1:], valid)

        users, positives, others, near = (points[role] for role in ("user", "positive", "others", "near"))
        return jax.vmap(example)(users, positives, others, near, batch.drawn.found, batch.valid)

    def rows_of(params, near):
        points = options.embed(params.tables["items"][near.ids])
        return {"user_items": points, "user_items_found": near.found}

    def context(params, data):
        users = jnp.arange(len(params.tables["users"]))
        offsets = jnp.full((len(users), count), 0.5)
        return rows_of(params, neighbours.spread(data.indptr, data.items, users, offsets))

    def context_of_users(params, histories):
        return rows_of(params, neighbours.spread_of_histories(histories, count))

    def ranking(params, data):
        known = params.tables
        if "user_items" not in known:
            known = known | context(params, data)
        users, items = (options.embed(known[name]) for name in ("users", "items"))
        rows = (users, known["user_items"], known["user_items_found"])
        numbers = 4 * (count + 1) * options.num_memories * (1 + item_attention) + 2 * options.dim
        return Score(rows, items, params.dense, _SCORES[item_attention], row_numbers=numbers)

    return make_point_model(
        options,
        pair_losses,
        init=functools.partial(init_memories, options),
        lookups=lookups,
        ranking=ranking,
        draw=draw,
        context=context,
        context_of={"user": context_of_users},
    )


HLR = Strategy("hlr", HlrOptions, make)
