"""Metric learning with co-occurrence embedding (CRML): points are drawn to what predicts how often they co-occur."""

import dataclasses
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from cml_jax import csr
from cml_jax.geometry import CONSTRAINTS, squared_distance
from cml_jax.losses.base import Loss
from cml_jax.models.base import Model, distances, is_of_more_than_negatives, users_positives_others
from cml_jax.models.points import PointOptions, init_points, make_point_model
from cml_jax.options import FINITE_AT_LEAST_0, POSITIVE, options, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array, DeviceInteractions, ItemUsers, Lookup

_EXPONENT = 0.75  # of GloVe's weight of a count
_TABLES = {"user": ("co_users", "user_biases"), "positive": ("co_items", "item_biases")}


@options
class CrmlOptions(PointOptions):
    """Options of CRML."""

    similarities: ClassVar[tuple[str, ...]] = ("distance",)

    user_cooccurrence_weight: float = traced(
        0.1, "alpha of CRML: weight of the distance of users from their co-occurrence embedding", FINITE_AT_LEAST_0
    )
    item_cooccurrence_weight: float = traced(
        0.1, "beta of CRML: weight of the distance of items from their co-occurrence embedding", FINITE_AT_LEAST_0
    )
    cooccurrence_cap: float = traced(
        100.0, "X_max of CRML: number shared from which on two users, or items, weigh alike", POSITIVE
    )

    @classmethod
    def objection(cls, loss: Loss) -> str:
        """Objects to losses that take candidates, or have a term of the points themselves."""
        more = is_of_more_than_negatives(loss)
        return "adds terms of a pair to those of its drawn negatives, which {loss} does not take" if more else ""


class Partners(NamedTuple):
    """Of each pair of a batch, a user who shares an item with its user, or an item that shares a user with its item.

    Attributes:
        ids: Array[B] int32.
        counts: Array[B] float32; X, how many they share; 0 where there is no partner.
        weights: Array[B] float32; a pass draws two of them for `1 / weights` times, on average.
    """

    ids: Array
    counts: Array
    weights: Array


def transposed(data: DeviceInteractions) -> DeviceInteractions:
    """The interactions with users and items exchanged, as far as look-ups in a list take."""
    by_item = data.item_users
    assert by_item is not None
    return dataclasses.replace(
        data,
        indptr=by_item.indptr,
        items=by_item.users,
        popularity=jnp.diff(data.indptr).astype(jnp.float32),
        max_degree=data.num_users,
        item_users=ItemUsers(data.indptr, data.items),
    )


def partners(key: Array, data: DeviceInteractions, rows: Array, shared: Array, filled: Array) -> Partners:
    """Draws another user of each pair's item, uniformly, and counts what the two users have in common.

    Two users are drawn for each other as often as they share an item, by 1 / (its number of users - 1), so that the
    reciprocal of the sum over what they share weighs all pairs alike. O(log(degree)) for each element of the shorter
    list of the two.

    Args:
        key: PRNG key, consumed.
        data: training interactions; for partners of items, transposed.
        rows: Array[B] int32; users.
        shared: Array[B] int32; an item of each.
        filled: Array[B] bool; pairs that there are.
    """
    of_item = transposed(data)
    first, end = of_item.indptr[shared], of_item.indptr[shared + 1]
    own = csr.bisect(first, end, of_item.max_degree, lambda j: of_item.items[j] < rows)
    place = first + jax.random.randint(key, rows.shape, 0, jnp.maximum(end - first - 1, 1))
    ids = of_item.items[jnp.where(end - first > 1, place + (place >= own), first)]
    there = filled & (end - first > 1)
    is_shorter = _degrees(data, rows) < _degrees(data, ids)
    shorter, longer = jnp.where(is_shorter, rows, ids), jnp.where(is_shorter, ids, rows)

    def update(sums, row, items):
        inside = items < data.num_items
        items = jnp.where(inside, items, 0)
        both = inside & csr.contains(data, longer[row], items)
        found = jnp.stack([both, both / jnp.maximum(data.popularity[items] - 1.0, 1.0)], axis=-1)
        return sums.at[row[:, 0]].add(jnp.sum(found, axis=1))

    start = jnp.zeros((len(rows), 2))
    sums = csr.fold_known_positives(data, shorter, there, lambda items: items, update, start)
    return Partners(ids, sums[:, 0], jnp.where(there, 1.0 / jnp.maximum(sums[:, 1], 1e-12), 0.0))


