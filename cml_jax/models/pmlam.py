"""Probabilistic metric learning with adaptive margins (PMLAM): users and items are Gaussians."""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp

from cml_jax.geometry import CONSTRAINTS, Constraint, to_sphere
from cml_jax.losses.base import Loss
from cml_jax.models.base import Model, distances, lacks_margin
from cml_jax.models.points import PointOptions, distance_factors, make_point_model
from cml_jax.options import Range, options, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array, Params

_UNITS = 32  # hidden ones, of the generator of margins


@options
class PmlamOptions(PointOptions):
    """Options of PMLAM."""

    similarities: ClassVar[tuple[str, ...]] = ("distance",)

    margin_quantile: float = traced(
        0.1,
        "of PMLAM: share of the triplets of like pairs that are to violate their margin",
        Range(lambda v: 0 < v < 1, "must be between 0 and 1"),
    )

    @classmethod
    def objection(cls, loss: Loss) -> str:
        """Objects to losses that are more than a hinge, or take no margin of their own for each pair."""
        return "learns margins, which {loss} does not have" if lacks_margin(loss) else ""


def by_half(of_means: Callable[[Array], Array], of_deviations: Callable[[Array], Array]) -> Callable[[Array], Array]:
    """A function of rows Array[..., 2 D] that treats means and standard deviations apart."""

    def both(rows):
        means, deviations = jnp.split(rows, 2, axis=-1)
        return jnp.concatenate([of_means(means), of_deviations(deviations)], axis=-1)

    return both


def of_gaussians(constraint: Constraint) -> Constraint:
    """A norm constraint of means and of standard deviations, which are 0 or more besides."""
    embed, project, parametrize = constraint
    return Constraint(
        embed=by_half(embed, embed),
        project=by_half(project, lambda rows: project(jnp.maximum(rows, 0.0))),
        # The size, since what is cut off at 0 would have no gradient any more.
        parametrize=lambda rows, scale: by_half(
            lambda means: parametrize(means, scale), lambda rows: parametrize(jnp.abs(rows), scale)
        )(rows),
    )


def make(options: PmlamOptions, loss: Loss) -> Model:
    """PMLAM (Ma et al., KDD 2020): Gaussians, and for every pair a margin that is generated.

    Users and items are Gaussians of diagonal covariance, a row (mu, sigma) each, both parts under the norm constraint
    and sigma at least 0. They are compared by the squared 2-Wasserstein distance

        W(u, i)^2 = ||mu_u - mu_i||^2 + ||sigma_u - sigma_i||^2,

    so that items are ranked as points of 2 D numbers. For a pair (u, p) with negatives n, of which the closest counts,

        [m_up + W(u, p)^2 - W(u, n)^2]_+ - q m_up,  m_up = 2 m sigmoid( a . tanh(A s + b) + c ),

    with s the squares of the entries of the difference of (mu_u, sigma_u) and (mu_p, sigma_p). The generator A, b, a, c
    is made of dense parameters; margins start at m, that of the triplet loss.

    The paper generates the margin of a triplet, from samples of its three Gaussians, by a bilevel problem: a generator
    is sought whose margins train what another loss then finds good. The derivative of the hinge by its margin is a
    step, so that nothing but its kink would tell the generator anything. Here both are trained by one loss, that of
    quantile regression: at its minimum a share q of the triplets of like pairs violate their margin. The generator does
    not see the negative, from which the separation would follow, that is, the margin that nothing violates. The paper's
    terms of similar users and of similar items are left out.
    """
    hinge = loss.hinge
    assert hinge is not None
    constraint = of_gaussians(CONSTRAINTS[options.constraint])

    def fresh(key, count):
        means, deviations = jnp.moveaxis(options.fresh_rows(key, (count, 2)), 1, 0)
        return jnp.concatenate([means, jnp.abs(deviations)], axis=1)

    def init(key, data):
        user_key, item_key, generator_key = jax.random.split(key, 3)
        tables = {"users": fresh(user_key, data.num_users), "items": fresh(item_key, data.num_items)}
        dense = {
            # Of unit variance, since squares of entries are about 1 / D.
            "hidden": jax.random.normal(generator_key, (2 * options.dim, _UNITS)),
            "hidden_bias": jnp.zeros(_UNITS),
            "output": jnp.zeros(_UNITS),
            "output_bias": jnp.zeros(()),
        }
        return Params(tables, dense)

    def pair_losses(points, dense, batch):
        users, positives, negatives = (points[role] for role in ("user", "positive", "others"))
        hidden = jnp.tanh(jnp.square(users - positives) @ dense["hidden"] + dense["hidden_bias"][None, :])
        margins = 2.0 * loss.scale * jax.nn.sigmoid(hidden @ dense["output"] + dense["output_bias"])

        def example(user, positive, negatives, valid, margin):
            violated = hinge(distances(user, positive), distances(user, negatives), valid, margin)
            return violated - options.margin_quantile * margin

        return jax.vmap(example)(users, positives, negatives, batch.valid, margins)

    def points_of(table):
        return lambda tables, dense, ids: constraint.embed(tables[table][ids])

    def ranking(params, data):
        del data
        return distance_factors(*(constraint.embed(params.tables[name]) for name in ("users", "items")))

    return make_point_model(
        options,
        pair_losses,
        init=init,
        constraints={"users": constraint, "items": constraint},
        user_points=points_of("users"),
        item_points=points_of("items"),
        # Of the means: standard deviations are all of one sign, and so all alike.
        directions=lambda tables, dense, ids: to_sphere(tables["items"][ids][..., : options.dim]),
        ranking=ranking,
        parametrize_user=constraint.parametrize,
    )


PMLAM = Strategy("pmlam", PmlamOptions, make)
