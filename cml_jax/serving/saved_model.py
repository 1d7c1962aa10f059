"""A model in use, loaded from the workdir of a run or from a folder that it was saved to; no data set is needed."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from cml_jax import batches, checkpoint
from cml_jax.data.interactions import Dataset, nothing
from cml_jax.data.saved import SavedDataset, load_dataset, save_dataset
from cml_jax.errors import ConfigError, DataError, UserError
from cml_jax.files import home_path, new_folder
from cml_jax.keys import OPTION_NAMES, SECTIONS
from cml_jax.serving.best_params import read_best
from cml_jax.serving.raw_ids import RawIds
from cml_jax.serving.recommender import Recommender
from cml_jax.serving.trained_model import COLUMNS
from cml_jax.strategies import Options, options_of_config
from cml_jax.types import Params

_SUMMARY, _METRICS = "summary.json", "metrics.json"


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
    folder = home_path(workdir)
    options, sha256, columns = _read_config(folder / "config.json")
    dataset = load_dataset(folder / "dataset.npz")
    if dataset.sha256 != sha256:
        raise DataError(
            f"{folder / 'dataset.npz'}: of other data than {folder / 'config.json'}; copy the workdir again."
        )
    like = _shapes(options, dataset)
    best = read_best(folder / "checkpoints", like)
    tables = best.params.tables
    if any(len(tables[name]) < table.shape[0] for name, table in like.tables.items()):
        raise DataError(
            f"{folder / 'checkpoints'}: of other data than {folder / 'dataset.npz'}; copy the workdir again."
        )
    return recommender_of(
        options,
        best.params,
        dataset,
        step=best.step,
        notes=best.damaged,
        metrics=_read_metrics(folder, best.step),
        columns=columns,
        memory_budget_mb=memory_budget_mb,
    )


def recommender_of(
    options: Options,
    params: Params,
    dataset: Dataset | SavedDataset,
    *,
    step: int,
    notes: tuple[str, ...] = (),
    metrics: Mapping[str, dict[str, float]] | None = None,
    columns: tuple[str, str] = COLUMNS,
    memory_budget_mb: float = 512.0,
) -> Recommender:
    """A model in use from what was trained; rows of zeros that fill up its tables are cut off."""
    like = _shapes(options, dataset)
    tables = {name: jnp.asarray(params.tables[name])[: table.shape[0]] for name, table in like.tables.items()}
    return Recommender(
        options=options,
        params=Params(tables, jax.tree.map(jnp.asarray, params.dense)),
        user_ids=RawIds(dataset.user_ids, "user"),
        item_ids=RawIds(dataset.item_ids, "item"),
        train=dataset.train,
        valid=dataset.valid,
        item_features=dataset.item_features,
        user_features=dataset.user_features,
        dislikes=dataset.dislikes,
        item_titles=dataset.item_titles,
        step=step,
        notes=notes,
        metrics=metrics or {},
        columns=columns,
        memory_budget_mb=memory_budget_mb,
    )


def _shapes(options: Options, dataset: Dataset | SavedDataset) -> Any:
    """Shapes of the parameters; nothing is put on the device."""
    model = options.make_model()
    data = jax.eval_shape(lambda: batches.with_features(dataset.train.to_device(), model, dataset))
    return jax.eval_shape(lambda data: model.init(jax.random.key(0), data), data)


def columns_of(of_data: Mapping[str, Any]) -> tuple[str, str]:
    """Names of the columns of users and items, by the options of a data set."""
    user, item = (str(of_data.get(f"{kind}_column") or kind) for kind in COLUMNS)
    return user, item


def options_in(workdir: str | os.PathLike[str]) -> Options:
    """Options of the run in a workdir; nothing else is read.

    Raises:
        UserError: the folder is no workdir.
    """
    return _read_config(home_path(workdir) / "config.json")[0]


def _read_metrics(folder: Path, step: int) -> dict[str, dict[str, float]]:
    """Scores of a step in a finished run's summary, or in what `save` wrote; none where there are none."""
    for name in (_SUMMARY, _METRICS):
        try:
            found: Any = json.loads((folder / name).read_text())
            if found["best_step"] == step:
                return {part: dict(found[part]) for part in ("valid", "test") if found.get(part)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue
    return {}


def _read_config(path: Path) -> tuple[Options, str, tuple[str, str]]:
    """The run's options, the digest of its data and the columns that it was read from."""
    try:
        config: Any = json.loads(path.read_text())
        values = {f"{section}.{name}": value for section in SECTIONS for name, value in config[section].items()}
        sha256 = config["data_sha256"]
        columns = columns_of(config.get("dataset", {}))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ConfigError(f"{path}: no such file; give the workdir of a run, which holds one.") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror or error}).") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: not the config of a run; give the workdir of a run.") from error
    try:
        return options_of_config(values), sha256, columns
    except ConfigError as error:
        raise ConfigError(
            f"{path}: not the config of a run ({str(error).rstrip('.')}); give the workdir of one."
        ) from error


def save(model: Recommender, folder: str | os.PathLike[str]) -> None:
    """Writes a new folder from which `load` makes the same model; it is there when it is whole, and not before.

    It holds config.json, dataset.npz and checkpoints/, as the workdir of a run does, without the state of the training,
    and metrics.json.

    Args:
        model: the model.
        folder: is made; an empty one may be there.

    Raises:
        UserError: the folder holds something, or cannot be written.
    """
    no_test = nothing(len(model.user_ids), len(model.item_ids))
    dataset = Dataset(
        model.train,
        model.valid,
        no_test,
        model.user_ids.values,
        model.item_ids.values,
        item_features=model.item_features,
        user_features=model.user_features,
        dislikes=model.dislikes,
        item_titles=model.item_titles,
    )
    sha256 = dataset.sha256()
    with new_folder(home_path(folder)) as beside:
        of_data = {f"{kind}_column": name for kind, name in zip(COLUMNS, model.columns, strict=True)}
        config = _as_config(model.options) | {"dataset": of_data, "data_sha256": sha256}
        (beside / "config.json").write_text(json.dumps(config, indent=2))
        scores = {"best_step": model.step, **model.metrics}
        (beside / _METRICS).write_text(json.dumps(scores, indent=2) + "\n")
        save_dataset(beside / "dataset.npz", dataset, sha256)
        best = checkpoint.Best(model.params, jnp.int32(model.step), jnp.float32(0))
        with checkpoint.open_manager(beside / "checkpoints", keep=1) as manager:
            checkpoint.write(manager, model.step, {"best": best}, {})
            checkpoint.wait(manager)


def _as_config(options: Options) -> dict[str, Any]:
    """The options as the sections of a config; infinity stands as None, as there."""
    values, config = options.values(), {}
    for name, key in OPTION_NAMES.items():
        if name in values:
            value = values[name] if isinstance(values[name], str | bool | int) else float(values[name])
            section, last = key.split(".")
            config.setdefault(section, {})[last] = None if value == math.inf else value
    return config
