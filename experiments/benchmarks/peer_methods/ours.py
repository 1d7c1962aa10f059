"""Our own softmax over shared candidates, by the public functions that a run is made of."""

import copy
import functools
from collections.abc import Mapping
from typing import Any

import jax

from cml_jax import batches, training
from cml_jax.runs.setup import Setup, make_setup
from cml_jax.types import DeviceInteractions, Ranking, TrainState
from experiments.benchmarks.peer_methods.watch import Task, Watch
from experiments.config import to_values

_CHUNKS = 8  # dispatches a pass


def train(task: Task, settings: Mapping[str, Any], watch: Watch) -> None:
    """Trains until the watch has enough; set-up has the whole compilation.

    Args:
        task: whose config the settings change.
        settings: dotted config key -> value.
        watch: told of every chunk of steps.
    """
    jax.clear_caches()  # a setting that was run before may have compiled the same program
    config = copy.deepcopy(task.config)
    config.update_from_flattened_dict(settings)
    config.seed = task.seed
    setup = make_setup(to_values(config), load=lambda **_: (task.dataset, task.sha256))
    data = batches.of_dataset(setup.dataset, setup.options)
    state = training.init_state(setup.options, data, setup.seed)
    steps_per_pass = batches.steps_per_pass(setup.dataset.train.num_pairs, setup.options.batch_size)
    num_steps = max(1, steps_per_pass // _CHUNKS)
    advance = training.run_steps.lower(state, data, setup.options, num_steps=num_steps).compile()
    watch.ready()
    done = 0
    while True:
        state, _ = jax.block_until_ready(advance(state, data, setup.options))
        done += num_steps
        watch.after(done / steps_per_pass, functools.partial(_ranking, setup, state, data))


def _ranking(setup: Setup, state: TrainState, data: DeviceInteractions) -> Ranking:
    return setup.ranking(training.evaluation_params(state, setup.options), data)
