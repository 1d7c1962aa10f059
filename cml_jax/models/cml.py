"""Collaborative metric learning: users and items as points of one Euclidean space, the nearest items first."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from cml_jax.geometry import CONSTRAINTS, to_sphere
from cml_jax.losses.base import Loss
from cml_jax.losses.gor import GOR_FORMS, gor_penalty
from cml_jax.models.base import Model, gaussian_table, loss_of_points, users_positives_others
from cml_jax.options import (
    FINITE_AT_LEAST_0,
    POSITIVE,
    Effect,
    Range,
    StrategyOptions,
    derived,
    one_of,
    options,
    static,
    traced,
)
from cml_jax.registry import Strategy
from cml_jax.types import Array, Factors, Params


@options
class PointOptions(StrategyOptions):
    """Options of models whose users and items are rows of D numbers."""

    similarities: ClassVar[tuple[str, ...]] = ("distance", "cosine")

    dim: int = static(
        64, "D, the embedding dimension", Range(lambda v: 1 <= v < 2**20, "must be 1 or more and below 2^20")
    )
    constraint: str = static("sphere", "norm constraint: ball | sphere | none", one_of(CONSTRAINTS))
    init_scale: float = traced(
        1.0, "root mean square norm of a fresh row; on the sphere, small values make the first steps large", POSITIVE
    )


def _has_gor_form(chosen: Any) -> bool:
    return chosen.similarity == "distance" and chosen.loss_takes == "negatives" and chosen.model.options.gor != "none"


@options
class CmlOptions(PointOptions):
    """Options of collaborative metric learning."""

    gor_weight: float = traced(0.0, "weight of the GOR term", FINITE_AT_LEAST_0)
    gor_form: str = static(
        "mean",
        "GOR term: mean | sum; sum is the released code's",
        one_of(GOR_FORMS),
        Effect(_has_gor_form, "model.loss = 'triplet' and model.gor_weight above 0", enforced=True),
    )
    gor: str = derived("none")

    def resolved(self, chosen: Any, train: Any) -> dict[str, Any]:
        """The form of the GOR term, or 'none' where its weight is 0."""
        del chosen, train
        return {"gor": self.gor_form if self.gor_weight > 0 else "none"}


@jax.jit
def distance_factors(users: Array, items: Array) -> Factors:
    """Ranks by -||u - i||^2: <(u, 1), (2 i, -||i||^2)> is that but for the user's own ||u||^2."""
    keys = jnp.concatenate([2.0 * items, -jnp.sum(jnp.square(items), axis=1)[:, None]], axis=1)
    queries = jnp.pad(users, ((0, 0), (0, 1)), constant_values=1.0)
    return Factors(queries, keys, offsets=-jnp.sum(jnp.square(users), axis=1))


def make(options: CmlOptions, loss: Loss) -> Model:
    """Collaborative metric learning (Hsieh et al. 2017; Tran et al. 2019)."""
    embed, project, parametrize = CONSTRAINTS[options.constraint]

    def init(key, data):
        user_key, item_key = jax.random.split(key)

        def random_table(key, num_rows):
            return project(gaussian_table(key, num_rows, options.dim, options.init_scale))

        return Params(
            {"users": random_table(user_key, data.num_users), "items": random_table(item_key, data.num_items)}
        )

    def pair_losses(rows, dense, batch):
        del dense
        users, positives, others = (embed(rows[role]) for role in ("user", "positive", "others"))
        return loss_of_points(loss, users, positives, others, batch.valid)

    def penalty(rows, dense, batch, total):
        del dense
        if options.gor == "none":
            return jnp.zeros(())
        users, positives, others = (embed(rows[role]) for role in ("user", "positive", "others"))
        return options.gor_weight * gor_penalty(options.gor, users, positives, others, batch.valid, total)

    def ranking(params, data):
        del data
        return distance_factors(embed(params.tables["users"]), embed(params.tables["items"]))

    return Model(
        init=init,
        lookups=lambda batch, data: users_positives_others(batch),
        loss=pair_losses,
        project={"users": project, "items": project},
        user_points=lambda tables, dense, ids: embed(tables["users"][ids]),
        item_points=lambda tables, dense, ids: embed(tables["items"][ids]),
        # The points of every constraint lie in the direction of their rows.
        directions=lambda tables, dense, ids: to_sphere(tables["items"][ids]),
        ranking=ranking,
        parametrize_user=parametrize,
        penalty=penalty,
    )


CML = Strategy("cml", CmlOptions, make)
