"""Features of every kind, some of them missing, for models that read them."""

from types import SimpleNamespace

import numpy as np

from cml_jax.data.features import Feature, Features

NONE = np.zeros(0, np.int64)


def features(count, seed):
    """Of so many items or users."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 4, count)
    tags = np.concatenate([np.sort(rng.choice(5, n, replace=False)) for n in lengths])
    year, cover = rng.normal(1990, 9, count), rng.normal(size=(count, 3)).astype(np.float32)
    year[1], cover[2] = np.nan, np.nan
    return Features(
        (
            Feature("year", "numeric", year, NONE),
            Feature(
                "tags", "multi_hot", tags.astype(np.int32), np.arange(5), np.concatenate([[0], np.cumsum(lengths)])
            ),
            Feature(
                "genre", "categorical", rng.integers(-1, 3, count).astype(np.int32), np.array(["a", "b", "c"], object)
            ),
            Feature("cover", "vector", cover, NONE),
        )
    )


def known(num_users, num_items):
    """Features of items and of users, as a data set has them."""
    return SimpleNamespace(item_features=features(num_items, 1), user_features=features(num_users, 2))
