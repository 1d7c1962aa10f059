"""Collaborative translational metric learning (TransCF): a user is moved by what the neighbourhoods have in common."""

import jax
import jax.numpy as jnp

from cml_jax.geometry import squared_distance
from cml_jax.losses.base import Loss
from cml_jax.models import neighbours
from cml_jax.models.base import Model, distances, users_positives_others
from cml_jax.models.points import make_point_model
from cml_jax.options import FINITE_AT_LEAST_0, options, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array, Factors, Lookup

_ROLES = {"user": "items", "positive": "users", "others": "users"}  # role -> table of its neighbours


@options
class TranscfOptions(neighbours.NeighbourOptions):
    """Options of TransCF; the weights are those of Tran et al. 2021, who tuned it on four data sets."""

    distance_weight: float = traced(
        0.1, "lambda_dist of TransCF: weight of the distance of user and positive", FINITE_AT_LEAST_0
    )
    neighbourhood_weight: float = traced(
        0.1, "lambda_nbr of TransCF: weight of the distances of points to their neighbourhoods", FINITE_AT_LEAST_0
    )


def translated_factors(users: Array, items: Array, of_users: Array, of_items: Array) -> Factors:
    """Ranks by -||u + a * b - i||^2, which is an inner product of 4 D + 2 factors.

    -||u||^2 - ||i||^2 - <a^2, b^2> + 2 <u, i> + 2 <a, b * i> - 2 <u * a, b>.

    Args:
        users: Array[U, D], u.
        items: Array[I, D], i.
        of_users: Array[U, D], a.
        of_items: Array[I, D], b.
    """

    def norms(points):
        return jnp.sum(jnp.square(points), axis=1, keepdims=True)

    one_each = [jnp.ones((len(points), 1)) for points in (users, items)]
    queries = [users, of_users, users * of_users, jnp.square(of_users), one_each[0], -norms(users)]
    keys = [2.0 * items, 2.0 * of_items * items, -2.0 * of_items, -jnp.square(of_items), -norms(items), one_each[1]]
    return Factors(jnp.concatenate(queries, axis=1), jnp.concatenate(keys, axis=1))


def make(options: TranscfOptions, loss: Loss) -> Model:
    """TransCF (Park et al., ICDM 2018): score(u, i) = -||u + r_ui - i||^2, r_ui = a_u * b_i, elementwise.

    a_u is the mean of the points of u's items, and b_i that of the points of i's users; 0 where there is none. Besides
    the loss, in which every item has its own r_ui, a pair (u, p) has the regularisers of distances and neighbourhoods,

        lambda_dist ||u + r_up - p||^2 + lambda_nbr (||u - a_u||^2 + ||p - b_p||^2),

    over the pairs of a batch, as in the authors' code, which adds their sums to the mean of the hinges. That code reads
    all neighbours. A step reads K at most, drawn anew: means and r_ui are unbiased, the squared distances have the
    variance of r_ui besides. Ranking reads all.
    """

    def context(params, data):
        users, items = (options.embed(params.tables[name]) for name in ("users", "items"))
        return {
            "user_neighbourhoods": neighbours.means(items, data.users, data.items, num_rows=len(users)),
            "item_neighbourhoods": neighbours.means(users, data.items, data.users, num_rows=len(items)),
        }

    def context_of(kind, other):
        def rows(params, histories):
            points = options.embed(params.tables[f"{other}s"])
            return {f"{kind}_neighbourhoods": neighbours.means_of_histories(points, histories)}

        return rows

    def draw(key, batch, data):
        by_user, by_item = (data.indptr, data.items), data.item_users
        lists = zip(_ROLES, (by_user, by_item, by_item), (batch.users, batch.positives, batch.others), strict=True)
        keys = iter(jax.random.split(key, len(_ROLES)))
        return {
            role: neighbours.draw(next(keys), indptr, members, ids, options.num_neighbours)
            for role, (indptr, members), ids in lists
        }

    def lookups(batch, data):
        del data
        found = users_positives_others(batch)
        for role, table in _ROLES.items():
            near = batch.drawn[role]
            counted = near.found & found[role].counted[..., None]
            found |= {f"near_{role}": Lookup(table, near.ids, counted)}
        return found

    def pair_losses(points, dense, batch):
        del dense
        users, positives, others = (points[role] for role in _ROLES)
        of_users, of_positives, of_others = (
            neighbours.mean_of(points[f"near_{role}"], batch.drawn[role].found) for role in _ROLES
        )

        def example(user, positive, others, valid, of_user, of_positive, of_others):
            own = distances(user + of_user * of_positive, positive)
            value = loss.example(own, -squared_distance(user[None] + of_user[None] * of_others, others), valid)
            apart = squared_distance(user, of_user) + squared_distance(positive, of_positive)
            return value - options.distance_weight * own + options.neighbourhood_weight * apart

        return jax.vmap(example)(users, positives, others, batch.valid, of_users, of_positives, of_others)

    def ranking(params, data):
        known = params.tables
        if "user_neighbourhoods" not in known:
            known = known | context(params, data)
        users, items = (options.embed(known[name]) for name in ("users", "items"))
        return translated_factors(users, items, known["user_neighbourhoods"], known["item_neighbourhoods"])

    return make_point_model(
        options,
        pair_losses,
        lookups=lookups,
        ranking=ranking,
        draw=draw,
        reads_item_users=True,
        context=context,
        context_of={"user": context_of("user", "item"), "item": context_of("item", "user")},
    )


TRANSCF = Strategy("transcf", TranscfOptions, make)
