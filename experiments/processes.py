"""Flags of several processes that train one model together."""

import faulthandler

import jax
from absl import flags

from cml_jax.errors import UserError

_ADDRESS = flags.DEFINE_string(
    "coordinator_address", None, "HOST:PORT of the first of several processes; its host must be reachable by all."
)
_NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "Number of processes.", lower_bound=1)
_PROCESS_ID = flags.DEFINE_integer("process_id", None, "Number of this process, from 0.", lower_bound=0)
_DISTRIBUTED = flags.DEFINE_boolean(
    "distributed", False, "One of several processes whose number and place SLURM, MPI or a TPU pod tells."
)
_HEARTBEAT_SECONDS = 30  # a process that has been silent for so long counts as dead


def initialize() -> None:
    """Joins the other processes, where flags say that there are any; before anything else is done with JAX.

    Raises:
        UserError: the flags do not go together, or the other processes cannot be reached.
    """
    told = [_ADDRESS.value, _NUM_PROCESSES.value, _PROCESS_ID.value]
    if all(value is None for value in told) and not _DISTRIBUTED.value:
        return
    if not _DISTRIBUTED.value and any(value is None for value in told):
        raise UserError("--coordinator_address, --num_processes and --process_id are needed together.")
    if _PROCESS_ID.value is not None and _PROCESS_ID.value >= (_NUM_PROCESSES.value or 0):
        raise UserError(
            f"--process_id={_PROCESS_ID.value} must be below --num_processes={_NUM_PROCESSES.value}; processes are "
            f"numbered from 0."
        )
    # JAX ends a process with a message and SIGABRT when it misses another one; no dump of the stack needs to follow.
    faulthandler.disable()
    try:
        jax.distributed.initialize(*told, heartbeat_timeout_seconds=_HEARTBEAT_SECONDS)
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(
            f"The other processes cannot be joined ({reason}); check --coordinator_address, --num_processes and "
            f"--process_id, and that all of them run."
        ) from error
