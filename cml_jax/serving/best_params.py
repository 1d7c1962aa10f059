"""The best parameters of a folder of checkpoints, read without changing anything in it."""

import json
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from cml_jax.checkpoint import Best, check_format, fingerprint
from cml_jax.errors import UserError
from cml_jax.types import Params


class BestRead(NamedTuple):
    """The best parameters that a run has saved.

    Attributes:
        params: as saved, ndarray each; rows of zeros at the end of tables may stand for nothing.
        step: at which they were the best.
        damaged: sentences about newer checkpoints that cannot be used.
    """

    params: Params
    step: int
    damaged: tuple[str, ...]


def read_best(folder: Path, like: Params) -> BestRead:
    """The best parameters in the newest checkpoint that can be read and whose checksums are right.

    Nothing is moved, deleted or written, so the folder may be a copy that is read-only, or that of a run at work.

    Args:
        folder: of the checkpoints, one folder a saved step.
        like: parameters of the same structure; the values do not matter.

    Raises:
        UserError: there is no checkpoint, none can be read, or the parameters in it were never evaluated.
    """
    steps = sorted((int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit()), reverse=True)
    if not steps:
        raise UserError(f"{folder}: no checkpoint; train in this workdir until one is saved.")
    reasons = {}
    for step in steps:
        check_format(folder / str(step))
        try:
            best = _read(folder / str(step), like)
        except Exception as error:  # whatever the storage layers raise for damaged files
            reasons[step] = " ".join(str(error).split())[:200] or type(error).__name__
            continue
        if best.value < 0:
            raise UserError(f"{folder}: nothing was evaluated up to step {step}; train in this workdir until then.")
        damaged = [
            f"The checkpoint of step {bad} is damaged ({reason}); an older one is used."
            for bad, reason in reasons.items()
        ]
        return BestRead(best.params, int(best.step), tuple(damaged))
    raise UserError(f"{folder}: no checkpoint can be read (of step {steps[0]}: {reasons[steps[0]]}); train again.")


def _read(folder: Path, like: Params) -> Best:
    """The best parameters of one checkpoint; raises anything where they are damaged."""
    number = jnp.zeros(())  # only the structure matters
    wanted = {"best": Best(jax.tree.map(lambda _: number, like), number, number)}
    arguments = ocp.args.PyTreeRestore(
        item=wanted,
        restore_args=jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted),
        partial_restore=True,
    )
    best = ocp.PyTreeCheckpointer().restore((folder / "progress").resolve(), args=arguments)["best"]
    checksums = [int(value) for value in fingerprint(best)]
    # Those of the whole state come first.
    if json.loads((folder / "about" / "metadata").read_text())["fingerprint"][-len(checksums) :] != checksums:
        raise ValueError("its checksum is wrong")
    return best
