"""Losses and terms of a batch once more, in plain NumPy and float64, written from the papers' formulas.

A loss is (user[D], positive[D], others[n, D], valid[n], **options) -> value of a pair.
"""

import numpy as np

from tests.oracles.geometry import to_sphere


def triplet_loss(user, positive, others, valid, margin=1.0, hinge="closest", hinge_temperature=0.1, warp=False):
    own = ((user - positive) ** 2).sum()
    away = np.array([((user - n) ** 2).sum() for n, ok in zip(others, valid, strict=True) if ok])
    if hinge == "sum":
        value = sum(max(0.0, margin + own - distance) for distance in away)
    elif hinge == "soft_min":
        nearest = -hinge_temperature * np.log(sum(np.exp(-distance / hinge_temperature) for distance in away))
        value = max(0.0, margin + own - nearest)
    else:
        value = max(0.0, margin + own - min(away))
    # Ranks are out of one item where the data are not known.
    return value * np.log(1.0 + np.mean(margin + own > away)) if warp else value


def bpr_loss(user, positive, others, valid, l2_weight=0.0, hardest=False):
    values = [np.log(1.0 + np.exp(user @ n - user @ positive)) for n, ok in zip(others, valid, strict=True) if ok]
    counted = [(n**2).sum() for n, ok in zip(others, valid, strict=True) if ok]
    norms = (user**2).sum() + (positive**2).sum() + np.mean(counted)
    return (max(values) if hardest else sum(values) / len(values)) + l2_weight / 2 * norms


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


def cosines(user, positive, others, valid):
    """Of the positive, and of the other items that count."""
    return cosine(user, positive), np.array([cosine(user, c) for c, ok in zip(others, valid, strict=True) if ok])


def softmax_loss(
    user,
    positive,
    others,
    valid,
    temperature,
    decoupled=False,
    negative_exponent=1.0,
    positives="one",
    temperature_degree_exponent=0.0,
    relative_degree=1.0,
):
    """With positives = 'batch_mean' `positive` has a row for each of the user's in the batch, or is that of one."""
    temperature = temperature * relative_degree**temperature_degree_exponent
    own = np.mean([np.exp(cosine(user, p) / temperature) for p in np.atleast_2d(positive)])
    assert positives == "batch_mean" or np.ndim(positive) == 1
    rest = sum(np.exp(cosine(user, c) / temperature) for c, ok in zip(others, valid, strict=True) if ok)
    return -np.log(own / (rest if decoupled else own + rest) ** negative_exponent)


def ccl_loss(user, positive, others, valid, cosine_margin, negative_weight):
    own, away = cosines(user, positive, others, valid)
    return 1.0 - own + negative_weight * np.mean([max(0.0, c - cosine_margin) for c in away])


def psl_loss(user, positive, others, valid, temperature, surrogate="relu"):
    own, away = cosines(user, positive, others, valid)
    apart = {
        "relu": [max(0.0, 1.0 + (c - own) / 2) for c in away],
        "tanh": [1.0 + np.tanh((c - own) / 2) for c in away],
        "atan": [1.0 + np.arctan((c - own) / 2) for c in away],
    }[surrogate]
    return np.log(sum(x ** (1.0 / temperature) for x in apart))


def debiased_loss(user, positive, others, valid, temperature, positive_share):
    own, away = (np.exp(c / temperature) for c in cosines(user, positive, others, valid))
    unbiased = max((away.mean() - positive_share * own) / (1.0 - positive_share), np.exp(-1.0 / temperature))
    return -np.log(own / (own + len(away) * unbiased))


def squared_loss(user, positive, others, valid, margin):
    own = ((user - positive) ** 2).sum()
    return np.mean([(margin + own - ((user - n) ** 2).sum()) ** 2 for n, ok in zip(others, valid, strict=True) if ok])


LOSSES = {
    "triplet": triplet_loss,
    "softmax": softmax_loss,
    "bpr": bpr_loss,
    "ccl": ccl_loss,
    "psl": psl_loss,
    "squared": squared_loss,
    "debiased": debiased_loss,
}


def directau_loss(users, positives, uniformity_weight):
    users, positives = to_sphere(users), to_sphere(positives)

    def uniformity(rows):
        places = range(len(rows))
        return np.log(np.mean([np.exp(-2 * ((rows[a] - rows[b]) ** 2).sum()) for a in places for b in range(a)]))

    align = np.mean([((u - p) ** 2).sum() for u, p in zip(users, positives, strict=True)])
    return align + uniformity_weight * (uniformity(users) + uniformity(positives)) / 2


BATCH_LOSSES = {"directau": directau_loss}  # (users[B, D], positives[B, D], **options) -> value of B pairs
LOSS_CASES = {  # name -> options to try it with; in one of them each option has a value other than its default
    "triplet": [
        {"margin": 1.5},
        {"margin": 1.5, "hinge": "sum"},
        {"margin": 1.5, "hinge": "soft_min", "hinge_temperature": 0.3},
        {"margin": 1.5, "hinge": "sum", "warp": True},
    ],
    "softmax": [
        {"temperature": 0.3, "decoupled": False},
        {"temperature": 0.3, "decoupled": True},
        {"temperature": 0.3, "decoupled": True, "negative_exponent": 1.3},
        {"temperature": 0.3, "decoupled": False, "negative_exponent": 1.3},
        {"temperature": 0.3, "decoupled": True, "positives": "batch_mean"},
        {"temperature": 0.3, "decoupled": True, "negative_exponent": 1.3, "temperature_degree_exponent": 0.6},
    ],
    "bpr": [{"l2_weight": 0.7}, {"hardest": True}],
    "ccl": [{"cosine_margin": 0.1, "negative_weight": 7.0}],
    "psl": [{"temperature": 0.3, "surrogate": surrogate} for surrogate in ("relu", "tanh", "atan")],
    "debiased": [{"temperature": 0.3, "positive_share": 0.1}, {"temperature": 0.3, "positive_share": 0.6}],
    "squared": [{"margin": 1.5}],
    "directau": [{"uniformity_weight": 0.7}],
}


def gor(products, weights, dim):
    chosen = products[weights > 0]
    if len(chosen) == 0:
        return 0.0
    return chosen.mean() ** 2 + max(0.0, (chosen**2).mean() - 1.0 / dim)


def gor_sum(products, weights, dim):
    largest = [
        max(x for x, w in zip(*row, strict=True) if w > 0)
        for row in zip(products, weights, strict=True)
        if max(row[1]) > 0
    ]
    return sum(largest) ** 2 + max(0.0, sum(x**2 for x in largest) - len(largest) / dim)


def covariance_term(points):
    found = np.cov(points, rowvar=False, bias=True)
    return sum(found[i, j] ** 2 for i in range(len(found)) for j in range(len(found)) if i != j) / len(points)
