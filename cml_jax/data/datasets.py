"""From a data set's name, path and format to a Dataset that is ready for training."""

from cml_jax.data import splits, synthetic
from cml_jax.data.interactions import Dataset
from cml_jax.data.readers import READERS
from cml_jax.errors import ConfigError, DataError

GENERATED = {"checkerboard": synthetic.make_checkerboard, "synthetic": synthetic.make_synthetic}


def load(
    name: str, path: str | None = None, format: str = "adjacency", *, valid_fraction: float = 0.1, split_seed: int = 0
) -> Dataset:
    """Reads or generates a data set, and carves a validation part out of train where it brings none.

    Args:
        name: 'synthetic' or 'checkerboard' to generate one; any other name is a label for what stands at `path`.
        path: where the files are; read whenever it is given.
        format: a key of `readers.READERS`.
        valid_fraction: share of each user's training items that become validation where there is no validation part.
        split_seed: seed of that choice; apart from the run's seed, so that runs over seeds share one split.

    Raises:
        ConfigError: an unknown format, or neither a generated data set's name nor a path.
        DataError: files that cannot be used.
    """
    if path is None:
        if name not in GENERATED:
            known = ", ".join(sorted(GENERATED))
            raise ConfigError(
                f"dataset.path is not set: give the folder of '{name}' with --config.dataset.path=FOLDER "
                f"(only {known} need no files)."
            )
        return GENERATED[name]()
    if format not in READERS:
        raise ConfigError(f"dataset.format = '{format}' is unknown; choose one of {', '.join(sorted(READERS))}.")
    dataset = READERS[format](path)
    if dataset.valid.num_pairs == 0:
        dataset = splits.carve_validation(dataset, valid_fraction, split_seed)
        if dataset.valid.num_pairs == 0:
            raise DataError(
                f"{path}: no user has enough training items to carve validation pairs from; add valid.txt or raise "
                f"dataset.valid_fraction (now {valid_fraction:g})."
            )
    return dataset
