"""Recall@20 of items without a training pair, by features, as the mean of similar items, or by popularity.

python -m experiments.benchmarks.cold_items --path=FOLDER_WITH_TRAIN_VALID_TEST --output=FILE.json

The users are halved at random. Pairs of one half make features of the items: unit vectors of a truncated singular value
decomposition of its counts, and the logarithm of how many of the half have the item. Models are trained on pairs of the
other half, without those of a tenth of the items, which are scored; so no pair that is scored is in the features, but
features are better than those that a shop has of an item that nobody has bought. Users are ranked lists of the held-out
items alone, and of all items but their own of training. On Last.fm five minutes on an idle core.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import scipy.sparse
import scipy.sparse.linalg
from absl import flags

import cml_jax
from cml_jax.data import datasets
from cml_jax.data.interactions import Interactions, keep_pairs, keep_users, union
from experiments import cli

FLAGS = flags.FlagValues()  # its own, since commands share names
_PATH = flags.DEFINE_string("path", None, "Folder with train.txt and test.txt.", required=True, flag_values=FLAGS)
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the figures.", required=True, flag_values=FLAGS)
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "Seeds of halves, held-out items and models.", flag_values=FLAGS)
_WEIGHTS = flags.DEFINE_list("feature_weights", ["0.3"], "Values of model.feature_weight.", flag_values=FLAGS)
_PASSES = flags.DEFINE_float("num_passes", 6.0, "Passes over the training pairs.", flag_values=FLAGS)
_K, _HELD_OUT, _SIMILAR = 20, 0.1, 20
_SETTINGS: dict[str, Any] = {"dim": 64, "num_candidates": 500, "batch_size": 256, "valid_fraction": 0}


class Task(NamedTuple):
    """What is asked of a method.

    Attributes:
        train: pairs of one half of the users, without those of held-out items.
        test: their pairs of held-out items.
        held_out: ndarray[I] bool.
        vectors: ndarray[I, F]; features of all items, zeros where the other half of the users does not have an item.
        counts: ndarray[I]; users of the other half who have each item.
    """

    train: Interactions
    test: Interactions
    held_out: np.ndarray
    vectors: np.ndarray
    counts: np.ndarray


def make_task(pairs: Interactions, seed: int, size: int = 64) -> Task:
    """Halves the users, holds items out and makes features of `size` numbers."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(pairs.num_users)
    known, scored = (keep_users(pairs, np.sort(half)) for half in np.array_split(order, 2))
    held_out = rng.random(pairs.num_items) < _HELD_OUT
    is_test = held_out[scored.items]
    shape = (known.num_users, known.num_items)
    matrix = scipy.sparse.csr_array((np.ones(known.num_pairs), known.items, known.indptr), shape=shape)
    _, values, items = scipy.sparse.linalg.svds(matrix, k=size, v0=rng.normal(size=min(shape)))
    assert items is not None
    vectors = items.T * values
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = np.where(norms > 1e-6, vectors / np.maximum(norms, 1e-6), 0.0)
    return Task(keep_pairs(scored, ~is_test), keep_pairs(scored, is_test), held_out, vectors, known.popularity)


def fit(task: Task, seed: int, num_passes: float, **options: Any) -> cml_jax.Recommender:
    """A model of the training pairs, with the features where the options name a model that reads them."""
    pairs = {"user": task.train.users, "item": task.train.items}
    return cml_jax.fit(pairs, seed=seed, num_passes=num_passes, progress=False, **_SETTINGS, **options)


def features_of(task: Task) -> pl.DataFrame:
    """Features of all items, as `fit` takes them; vectors have entries of about 1."""
    vectors = task.vectors * np.sqrt(task.vectors.shape[1])
    columns = {"item": np.arange(len(vectors)), "taste": pl.Series(vectors), "users": np.log1p(task.counts)}
    return pl.DataFrame(columns)


