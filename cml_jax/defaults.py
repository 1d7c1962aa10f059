"""Defaults that follow from the training interactions; where they come from is told in docs/samplers_and_losses.md."""

import math

from cml_jax.data.interactions import Interactions

CUTOFFS = (20, 50)
_CANDIDATES = 1000
_MAX_BATCH = 1024
_PASSES, _LEAST_STEPS = 16.0, 2000


def batch_size(train: Interactions) -> int:
    """B: the power of two nearest to the root of the number of pairs, at most 1,024."""
    return min(2 ** round(math.log2(max(1, train.num_pairs)) / 2), _MAX_BATCH)


def num_candidates(train: Interactions) -> int:
    """C: a thousand, or the whole catalogue where that is smaller."""
    return min(_CANDIDATES, train.num_items)


def temperature(train: Interactions) -> float:
    """Temperature of the softmax loss: 0.12 (density / 0.0025)^0.15, within 0.08 and 0.25.

    The denser the data, the more of a user's candidates are liked and only not known to be; a higher temperature leans
    less on the nearest of them. Fitted to what validation chose on four data sets (RESULTS.md).
    """
    return round(min(max(0.12 * (_density(train) / 0.0025) ** 0.15, 0.08), 0.25), 3)


def negative_exponent(train: Interactions) -> float:
    """Exponent of the softmax's negative part: 1 + 0.1 (0.002 / density)^0.6, at most 1.2.

    The sparser the data, the more is gained where popular items come back into the lists, which an exponent above 1
    does; on dense data it gains nothing. Fitted as the temperature.
    """
    return round(min(1.0 + 0.1 * (0.002 / _density(train)) ** 0.6, 1.2), 3)


def _density(train: Interactions) -> float:
    """The share of all pairs of a user and an item that are in the data."""
    return train.num_pairs / (train.num_users * train.num_items)


def cutoffs(train: Interactions) -> tuple[int, ...]:
    """Cut-offs of the metrics: 20 and 50; those above the number of items are lowered to it."""
    return tuple(dict.fromkeys(min(k, train.num_items) for k in CUTOFFS))


def num_passes(train: Interactions) -> float:
    """Passes over the training pairs: 16, or as many as 2,000 steps of the default batch make."""
    return float(max(_PASSES, math.ceil(_LEAST_STEPS * batch_size(train) / train.num_pairs)))
