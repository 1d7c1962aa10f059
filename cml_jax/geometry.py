"""Distances and norm constraints of the metric space."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cml_jax.types import Array

_TINY = 1e-12  # keeps the root of a zero row's squared norm finite, in value and gradient


def squared_distance(a: Array, b: Array) -> Array:
    """||a - b||^2 over the last axis: Array[..., D], Array[..., D] -> Array[...]; the score of CML is its negative."""
    difference = a - b
    # A dot product rather than a sum of squares: the compiler's reduction is three times slower on CPU. Full precision,
    # since the default of GPUs and TPUs would round the factors.
    return jnp.vecdot(difference, difference, precision=jax.lax.Precision.HIGHEST)


def pairwise_squared_distances(a: Array, b: Array) -> Array:
    """||a - b||^2 of all pairs by one product: Array[n, D], Array[m, D] -> Array[n, m]."""
    products = jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)
    norms = [jnp.sum(jnp.square(points), axis=1) for points in (a, b)]
    return jnp.maximum(norms[0][:, None] - 2.0 * products + norms[1][None, :], 0.0)


def to_sphere(rows: Array) -> Array:
    """Rows Array[..., D] scaled to unit length (Tran et al. 2019, section 3); a zero row stays zero."""
    squared = jnp.vecdot(rows, rows, precision=jax.lax.Precision.HIGHEST)
    inverse = jax.lax.rsqrt(jnp.maximum(squared, _TINY))
    # Kept apart, since XLA's GPU compiler (0.11.2) fuses sum and product into a kernel that it then refuses.
    return rows * jax.lax.optimization_barrier(inverse)[..., None]


def to_ball(rows: Array) -> Array:
    """Rows Array[..., D] clipped to the unit ball (Hsieh et al. 2017, section 3.2: ||v||^2 <= 1)."""
    squared = jnp.sum(jnp.square(rows), axis=-1, keepdims=True)
    return rows * jax.lax.rsqrt(jnp.maximum(squared, 1.0))


def identity(rows: Array) -> Array:
    """Rows Array[..., D] as they are."""
    return rows


def within_radius(rows: Array, radius: Array | float) -> Array:
    """Rows Array[..., D] clipped to the ball of a radius."""
    return radius * to_ball(rows / radius)


class Constraint(NamedTuple):
    """How a norm constraint is kept.

    Attributes:
        embed: from a row of the table to a point of the metric space, Array[..., D] -> Array[..., D]; the loss is
            differentiated through it.
        project: what is done to the touched rows of the table after an update, Array[..., D] -> Array[..., D].
        parametrize: (rows[..., D], scale) -> points[..., D]; keeps a free row within the constraint where only that row
            is trained. Adam with a projection after each step stops at the wrong place of the ball. `scale` is the
            items' root mean square norm; without a constraint it bounds the row, which a softmax would push outwards
            for ever.
    """

    embed: Callable[[Array], Array] = identity
    project: Callable[[Array], Array] = identity
    parametrize: Callable[[Array, Array], Array] = lambda rows, scale: rows


# The sphere is a parametrisation and not a projection after the update. Gradients are then tangent to the sphere, and a
# row's norm grows with the distance it has travelled, which slows rows down that have moved much. Projecting instead
# costs a third of the NDCG (Last.fm, uniform negatives: 0.143 against 0.232).
CONSTRAINTS = {
    "ball": Constraint(embed=identity, project=to_ball, parametrize=lambda rows, scale: within_radius(rows, 1.0)),
    "sphere": Constraint(embed=to_sphere, project=identity, parametrize=lambda rows, scale: to_sphere(rows)),
    "none": Constraint(embed=identity, project=identity, parametrize=within_radius),
}