def scores_of(task: Task, model: cml_jax.Recommender, held_out_points: np.ndarray) -> np.ndarray:
    """ndarray[U, I]; negative squared distances, held-out items standing at their points ndarray[n, D]."""
    users, items = (np.zeros((n, held_out_points.shape[1])) for n in (task.train.num_users, task.train.num_items))
    users[model.user_ids.values.astype(int)] = model.user_points
    known = model.item_ids.values.astype(int)
    items[known] = model.item_points
    items[task.held_out] = held_out_points
    found = 2.0 * users @ items.T - np.square(items).sum(axis=1)
    unknown = ~task.held_out
    unknown[known] = False
    found[:, unknown] = -np.inf  # items that the half does not have
    return found


def means_of_similar(task: Task, model: cml_jax.Recommender) -> np.ndarray:
    """For each held-out item the mean of the points of the trained items whose features have the largest cosine."""
    known = model.item_ids.values.astype(int)
    cosines = task.vectors[task.held_out] @ task.vectors[known].T
    return np.asarray(model.item_points)[np.argsort(-cosines, axis=1, kind="stable")[:, :_SIMILAR]].mean(axis=1)


def by_features(task: Task, model: cml_jax.Recommender, features: pl.DataFrame) -> np.ndarray:
    """Points of the held-out items as new ones that have no user."""
    names = np.flatnonzero(task.held_out).tolist()
    grown = model.with_items({name: [] for name in names}, item_features=features)
    return np.asarray(grown.item_points)[len(model.item_ids) :]


def recall(task: Task, scores: np.ndarray, allowed: np.ndarray) -> float:
    """Mean share of a user's held-out pairs among its first 20, of the allowed items but those of training."""
    found = np.where(allowed, scores, -np.inf)
    found[task.train.users, task.train.items] = -np.inf
    lists, users = np.argsort(-found, axis=1, kind="stable")[:, :_K], np.flatnonzero(task.test.degrees)
    return float(np.mean([np.isin(task.test.row(user), lists[user]).mean() for user in users.tolist()]))


def measure(task: Task, seed: int, num_passes: float, weights: list[float]) -> dict[str, dict[str, float]]:
    """Method -> 'held_out' and 'all' -> Recall@20."""
    features, rng = features_of(task), np.random.default_rng(seed)
    everyone = np.ones((task.train.num_users, 1))
    plain = fit(task, seed, num_passes)
    methods = {
        "popularity in training (random order)": everyone * (task.train.popularity + rng.random(len(task.counts)) / 2),
        "popularity among the features' users": everyone * task.counts,
        f"CML, mean of the {_SIMILAR} most similar items": scores_of(task, plain, means_of_similar(task, plain)),
    }
    for weight in weights:
        model = fit(task, seed, num_passes, model="cml_features", item_features=features, feature_weight=weight)
        points = by_features(task, model, features)
        methods[f"CML with features, lambda_f = {weight:g}"] = scores_of(task, model, points)
    candidates = {"held_out": task.held_out[None], "all": np.ones((1, len(task.held_out)), bool)}
    return {
        name: {which: recall(task, scores, allowed) for which, allowed in candidates.items()}
        for name, scores in methods.items()
    }


def main() -> None:
    """Prints a table of means and deviations over seeds, and writes the figures."""
    dataset = datasets.load("data", _PATH.value, "adjacency")
    pairs = union(union(dataset.train, dataset.valid), dataset.test)
    weights, found = [float(weight) for weight in _WEIGHTS.value], []
    for seed in map(int, _SEEDS.value):
        task = make_task(pairs, seed)
        found.append(measure(task, seed, _PASSES.value, weights))
        users, items = int(np.sum(task.test.degrees > 0)), int(task.held_out.sum())
        print(f"seed {seed}: {items:,} held-out items, {task.test.num_pairs:,} pairs of {users:,} users", flush=True)
    print("| method | among held-out items | among all items |\n|---|---|---|")
    for name in found[0]:
        cells = [[of_seed[name][which] for of_seed in found] for which in ("held_out", "all")]
        print(f"| {name} | " + " | ".join(f"{np.mean(cell):.3f} ± {np.std(cell):.3f}" for cell in cells) + " |")
    Path(_OUTPUT.value).write_text(json.dumps({"seeds": _SEEDS.value, "recall@20": found}, indent=2) + "\n")


if __name__ == "__main__":
    cli.run(main, FLAGS)
