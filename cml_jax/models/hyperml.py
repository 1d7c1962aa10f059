"""Hyperbolic metric learning (HyperML): users and items are points of the Poincaré ball."""

import functools
from typing import ClassVar

import jax
import jax.numpy as jnp

from cml_jax.geometry import Constraint, squared_distance, to_sphere, within_radius
from cml_jax.losses.base import Loss, mean_of_valid
from cml_jax.models.base import Model, users_positives_others
from cml_jax.models.points import RowOptions, init_points
from cml_jax.options import FINITE_AT_LEAST_0, Range, options, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array, Factors

_TINY = 1e-12  # keeps roots of 0 finite, in value and gradient


@options
class HypermlOptions(RowOptions):
    """Options of HyperML."""

    similarities: ClassVar[tuple[str, ...]] = ("distance",)

    distortion_weight: float = traced(
        1.0, "gamma of HyperML: weight of how far hyperbolic distances are from Euclidean ones", FINITE_AT_LEAST_0
    )
    max_radius: float = traced(
        6.0,
        "of HyperML: bound on the hyperbolic distance of a point from the origin",
        # Scores have terms up to cosh(radius)^2, of which float32 keeps seven digits.
        Range(lambda v: 0.01 <= v <= 8, "must be between 0.01 and 8, or float32 cannot tell points apart"),
    )


def root(squares: Array) -> Array:
    """Square root with a finite gradient at 0."""
    return jnp.sqrt(jnp.maximum(squares, _TINY))


def norms(rows: Array) -> Array:
    """Norms of rows, Array[..., D] -> Array[...]."""
    return root(jnp.vecdot(rows, rows, precision=jax.lax.Precision.HIGHEST))


def euclidean(user: Array, items: Array) -> Array:
    """||u - i|| of rows Array[D] and Array[D] or Array[n, D]."""
    return root(squared_distance(user if items.ndim == 1 else user[None, :], items))


def hyperbolic(user: Array, items: Array) -> Array:
    """Hyperbolic distances of f(u) and f(i), of rows Array[D] and Array[D] or Array[n, D].

    f(x) = tanh(||x|| / 2) x / ||x||, the exponential map at the origin of the Poincaré ball, and (Tran et al. 2020)

        d(f(u), f(i)) = arcosh( 1 + 2 ||f(u) - f(i)||^2 / ((1 - ||f(u)||^2) (1 - ||f(i)||^2)) ).

    Since 1 - ||f(x)||^2 = 1 / cosh(||x|| / 2)^2, which cannot be had from f(x) near the boundary, that is

        sinh(d / 2) = ||f(u) - f(i)|| cosh(||u|| / 2) cosh(||i|| / 2).
    """

    def in_ball(rows):
        radius = norms(rows)
        return rows * (jnp.tanh(radius / 2) / radius)[..., None], jnp.cosh(radius / 2)

    (point, stretch), (points, stretches) = in_ball(user), in_ball(items)
    return 2.0 * jnp.arcsinh(euclidean(point, points) * stretch * stretches)


def hyperboloid(rows: Array) -> tuple[Array, Array]:
    """Points of the hyperboloid, (sinh(r) x / r, cosh(r)) with r = ||x||: Array[n, D] -> Array[n, D], Array[n, 1]."""
    radius = norms(rows)[:, None]
    return rows * (jnp.sinh(radius) / radius), jnp.cosh(radius)


def make(options: HypermlOptions, loss: Loss) -> Model:
    """HyperML (Vinh Tran et al., WSDM 2020): the loss of hyperbolic distances, and their distortion.

    For a pair (u, p) with negatives n, of which the closest counts in the hinge,

        [m + d(u, p)^2 - d(u, n)^2]_+ + gamma ( |d(u, p) / e(u, p) - 1| + mean_n |d(u, n) / e(u, n) - 1| ),

    where d is the distance of the points f(x) in the ball, see `hyperbolic`, and e that of the rows x. The rows are the
    tangent space at the origin, in units in which f keeps lengths there; the paper's f(x) = tanh(||x||) x / ||x||
    doubles them, so that its distortion is twice this one plus a constant.

    The paper takes Riemannian gradients at points of the ball. Here rows are trained through f instead: moments of Adam
    belong to the tangent space of a point, and would have to be transported whenever it moves, also in the steps that
    catch up at once; in the tangent space at the origin every update is a Euclidean one.

    Items are ranked by 2 (<u', i'> - u_0 i_0) = -2 cosh d(u, i) of points of the hyperboloid, an inner product.
    """
    within = functools.partial(within_radius, radius=options.max_radius)
    constraint = Constraint(
        project=within, parametrize=lambda rows, scale: within_radius(rows, jnp.minimum(scale, options.max_radius))
    )

    def init(key, data):
        params = init_points(options, key, data)
        return params._replace(tables={name: within(rows) for name, rows in params.tables.items()})

    def pair_losses(points, dense, batch):
        del dense
        users, positives, others = (points[role] for role in ("user", "positive", "others"))

        def example(user, positive, others, valid):
            own, away = hyperbolic(user, positive), hyperbolic(user, others)
            bent = jnp.abs(own / euclidean(user, positive) - 1.0)
            distortion = bent + mean_of_valid(jnp.abs(away / euclidean(user, others) - 1.0), valid)
            value = loss.example(-jnp.square(own), -jnp.square(away), valid)
            return value + options.distortion_weight * distortion

        return jax.vmap(example, in_axes=(0, 0, None if batch.shared else 0, 0))(
            users, positives, others, batch.dense_valid()
        )

    def ranking(params, data):
        del data
        (users, user_times), (items, item_times) = (hyperboloid(params.tables[name]) for name in ("users", "items"))
        queries = 2.0 * jnp.concatenate([users, -user_times], axis=1)
        return Factors(queries, jnp.concatenate([items, item_times], axis=1))

    return Model(
        init=init,
        lookups=lambda batch, data: users_positives_others(batch),
        loss=pair_losses,
        constraints={"users": constraint, "items": constraint},
        # Neighbours are those of the tangent space: distances from the origin and directions are those of the ball.
        user_points=lambda tables, dense, ids: tables["users"][ids],
        item_points=lambda tables, dense, ids: tables["items"][ids],
        directions=lambda tables, dense, ids: to_sphere(tables["items"][ids]),
        ranking=ranking,
        parametrize_user=constraint.parametrize,
    )


HYPERML = Strategy("hyperml", HypermlOptions, make)
