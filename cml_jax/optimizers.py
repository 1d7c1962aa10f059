"""Options of the optimizer, and the optimizers of tables and of dense parameters that they stand for."""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from cml_jax import sharding
from cml_jax.errors import ConfigError
from cml_jax.options import FINITE_AT_LEAST_0, POSITIVE, StrategyOptions, derived, one_of, options, static, traced
from cml_jax.rowwise import ONLY_FOR, ROW_MODES, TableOptimizer
from cml_jax.types import Array

OPTIMIZERS = {"adagrad": optax.adagrad, "adam": optax.adam, "rmsprop": optax.rmsprop, "sgd": optax.sgd}


@options
class OptimizerOptions(StrategyOptions):
    """Options of the optimizer.

    Attributes:
        decay_steps: steps in which the learning rate falls to 0, on a straight line; infinity for a constant one.
        average_steps: window of the average of the parameters, in steps; see `training.evaluation_params`.
        average: whether the parameters that are evaluated are an average over the last steps.
    """

    name: str = static("adam", "optimizer: " + " | ".join(sorted(OPTIMIZERS)), one_of(OPTIMIZERS))
    learning_rate: float = traced(1e-3, "step size, at the first step", POSITIVE)
    schedule: str = static(
        "constant",
        "learning rate: constant | linear; linear falls to 0 at the run's end",
        one_of(("constant", "linear")),
    )
    average_passes: float = traced(
        2.0,
        "window of an average of the parameters, in passes, which is evaluated; 0: the last ones are",
        FINITE_AT_LEAST_0,
    )
    rows: str | None = static(
        None,
        "rows without a gradient: lazy | dense | catch_up; catch_up (adam): as dense, at about the cost of lazy; none: "
        "catch_up with adam, else lazy",
        one_of(ROW_MODES),
    )
    decay_steps: float = derived(math.inf, traced=True)
    average_steps: float = derived(1.0, traced=True)
    average: bool = derived(False)

    def resolved(self, chosen: Any, train: Any) -> dict[str, Any]:
        """The window of the average in steps, where the number of pairs is known.

        Raises:
            ConfigError: the learning rate is to fall over a number of steps that is not known.
        """
        found: dict[str, Any] = {"average": bool(self.average_passes > 0), "rows": self.rows or self.default_rows()}
        if train is not None:
            if self.schedule != "constant" and self.decay_steps == math.inf:
                raise ConfigError(
                    f"optimizer.schedule = '{self.schedule}' ends with the run, whose length is not known; give "
                    f"decay_steps, the number of its steps, too."
                )
            found["average_steps"] = self.average_passes * train.num_pairs / chosen.batch_size
        return found

    def default_rows(self) -> str:
        """The mode of rows where none is given."""
        return "catch_up" if self.name == ONLY_FOR["catch_up"] else "lazy"

    def check(self, chosen: Any) -> None:
        """Raises ConfigError where the row mode is for another optimizer."""
        del chosen
        only = ONLY_FOR.get(self.rows or self.default_rows(), self.name)
        if self.name != only:
            raise ConfigError(
                f"optimizer.rows = '{self.rows}' is for optimizer.name = '{only}', not '{self.name}'; rows without a "
                f"gradient stand still with the others, so 'lazy' does the same."
            )


def learning_rate_at(options: OptimizerOptions, step: Array) -> Array:
    """The learning rate of a step, counted from 0."""
    return options.learning_rate * jnp.maximum(0.0, 1.0 - step / options.decay_steps)


def table_optimizer(
    options: OptimizerOptions, step: Array, project: Callable[[Array], Array], num_shards: int
) -> TableOptimizer:
    """The optimizer of a table at a step, whose touched rows are projected."""
    rate = learning_rate_at(options, step)
    optimizer = ROW_MODES[options.rows or "lazy"](OPTIMIZERS[options.name](rate), project, rate)
    return sharding.split(optimizer) if num_shards > 1 else optimizer


def dense_optimizer(options: OptimizerOptions, step: Array) -> optax.GradientTransformation:
    """The optimizer of dense parameters at a step."""
    return OPTIMIZERS[options.name](learning_rate_at(options, step))
