"""Trains and evaluates one model.

python -m experiments.main --config=FILE.py --workdir=DIR [--config.a.b=value ...]
"""

from absl import flags
from ml_collections import config_flags

from experiments import cli, train

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, such as experiments/configs/quickstart.py.")
_WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder for the run's files; an unfinished run in it goes on.", required=True
)
flags.mark_flag_as_required("config")


def main() -> None:
    """Runs with the flags' values."""
    train.train_and_evaluate(_CONFIG.value, _WORKDIR.value)


if __name__ == "__main__":
    cli.run(main)
