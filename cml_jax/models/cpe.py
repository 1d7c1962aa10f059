"""Collaborative preference embedding (CPE): every margin is drawn to one number, and dimensions apart."""

from collections.abc import Callable
from typing import ClassVar

import jax
import jax.numpy as jnp

from cml_jax.losses.base import Loss, mean_of_valid
from cml_jax.losses.covariance import covariance
from cml_jax.models.base import Model, all_points, distances, lacks_margin
from cml_jax.models.points import PointOptions, make_point_model
from cml_jax.options import FINITE_AT_LEAST_0, options, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array

_DELTA = 1e-4  # added to the eigenvalues of the covariance; far above their rounding in float32


@options
class CpeOptions(PointOptions):
    """Options of CPE."""

    similarities: ClassVar[tuple[str, ...]] = ("distance",)
    trains_by_example: ClassVar[bool] = False

    compactness_weight: float = traced(
        1e-3, "mu of CPE: weight of the term that makes dimensions independent", FINITE_AT_LEAST_0
    )

    @classmethod
    def objection(cls, loss: Loss) -> str:
        """Objects to losses that have no margin, or are more than that."""
        return "draws differences of distances to a margin, which {loss} does not have" if lacks_margin(loss) else ""


@jax.custom_vjp
def log_determinant(matrix: Array) -> Array:
    """The logarithm of the determinant of a positive definite matrix Array[D, D]."""
    return _swept(matrix)[1]


def _swept(matrix: Array) -> tuple[Array, Array]:
    """The inverse, by D symmetric sweeps (Goodnight 1979), and the sum of the logarithms of their pivots.

    Not a factorisation of a library, which differs from platform to platform.
    """

    def sweep(k, carry):
        rest, total = carry
        column, pivot = rest[k], rest[k, k]
        swept = (column / pivot).at[k].set(-1.0 / pivot)
        rest = rest - jnp.outer(column, column) / pivot
        return rest.at[k].set(swept).at[:, k].set(swept), total + jnp.log(pivot)

    rest, total = jax.lax.fori_loop(0, len(matrix), sweep, (matrix, jnp.zeros_like(matrix, shape=())))
    return -rest, total


def _value_and_inverse(matrix: Array) -> tuple[Array, Array]:
    inverse, value = _swept(matrix)
    return value, inverse


log_determinant.defvjp(_value_and_inverse, lambda inverse, slope: (slope * inverse,))


def compactness(points: Array, weights: Array, total: Callable[[Array], Array] = jnp.sum) -> Array:
    """The log-determinant divergence of the covariance of points from the identity (Bao et al. 2019, section 3.4).

    tr(C) - log det(C + delta I), where C is the covariance.

    Args:
        points: Array[n, D].
        weights: Array[n] of 0 and 1; points of weight 0 are left out.
        total: the sum over the batch; see `sharding.total` where devices hold parts of it.

    Returns:
        Scalar.
    """
    found = covariance(points, weights, total)
    return jnp.trace(found) - log_determinant(found + _DELTA * jnp.eye(len(found), dtype=found.dtype))


def make(options: CpeOptions, loss: Loss) -> Model:
    """CPE (Bao et al., ACM MM 2019): the mean margin is to be large and its variance small.

        L_d + mu R_C,  L_d = mean over (u, p, n) of max(0, D - D_0) + max(0, D_0 - D),  D = d(u, n)^2 - d(u, p)^2

    (eq. 2, 10 and 13), with `compactness` of the users, positives and negatives of the batch as R_C, each as often as
    it occurs. D_0 is the margin of the triplet loss, whose hinge is not used: negatives farther away than that are
    drawn nearer. Every negative counts, as in the paper and the authors' first code, which sums over the batch; in
    their later one (LibCML) the closest of each pair does, and C is that of all rows, not divided by their number.
    Items are ranked by distance.
    """

    def pair_losses(points, dense, batch):
        del dense

        def example(user, positive, others, valid):
            apart = jnp.abs(distances(user, positive) - distances(user, others) - loss.scale)
            return mean_of_valid(apart, valid)

        return jax.vmap(example)(points["user"], points["positive"], points["others"], batch.valid)

    def penalty(points, dense, batch, total):
        del dense
        return options.compactness_weight * compactness(*all_points(points, batch), total)

    return make_point_model(options, pair_losses, penalty=penalty)


CPE = Strategy("cpe", CpeOptions, make)
