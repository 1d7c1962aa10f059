"""Where a run starts: at random, or at a trained model, from memory or from a folder."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from cml_jax import batches, growing, training
from cml_jax.checkpoint import check_format, fingerprint
from cml_jax.errors import ConfigError
from cml_jax.files import home_path
from cml_jax.growing import Moments, Old
from cml_jax.runs.config import Config
from cml_jax.runs.setup import Setup
from cml_jax.runs.workdir import Workdir
from cml_jax.serving.recommender import Recommender
from cml_jax.serving.saved_model import load, options_in
from cml_jax.types import TrainState

IN_MEMORY = "memory:"  # begins the name of a model that has no folder


def name_of(model: Any) -> str | None:
    """What `init_from` is for a folder, a model in memory or None; equal models have equal names.

    Raises:
        ConfigError: it is nothing of these.
    """
    if model is None or isinstance(model, str | os.PathLike):
        return None if model is None else os.fspath(model)
    if not isinstance(model, Recommender):
        raise ConfigError(f"config.init_from is of type {type(model).__name__}; give a model, or the folder of one.")
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(model.params):
        digest.update(np.asarray(leaf).tobytes())
    for ids in (model.user_ids, model.item_ids):
        digest.update("\n".join(map(str, ids.values.tolist())).encode() + b"\0")
    return IN_MEMORY + digest.hexdigest()[:16]


def check(config: Config, workdir: str | os.PathLike[str] | None) -> None:
    """Checks, before anything is read, that there is what `init_from` names; a run that goes on does not need it.

    Raises:
        ConfigError: the folder holds no model, or there is no effect of what is said about it.
    """
    name = config["init_from"]
    if name is None and not config["init_moments"]:
        raise ConfigError("config.init_moments = False has an effect only with config.init_from; leave it out.")
    if name is None or name.startswith(IN_MEMORY) or _has_begun(workdir):
        return
    path = home_path(name) / "config.json"
    if not path.is_file():
        raise ConfigError(
            f"config.init_from = '{name}': {path.parent} holds no config.json; give the workdir of a run, or a folder "
            f"that model.save wrote."
        )


def check_model(setup: Setup, workdir: str | os.PathLike[str] | None) -> None:
    """Checks, before anything is trained, that the model in the folder of `init_from` is of the same kind.

    Raises:
        ConfigError: it is not; the sentence names a key and both values.
    """
    name = setup.config["init_from"]
    if name is not None and not name.startswith(IN_MEMORY) and not _has_begun(workdir):
        growing.check_same_model(setup.options, options_in(home_path(name)), name)


def _has_begun(workdir: str | os.PathLike[str] | None) -> bool:
    return workdir is not None and Workdir(home_path(workdir), [], writes=False).newest_step() > 0


def started(setup: Setup, state: TrainState) -> tuple[TrainState, tuple[str, ...]]:
    """The state that a run takes its first step from, and sentences for the log.

    Args:
        setup: of the run.
        state: a fresh one.

    Raises:
        UserError: the model that it is to start from cannot be used.
    """
    if setup.config["init_from"] is None:
        return state, ()
    if jax.process_count() > 1:
        raise ConfigError("config.init_from needs a single process; start without it, or in one process.")
    return growing.grown_state(state, setup.options, setup.dataset, _old(setup))


def _old(setup: Setup) -> Old:
    name = setup.config["init_from"]
    if setup.init is not None:
        model, moments, why_not = setup.init, None, "a model in memory has no moments"
        name = "the model"
    else:
        check(setup.config, None)
        folder = home_path(name)
        model = load(folder)
        growing.check_same_model(setup.options, model.options, name)
        moments, why_not = None, "init_moments is False"
        if setup.config["init_moments"]:
            moments, why_not = _read_moments(folder, model)
    return Old(
        name,
        model.options,
        model.params,
        model.user_ids.values,
        model.item_ids.values,
        moments,
        why_not,
        item_features=model.item_features,
        user_features=model.user_features,
    )


def _read_moments(folder: Path, model: Recommender) -> tuple[Moments | None, str]:
    """Moments of the newest checkpoint that can be read, flushed; or the reason why there are none."""
    checkpoints = folder / "checkpoints"
    steps = sorted((int(path.name) for path in checkpoints.glob("[0-9]*") if path.name.isdigit()), reverse=True)
    why_not = ""
    for step in steps:
        check_format(checkpoints / str(step))
        try:
            return _moments_of(checkpoints / str(step), model)
        except Exception as error:  # whatever the storage layers raise for damaged files
            why_not = f"its moments cannot be read ({' '.join(str(error).split())[:200] or type(error).__name__})"
    return None, why_not


def _moments_of(folder: Path, model: Recommender) -> tuple[Moments | None, str]:
    """Moments of one checkpoint; raises anything where it is damaged."""
    options = model.options
    data = jax.eval_shape(lambda: batches.with_features(model.train.to_device(), model.model, model))
    fresh = jax.eval_shape(training.init_state, options, data, 0)
    checksums = json.loads((folder / "about" / "metadata").read_text())["fingerprint"]
    if len(checksums) == len(jax.tree.leaves(fresh.params)) + 2:
        return None, "a saved model has no moments"
    # The tables too, since pending updates are theirs.
    wanted = {name: getattr(fresh, name) for name in ("params", "opt_state", "dense_opt_state")}
    read: Any = ocp.PyTreeCheckpointer().restore(
        (folder / "progress").resolve(),
        args=ocp.args.PyTreeRestore(
            item={"state": wanted},
            restore_args={"state": jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)},
            partial_restore=True,
        ),
    )["state"]
    # Checksums are in the order of the state's leaves, after those of step and seed.
    found = [int(value) for value in fingerprint([read[name] for name in wanted])]
    if checksums[2 : 2 + len(found)] != found:
        raise ValueError("their checksum is wrong")
    optimizers = training.table_optimizers(options, options.make_model(), read["params"], jnp.int32(0))
    tables = read["params"].tables
    moments = {name: optimizers[name].moments(read["opt_state"][name], table) for name, table in tables.items()}
    return Moments(moments, read["dense_opt_state"]), ""
