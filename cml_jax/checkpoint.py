"""Save and restore what a run needs to go on, with orbax."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from cml_jax.errors import UserError
from cml_jax.types import Array, Params, TrainState


class Best(NamedTuple):
    """The best parameters so far, by the validation metric that a run selects on.

    Attributes:
        params: the tables at that step.
        step: int32 scalar; 0 before the first evaluation.
        value: float32 scalar; the metric, -1 before the first evaluation.
    """

    params: Params
    step: Array
    value: Array


class Progress(NamedTuple):
    """What a checkpoint holds: the state to go on from and the best parameters so far, always in step."""

    state: TrainState
    best: Best


def start(state: TrainState) -> Progress:
    """Progress of a run that has not been evaluated yet."""
    # A copy: the state's own buffers are donated to the next step.
    return Progress(state, Best(jax.tree.map(jnp.copy, state.params), jnp.int32(0), jnp.float32(-1.0)))


def open_manager(folder: str | Path, keep: int) -> ocp.CheckpointManager:
    """A manager of the checkpoints in a folder, which is made if need be; saving is asynchronous and atomic.

    Args:
        folder: holds one folder a saved step.
        keep: how many of the newest are kept.
    """
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
    return ocp.CheckpointManager(Path(folder).resolve(), options=options)


def save(manager: ocp.CheckpointManager, progress: Progress) -> None:
    """Starts saving under the state's step, unless that step is saved already; `manager.wait_until_finished` waits."""
    step = int(progress.state.step)
    if step not in manager.all_steps():
        manager.save(step, args=ocp.args.StandardSave(progress._asdict()))


def restore(manager: ocp.CheckpointManager, like: Progress) -> Progress | None:
    """The newest checkpoint, or None where there is none.

    Args:
        manager: from `open_manager`.
        like: progress of the same shapes; its values do not matter.

    Raises:
        UserError: the checkpoint cannot be read.
    """
    step = manager.latest_step()
    if step is None:
        return None
    abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like._asdict())
    try:
        return Progress(**manager.restore(step, args=ocp.args.StandardRestore(abstract)))
    except Exception as error:  # whatever the storage layers raise for damaged files
        raise UserError(
            f"{manager.directory / str(step)}: the checkpoint cannot be read; delete this folder to go on from the one "
            f"before."
        ) from error