def _degrees(data: DeviceInteractions, rows: Array) -> Array:
    return data.indptr[rows + 1] - data.indptr[rows]


def make(options: CrmlOptions, loss: Loss) -> Model:
    """CRML (Wu et al., Neural Networks 2020): three tasks at once, of which two are GloVe's, of users and of items.

        L + L_users + L_items + alpha ||u - x_u||^2 + beta ||p - y_p||^2
        L_users = mean over u, v that share X items of
            min(1, ((X + 1) / X_max)^(3/4)) (<x_u, x_v> + b_u + b_v - log(X + 1))^2

    and likewise L_items, of y and the number of users that two items share. L is the loss of the pairs; the last two
    terms are means over pairs (u, p) too. A step draws a partner for each user and each positive and weighs them so
    that all that share something count alike. x and y are under the norm constraint, biases are free. Items are ranked
    by distance.

    The formulas are those of the authors' code, since the paper could not be reached. It trains the three in turn, a
    pass over all pairs of users, over all of items and over those of both, each with its own optimizer and sums in the
    place of means; leaves out users who share one item; and draws the closest negatives to their y as well. LibCML
    has X for X + 1, all users and all items of a batch in the place of partners, and leaves out those that share one.
    """

    def init(key, data):
        of_points, of_partners = jax.random.split(key)
        params, others = init_points(options, of_points, data), init_points(options, of_partners, data)
        biases = {"user_biases": jnp.zeros(data.num_users), "item_biases": jnp.zeros(data.num_items)}
        named = {f"co_{name}": rows for name, rows in others.tables.items()}
        return params._replace(tables=params.tables | named | biases)

    def draw(key, batch, data):
        keys = jax.random.split(key)
        return {
            "user": partners(keys[0], data, batch.users, batch.positives, batch.trained),
            "positive": partners(keys[1], transposed(data), batch.positives, batch.users, batch.trained),
        }

    def lookups(batch, data):
        del data
        found = users_positives_others(batch)
        for role, tables in _TABLES.items():
            partner = batch.drawn[role]
            other = Lookup("", partner.ids, partner.counts > 0)
            for table in tables:
                found |= {f"{role}_{table}": found[role]._replace(table=table)}
                found |= {f"partner_{table}": other._replace(table=table)}
        return found

    def pair_losses(points, dense, batch):
        del dense
        users, positives, others = (points[role] for role in ("user", "positive", "others"))

        def example(user, positive, others, valid):
            return loss.example(distances(user, positive), distances(user, others), valid)

        each = jax.vmap(example)(users, positives, others, batch.valid)
        each += options.user_cooccurrence_weight * squared_distance(users, points["user_co_users"])
        return each + options.item_cooccurrence_weight * squared_distance(positives, points["positive_co_items"])

    def penalty(points, dense, batch, total):
        del dense
        value = jnp.zeros(())
        for role, (table, biases) in _TABLES.items():
            of_partners = batch.drawn[role]
            own, other = points[f"{role}_{table}"], points[f"partner_{table}"]
            products = jnp.vecdot(own, other, precision=jax.lax.Precision.HIGHEST)
            counts = of_partners.counts + 1.0
            found = products + points[f"{role}_{biases}"] + points[f"partner_{biases}"] - jnp.log(counts)
            capped = jnp.minimum(counts / options.cooccurrence_cap, 1.0) ** _EXPONENT
            weights = jnp.where(batch.trained, of_partners.weights, 0.0)
            value += total(weights * capped * jnp.square(found)) / jnp.maximum(total(weights), 1e-12)
        return value

    constraint = CONSTRAINTS[options.constraint]
    constraints = dict.fromkeys(("users", "items", "co_users", "co_items"), constraint)
    return make_point_model(
        options,
        pair_losses,
        init=init,
        lookups=lookups,
        penalty=penalty,
        constraints=constraints,
        draw=draw,
        reads_item_users=True,
    )


CRML = Strategy("crml", CrmlOptions, make)
