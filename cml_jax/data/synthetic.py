"""Generated interactions whose best possible ranking is known."""

from typing import NamedTuple

import numpy as np

from cml_jax.data.features import Feature, Features
from cml_jax.data.interactions import Dataset, Interactions, from_pairs, keep_pairs
from cml_jax.data.splits import split
from cml_jax.data.tables import Table


class TasteModel(NamedTuple):
    """How `taste_clusters` draws: user u picks item i with weight affinity[u, style[i]] * appeal[i].

    Attributes:
        affinity: ndarray[U, S]; how much a user likes each of S styles.
        style: ndarray[I]; the style of each item.
        appeal: ndarray[I]; long-tailed popularity of each item.
        genre: ndarray[S]; the genre of each style.
    """

    affinity: np.ndarray
    style: np.ndarray
    appeal: np.ndarray
    genre: np.ndarray

    def weights(self, users: np.ndarray) -> np.ndarray:
        """ndarray[n, I]; ranking by them is the best that can be done for the users."""
        return self.affinity[users][:, self.style] * self.appeal


def make_taste_model(
    num_users: int = 2000,
    num_items: int = 5000,
    num_genres: int = 16,
    styles_per_genre: int = 16,
    appeal_exponent: float = 1.0,
    seed: int = 0,
) -> TasteModel:
    """Genres of styles: a user likes one style, the others of its genre a little and the rest hardly.

    Telling genres apart is easy, telling the styles of a genre apart is what good negatives are needed for: of uniform
    negatives only one in `num_genres` is of the user's genre.

    Args:
        num_users: U.
        num_items: I.
        num_genres: groups of styles.
        styles_per_genre: styles of each group; S = num_genres * styles_per_genre.
        appeal_exponent: appeal falls with the item's rank to this power (Zipf).
        seed: of the model.
    """
    rng = np.random.default_rng(seed)
    num_styles = num_genres * styles_per_genre
    favourite = rng.integers(num_styles, size=num_users)
    genre = np.arange(num_styles) // styles_per_genre
    affinity = np.where(genre == genre[favourite][:, None], 0.02, 0.0002)
    affinity[np.arange(num_users), favourite] = 1.0
    appeal = np.arange(1, num_items + 1) ** -appeal_exponent
    return TasteModel(affinity, rng.integers(num_styles, size=num_items), appeal, genre)


