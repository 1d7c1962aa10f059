"""Scores finished runs on test by another protocol, in which validation items may be listed and training items not.

python -m experiments.results.rescore --config=experiments/configs/results/steam.py --workdir=runs/results/steam \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

Published tables differ in what they leave out of a user's list when test is scored, and seldom say it. This reads the
best parameters of every run below a folder from its checkpoint and writes valid_listed.json beside its summary.json;
experiments.results.baselines, which has no checkpoints, writes it itself where eval.enough_held_out is set.
Of the config, which is that of the runs, the data set and the evaluation are used. With eval.enough_held_out the file
has a second set of means, without the users of fewer test items than the smallest cut-off.
"""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags
from ml_collections import config_flags

import cml_jax
from cml_jax.data.interactions import Dataset
from cml_jax.errors import DataError, UserError
from cml_jax.evaluation import Evaluation, evaluate
from cml_jax.runs.scoring import Protocol
from cml_jax.runs.setup import make_setup
from cml_jax.runs.workdir import read_json, write_atomically
from cml_jax.types import Ranking
from experiments import cli
from experiments.config import Config, to_values
from experiments.log import say

FILE = "valid_listed.json"


def rescore(workdir: Path, config: Config) -> None:
    """Writes the scores of every trained run below a folder.

    Args:
        workdir: the folder.
        config: data set and evaluation; of a run or of the grid that it is of.

    Raises:
        UserError: there is no trained run, one is on other data, or a file cannot be read.
    """
    folders = sorted(path.parent for path in workdir.rglob("summary.json") if (path.parent / "checkpoints").is_dir())
    if not folders:
        raise UserError(f"{workdir}: no finished run with checkpoints is there; train first.")
    own = copy.deepcopy(config).unlock()
    if "sweep" in own:  # of a grid's config, which its runs do not have
        del own["sweep"]
    setup = make_setup(to_values(own))
    dataset, digest, protocol = setup.dataset, setup.data_sha256, setup.protocol
    for folder in folders:
        if read_json(folder / "config.json").get("data_sha256") != digest:
            raise DataError(f"{folder} holds a run on other data than config.dataset names; give its own.")
        model = cml_jax.load(folder)
        write_scores(folder, model.ranking, model.step, dataset, protocol)
        say(f"{folder}: written.")


def write_scores(folder: Path, ranking: Ranking, step: int, dataset: Dataset, protocol: Protocol) -> None:
    """Writes the scores of a ranking, found after some steps, beside those of its run."""
    found = evaluate(
        ranking,
        dataset.train,
        dataset.train,
        dataset.test,
        ks=(*protocol.ks, *protocol.final_ks),
        memory_budget_mb=protocol.memory_budget_mb,
        enough_held_out=protocol.enough_held_out,
    )
    content: dict[str, Any] = {"step": step, "test": found.values}
    if protocol.enough_held_out:
        content["few_left_out"] = _few_left_out(found, dataset.test.degrees[found.users] >= min(protocol.ks))
    write_atomically(folder / FILE, json.dumps(content, indent=2) + "\n")


def _few_left_out(found: Evaluation, enough: np.ndarray) -> dict[str, float]:
    """Means over the users alone who have enough test items, as LibCML takes those of MAP and MRR too."""
    values = {name: array[enough] for name, array in found.per_user.items()}
    return {
        name: float(np.nanmean(array, dtype=np.float64)) for name, array in values.items() if not np.isnan(array).all()
    }


def main() -> None:
    """Runs with the flags' values."""
    rescore(Path(flags.FLAGS.workdir), flags.FLAGS.config)


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "The config of the runs, of which dataset and eval are used.")
    flags.DEFINE_string("workdir", None, "Folder with the workdirs of runs, at any depth.", required=True)
    flags.mark_flag_as_required("config")
    cli.run(main)
