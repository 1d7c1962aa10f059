"""The mathematics of cml_jax once more, in plain NumPy and float64, written from the papers' formulas."""

import numpy as np


# ---- Losses: (user[D], positive[D], others[n, D], valid[n], **options) -> value of a pair.
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


def softmax_loss(user, positive, others, valid, temperature, decoupled=False, negative_exponent=1.0):
    own, away = cosines(user, positive, others, valid)
    own, rest = np.exp(own / temperature), sum(np.exp(away / temperature))
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
    ],
    "bpr": [{"l2_weight": 0.7}, {"hardest": True}],
    "ccl": [{"cosine_margin": 0.1, "negative_weight": 7.0}],
    "psl": [{"temperature": 0.3, "surrogate": surrogate} for surrogate in ("relu", "tanh", "atan")],
    "debiased": [{"temperature": 0.3, "positive_share": 0.1}, {"temperature": 0.3, "positive_share": 0.6}],
    "squared": [{"margin": 1.5}],
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


def to_ball(rows):
    return np.array([row / max(1.0, np.linalg.norm(row)) for row in rows])


def to_sphere(rows):
    return np.array([row / np.linalg.norm(row) for row in rows])


# ---- Samplers: (known[I] bool, positive, popularity[I], directions[I, D], options) -> law[I] of one negative of a pair
# where every item is a candidate; all 0 where the pair has none.
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


# ---- Models: (tables, dense, options) -> scores[U, I], larger is better; options["train"] has the training pairs.
def points(tables, options):
    """Users and items in the metric space."""
    embed = to_sphere if options["constraint"] == "sphere" else np.asarray
    return embed(tables["users"]), embed(tables["items"])


def distance_scores(tables, dense, options):
    users, items = points(tables, options)
    return np.array([[-((user - item) ** 2).sum() for item in items] for user in users])


def inner_product_scores(tables, dense, options):
    return tables["users"] @ tables["items"].T


def dpcml_scores(tables, dense, options):
    items = tables["items"]
    vectors = [distance_scores({"users": user, "items": items}, dense, options) for user in tables["users"]]
    return np.array([nearest.max(axis=0) for nearest in vectors])


def lrml_scores(tables, dense, options):
    users, items = points(tables, options)

    def score(user, item):
        weights = np.exp([(user * item) @ key for key in dense["keys"]])
        relation = sum(w * memory for w, memory in zip(weights / weights.sum(), dense["memories"], strict=True))
        return -((user + relation - item) ** 2).sum()

    return np.array([[score(user, item) for item in items] for user in users])


def transcf_scores(tables, dense, options):
    (users, items), train = points(tables, options), options["train"]

    def mean(rows):
        return rows.mean(axis=0) if len(rows) else np.zeros(rows.shape[1])

    of_users = [mean(items[train.row(u)]) for u in range(len(users))]
    of_items = [mean(users[train.users[train.items == i]]) for i in range(len(items))]
    moved = [[user + a * b for b in of_items] for user, a in zip(users, of_users, strict=True)]
    return np.array([[-((m - item) ** 2).sum() for m, item in zip(row, items, strict=True)] for row in moved])


def hyperbolic_distances(users, items):
    """Of points of the tangent space at the origin of the Poincaré ball, of curvature -1."""

    def in_ball(rows):
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.tanh(norms / 2) * rows / norms

    def distance(a, b):
        return np.arccosh(1 + 2 * ((a - b) ** 2).sum() / ((1 - (a**2).sum()) * (1 - (b**2).sum())))

    return np.array([[distance(user, item) for item in in_ball(items)] for user in in_ball(users)])


def hyperml_scores(tables, dense, options):
    return -2 * np.cosh(hyperbolic_distances(tables["users"], tables["items"]))


def pmlam_scores(tables, dense, options):
    """Squared 2-Wasserstein distances of Gaussians with diagonal covariances (Bures)."""
    embed = to_sphere if options["constraint"] == "sphere" else np.asarray
    users, items = ([embed(half) for half in np.split(tables[name], 2, axis=1)] for name in ("users", "items"))

    def score(mean, variance, other_mean, other_variance):
        trace = (variance + other_variance - 2 * np.sqrt(variance * other_variance)).sum()
        return -((mean - other_mean) ** 2).sum() - trace

    return np.array(
        [[score(m, s**2, n, t**2) for n, t in zip(*items, strict=True)] for m, s in zip(*users, strict=True)]
    )


