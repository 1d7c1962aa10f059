"""From the workdir of a run to a model in use; the data set it was trained on is not needed."""

import json
import math
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from cml_jax.data.saved import load_dataset
from cml_jax.errors import ConfigError, DataError, UserError
from cml_jax.keys import SECTIONS
from cml_jax.serving.best_params import read_best
from cml_jax.serving.raw_ids import RawIds
from cml_jax.serving.recommender import Recommender
from cml_jax.strategies import Options, options_of_config
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
    options, sha256 = _read_config(folder / "config.json")
    dataset = load_dataset(folder / "dataset.npz")
    if dataset.sha256 != sha256:
        raise DataError(
            f"{folder / 'dataset.npz'}: of other data than {folder / 'config.json'}; copy the workdir again."
        )
    model, data = options.make_model(), dataset.train.to_device()
    like = jax.eval_shape(model.init, jax.random.key(0), data)
    best = read_best(folder / "checkpoints", like)
    tables = best.params.tables
    if any(len(tables[name]) < table.shape[0] for name, table in like.tables.items()):
        raise DataError(
            f"{folder / 'checkpoints'}: of other data than {folder / 'dataset.npz'}; copy the workdir again."
        )
    whole = {name: jnp.asarray(tables[name][: table.shape[0]]) for name, table in like.tables.items()}
    return Recommender(
        options=options,
        params=Params(whole, jax.tree.map(jnp.asarray, best.params.dense)),
        user_ids=RawIds(dataset.user_ids, "user"),
        item_ids=RawIds(dataset.item_ids, "item"),
        train=dataset.train,
        valid=dataset.valid,
        step=best.step,
        notes=best.damaged,
        memory_budget_mb=memory_budget_mb,
    )


def _read_config(path: Path) -> tuple[Options, str]:
    """The run's options and the digest of its data."""
    try:
        config: Any = json.loads(path.read_text())
        values = {f"{section}.{name}": value for section in SECTIONS for name, value in config[section].items()}
        sha256 = config["data_sha256"]
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{path}: no such file; give the workdir of a run, which holds one.") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: not the config of a run; give the workdir of a run.") from error
    try:
        return options_of_config(values), sha256
    except ConfigError as error:
        raise ConfigError(
            f"{path}: not the config of a run ({str(error).rstrip('.')}); give the workdir of one."
        ) from error
