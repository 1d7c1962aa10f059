"""Trains and evaluates one model from a config: `train_and_evaluate`, for commands, notebooks and tests."""

import os
from typing import Any

import jax

from cml_jax.runs import compilation_cache, display, preemption, processes, starting
from cml_jax.runs.loop import train_alone
from cml_jax.runs.setup import Setup, make_setup, size_note
from cml_jax.runs.summary import Summary
from experiments.compare import compared, format_comparison
from experiments.config import Config, to_values
from experiments.log import say, show
from experiments.run_figure import draw_result


def train_and_evaluate(config: Config, workdir: str | os.PathLike[str]) -> dict[str, Any]:
    """Trains, keeps the best parameters by validation NDCG, evaluates those once on test.

    Args:
        config: from a config file; see `experiments.config` for its keys.
        workdir: folder for config.json, dataset.npz, metrics.jsonl, summary.json, per_user.npz, curves.png,
            checkpoints/ and, where log.explore asks for it, space.html. An unfinished run of the same config in it goes
            on, and so does a finished one that is asked for more steps, or for more patience where that ended it;
            otherwise a finished one is reported again. The last step is always evaluated, whether eval.every_steps
            divides it or not.

    Returns:
        What summary.json holds.

    Raises:
        UserError: one sentence, before any work where the config or the data cannot be used.
        Preempted: SIGTERM or Ctrl-C came; a checkpoint holds what was done.
    """
    with preemption.watch(alone=jax.process_count() == 1) as watch:
        with preemption.stoppable(watch, "Stopped by {by} before anything was trained; start again to go on."):
            values = to_values(config)
            starting.check(values, workdir)
            setup = make_setup(values)
            processes.check_same_data(setup.data_sha256)
        for line in (*setup.notes, size_note(setup.config, setup.dataset)):
            say(line)
        with compilation_cache.used(values[compilation_cache.KEY], say):
            summary = _train(setup, workdir, watch)
            show(display.format_summary(summary, setup.protocol.metric))
            others = compared(setup, workdir, watch, lambda setup, folder: _train(setup, folder, watch))
            if others:
                show(format_comparison(summary, others, setup.protocol.metric))
        return summary.to_json()


def _train(setup: Setup, workdir: str | os.PathLike[str], watch: preemption.Watch) -> Summary:
    return train_alone(setup, workdir, watch, say, shown=processes.is_first(), draw=draw_result)[0]
