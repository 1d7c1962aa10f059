"""Diversity-promoting collaborative metric learning (DPCML): a user has several points."""

import jax
import jax.numpy as jnp

from cml_jax.losses.base import Loss
from cml_jax.losses.blocks import corrected
from cml_jax.models.base import SIMILARITY_FUNCTIONS, Model, user_factors
from cml_jax.models.points import PointOptions, make_point_model
from cml_jax.options import FINITE_AT_LEAST_0, Range, options, static, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array, Factors, Params


@options
class DpcmlOptions(PointOptions):
    """Options of DPCML; the defaults are its authors' for Steam-200k."""

    num_vectors: int = static(5, "V of DPCML: points of a user", Range(lambda v: v >= 2, "must be 2 or more"))
    diversity_weight: float = traced(10.0, "eta of DPCML: weight of the diversity term", FINITE_AT_LEAST_0)
    min_diversity: float = traced(0.1, "delta_1 of DPCML: diversity of a user below it is penalised", FINITE_AT_LEAST_0)
    max_diversity: float = traced(
        0.35, "delta_2 of DPCML: diversity of a user above it is penalised", FINITE_AT_LEAST_0
    )

    @classmethod
    def objection(cls, loss: Loss) -> str:
        """Objects to losses that have a term of the points themselves, of which a user has several."""
        return "has several points of a user, of one of which {loss} has a term" if loss.penalty else ""


def diversity(vectors: Array) -> Array:
    """Half the mean squared distance between a user's points: Array[V, D] -> scalar (Bao et al. 2022, section 4.3).

    1 / (2 V (V - 1)) sum_v sum_w ||g_v - g_w||^2.
    """
    num_vectors = vectors.shape[0]
    squared = jnp.sum(jnp.square(vectors[:, None, :] - vectors[None, :, :]))
    return squared / (2 * num_vectors * (num_vectors - 1))


def vector_factors(users: Array, items: Array) -> Factors:
    """Ranks by the nearest of a user's points, -min_v ||u_v - i||^2: users Array[U, V, D], items Array[I, D]."""
    keys = jnp.concatenate([2.0 * items, -jnp.sum(jnp.square(items), axis=1)[:, None], jnp.ones((len(items), 1))], 1)
    ones, norms = jnp.ones((*users.shape[:2], 1)), jnp.sum(jnp.square(users), axis=2)[..., None]
    return Factors(jnp.concatenate([users, ones, -norms], axis=2), keys, offsets=jnp.zeros(len(users)))


def make(options: DpcmlOptions, loss: Loss) -> Model:
    """DPCML (Bao et al., NeurIPS 2022): a user likes what is near to any of V points, which are kept apart.

    The similarity of user and item is that of the nearest of the user's points, and every pair's loss has the term

        eta ( max(0, delta_1 - delta(u)) + max(0, delta(u) - delta_2) ),  delta as in `diversity`.

    DPCML1 takes one uniform negative, DPCML2 the closest of several.
    """
    transform, compare, _ = SIMILARITY_FUNCTIONS[loss.similarity]

    def init(key, data):
        user_key, item_key = jax.random.split(key)
        users = options.fresh_rows(user_key, (data.num_users, options.num_vectors))
        return Params({"users": users, "items": options.fresh_rows(item_key, (data.num_items,))})

    def pair_losses(points, dense, batch):
        del dense
        users, positives, others = (points[role] for role in ("user", "positive", "others"))

        def example(vectors, positive, others, valid, factor):
            v, p, n = transform(vectors), transform(positive), transform(others)
            own = factor * jnp.max(jax.vmap(compare, in_axes=(0, None))(v, p))
            away = factor * jnp.max(jax.vmap(compare, in_axes=(0, None))(v, n), axis=0)
            value = loss.example(own, corrected(loss, away, batch.correction), valid)
            spread = diversity(vectors)
            outside = jnp.maximum(0.0, options.min_diversity - spread) + jnp.maximum(
                0.0, spread - options.max_diversity
            )
            return value + options.diversity_weight * outside

        return jax.vmap(example, in_axes=(0, 0, None if others.ndim == 2 else 0, 0, 0))(
            users, positives, others, batch.dense_valid(), user_factors(loss, batch)
        )

    def ranking(params, data):
        del data
        return vector_factors(options.embed(params.tables["users"]), options.embed(params.tables["items"]))

    return make_point_model(options, pair_losses, init=init, ranking=ranking)


DPCML = Strategy("dpcml", DpcmlOptions, make)
