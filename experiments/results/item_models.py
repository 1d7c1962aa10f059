"""Baselines whose score of an item is a sum of weights from the user's items: item-KNN, EASE and SLIM.

Item-KNN is that of the library implicit, EASE and SLIM are irspack's DenseSLIMRecommender and SLIMRecommender. Of other
libraries with an EASE, rectools 0.19 wants numpy below 2 (Python 3.11) and a fork of implicit under the same name, and
recpack 0.3.6 numpy below 2 and pandas below 3; jax needs numpy 2. Elliot is not on PyPI.
"""

import importlib
import warnings
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse

from cml_jax.errors import UserError
from cml_jax.types import Array, Score

LIBRARIES = {"item_knn": "implicit", "ease": "irspack", "slim": "irspack"}
WEIGHTINGS = {"cosine": "CosineRecommender", "tfidf": "TFIDFRecommender", "bm25": "BM25Recommender"}


def fit(name: str, options: Mapping[str, Any], matrix: scipy.sparse.csr_matrix) -> Score:
    """The scores of all users and items, [U, I] float32 in memory.

    These are 4.9 GB on Gowalla, where EASE's weights take 6.7 GB more. No threads race, so that a fit repeats. Items
    without a weight from the user's own score 0, and stand in the order of their numbers.

    Args:
        name: one of LIBRARIES.
        options: of the model.
        matrix: pairs, [U, I] of ones.

    Raises:
        UserError: the library is not installed.
    """
    found: Any = matrix @ weights(name, options, matrix)
    scores = found.toarray() if scipy.sparse.issparse(found) else np.asarray(found)
    items = jnp.arange(scores.shape[1], dtype=jnp.int32)
    return Score(jnp.asarray(scores, jnp.float32), items, (), _columns, row_numbers=1)


def weights(name: str, options: Mapping[str, Any], matrix: scipy.sparse.csr_matrix) -> Any:
    """The weights [I, I] from an item that a user has (row) to an item that is scored (column), sparse but for EASE.

    Arguments and errors as for `fit`.
    """
    try:
        library = importlib.import_module(LIBRARIES[name])
    except ImportError as error:
        raise UserError(f"Baseline '{name}' needs pip install -e '.[baselines]'; or leave it out.") from error
    if name == "item_knn":
        kind = getattr(library.nearest_neighbours, WEIGHTINGS[options["weighting"]])
        model = kind(K=int(options["num_neighbours"]))
        with warnings.catch_warnings():  # that it converts what it makes itself
            warnings.simplefilter("ignore", library.utils.ParameterWarning)
            model.fit(matrix, show_progress=False)
        return model.similarity
    if name == "ease":
        return library.DenseSLIMRecommender(matrix, reg=options["regularization"]).learn().W
    shares = {key: options[key] for key in ("alpha", "l1_ratio")}
    return library.SLIMRecommender(matrix, **shares, n_iter=int(options["iterations"])).learn().W


def _columns(rows: Array, items: Array, _: tuple[()]) -> Array:
    """Scores Array[c, I] and item numbers Array[b] -> Array[c, b]."""
    return rows[:, items]
