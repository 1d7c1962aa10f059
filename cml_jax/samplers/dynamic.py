"""Dynamic negative sampling: the candidates that the model now takes for the user's favourites."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from cml_jax import csr
from cml_jax.geometry import pairwise_squared_distances
from cml_jax.losses.base import takes_others
from cml_jax.options import AT_LEAST_1, options, static
from cml_jax.registry import Strategy
from cml_jax.samplers.base import BatchShape, Negatives, Sampler, row_by_row
from cml_jax.samplers.uniform import UniformOptions, uniform_candidates
from cml_jax.types import DeviceInteractions


@options
class DynamicOptions(UniformOptions):
    """Options of dynamic negative sampling."""

    offers_candidates: ClassVar[bool] = False

    num_hardest: int = static(
        10, "M of dynamic sampling: candidates nearest to the user, of which one is drawn", AT_LEAST_1
    )

    def draws_candidates(self, chosen: Any) -> bool:
        """Where the loss takes negatives, which are drawn from them."""
        return takes_others(chosen)


def make(options: DynamicOptions, data: DeviceInteractions, shape: BatchShape) -> Sampler:
    """Each negative is drawn uniformly among the M candidates nearest to the user (Zhang et al. 2013).

    The C candidates are uniform and shared by the batch; known positives of the user are none of the M. With M = 1 the
    negative is the hardest of all candidates; the larger M, the fewer are false negatives. Where fewer than M are
    left, any may be drawn. A pair is invalid where all candidates are known positives of its user.
    """
    count = options.candidates_among(data.num_items)
    num_hardest = min(options.num_hardest, count)

    def sample(key, state, points, users, positives):
        del positives
        candidates = uniform_candidates(jax.random.fold_in(key, 0), options, data)
        uniforms = jax.random.uniform(jax.random.fold_in(key, 1), (users.shape[0], shape.num_negatives))
        vectors = points.items(candidates.ids)
        places = csr.places(jnp.where(candidates.filled, candidates.ids, data.num_items), data.num_items)

        def draw(rows):
            users, anchors, uniforms = rows
            apart = pairwise_squared_distances(anchors.reshape(-1, anchors.shape[-1]), vectors)
            near = -jnp.min(apart.reshape(users.shape[0], -1, count), axis=1)  # of several points of a user the nearest
            near = csr.mark_known_positives(data, users, places, near, -jnp.inf)
            near, hardest = jax.lax.top_k(jnp.where(candidates.filled[None, :], near, -jnp.inf), num_hardest)
            drawable = jnp.sum(near > -jnp.inf, axis=1)
            which = jnp.minimum((uniforms * drawable[:, None]).astype(jnp.int32), jnp.maximum(drawable, 1)[:, None] - 1)
            return jnp.take_along_axis(hardest, which, axis=1), drawable > 0

        slots, valid = row_by_row(draw, (users, points.users(users), uniforms), shape.num_shards)
        return Negatives(candidates.ids[slots], valid), state

    return Sampler(lambda: (), sample, scores_per_pair=count)


DYNAMIC = Strategy("dynamic", DynamicOptions, make)
