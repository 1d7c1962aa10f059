"""What several processes of one run tell each other, by JAX's own multi-controller runtime."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from cml_jax.errors import DataError


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return jax.process_index() == 0


def any_of_all(value: bool) -> bool:
    """Whether the value is true in any process; all processes must call it."""
    return value if jax.process_count() == 1 else bool(multihost_utils.process_allgather(np.array(value)).any())


def check_same_data(sha256: str) -> None:
    """Raises DataError in every process unless all of them have read the same data."""
    if jax.process_count() > 1:
        digests = multihost_utils.process_allgather(np.frombuffer(bytes.fromhex(sha256), np.uint8))
        others = np.flatnonzero((digests != digests[0]).any(axis=1))
        if len(others):
            raise DataError(f"Process {others[0]} has read other data than process 0; give all of them the same files.")