def taste_clusters(model: TasteModel, mean_degree: float = 40.0, seed: int = 0) -> Interactions:
    """Draws each user's items without replacement by the model's weights.

    Args:
        model: the weights.
        mean_degree: mean number of items of a user; log-normal with a long tail, at least 5.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    num_users, num_items = len(model.affinity), len(model.appeal)
    spread = 0.5
    degrees = rng.lognormal(np.log(mean_degree) - spread**2 / 2, spread, num_users).astype(np.int64)
    degrees = np.clip(degrees, 5, num_items // 2)
    items = []
    for start in range(0, num_users, 256):  # bounds the memory for the weights
        users = np.arange(start, min(start + 256, num_users))
        race = rng.exponential(size=(len(users), num_items)) / model.weights(users)
        order = np.argsort(race, axis=1)
        items += [row[:degree] for row, degree in zip(order, degrees[users], strict=True)]
    return from_pairs(np.repeat(np.arange(num_users), degrees), np.concatenate(items), num_users, num_items)


def make_synthetic(seed: int = 0) -> Dataset:
    """The data set that needs no files: clusters of taste with a long-tailed popularity, split 3:1:1 per user."""
    interactions = taste_clusters(make_taste_model(seed=seed), seed=seed)
    note = "Generated the synthetic data set: users with a favourite style of a genre, items with a long-tailed appeal."
    ids = np.arange(interactions.num_users), np.arange(interactions.num_items)
    return split(Table(interactions.users, interactions.items, *ids, notes=(note,)), "ratio", (3, 1, 1), seed)


def make_cold_items(num_users: int = 300, num_items: int = 400, seed: int = 0) -> Dataset:
    """Clusters of taste with features, and a tenth of the items, those of test, without a training pair.

    Items have a genre, one or two styles, of which one is theirs, and a year, which says nothing; three users of four
    say what genre they like.

    Args:
        num_users: U.
        num_items: I.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    model = make_taste_model(num_users, num_items, num_genres=8, styles_per_genre=4, appeal_exponent=0.5, seed=seed)
    pairs = taste_clusters(model, mean_degree=30.0, seed=seed)
    is_test = (rng.random(num_items) < 0.1)[pairs.items]
    held_out = keep_pairs(pairs, ~is_test)
    is_valid = rng.random(held_out.num_pairs) < 0.1
    is_valid[held_out.indptr[:-1][held_out.degrees > 0]] = False  # every user has a training pair
    parts = keep_pairs(held_out, ~is_valid), keep_pairs(held_out, is_valid), keep_pairs(pairs, is_test)
    names = np.array([f"style {number:02}" for number in range(len(model.genre))], object)
    genres = np.array([f"genre {number}" for number in range(8)], object)
    other = (model.style + rng.integers(len(names), size=num_items)) % len(names)
    styles = [
        sorted({own, more}) if rng.random() < 0.3 else [own] for own, more in zip(model.style, other, strict=True)
    ]
    indptr = np.concatenate([[0], np.cumsum([len(of) for of in styles])])
    liked = np.where(rng.random(num_users) < 0.75, model.genre[model.affinity.argmax(axis=1)], -1)
    return Dataset(
        *parts,
        user_ids=np.arange(num_users),
        item_ids=np.arange(num_items),
        notes=("Generated the data set of cold items: test has those that no training pair has.",),
        item_features=Features(
            (
                Feature("genre", "categorical", model.genre[model.style].astype(np.int32), genres),
                Feature("styles", "multi_hot", np.concatenate(styles).astype(np.int32), names, indptr),
                Feature("year", "numeric", rng.integers(1950, 2020, num_items).astype(float), np.zeros(0, np.int64)),
            )
        ),
        user_features=Features((Feature("likes", "categorical", liked.astype(np.int32), genres),)),
    )


def make_checkerboard(size: int = 50) -> Dataset:
    """User u likes the items of u's own parity; item u itself is the test item and u + 2 the validation item.

    With train and validation items masked, the one item left of the right parity is the answer: a model that has learnt
    the board has precision@1 = recall@1 = 1 on test.

    Args:
        size: number of users and of items, even and at least 8.
    """
    users, items = np.nonzero((np.arange(size)[:, None] + np.arange(size)) % 2 == 0)
    offset = (items - users) % size
    parts = [from_pairs(users[chosen], items[chosen], size, size) for chosen in (offset >= 4, offset == 2, offset == 0)]
    ids = np.arange(size)
    return Dataset(*parts, user_ids=ids, item_ids=ids, notes=("Generated the checkerboard.",))


def make_interactions(num_users: int, num_items: int, num_pairs: int) -> Interactions:
    """Interactions at random, with nothing to learn: users of log-normal activity, items of long-tailed popularity.

    Args:
        num_users: U; each has a pair at least.
        num_items: I; each has a pair at least where there are no more items than users.
        num_pairs: drawn pairs; equal ones become one.
    """
    rng = np.random.default_rng(0)
    activity = rng.lognormal(0.0, 1.0, num_users)
    users = np.searchsorted(np.cumsum(activity), rng.random(num_pairs) * activity.sum())
    appeal = np.cumsum(np.arange(1, num_items + 1) ** -0.7)
    items = np.searchsorted(appeal, rng.random(num_pairs) * appeal[-1])
    every = np.arange(num_users)
    return from_pairs(np.append(users, every), np.append(items, every % num_items), num_users, num_items)
