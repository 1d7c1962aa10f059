"""How sure the metrics are: bootstrap over users, Student's t over seeds; host side."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import scipy  # loads scipy.stats, which takes a second, where it is used

_NUM_RESAMPLES = 1000
_NUM_RESAMPLES_OF_A_TEST = 9999  # so that the least p-value is 1 / 10,000
_MEMORY = 2**27  # bytes of resampled values held at once


def bootstrap_intervals(per_user: Mapping[str, np.ndarray], level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap intervals of the means over users.

    They tell how far the mean would move with other users of the same kind, not with another seed of the training. All
    metrics are resampled with the same users, by a fixed seed: the same values give the same intervals.

    Args:
        per_user: name -> ndarray[n], one value a user; not a number for users who do not count.
        level: probability that an interval is meant to hold.

    Returns:
        name -> (low, high); both the mean where n is 1.
    """
    values = np.stack([np.asarray(array, np.float64) for array in per_user.values()])  # [metrics, n]
    num_users = values.shape[1]
    if num_users < 2:
        means = np.nanmean(values, axis=1).tolist()
        return {name: (mean, mean) for name, mean in zip(per_user, means, strict=True)}
    found = scipy.stats.bootstrap(
        (values,),
        lambda resampled, axis: np.nanmean(resampled, axis=axis),
        n_resamples=_NUM_RESAMPLES,
        batch=max(1, math.floor(_MEMORY / values.nbytes)),
        vectorized=True,
        axis=1,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return {name: (float(low), float(high)) for name, low, high in zip(per_user, found.low, found.high, strict=True)}


class PairedTest(NamedTuple):
    """What the means of two systems over the same users differ by.

    Attributes:
        difference: of the means, first minus second.
        low: lower end of its percentile bootstrap interval.
        high: upper end.
        p_value: two-sided, above 0.
    """

    difference: float
    low: float
    high: float
    p_value: float


def paired_bootstrap(
    first: np.ndarray, second: np.ndarray, level: float = 0.95, num_resamples: int = _NUM_RESAMPLES_OF_A_TEST
) -> PairedTest:
    """Tests whether two systems have the same mean over users, of whom these are a sample.

    The hypothesis is that the difference, whose mean is d here, is 0 in the mean over all users of the kind. Users are
    resampled with both their values, by a fixed seed; where r of n resampled means are |d| or more away from d, the
    p-value is (r + 1) / (n + 1). Nothing is said about other seeds of the training.

    Args:
        first: ndarray[n], one value a user; those that are not numbers, in either, are left out.
        second: ndarray[n], of the same users in the same order.
        level: probability that the interval is meant to hold.
        num_resamples: how often users are drawn.

    Returns:
        The difference, its interval and the p-value; p is 1 and the interval the difference where n is 1.
    """
    differences = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    differences = differences[~np.isnan(differences)]
    mean = float(differences.mean())
    if len(differences) < 2:
        return PairedTest(mean, mean, mean, 1.0)
    found = scipy.stats.bootstrap(
        (differences,),
        np.mean,
        n_resamples=num_resamples,
        batch=max(1, math.floor(_MEMORY / differences.nbytes)),
        vectorized=True,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(0),
    )
    num_extreme = np.count_nonzero(np.abs(found.bootstrap_distribution - mean) >= abs(mean))
    low, high = found.confidence_interval
    return PairedTest(mean, float(low), float(high), float((num_extreme + 1) / (num_resamples + 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number by Holm's step-down method.

    Rejecting those below a rate keeps the chance of any false alarm among all of them below it, however they depend on
    each other.

    Args:
        p_values: of the tests, in any order.

    Returns:
        The corrected ones, in the same order; none is above 1.
    """
    order = np.argsort(p_values, kind="stable")
    count = len(order)
    stepped = np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * np.arange(count, 0, -1))
    corrected = np.empty(count)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected.tolist()


def student_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """The interval of the mean by Student's t, for a few values that scatter normally, such as those of seeds.

    Args:
        values: two or more.
        level: probability that the interval is meant to hold.

    Returns:
        (low, high).
    """
    count = len(values)
    half = scipy.stats.t.ppf(0.5 + level / 2, count - 1) * np.std(values, ddof=1) / math.sqrt(count)
    mean = np.mean(values)
    return float(mean - half), float(mean + half)
