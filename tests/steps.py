"""Options, runs and steps that the tests of training share."""

import functools
from typing import Any

import jax
import numpy as np

from cml_jax import make_options, training

DRAWN: dict[str, Any] = {
    "sampler": "two_stage",
    "loss": "triplet",
    "decoupled": False,
    "temperature": 0.1,
    "dim": 64,
    "init_scale": 1.0,
    "rows": "lazy",
    "average_passes": 0.0,
}  # two-stage sampling with the triplet loss, for tests that are not about the defaults
NUMBERS: dict[str, Any] = {"learning_rate": 0.05, "margin": 0.8, "similarity_cutoff": 0.4}
SIZES: dict[str, Any] = {"dim": 6, "batch_size": 8, "num_candidates": 9, "num_negatives": 2}


def make(**options):
    return make_options(**DRAWN | NUMBERS | SIZES | options).as_arrays()


def run(options, data, num_steps, seed=0):
    state = training.init_state(options, data, seed)
    return training.run_steps(state, data, options, num_steps=num_steps)


@functools.cache
def compiled_step(structure):
    """A jitted step, one for options of the same structure."""
    del structure
    return jax.jit(lambda state, data, options: training.make_step(options)(state, data))


def one_step(state, data, options):
    return compiled_step(jax.tree.structure(options))(state, data, options)


def assert_trees(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)
