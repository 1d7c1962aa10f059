"""Shows what would be trained on, without training: how the data are read, what is dropped, sizes and histograms.

python -m experiments.inspect --config.dataset.path=FILE [--config.a.b=value ...]
python -m experiments.inspect --config=FILE.py [--config.a.b=value ...]

Config keys are those of experiments.main; without --config those of experiments/configs/default.py. Whatever would stop
a run stops this too, with the same sentence.
"""

from pathlib import Path

from ml_collections import config_flags

from cml_jax.data import inspection
from cml_jax.runs.setup import Setup, make_setup
from experiments import cli, processes
from experiments.config import to_values
from experiments.log import show

_DEFAULT = Path(__file__).parent / "configs" / "default.py"
_CONFIG = config_flags.DEFINE_config_file("config", str(_DEFAULT), "Config file; its data set is looked at.")


def report(setup: Setup) -> str:
    """What is known of a run before it is trained, as text.

    Args:
        setup: of the run.
    """
    log = "\n".join(f"- {note}" for note in setup.notes)
    return f"{setup.config['dataset.name']}\n\n{log}\n\n{inspection.describe(setup.dataset)}"


def main() -> None:
    """Shows the data set of the config in the flags."""
    processes.initialize()
    show(report(make_setup(to_values(_CONFIG.value))))


if __name__ == "__main__":
    cli.run(main, example="python -m experiments.inspect --config.dataset.path=ratings.csv")
