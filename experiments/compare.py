"""What a run is compared with on the same data: the most popular items, and the triplet loss with uniform negatives."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cml_jax.runs.preemption import Watch, stoppable
from cml_jax.runs.setup import Setup, make_setup
from cml_jax.runs.summary import Summary
from experiments.results.baselines import run_baseline

FOLDER = "compared"  # of the workdir; each has a workdir of its own in it, which a report finds
_UNIFORM = {"model.loss": "triplet", "sampler.name": "uniform", "eval.compare": (), "log.explore": False}
_AT_RANDOM = {"init_from": None, "init_moments": True}
_TITLES = {"popular": "most popular items", "uniform": "triplet loss, uniform negatives"}

TrainIn = Callable[[Setup, Path], Summary]


def compared(setup: Setup, workdir: str | os.PathLike[str], watch: Watch, train: TrainIn) -> dict[str, Summary]:
    """Scores what `eval.compare` names, on the data of a run.

    Args:
        setup: of the run; all that does not make the difference is equal.
        workdir: of the run.
        watch: for SIGTERM and Ctrl-C.
        train: trains a run in a workdir.

    Returns:
        Title -> result.
    """
    found: dict[str, Summary] = {}
    for name in setup.config["eval.compare"]:
        folder = Path(workdir) / FOLDER / name / str(setup.seed)
        if name == "popular":
            with stoppable(watch, "Stopped by {by} while the most popular items were scored; start again to go on."):
                result = run_baseline({"name": name}, setup.config, setup.dataset, setup.data_sha256, folder)
        else:
            result = train(_uniform(setup), folder)
        found[_TITLES[name]] = result
    return found


def _uniform(setup: Setup) -> Setup:
    """The same run with the triplet loss and uniform negatives."""
    return make_setup({**setup.config, **_UNIFORM, **_AT_RANDOM}, lambda **options: (setup.dataset, setup.data_sha256))


def format_comparison(own: Summary, others: dict[str, Summary], metric: str) -> str:
    """A line for the run and for each result that it is compared with."""
    rows: dict[str, Any] = {"this run": own} | others
    width = max(map(len, rows))
    lines = [f"{own.part} {metric} on the same data:"]
    return "\n".join(lines + [f"  {title:<{width}}  {row.metrics[metric]:.4f}" for title, row in rows.items()])
