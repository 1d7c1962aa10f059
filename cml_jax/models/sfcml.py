"""Sampling-free collaborative metric learning (SFCML): a squared loss over all items, by sums over them."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from cml_jax import csr
from cml_jax.candidate_mask import CandidateMask
from cml_jax.geometry import squared_distance
from cml_jax.losses.base import Loss
from cml_jax.models.base import Model, distances
from cml_jax.models.points import PointOptions, make_point_model
from cml_jax.options import FINITE_AT_LEAST_0, options, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array


@options
class SfcmlOptions(PointOptions):
    """Options of SFCML."""

    similarities: ClassVar[tuple[str, ...]] = ("distance",)

    user_balance: float = traced(
        1.0,
        "a pair weighs by its user's number of pairs to the power of minus this: 1, users weigh alike; 0, pairs do",
        FINITE_AT_LEAST_0,
    )

    @classmethod
    def objection(cls, loss: Loss) -> str:
        """Objects to losses that do not follow from sums over items."""
        return "" if loss.moments else "needs a loss of the mean and the mean square of distances, which {loss} is not"


def sums_over(users: Array, items: Array, counted: Array) -> Array:
    """How many items count, and the sums over them of d and d^2, d = ||u - i||^2, in O((b + n) D^2).

    With d = |u|^2 + |i|^2 - 2 <u, i>, they follow from the sums over items of 1, i, |i|^2, i i^T, |i|^2 i and |i|^4.

    Args:
        users: Array[b, D].
        items: Array[n, D].
        counted: Array[n] bool.

    Returns:
        Array[b, 3].
    """
    with jax.default_matmul_precision("highest"):
        items = jnp.where(counted[:, None], items, 0.0)
        count, norms = jnp.sum(counted).astype(items.dtype), jnp.sum(jnp.square(items), axis=1)
        own, norm = jnp.sum(jnp.square(users), axis=1), jnp.sum(norms)
        along, along_by_norm = users @ jnp.sum(items, axis=0), users @ (norms @ items)
        square_along = jnp.sum((users @ (items.T @ items)) * users, axis=1)
    first = count * own + norm - 2.0 * along
    second = count * jnp.square(own) + jnp.sum(jnp.square(norms)) + 2.0 * own * norm
    second += 4.0 * (square_along - own * along - along_by_norm)
    return jnp.stack([jnp.full_like(first, count), first, second], axis=1)


@jax.custom_vjp
def sums_over_known(mask: CandidateMask, users: Array, items: Array) -> Array:
    """The same of each user's known positives among the candidates alone, in O(D sum(degree)).

    Args:
        mask: says which candidates are known positives of the users.
        users: Array[b, D].
        items: Array[n, D]; candidates.

    Returns:
        Array[b, 3].
    """

    def update(sums, rows, places):
        there, _, squared = _pairs(users, items, rows, places)
        found = jnp.stack([there.astype(squared.dtype), squared, jnp.square(squared)], axis=-1)
        return sums.at[rows[:, 0]].add(jnp.sum(found, axis=1))

    return _fold(mask, update, jnp.zeros_like(users, shape=(users.shape[0], 3)))


def _pairs(users: Array, items: Array, rows: Array, places: Array) -> tuple[Array, Array, Array]:
    """Of rows Array[k, 1] and places Array[k, m]: whether there is an item, u - i Array[k, m, D], and d^2, or 0."""
    there = places < items.shape[0]
    apart = users[rows] - items[jnp.where(there, places, 0)]
    return there, apart, jnp.where(there, jnp.sum(jnp.square(apart), axis=-1), 0.0)


def _fold(mask: CandidateMask, update: Any, start: Array) -> Array:
    return csr.fold_known_positives(mask.data, mask.users, mask.filled, mask.places(), update, start)


def _gradient_over_known(point: tuple[CandidateMask, Array, Array], slopes: Array) -> tuple[None, Array, Array]:
    """The loop once more: it has as many rounds as the users have positives, which nothing is recorded of."""
    mask, users, items = point
    num_users = users.shape[0]

    def update(both, rows, places):
        there, apart, squared = _pairs(users, items, rows, places)
        by_squared = jnp.where(there, slopes[rows, 1] + 2.0 * slopes[rows, 2] * squared, 0.0)
        moved = 2.0 * by_squared[..., None] * apart
        both = both.at[rows[:, 0]].add(jnp.sum(moved, axis=1))
        return both.at[num_users + places].add(-moved, mode="drop")

    both = _fold(mask, update, jnp.zeros_like(users, shape=(num_users + items.shape[0], users.shape[1])))
    return None, both[:num_users], both[num_users:]


sums_over_known.defvjp(lambda *point: (sums_over_known(*point), point), _gradient_over_known)


def sums_over_disliked(mask: CandidateMask, users: Array, items: Array) -> Array:
    """The same of each pair's dislikes, which come after the candidates; none: 0."""
    sums = jnp.zeros_like(users, shape=(users.shape[0], 3))
    if mask.owner is None:
        return sums
    first, row = mask.ids.shape[0], mask.owner - mask.pair[0]
    here = mask.usable[first:] & (row >= 0) & (row < users.shape[0])
    squared = squared_distance(users[jnp.where(here, row, 0)], items[first:])
    found = jnp.stack([jnp.ones_like(squared), squared, jnp.square(squared)], axis=1)
    return sums.at[jnp.where(here, row, users.shape[0])].add(found, mode="drop")


def make(options: SfcmlOptions, loss: Loss) -> Model:
    """SFCML (Bao et al., TPAMI 2022): no negative is sampled, the mean is over all items that the user does not have.

        R = mean_u mean_{p of u} mean_{n not of u} (m + d(u, p)^2 - d(u, n)^2)^2

    Over n it is (m + d_p)^2 - 2 (m + d_p) mean d_n + mean d_n^2, and both means follow from sums over all items, less
    those over the user's own. A step costs O((B + I) D^2 + D sum(degree)) and reads and updates every item; no array of
    pairs of users and items is made. All items are `sampler.num_candidates` = 0; with another number the means are
    over the candidates that the sampler draws for the batch.

    The mean over u and p is taken over pairs, weighted by `user_balance`. The authors' code works on users and their
    scores of all items, on the sphere, where d^2 = 2 - 2 <u, i>. Items are ranked by distance.
    """
    moments = loss.moments
    assert moments is not None

    def pair_losses(points, dense, batch):
        del dense
        users, positives, others = (points[role] for role in ("user", "positive", "others"))
        mask, data = batch.valid, batch.valid.data
        sums = sums_over(users, others[: mask.ids.shape[0]], mask.usable_candidates)
        sums += sums_over_disliked(mask, users, others) - sums_over_known(mask, users, others)
        means = sums[:, 1:] / jnp.maximum(sums[:, :1], 1.0)
        each = jax.vmap(moments)(jax.vmap(distances)(users, positives), -means[:, 0], means[:, 1])
        degrees = jnp.maximum(data.indptr[mask.users + 1] - data.indptr[mask.users], 1)
        return each * (data.num_pairs / data.num_users / degrees) ** options.user_balance

    return make_point_model(options, pair_losses)


SFCML = Strategy("sfcml", SfcmlOptions, make)
