"""Save and restore what a run needs to go on, with orbax."""

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from cml_jax import sharding
from cml_jax.errors import UserError
from cml_jax.hashing import avalanche
from cml_jax.types import Array, Params, PyTree, TrainState

FORMAT = 2  # of what a checkpoint holds; 1 had users and items alone


class Best(NamedTuple):
    """The best parameters so far, by the validation metric that a run selects on.

    Attributes:
        params: what was trained, at that step.
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


class Restored(NamedTuple):
    """A checkpoint that was read.

    Attributes:
        progress: None where there is no checkpoint.
        about: what was saved beside it.
        damaged: sentences about newer checkpoints that cannot be used, which were moved out of the way.
    """

    progress: Progress | None
    about: dict[str, Any]
    damaged: list[str]


def start(state: TrainState) -> Progress:
    """Progress of a run that has not been evaluated yet."""
    return Progress(state, make_best(state.params, 0, -1.0))


def make_best(params: Params, step: int, value: float) -> Best:
    """The best parameters so far, copied, since a state's buffers are donated to the next step."""
    numbers = sharding.replicate((jnp.int32(step), jnp.float32(value)), sharding.num_shards_of(params.tables["items"]))
    return Best(jax.tree.map(jnp.copy, params), *numbers)


def open_manager(folder: str | Path, keep: int) -> ocp.CheckpointManager:
    """A manager of the checkpoints in a folder, which is made if need be; saving is asynchronous and atomic.

    What a killed run left half-written is removed. The best parameters are part of every checkpoint.

    Args:
        folder: holds one folder a saved step.
        keep: how many of the newest are kept.
    """
    options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True, cleanup_tmp_directories=True)
    return ocp.CheckpointManager(Path(folder).resolve(), options=options)


@jax.jit
def fingerprint(tree: PyTree) -> list[Array]:
    """A checksum of every array: the sum modulo 2^32 of its words, each times an odd number that depends on its place.

    A change of one word always shows. Zeros do not count, so rows of zeros at the end of a table make no difference,
    and neither does the way it is split over devices.

    Args:
        tree: arrays of four bytes an element.

    Returns:
        uint32 scalars, in the order of the leaves.
    """

    def checksum(leaf):
        words = jax.lax.bitcast_convert_type(leaf, jnp.uint32)
        place = jnp.uint32(0)
        for axis, size in enumerate(leaf.shape):
            place = place * jnp.uint32(size) + jax.lax.broadcasted_iota(jnp.uint32, leaf.shape, axis)
        return jnp.sum(words * (avalanche(place) | 1), dtype=jnp.uint32)

    return [checksum(leaf) for leaf in jax.tree.leaves(tree)]


def save(manager: ocp.CheckpointManager, progress: Progress, about: dict[str, Any], replace: bool = False) -> None:
    """Starts saving under the state's step, unless that step is saved already; `wait` waits for it.

    Args:
        manager: from `open_manager`.
        progress: may be donated or changed as soon as this returns.
        about: saved beside it, as JSON.
        replace: whether what is saved of that step gives way to this.

    Raises:
        UserError: this checkpoint, or the one before, cannot be written.
    """
    step = int(progress.state.step)
    if replace and step in manager.all_steps():
        manager.delete(step)
    if step not in manager.all_steps():
        write(manager, step, progress._asdict(), about)


def write(manager: ocp.CheckpointManager, step: int, tree: dict[str, PyTree], about: dict[str, Any]) -> None:
    """Starts writing a checkpoint, as `save` does, of trees by name, the best parameters as the last of them.

    Raises:
        UserError: this checkpoint, or the one before, cannot be written.
    """
    checksums = [int(value) for value in fingerprint(list(tree.values()))]
    try:
        manager.save(
            step,
            args=ocp.args.Composite(
                # A copy, because the step that comes next reuses the buffers.
                progress=ocp.args.PyTreeSave(jax.tree.map(jnp.copy, tree)),
                about=ocp.args.JsonSave({"about": about, "fingerprint": checksums, "format": FORMAT}),
            ),
        )
    except jax.errors.JaxRuntimeError:
        raise  # another process is gone
    except Exception as error:  # whatever the storage layers raise
        raise _not_written(manager, error) from error


