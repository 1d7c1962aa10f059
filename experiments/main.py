"""Trains and evaluates one model.

python -m experiments.main --config=FILE.py --workdir=DIR [--config.a.b=value ...]
"""

import time
from pathlib import Path

import jax
from absl import flags
from ml_collections import config_flags

from cml_jax.errors import UserError
from experiments import cli, processes, train

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, such as experiments/configs/quickstart.py.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder for the run's files; an unfinished run in it goes on. Default: runs/CONFIG-DATE-TIME."
)
flags.mark_flag_as_required("config")


def main() -> None:
    """Runs with the flags' values."""
    processes.initialize()
    name = Path(config_flags.get_config_filename(flags.FLAGS["config"])).stem
    if _WORKDIR.value is None and jax.process_count() > 1:
        raise UserError("--workdir is needed where there are several processes, the same for all of them.")
    train.train_and_evaluate(_CONFIG.value, _WORKDIR.value or f"runs/{name}-{time.strftime('%Y%m%d-%H%M%S')}")


if __name__ == "__main__":
    cli.run(
        main, example="python -m experiments.main --config=experiments/configs/quickstart.py --workdir=runs/quickstart"
    )
