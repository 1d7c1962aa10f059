"""SimpleX: a user is its own row and the mean of its items, compared by cosine."""

from typing import ClassVar

import jax.numpy as jnp

from cml_jax.geometry import to_sphere
from cml_jax.losses.base import Loss
from cml_jax.models import neighbours
from cml_jax.models.base import Model, loss_of_points, users_positives_others
from cml_jax.models.points import init_points, make_point_model
from cml_jax.options import Range, options, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array, Factors, Lookup, PyTree


@options
class SimplexOptions(neighbours.NeighbourOptions):
    """Options of SimpleX."""

    similarities: ClassVar[tuple[str, ...]] = ("cosine",)

    own_share: float = traced(
        0.5,
        "g of SimpleX: share of a user's own row in its point, the rest is of its items",
        Range(lambda v: 0 <= v <= 1, "must be from 0 to 1"),
    )

    @classmethod
    def objection(cls, loss: Loss) -> str:
        """Goes with every loss of cosines."""
        del loss
        return ""


def make(options: SimplexOptions, loss: Loss) -> Model:
    """SimpleX (Mao et al., CIKM 2021): score(u, i) = cos(h_u, i), h_u = g u + (1 - g) V p_u.

    p_u is the mean of the points of u's items, 0 where there is none, and V a matrix that all users share, at the
    start the identity. The paper's loss is `model.loss=ccl`. As in its code a step reads K of a user's items at most,
    here a draw of them without the positive, which ranking does not know to be one; ranking reads all.
    """

    def combined(users: Array, means: Array, dense: PyTree) -> Array:
        return options.own_share * users + (1.0 - options.own_share) * jnp.matmul(means, dense["pooling"])

    def init(key, data):
        return init_points(options, key, data)._replace(dense={"pooling": jnp.eye(options.dim)})

    def draw(key, batch, data):
        return neighbours.draw_without_positives(key, batch, data, options.num_neighbours)

    def lookups(batch, data):
        del data
        near = batch.drawn
        return users_positives_others(batch) | {
            "near": Lookup("items", near.ids, near.found & batch.trained[:, None]),
        }

    def pair_losses(points, dense, batch):
        users = combined(points["user"], neighbours.mean_of(points["near"], batch.drawn.found), dense)
        return loss_of_points(loss, users, points["positive"], points["others"], batch)

    def context(params, data):
        items = options.embed(params.tables["items"])
        means = neighbours.means(items, data.users, data.items, num_rows=len(params.tables["users"]))
        return {"user_neighbourhoods": means}

    def context_of_users(params, histories):
        points = options.embed(params.tables["items"])
        return {"user_neighbourhoods": neighbours.means_of_histories(points, histories)}

    def ranking(params, data):
        known = params.tables
        if "user_neighbourhoods" not in known:
            known = known | context(params, data)
        users, items = (options.embed(known[name]) for name in ("users", "items"))
        return Factors(to_sphere(combined(users, known["user_neighbourhoods"], params.dense)), to_sphere(items))

    return make_point_model(
        options,
        pair_losses,
        init=init,
        lookups=lookups,
        ranking=ranking,
        draw=draw,
        context=context,
        context_of={"user": context_of_users},
    )


SIMPLEX = Strategy("simplex", SimplexOptions, make)
