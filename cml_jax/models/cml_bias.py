"""CML with item biases: how popular an item is stands beside how near it is."""

from typing import ClassVar

import jax.numpy as jnp

from cml_jax.geometry import to_sphere
from cml_jax.losses.base import Loss
from cml_jax.models.base import Model, loss_of_points, users_positives_others
from cml_jax.models.points import PointOptions, init_points, make_point_model
from cml_jax.options import POSITIVE, options, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array, Factors


@options
class CmlBiasOptions(PointOptions):
    """Options of CML with item biases."""

    similarities: ClassVar[tuple[str, ...]] = ("distance", "cosine")

    bias_scale: float = traced(
        0.1, "s of cml_bias: unit of item biases, in cosines; they learn in proportion to it", POSITIVE
    )


def of_inner_products(loss: Loss) -> Loss:
    """A loss of cosines or of squared distances as one of the inner products of unit vectors."""
    if loss.similarity == "cosine":
        return loss._replace(similarity="inner_product")

    def example(own, others, valid):
        return loss.example(2.0 * own - 2.0, 2.0 * others - 2.0, valid)

    return loss._replace(example=example, similarity="inner_product", hinge=None, moments=None)


def make(options: CmlBiasOptions, loss: Loss) -> Model:
    """CML with item biases: score(u, i) = cos(u, i) + s b_i, the b_i learned with the points.

    On the sphere all items are equally long, so that popularity takes room from taste; the bias, as in matrix
    factorization (Koren et al. 2009, eq. 4), is one coordinate for it alone: s b_i of an item, 1 of every user.
    The uniform candidates of a softmax then teach b the items' popularity, without an exponent on the negative part.
    A loss of squared distances takes -||u - i||^2 + 2 s b_i of unit vectors, which is 2 score(u, i) - 2.
    """
    loss = of_inner_products(loss)

    def init(key, data):
        params = init_points(options, key, data)
        return params._replace(tables=params.tables | {"item_biases": jnp.zeros(data.num_items)})

    def lookups(batch, data):
        del data
        found = users_positives_others(batch)
        biases = {f"{role}_bias": found[role]._replace(table="item_biases") for role in ("positive", "others")}
        return found | biases

    def of_users(points: Array) -> Array:
        return jnp.concatenate([to_sphere(points), jnp.ones_like(points[..., :1])], axis=-1)

    def of_items(points: Array, biases: Array) -> Array:
        return jnp.concatenate([to_sphere(points), options.bias_scale * biases[..., None]], axis=-1)

    def pair_losses(points, dense, batch):
        del dense
        positives, others = (of_items(points[role], points[f"{role}_bias"]) for role in ("positive", "others"))
        return loss_of_points(loss, of_users(points["user"]), positives, others, batch)

    def ranking(params, data):
        del data
        users, items = (options.embed(params.tables[name]) for name in ("users", "items"))
        return Factors(of_users(users), of_items(items, params.tables["item_biases"]))

    return make_point_model(options, pair_losses, init=init, lookups=lookups, ranking=ranking)


CML_BIAS = Strategy("cml_bias", CmlBiasOptions, make)
