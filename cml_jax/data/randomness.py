"""Whether the test part is a random sample of each user's pairs, told by how often it has which items."""

from typing import NamedTuple

import numpy as np

from cml_jax.data.counting import NUM_DECILES, popularity_deciles
from cml_jax.data.interactions import Interactions

_ENOUGH = 5.0  # test pairs that an item would have by chance, below which a ratio to its variance says little
_BY_CHANCE = 4.0  # standard errors of the ratio, past which a normal law is once in 16,000


class Spread(NamedTuple):
    """How the test pairs are spread over the items, beside a random sample of each user's pairs.

    Attributes:
        shares: ndarray[10]; share of pairs that are in test, by items from the rarest to the most popular, such that
            each group has a tenth of all pairs.
        expected: ndarray[10]; the same of a random sample.
        ratio: mean over items of the squared difference from what is expected, over its variance in a random sample; 1
            there.
        error: standard error of the ratio in random samples.
        num_items: items that it is of, those of which a random sample would have 5 test pairs or more.
    """

    shares: np.ndarray
    expected: np.ndarray
    ratio: float
    error: float
    num_items: int

    @property
    def is_random(self) -> bool:
        """Whether it could be a random sample."""
        return abs(self.ratio - 1.0) <= _BY_CHANCE * self.error


def measure(whole: Interactions, test: Interactions) -> Spread | None:
    """Compares a test part with samples of each user's pairs of as many; None where there are too few pairs.

    Args:
        whole: all pairs, those of test among them.
        test: of the same users and items.
    """
    chance = (test.degrees / np.maximum(whole.degrees, 1))[whole.users]
    counts, of_test = whole.popularity, test.popularity
    expected = np.bincount(whole.items, chance, test.num_items)
    # A user has an item once, so an item's pairs are drawn independently and their variances add up.
    variance = np.bincount(whole.items, chance * (1.0 - chance), test.num_items)
    enough = (expected >= _ENOUGH) & (variance > 0)
    if np.sum(enough) < 2:
        return None
    ratio = float(np.mean((of_test - expected)[enough] ** 2 / variance[enough]))
    deciles = popularity_deciles(counts)
    sizes = np.maximum(np.bincount(deciles, counts, NUM_DECILES), 1)
    shares, by_chance = (np.bincount(deciles, of, NUM_DECILES) / sizes for of in (of_test, expected))
    return Spread(shares, by_chance, ratio, float(np.sqrt(2.0 / np.sum(enough))), int(np.sum(enough)))


def report(sample: Spread) -> tuple[str, ...]:
    """Sentences about a test part."""
    shown = ", ".join(f"{share:.1%}" for share in sample.shares)
    spread = (
        f"Numbers of test pairs of {sample.num_items:,} items differ from those of a random sample of each user's "
        f"pairs by {sample.ratio:.2f} times its variance"
    )
    if sample.is_random:
        return (f"{spread}, as a random sample's would.",)
    return (
        f"{spread}: test is no random sample, and validation pairs that are carved at random are unlike it.",
        f"Share of pairs that are in test, by tenths of the pairs from the rarest items to the most popular: {shown}.",
    )
