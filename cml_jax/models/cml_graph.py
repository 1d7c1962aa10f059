"""CML on the item graph: a point is its own row and the mean of those nearest to it, of items and perhaps of users."""

from typing import Any

import jax.numpy as jnp

from cml_jax.data.interactions import Interactions
from cml_jax.errors import ConfigError
from cml_jax.geometry import to_sphere
from cml_jax.losses.base import Loss
from cml_jax.models import cml_bias
from cml_jax.models.base import Model
from cml_jax.options import AT_LEAST_0, AT_LEAST_1, FINITE_AT_LEAST_0, Effect, options, static, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array

_KINDS = {"user": "user", "positive": "item", "others": "item"}  # of the points of a role


def _has_nearest_users(chosen: Any) -> bool:
    return chosen.model.options.num_nearest_users > 0


@options
class CmlGraphOptions(cml_bias.CmlBiasOptions):
    """Options of CML on the item graph."""

    num_nearest_items: int = static(5, "K of cml_graph: nearest items, whose mean is added to an item", AT_LEAST_1)
    nearest_weight: float = traced(0.5, "a of cml_graph: weight of the mean of the nearest items", FINITE_AT_LEAST_0)
    num_nearest_users: int = static(
        0, "L of cml_graph: nearest users, whose mean is added to a user; 0 for none", AT_LEAST_0
    )
    nearest_users_weight: float = traced(
        0.8,
        "c of cml_graph: weight of the mean of the nearest users",
        FINITE_AT_LEAST_0,
        Effect(_has_nearest_users, "model.num_nearest_users above 0", enforced=True),
    )

    def check_data(self, chosen: Any, train: Interactions) -> None:
        """Raises ConfigError where more nearest items or users are asked for than there are."""
        asked = {"items": (self.num_nearest_items, train.num_items), "users": (self.num_nearest_users, train.num_users)}
        for kind, (count, known) in asked.items():
            if count > known:
                raise ConfigError(
                    f"model.num_nearest_{kind} = {count} is above the number of {kind}, {known}; lower it."
                )


def make(options: CmlGraphOptions, loss: Loss) -> Model:
    """CML with item biases on the item graph: score(u, i) = cos(p_u, q_i) + s b_i.

    q_i = v_i + a / K sum_j v_j, j the K items nearest to i, and p_u = u + c / L sum_w w, w the L users nearest to u, or
    u alone where L is 0. All u, v and w are unit vectors; the nearest are those of `data.nearest`, by the users, or the
    items, that they share. An item thus learns from the pairs of its neighbours, as by a layer of graph convolution
    (LightGCN, He et al., SIGIR 2020) over the strongest edges of the item-item graph (UltraGCN, Mao et al., CIKM 2021),
    and a user from those of its own. Ranking takes two vectors, as without the graph; samplers see the u and v alone.
    Users who are folded in have no nearest users; new items are not placed without training.
    """
    plain = cml_bias.make(options, loss)
    weights = {"item": options.nearest_weight, "user": options.nearest_users_weight}
    both = {"item": options.num_nearest_items, "user": options.num_nearest_users}
    counts = {kind: count for kind, count in both.items() if count}
    roles = {role: kind for role, kind in _KINDS.items() if kind in counts}

    def combined(kind: str, own: Array, means: Array) -> Array:
        return to_sphere(own) + weights[kind] * means

    def lookups(batch, data):
        found = plain.lookups(batch, data)
        for role, kind in roles.items():
            of = found[role]
            ids = data.nearest[kind][of.ids]
            found[f"near_{role}"] = of._replace(ids=ids, counted=jnp.broadcast_to(of.counted[..., None], ids.shape))
        return found

    def pair_losses(points, dense, batch):
        means = {role: jnp.mean(to_sphere(points[f"near_{role}"]), axis=-2) for role in roles}
        moved = {role: combined(kind, points[role], means[role]) for role, kind in roles.items()}
        return plain.loss(points | moved, dense, batch)

    def context(params, data):
        tables = {kind: to_sphere(options.embed(params.tables[f"{kind}s"])) for kind in counts}
        return {_means_of(kind): means_of_nearest(points, data.nearest[kind]) for kind, points in tables.items()}

    def points_of(kind, plain_points):
        def points(tables, dense, ids):
            own = plain_points(tables, dense, ids)
            means = tables.get(_means_of(kind))
            return own if means is None else to_sphere(combined(kind, own, means[ids]))

        return points

    def context_of_users(params, histories):
        return {_means_of("user"): jnp.zeros((len(histories), options.dim), params.tables["users"].dtype)}

    def ranking(params, data):
        known = params.tables
        if _means_of("item") not in known:
            known = known | context(params, data)
        moved = {
            f"{kind}s": combined(kind, options.embed(known[f"{kind}s"]), known[_means_of(kind)]) for kind in counts
        }
        return plain.ranking(params._replace(tables=known | moved), data)

    return plain._replace(
        lookups=lookups,
        loss=pair_losses,
        user_points=points_of("user", plain.user_points),
        item_points=points_of("item", plain.item_points),
        ranking=ranking,
        context=context,
        context_of={"user": context_of_users} if "user" in counts else {},
        num_nearest=counts,
    )


def means_of_nearest(points: Array, nearest: Array) -> Array:
    """Means Array[n + m, D] of the points nearest to each of n, ids Array[n, K]; m rows of zeros below them.

    The m last points fill up tables which devices share.
    """
    total = jnp.asarray(sum(points[ids] for ids in nearest.T))  # one at a time, since all take K times as much
    return jnp.pad(total / nearest.shape[1], ((0, len(points) - len(nearest)), (0, 0)))


def _means_of(kind: str) -> str:
    return f"{kind}_neighbourhoods"


CML_GRAPH = Strategy("cml_graph", CmlGraphOptions, make)
