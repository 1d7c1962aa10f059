"""From the workdir of a run to a model in use; the data set it was trained on is not needed."""

import json
import math
import os
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from cml_jax import training
from cml_jax.best import read_best
from cml_jax.data.saved import load_dataset
from cml_jax.errors import ConfigError, DataError, UserError
from cml_jax.geometry import CONSTRAINTS
from cml_jax.raw_ids import RawIds
from cml_jax.recommender import Recommender
from cml_jax.types import Params


def load(workdir: str | os.PathLike[str], memory_budget_mb: float = 512.0) -> Recommender:
    """The best parameters of a run, finished or not; nothing in the workdir is changed.

    Args:
        workdir: of the run, perhaps moved or read-only.
        memory_budget_mb: bound on the scores held at once, in MiB.

    Raises:
        UserError: the folder is no workdir, has no checkpoint yet, or a file in it is damaged.
    """
    if not memory_budget_mb > 0 or math.isinf(memory_budget_mb):
        raise UserError(f"memory_budget_mb = {memory_budget_mb} must be a finite number above 0.")
    folder = Path(workdir)
    constraint, margin, loss, sha256 = _read_config(folder / "config.json")
    dataset = load_dataset(folder / "dataset.npz")
    if dataset.sha256 != sha256:
        raise DataError(
            f"{folder / 'dataset.npz'}: of other data than {folder / 'config.json'}; copy the workdir again."
        )
    best = read_best(folder / "checkpoints")
    counts = len(dataset.user_ids), len(dataset.item_ids)
    if any(len(table) < count for table, count in zip(best.params, counts, strict=True)):
        raise DataError(
            f"{folder / 'checkpoints'}: of other data than {folder / 'dataset.npz'}; copy the workdir again."
        )
    params = Params(*(jnp.asarray(table[:count]) for table, count in zip(best.params, counts, strict=True)))
    return Recommender(
        points=training.embeddings(params, constraint, loss),
        user_ids=RawIds(dataset.user_ids, "user"),
        item_ids=RawIds(dataset.item_ids, "item"),
        train=dataset.train,
        valid=dataset.valid,
        constraint=constraint,
        margin=margin,
        step=best.step,
        notes=best.damaged,
        memory_budget_mb=memory_budget_mb,
    )


def _read_config(path: Path) -> tuple[str, float, str, str]:
    """The model's constraint, margin and loss, and the digest of its data."""
    try:
        config: Any = json.loads(path.read_text())
        constraint, margin, loss = (config["model"][key] for key in ("constraint", "margin", "loss"))
        sha256 = config["data_sha256"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{path}: no such file; give the --workdir of a run, which holds one.") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: not the config of a run; give the --workdir of a run.") from error
    if constraint not in CONSTRAINTS or loss not in training.LOSSES or not isinstance(margin, float) or not margin > 0:
        raise ConfigError(
            f"{path}: model.constraint, model.loss or model.margin has no meaning; give the --workdir of a run."
        )
    return constraint, margin, loss, sha256
