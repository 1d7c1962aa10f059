"""Trains and evaluates one model from a config: `train_and_evaluate`, for commands, notebooks and tests."""

import os
from typing import Any, NoReturn

import jax
from tqdm import tqdm

from cml_jax.errors import TrainingError
from experiments.config import Config
from experiments.runs import display, preemption, processes
from experiments.runs.log import say, show
from experiments.runs.loop import Advanced, train_together
from experiments.runs.run import Run, open_run
from experiments.runs.setup import make_setup, size_note


def train_and_evaluate(config: Config, workdir: str | os.PathLike[str]) -> dict[str, Any]:
    """Trains, keeps the best parameters by validation NDCG, evaluates those once on test.

    Args:
        config: from a config file; see `experiments.config` for its keys.
        workdir: folder for config.json, dataset.npz, metrics.jsonl, summary.json, per_user.npz, curves.png and
            checkpoints/. An unfinished run of the same config in it goes on, and so does a finished one that is asked
            for more steps; otherwise a finished one is reported again. The last step is always evaluated, whether
            eval.every_steps divides it or not.

    Returns:
        What summary.json holds.

    Raises:
        UserError: one sentence, before any work where the config or the data cannot be used.
        Preempted: SIGTERM came; a checkpoint holds what was done.
    """
    with preemption.watch(alone=jax.process_count() == 1) as watch:
        with preemption.stoppable(watch, "Stopped before the first step."):
            setup = make_setup(config)
            processes.check_same_data(setup.data_sha256)
        for line in (*setup.notes, size_note(setup.config, setup.dataset)):
            say(line)
        data = setup.dataset.train.to_device()
        with open_run(setup, workdir, data, say) as run:
            if run.summary is None:
                start, writes = run.step, run.workdir.writes
                with tqdm(
                    total=setup.num_steps, initial=start, unit="step", mininterval=0.5, disable=not writes
                ) as bar:
                    train_together([run], data, watch, _to_bar(bar), _raise)
            assert run.summary is not None
            show(display.format_summary(run.summary, setup.protocol.metric))
            return run.summary.to_json()


def _raise(run: Run, error: TrainingError) -> NoReturn:
    del run
    raise error


def _to_bar(bar: tqdm) -> Advanced:
    def advanced(num_steps, text):
        bar.update(num_steps)
        bar.set_postfix_str(text)

    return advanced