def hlr_score(user, item, near, dense, item_attention):
    """Of a user with these items."""

    def relation(x, y):
        weights = np.exp([(x * y) @ key for key in dense["keys"]])
        return weights / weights.sum() @ dense["memories"]

    def attended(by, found):
        weights = np.exp([by @ r for r in found])
        return weights @ found / weights.sum() if found else 0.0

    if item_attention:
        moved = user + attended(user, [relation(item, j) for j in near])
        moved = moved + attended(item, [relation(user, j) for j in [item, *near]])
    else:
        moved = user + attended(user, [relation(item, j) for j in [user, *near]])
    return -((moved - item) ** 2).sum()


def hlr_scores(tables, dense, options):
    (users, items), train, most = points(tables, options), options["train"], options["num_neighbours"]

    def row(u):
        own = train.row(u)
        own = own if len(own) <= most else [own[int((j + 0.5) * len(own) / most)] for j in range(most)]
        return [hlr_score(users[u], item, items[own], dense, options["item_attention"]) for item in items]

    return np.array([row(u) for u in range(len(users))])


def points_of_features(tables, dense, options, features):
    """What the perceptron of items makes of each row of the host's features, where its columns are of every kind."""
    kinds = {kind: [c for c in features.columns if c.kind == kind] for kind in ("categorical", "multi_hot")}
    numbers = []
    for column in sorted(
        (c for c in features.columns if c.kind in ("numeric", "vector")), key=lambda c: (c.kind, c.name)
    ):
        known = column.values
        if column.kind == "numeric":
            known = ((known - np.nanmean(known)) / np.nanstd(known))[:, None]
        numbers.append(np.nan_to_num(known))
    found = []
    for row in range(features.num_rows):
        hidden, first = dense["item_hidden_bias"].copy(), 0
        for column in kinds["categorical"]:
            code = column.values[row]
            hidden += tables["item_values"][first + (code if code >= 0 else len(column.vocabulary))]
            first += len(column.vocabulary) + 1
        for column in kinds["multi_hot"]:
            codes = column.values[column.indptr[row] : column.indptr[row + 1]]
            if len(codes):
                hidden += tables["item_values"][first + codes].mean(axis=0)
            first += len(column.vocabulary) + 1
        hidden += np.concatenate([of[row] for of in numbers]) @ dense["item_numbers"]
        found.append(np.maximum(hidden, 0.0) @ dense["item_output"] + dense["item_bias"])
    return (to_sphere if options["constraint"] == "sphere" else to_ball)(found)


def cml_features_scores(tables, dense, options):
    cold = options["train"].popularity == 0
    found = points_of_features(tables, dense, options, options["item_features"])
    return distance_scores(tables | {"items": np.where(cold[:, None], found, tables["items"])}, dense, options)


