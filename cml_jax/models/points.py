"""What families of points share: users and items in one Euclidean space, the nearest items first."""

import functools
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from cml_jax.geometry import CONSTRAINTS, identity, to_sphere
from cml_jax.losses.base import Loss
from cml_jax.models.base import Model, users_positives_others
from cml_jax.options import POSITIVE, Range, StrategyOptions, one_of, options, static, traced
from cml_jax.types import Array, Batch, DeviceInteractions, Factors, Params, PyTree


@options
class RowOptions(StrategyOptions):
    """Options of models whose users and items are rows of D numbers."""

    similarities: ClassVar[tuple[str, ...]] = ("distance", "cosine")
    trains_by_example: ClassVar[bool] = True  # whether the loss is what the pair's loss is made of; False: its scale is

    dim: int = static(
        128, "D, the embedding dimension", Range(lambda v: 1 <= v < 2**20, "must be 1 or more and below 2^20")
    )
    init_scale: float = traced(
        0.1, "root mean square norm of a fresh row; on the sphere, small values make the first steps large", POSITIVE
    )

    @classmethod
    def objection(cls, loss: Loss) -> str:
        """Why the model refuses a loss of its similarity, a clause in which {loss} stands for it; '' where it does not.

        Such as 'learns margins, which {loss} does not have'.
        """
        del loss
        return ""

    def fresh_rows(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Gaussian rows, Array[*shape, D], of expected squared norm init_scale^2."""
        return self.init_scale / self.dim**0.5 * jax.random.normal(key, (*shape, self.dim))


@options
class PointOptions(RowOptions):
    """Options of models whose rows are points of a Euclidean space, perhaps under a norm constraint."""

    constraint: str = static("sphere", "norm constraint: ball | sphere | none", one_of(CONSTRAINTS))

    def embed(self, rows: Array) -> Array:
        """Rows of a table as points of the metric space, Array[..., D] -> Array[..., D]."""
        return CONSTRAINTS[self.constraint].embed(rows)

    def fresh_rows(self, key: Array, shape: tuple[int, ...]) -> Array:
        """Gaussian rows, Array[*shape, D], of expected squared norm init_scale^2, within the constraint."""
        return CONSTRAINTS[self.constraint].project(super().fresh_rows(key, shape))


@functools.partial(jax.jit, static_argnames="embed")
def distance_factors(users: Array, items: Array, *, embed: Callable[[Array], Array] = identity) -> Factors:
    """Ranks by -||u - i||^2: <(u, 1), (2 i, -||i||^2)> is that but for the user's own ||u||^2.

    Args:
        users: Array[U, D]; points, or rows of the table.
        items: Array[I, D], likewise.
        embed: from rows to points.
    """
    users, items = embed(users), embed(items)
    keys = jnp.concatenate([2.0 * items, -jnp.sum(jnp.square(items), axis=1)[:, None]], axis=1)
    queries = jnp.pad(users, ((0, 0), (0, 1)), constant_values=1.0)
    return Factors(queries, keys, offsets=-jnp.sum(jnp.square(users), axis=1))


def init_points(options: RowOptions, key: Array, data: DeviceInteractions) -> Params:
    """Fresh tables of users and items."""
    user_key, item_key = jax.random.split(key)
    users = options.fresh_rows(user_key, (data.num_users,))
    return Params({"users": users, "items": options.fresh_rows(item_key, (data.num_items,))})


def make_point_model(
    options: PointOptions, pair_losses: Callable[[dict[str, Array], PyTree, Batch], Array], **others: Any
) -> Model:
    """A model of points that ranks by distance.

    Args:
        options: of the points.
        pair_losses: the `loss` of the model.
        **others: fields of `Model` that differ from those of the plain model.
    """

    def ranking(params, data):
        del data
        return distance_factors(params.tables["users"], params.tables["items"], embed=constraint.embed)

    constraint = CONSTRAINTS[options.constraint]
    fields: dict[str, Any] = {
        "init": functools.partial(init_points, options),
        "lookups": lambda batch, data: users_positives_others(batch),
        "constraints": {"users": constraint, "items": constraint},
        "user_points": lambda tables, dense, ids: options.embed(tables["users"][ids]),
        "item_points": lambda tables, dense, ids: options.embed(tables["items"][ids]),
        # The points of every constraint lie in the direction of their rows.
        "directions": lambda tables, dense, ids: to_sphere(tables["items"][ids]),
        "ranking": ranking,
        "parametrize_user": constraint.parametrize,
    }
    return Model(loss=pair_losses, **(fields | others))
