"""Laws of samplers once more, in plain NumPy and float64, written from the papers' formulas.

A sampler is (known[I] bool, positive, popularity[I], directions[I, D], options) -> law[I] of one negative of a pair
where every item is a candidate; all 0 where the pair has none.
"""

import numpy as np


def normalised(weights):
    return weights / weights.sum() if weights.sum() > 0 else weights


def uniform_law(known, positive, popularity, directions, options):
    return normalised((~known).astype(float))


def popularity_law(known, positive, popularity, directions, options):
    return normalised(popularity_weights(popularity, options) * ~known)


def two_stage_law(known, positive, popularity, directions, options):
    similarity, usable = directions @ directions[positive], (popularity > 0) & ~known
    return stage2_probabilities(similarity, usable, directions.shape[1], options["similarity_cutoff"])


def popularity_weights(popularity, options):
    counts = np.minimum(popularity, options.get("popularity_cap", np.inf))
    return np.where(popularity > 0, counts ** options["popularity_exponent"], 0.0)


SAMPLER_LAWS = {
    "uniform": uniform_law,
    "popularity": popularity_law,
    "two_stage": two_stage_law,
    "in_batch": None,
    "dynamic": None,
    "srns": None,
}  # None: none is stated
CANDIDATE_WEIGHTS = {  # (popularity[I], options) -> weights of draws without replacement
    "uniform": lambda popularity, options: np.ones(len(popularity)),
    "popularity": popularity_weights,
    "two_stage": popularity_weights,
}


def retried_law(weights, is_positive, retries):
    """Law of a draw by weights that is redrawn `retries` times where it is a known positive, and then kept."""
    law = weights / weights.sum()
    hit = law[is_positive].sum()
    return np.where(is_positive, hit**retries * law, law * sum(hit**t for t in range(retries + 1)))


def stage2_probabilities(similarity, usable, dim, cutoff):
    """Law of the second stage for one positive: 1 / q(min(s, cutoff)) over usable candidates with s > 0."""
    weights = np.zeros(len(similarity))
    for c, s in enumerate(similarity):
        if usable[c] and s > 0:
            weights[c] = (1.0 - min(s, cutoff) ** 2) ** (-(dim - 3) / 2)
    return normalised(weights)


def inclusion_frequencies(weights, count, rounds, seed):
    """How often each element is among `count` draws without replacement, by numpy's own sampler."""
    rng = np.random.default_rng(seed)
    p = weights / weights.sum()
    counts = np.zeros(len(weights))
    for _ in range(rounds):
        counts[rng.choice(len(weights), count, replace=False, p=p)] += 1
    return counts
