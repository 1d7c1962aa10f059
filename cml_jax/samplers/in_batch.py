"""In-batch negatives: the positives of the other pairs of a batch."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from cml_jax.data.interactions import Interactions
from cml_jax.errors import ConfigError
from cml_jax.hashing import first_appearance
from cml_jax.options import options
from cml_jax.registry import Strategy
from cml_jax.samplers.base import BatchShape, Sampler, redraw_known_positives
from cml_jax.samplers.stage1 import LogqOptions, in_order, log_of_share
from cml_jax.types import DeviceInteractions


@options
class InBatchOptions(LogqOptions):
    """Options of in-batch negatives."""

    offers_candidates: ClassVar[bool] = True

    def candidates_of(self, batch_size: int, num_items: int) -> int:
        """C, as many as there are pairs."""
        del num_items
        return batch_size

    def check(self, chosen: Any) -> None:
        """Raises ConfigError where batches are not uniform over the pairs and their probabilities are asked for."""
        super().check(chosen)
        if self.logq and chosen.batch.weight_use == "draw":
            raise ConfigError(
                "sampler.logq of sampler.name = 'in_batch' reckons with pairs that are drawn uniformly; use "
                "train.weight_use = 'loss'."
            )

    def check_data(self, chosen: Any, train: Interactions) -> None:
        """Raises ConfigError where a batch holds one pair, which has no other."""
        del train
        if chosen.batch_size < 2:
            raise ConfigError("sampler.name = 'in_batch' needs train.batch_size of 2 or more; raise it.")


def make(options: InBatchOptions, data: DeviceInteractions, shape: BatchShape) -> Sampler:
    """Negatives and candidates are positives of the batch, so that item i comes in proportion to its popularity.

    Candidates are the batch's distinct positives, slots of repeated ones are left over. With `logq` the logarithm of
    an item's probability to be in a batch of B of n pairs, 1 - (1 - popularity_i / n)^B, is corrected for (Yi et al.
    2019, "Sampling-bias-corrected neural modeling").

    A negative is a positive of the batch drawn uniformly among the slots, drawn again where it is a known positive of
    the user; one that still is after 64 redraws makes its pair invalid.
    """

    def sample(key, state, points, users, positives):
        del points
        size = (users.shape[0], shape.num_negatives)

        def drawn(attempt):
            return positives[jax.random.randint(jax.random.fold_in(key, attempt), size, 0, positives.shape[0])]

        return redraw_known_positives(data, users, drawn(0), True, lambda attempt: drawn(1 + attempt)), state

    def candidates(key, state, positives, filled):
        del key
        count = positives.shape[0]
        is_new = first_appearance(positives) == jnp.arange(count)
        found = in_order(positives, filled & is_new, count, data.num_items)
        if options.logq:
            left_out = jnp.log1p(-data.popularity[found.ids] / data.num_pairs)
            found = found._replace(log_probability=log_of_share(-jnp.expm1(count * left_out)))
        return found, state

    return Sampler(lambda: (), sample, candidates)


IN_BATCH = Strategy("in_batch", InBatchOptions, make)
