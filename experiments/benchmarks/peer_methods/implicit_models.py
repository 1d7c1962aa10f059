"""implicit's ALS and BPR, as experiments.results.baselines makes them, on all threads."""

import functools
import importlib
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp

from cml_jax.types import Factors
from experiments.benchmarks.peer_methods.watch import Task, Watch
from experiments.results import baselines

_WITHOUT_END = 1_000_000  # iterations; the watch ends them


def train(task: Task, settings: Mapping[str, Any], watch: Watch) -> None:
    """Trains until the watch has enough.

    Args:
        task: data and sizes.
        settings: 'name', 'als' or 'implicit_bpr', and options of the model.
        watch: told of every iteration, which is a pass.
    """
    name, options = settings["name"], {key: value for key, value in settings.items() if key != "name"}
    options["iterations"] = _WITHOUT_END
    matrix = baselines.matrix_of(task.dataset.train)
    # ALS has threads of its own, which those of BLAS slow down.
    with importlib.import_module("threadpoolctl").threadpool_limits(1, "blas"):
        model = baselines.make_model(name, options, task.dim, task.seed, task.num_threads)
        watch.ready()
        model.fit(
            matrix,
            show_progress=False,
            callback=lambda iteration, *_: watch.after(iteration + 1, functools.partial(_factors, model)),
        )


def _factors(model: Any) -> Factors:
    return Factors(jnp.array(model.user_factors), jnp.array(model.item_factors))
