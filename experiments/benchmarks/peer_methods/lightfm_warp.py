"""LightFM's WARP loss without features, from the fork lightfm-next, since 1.17 does not build on Python 3.11."""

import functools
import importlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from cml_jax.types import Factors
from experiments.benchmarks.peer_methods.watch import Task, Watch
from experiments.results import baselines


def train(task: Task, settings: Mapping[str, Any], watch: Watch) -> None:
    """Trains until the watch has enough.

    Args:
        task: data and sizes.
        settings: of the model, such as 'learning_rate' and 'max_sampled'.
        watch: told of every pass.
    """
    matrix = baselines.matrix_of(task.dataset.train).tocoo()
    library = importlib.import_module("lightfm")
    model = library.LightFM(no_components=task.dim, loss="warp", random_state=task.seed, **settings)
    watch.ready()
    passes = 0
    while True:
        model.fit_partial(matrix, epochs=1, num_threads=task.num_threads)
        passes += 1
        watch.after(passes, functools.partial(_factors, model))


def _factors(model: Any) -> Factors:
    """<(user, 1), (item, bias of the item)>; the bias of a user changes no list."""
    bias, items = model.get_item_representations()
    _, users = model.get_user_representations()
    ones = np.ones((len(users), 1), np.float32)
    return Factors(jnp.array(np.hstack([users, ones])), jnp.array(np.hstack([items, bias[:, None]])))