MODEL_SCORES = {
    "cml": distance_scores,
    "inner_product": inner_product_scores,
    "sml": distance_scores,
    "dpcml": dpcml_scores,
    "hyperml": hyperml_scores,
    "lrml": lrml_scores,
    "transcf": transcf_scores,
    "sfcml": distance_scores,
    "pmlam": pmlam_scores,
    "cpe": distance_scores,
    "hlr": hlr_scores,
    "cml_features": cml_features_scores,
}
MODEL_CASES = {  # name -> options to try it with; of the first alone also what costs a program more
    "cml_features": [
        {"loss": "triplet", "constraint": "ball", "feature_weight": 0.4, "feature_hidden": 12, "feature_dropout": 0.2},
        {"loss": "softmax", "constraint": "sphere", "feature_hidden": 12},
    ],
    "cml": [
        {"loss": "triplet", "constraint": "sphere", "gor_weight": 0.3},
        {"loss": "triplet", "constraint": "ball", "gor_weight": 0.3, "gor_form": "sum", "loss_reduction": "sum"},
        {"loss": "softmax", "decoupled": False, "constraint": "sphere", "init_scale": 0.5},
    ],
    "inner_product": [{"loss": "bpr", "constraint": "none", "l2_weight": 0.1}],
    "sml": [
        {
            "loss": "triplet",
            "constraint": "ball",
            "item_centred_weight": 0.5,
            "margin_weight": 0.2,
            "margin_limit": 0.9,
        }
    ],
    "dpcml": [
        {
            "loss": "triplet",
            "constraint": "sphere",
            "num_vectors": 3,
            "diversity_weight": 2.0,
            "min_diversity": 0.9,
            "max_diversity": 0.95,
        },
        {"loss": "softmax", "decoupled": False, "constraint": "sphere", "num_vectors": 2},
    ],
    "hyperml": [{"loss": "triplet", "distortion_weight": 0.5, "max_radius": 0.9}],
    "lrml": [{"loss": "triplet", "constraint": "sphere", "num_memories": 4}],
    "sfcml": [{"loss": "squared", "constraint": "ball", "user_balance": 0.5}],
    "cpe": [{"loss": "triplet", "constraint": "sphere", "compactness_weight": 0.2}],
    "transcf": [
        {
            "loss": "triplet",
            "constraint": "ball",
            "num_neighbours": 3,
            "distance_weight": 0.3,
            "neighbourhood_weight": 0.2,
            "init_scale": 0.8,
        }
    ],
    "pmlam": [{"loss": "triplet", "constraint": "ball", "margin_quantile": 0.6}],
    "hlr": [
        {"loss": "triplet", "constraint": "sphere", "num_neighbours": 3, "num_memories": 4},
        {"loss": "triplet", "constraint": "ball", "num_neighbours": 3, "num_memories": 2, "item_attention": True},
    ],
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


def lazy_adam(table, steps, learning_rate, b1=0.9, b2=0.999, eps=1e-8):
    """Adam on the touched rows only, with a step count common to all rows; steps are (rows, grads) with repeats."""
    table = table.astype(np.float64).copy()
    first, second = np.zeros_like(table), np.zeros_like(table)
    for t, (rows, grads) in enumerate(steps, start=1):
        for row in np.unique(rows):
            gradient = grads[rows == row].sum(axis=0)
            first[row] = b1 * first[row] + (1 - b1) * gradient
            second[row] = b2 * second[row] + (1 - b2) * gradient**2
            corrected = first[row] / (1 - b1**t), second[row] / (1 - b2**t)
            table[row] -= learning_rate * corrected[0] / (np.sqrt(corrected[1]) + eps)
    return table


def top_k(users, items, seen, k):
    """Brute force: one list a user, -1 where too few items are left."""
    lists = []
    for u, point in enumerate(users):
        distance = ((items - point) ** 2).sum(axis=1)
        order = [i for i in np.argsort(distance, kind="stable") if i not in seen[u]]
        lists.append((order + [-1] * k)[:k])
    return np.array(lists)


def user_metrics(ranked, relevant, popularity):
    """Metrics of one list by their textbook definitions; -1 marks empty places."""
    k = len(ranked)
    relevant = set(relevant)
    hits = [i in relevant for i in ranked]
    dcg = sum(1 / np.log2(rank + 2) for rank, hit in enumerate(hits) if hit)
    ideal = sum(1 / np.log2(rank + 2) for rank in range(min(k, len(relevant))))
    precisions = [sum(hits[: rank + 1]) / (rank + 1) for rank, hit in enumerate(hits) if hit]
    first = hits.index(True) if any(hits) else None
    listed = [popularity[i] for i in ranked if i >= 0]
    return {
        "ndcg": dcg / ideal,
        "map": sum(precisions) / min(k, len(relevant)),
        "recall": sum(hits) / len(relevant),
        "precision": sum(hits) / k,
        "hit_rate": float(any(hits)),
        "mrr": 0.0 if first is None else 1 / (first + 1),
        "mmr": float(np.median(listed)),
    }


def gini(exposure):
    """Mean absolute difference over twice the mean."""
    exposure = np.asarray(exposure, float)
    return np.abs(exposure[:, None] - exposure).mean() / (2 * exposure.mean())


def inclusion_frequencies(weights, count, rounds, seed):
    """How often each element is among `count` draws without replacement, by numpy's own sampler."""
    rng = np.random.default_rng(seed)
    p = weights / weights.sum()
    counts = np.zeros(len(weights))
    for _ in range(rounds):
        counts[rng.choice(len(weights), count, replace=False, p=p)] += 1
    return counts
