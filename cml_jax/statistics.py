"""How sure the metrics are: bootstrap over users, host side."""

import math
from collections.abc import Mapping

import numpy as np
import scipy.stats

_NUM_RESAMPLES = 1000
_MEMORY = 2**27  # bytes of resampled values held at once


def bootstrap_intervals(per_user: Mapping[str, np.ndarray], level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals of the means over users.

    They tell how far the mean would move with other users of the same kind, not with another seed of the training. All
    metrics are resampled with the same users, by a fixed seed: the same values give the same intervals.

    Args:
        per_user: name -> ndarray[n], one value a user.
        level: probability that an interval is meant to hold.

    Returns:
        name -> (low, high); both the mean where n is 1.
    """
    values = np.stack([np.asarray(array, np.float64) for array in per_user.values()])  # [metrics, n]
    num_users = values.shape[1]
    if num_users < 2:
        means = values.mean(axis=1).tolist()
        return {name: (mean, mean) for name, mean in zip(per_user, means, strict=True)}
    found = scipy.stats.bootstrap(
        (values,),
        lambda resampled, axis: resampled.mean(axis=axis),
        n_resamples=_NUM_RESAMPLES,
        batch=max(1, math.floor(_MEMORY / values.nbytes)),
        vectorized=True,
        axis=1,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return {name: (float(low), float(high)) for name, low, high in zip(per_user, found.low, found.high, strict=True)}
