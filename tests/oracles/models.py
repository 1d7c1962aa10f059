"""Scores of models once more, in plain NumPy and float64, written from the papers' formulas.

A model is (tables, dense, options) -> scores[U, I], larger is better; options["train"] has the training pairs.
"""

import numpy as np

from cml_jax.data.interactions import from_pairs
from tests.oracles.geometry import to_ball, to_sphere


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


def simplex_scores(tables, dense, options):
    (users, items), train = points(tables, options), options["train"]
    means = np.array(
        [items[train.row(u)].mean(axis=0) if len(train.row(u)) else 0 * items[0] for u in range(len(users))]
    )
    share = options["own_share"]
    return to_sphere(share * users + (1 - share) * means @ dense["pooling"]) @ to_sphere(items).T


def cml_bias_scores(tables, dense, options):
    cosines = to_sphere(tables["users"]) @ to_sphere(tables["items"]).T
    return cosines + options["bias_scale"] * tables["item_biases"][None, :]


def nearest_items(train, count):
    """The nearest items of each item by the users they share, itself where there are no more."""
    held = np.array([[item in train.row(user) for item in range(train.num_items)] for user in range(train.num_users)])
    of_user, of_item = (np.maximum(held.sum(axis=axis), 1) for axis in (1, 0))
    found = np.empty((train.num_items, count), int)
    for i in range(train.num_items):
        nearness = {}
        for j in range(train.num_items):
            shared = (held[:, i] & held[:, j]) @ (1 / of_user)
            if j != i and shared > 0:
                nearness[j] = np.float32(shared / np.sqrt(of_item[i] * of_item[j]))
        best = sorted(nearness, key=lambda j: (-nearness[j], j))[:count]
        found[i] = [*best, *[i] * (count - len(best))]
    return found


def nearest_users(train, count):
    return nearest_items(from_pairs(train.items, train.users, train.num_items, train.num_users), count)


def moved_to_means(points, near, weight):
    return to_sphere(np.array([row + weight * points[of].mean(axis=0) for row, of in zip(points, near, strict=True)]))


def cml_graph_scores(tables, dense, options):
    users, items = to_sphere(tables["users"]), to_sphere(tables["items"])
    near = nearest_items(options["train"], options["num_nearest_items"])
    items = moved_to_means(items, near, options["nearest_weight"])
    if options.get("num_nearest_users"):
        near = nearest_users(options["train"], options["num_nearest_users"])
        users = moved_to_means(users, near, options["nearest_users_weight"])
    return users @ items.T + options["bias_scale"] * tables["item_biases"][None, :]


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
    "crml": distance_scores,
    "hlr": hlr_scores,
    "cml_features": cml_features_scores,
    "simplex": simplex_scores,
    "cml_bias": cml_bias_scores,
    "cml_graph": cml_graph_scores,
}
MODEL_CASES = {  # name -> options to try it with; of the first alone also what costs a program more
    "cml_features": [
        {
            "loss": "triplet",
            "constraint": "ball",
            "feature_weight": 0.4,
            "feature_hidden": 12,
            "feature_dropout": 0.2,
            "covariance_weight": 20.0,
        },
        {"loss": "softmax", "constraint": "sphere", "feature_hidden": 12},
    ],
    "cml": [
        {"loss": "triplet", "constraint": "sphere", "gor_weight": 0.3, "covariance_weight": 30.0},
        {"loss": "triplet", "constraint": "ball", "gor_weight": 0.3, "gor_form": "sum", "loss_reduction": "sum"},
        {"loss": "softmax", "decoupled": False, "constraint": "sphere", "init_scale": 0.5},
        {"loss": "directau", "constraint": "none", "uniformity_weight": 0.7},
    ],
    "inner_product": [{"loss": "bpr", "constraint": "none", "l2_weight": 0.1, "covariance_weight": 20.0}],
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
    "crml": [
        {
            "loss": "triplet",
            "constraint": "ball",
            "user_cooccurrence_weight": 0.3,
            "item_cooccurrence_weight": 0.2,
            "cooccurrence_cap": 2.5,
        }
    ],
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
    "simplex": [
        {"loss": "softmax", "decoupled": False, "constraint": "sphere", "num_neighbours": 3, "own_share": 0.3},
    ],
    "cml_bias": [
        {
            "loss": "softmax",
            "decoupled": False,
            "constraint": "sphere",
            "bias_scale": 0.7,
            "temperature_degree_exponent": 0.4,
        },
        {"loss": "ccl", "constraint": "none", "bias_scale": 0.4},
        {"loss": "triplet", "constraint": "sphere", "bias_scale": 0.4},
    ],
    "cml_graph": [
        {
            "loss": "softmax",
            "decoupled": False,
            "constraint": "sphere",
            "bias_scale": 0.7,
            "num_nearest_items": 3,
            "nearest_weight": 0.8,
        },
        {
            "loss": "ccl",
            "constraint": "none",
            "num_nearest_items": 2,
            "nearest_weight": 0.3,
            "num_nearest_users": 2,
            "nearest_users_weight": 0.6,
        },
        {"loss": "triplet", "constraint": "sphere", "num_nearest_items": 2, "bias_scale": 0.4},
    ],
    "pmlam": [{"loss": "triplet", "constraint": "ball", "margin_quantile": 0.6}],
    "hlr": [
        {"loss": "triplet", "constraint": "sphere", "num_neighbours": 3, "num_memories": 4},
        {"loss": "triplet", "constraint": "ball", "num_neighbours": 3, "num_memories": 2, "item_attention": True},
    ],
}
