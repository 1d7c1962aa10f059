"""Shows what would be trained on, without training: first rows, what is guessed and dropped, sizes and histograms.

python -m experiments.inspect --config.dataset.path=FILE [--config.a.b=value ...]
python -m experiments.inspect --config=FILE.py [--config.a.b=value ...]

Config keys are those of experiments.main; without --config those of experiments/configs/default.py. Whatever would stop
a run stops this too, with the same sentence.
"""

from pathlib import Path

import polars as pl
from ml_collections import config_flags

from cml_jax.data import inspection, readers
from cml_jax.data.options import DataOptions
from cml_jax.options import construct
from cml_jax.runs.config import section
from cml_jax.runs.setup import Setup, make_setup
from experiments import cli, processes
from experiments.config import to_values
from experiments.log import show

_DEFAULT = Path(__file__).parent / "configs" / "default.py"
_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file; default: experiments/configs/default.py.")


def report(setup: Setup) -> str:
    """What is known of a run before it is trained, as text.

    Args:
        setup: of the run.
    """
    log = "\n".join(f"- {note}" for note in setup.notes)
    name = setup.config["dataset.name"]
    return "\n\n".join([name, *_first_rows(setup), log, inspection.describe(setup.dataset)])


def _first_rows(setup: Setup) -> list[str]:
    """The first rows of each file that has columns, as they stand there."""
    of_data = section(setup.config, "dataset")
    if of_data["path"] is None:
        return []
    options = construct(DataOptions, of_data)
    found = readers.describe(of_data["format"], Path(of_data["path"]), options.columns(), options)
    with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_cols=-1, fmt_str_lengths=30):
        return [f"{file.path}:\n{file.rows}" for file in found]


def main() -> None:
    """Shows the data set of the config in the flags."""
    processes.initialize()
    show(report(make_setup(to_values(_CONFIG.value))))


if __name__ == "__main__":
    cli.run(
        main, default_config=str(_DEFAULT), example="python -m experiments.inspect --config.dataset.path=ratings.csv"
    )
