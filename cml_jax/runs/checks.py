"""Checks that stop a run which cannot learn: numbers that are not finite, batches without a negative."""

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax import batches
from cml_jax.errors import TrainingError
from cml_jax.runs.config import Config
from cml_jax.types import Array, Params


def check_loss(losses: np.ndarray, first: int, config: Config) -> None:
    """Raises TrainingError that names the first step, counted from 1, whose loss is not finite."""
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise _diverged(f"The loss is {losses[bad[0]]} at step {first + bad[0] + 1}", config)


def check_params(params: Params, step: int, config: Config) -> None:
    """Raises TrainingError where the squared norm of a row is not finite, which no loss may have shown yet."""
    if not _all_finite(params):
        raise _diverged(f"The squared norm of an embedding is not finite after step {step}", config)


@jax.jit
def _all_finite(params: Params) -> Array:
    """Whether the squared norms of all rows are finite; a bool."""
    norms = [jnp.sum(jnp.square(rows), axis=tuple(range(1, rows.ndim))) for rows in jax.tree.leaves(params)]
    return jnp.stack([jnp.all(jnp.isfinite(each)) for each in norms]).all()


def _diverged(what: str, config: Config) -> TrainingError:
    return TrainingError(
        f"{what}; lower config.optimizer.learning_rate (now {config['optimizer.learning_rate']:g}), or bound the norms "
        f"with config.model.constraint (now {config['model.constraint']!r})."
    )


def check_negatives(no_negative: int, start: int, end: int, num_pairs: int, batch_size: int) -> None:
    """Raises TrainingError where none of the pairs of steps start to end - 1 had a valid negative."""
    # The last batch of a pass may be a partial one.
    place = np.arange(start, end) % batches.steps_per_pass(num_pairs, batch_size) * batch_size
    if no_negative == int(np.minimum(batch_size, num_pairs - place).sum()):
        raise TrainingError(
            f"No pair of steps {start + 1} to {end} has a valid negative; raise config.sampler.num_candidates, or use "
            f"config.sampler.name = 'uniform'."
        )