def wait(manager: ocp.CheckpointManager) -> None:
    """Returns when what is being saved is on disk.

    Raises:
        UserError: it cannot be written.
    """
    try:
        manager.wait_until_finished()
    except jax.errors.JaxRuntimeError:
        raise
    except Exception as error:
        raise _not_written(manager, error) from error


def _not_written(manager: ocp.CheckpointManager, error: Exception) -> UserError:
    full = "No space left on device"
    reason = full if full in str(error) else " ".join(str(error).split())[:200]
    remedy = "make room or choose another workdir"
    if jax.process_count() > 1:
        remedy = f"if another process has stopped, start all of them again, else {remedy}"
    return UserError(
        f"{manager.directory}: a checkpoint cannot be written ({reason}); {remedy}. Checkpoints saved before are as "
        f"they were."
    )


def restore(manager: ocp.CheckpointManager, like: Progress) -> Restored:
    """The newest checkpoint that can be read and whose checksums are right.

    Newer ones that are damaged are moved beside the manager's folder, as damaged-STEP, once a good one is found.

    Args:
        manager: from `open_manager`.
        like: progress of the same shapes, but for the number of rows of zeros that fill up tables; its values do not
            matter, its shardings are those of the result.

    Raises:
        UserError: there are checkpoints, and all of them are damaged, or of another version.
    """
    steps = sorted(manager.all_steps(), reverse=True)
    reasons = {}
    for step in steps:
        check_format(Path(manager.directory) / str(step))
        try:
            progress, about = _read(manager, step, like)
        except Exception as error:  # whatever the storage layers raise for damaged files
            reasons[step] = " ".join(str(error).split())[:200] or type(error).__name__
            continue
        damaged = [
            f"The checkpoint of step {bad} is damaged ({reason}); it was moved to {_move_aside(manager, bad)}."
            for bad, reason in reasons.items()
        ]
        return Restored(progress, about, damaged)
    if reasons:
        raise UserError(
            f"{manager.directory}: no checkpoint can be read (of step {steps[0]}: {reasons[steps[0]]}); choose another "
            f"workdir, or delete this one."
        )
    return Restored(None, {}, [])


def check_format(folder: Path) -> None:
    """Raises UserError where a checkpoint, which is otherwise good, was written by another version of this library."""
    try:
        found = json.loads((folder / "about" / "metadata").read_text())
        version = found.get("format", 1) if "fingerprint" in found else FORMAT
    except (OSError, ValueError, AttributeError, TypeError):
        return  # damaged, which is found out when it is read
    if version != FORMAT:
        raise UserError(
            f"{folder}: a checkpoint of format {version}, which another version of cml_jax wrote; this version reads "
            f"format {FORMAT}, so train again in another workdir."
        )


def _read(manager: ocp.CheckpointManager, step: int, like: Progress) -> tuple[Progress, dict[str, Any]]:
    """A checkpoint, and what was saved beside it; raises anything where it is damaged."""
    tree = like._asdict()
    # Not strict: tables may be filled up with another number of rows of zeros, as another number of shards needs.
    arguments = jax.tree.map(
        lambda leaf: ocp.ArrayRestoreArgs(
            sharding=leaf.sharding, global_shape=leaf.shape, dtype=leaf.dtype, strict=False
        ),
        tree,
    )
    wanted = ocp.args.Composite(
        progress=ocp.args.PyTreeRestore(item=tree, restore_args=arguments), about=ocp.args.JsonRestore()
    )
    read = manager.restore(step, args=wanted)
    progress = Progress(**read["progress"])
    if [int(value) for value in fingerprint(progress)] != read["about"]["fingerprint"]:
        raise ValueError("its checksum is wrong")
    return progress, read["about"]["about"]


def _move_aside(manager: ocp.CheckpointManager, step: int) -> Path:
    """Moves a damaged checkpoint out of the folder of good ones, where its number is wanted again."""
    folder = Path(manager.directory)
    place = folder.parent / f"damaged-{step}"
    if jax.process_index() == 0:
        shutil.rmtree(place, ignore_errors=True)
        (folder / str(step)).rename(place)
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices("a damaged checkpoint was moved")
    manager.reload()
    return place
