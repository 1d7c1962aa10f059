"""People's own trackers: which there are. How runs report to them is in `cml_jax.runs.tracking`.

A new one is a file with a function `About -> Tracker` (see `base`), a line in TRACKERS, a key of the same name in
`LogOptions`, and an extra of that name where it needs a package.
"""

import importlib.util

from cml_jax.errors import ConfigError
from cml_jax.runs.config import KEYS, Config
from cml_jax.runs.trackers import mlflow, tensorboard, wandb
from cml_jax.runs.trackers.base import About, End, Kind, Tracker

__all__ = ["TRACKERS", "About", "End", "Kind", "Tracker", "check", "wanted"]

TRACKERS: dict[str, Kind] = {
    "tensorboard": Kind("tensorboard", tensorboard.open_tracker, needs_workdir=True),
    "wandb": Kind("wandb", wandb.open_tracker),
    "mlflow": Kind("mlflow", mlflow.open_tracker),
}
"""Every tracker by its name, which its key and its extra have, too."""

if not {f"log.{name}" for name in TRACKERS} <= KEYS.keys():
    raise TypeError("Every tracker needs a key of its name in LogOptions.")


def wanted(config: Config) -> dict[str, Kind]:
    """The trackers that a config asks for, by name."""
    return {name: kind for name, kind in TRACKERS.items() if config[f"log.{name}"] is True}


def check(config: Config, has_workdir: bool = True) -> None:
    """Raises ConfigError where a tracker that is asked for is not installed, or lacks a workdir to write to."""
    for name, kind in wanted(config).items():
        if importlib.util.find_spec(kind.package) is None:
            raise ConfigError(f"config.log.{name} = True needs pip install 'cml_jax[{name}]'; or leave it out.")
        if kind.needs_workdir and not has_workdir:
            raise ConfigError(f"config.log.{name} = True writes into a workdir; give one, or leave it out.")
