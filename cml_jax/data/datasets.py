"""From a data set's name, path and format to a Dataset that is ready for training."""

from collections.abc import Sequence
from pathlib import Path

from cml_jax.data import download, splits, synthetic, tables
from cml_jax.data.interactions import Dataset
from cml_jax.data.readers import NAMED_COLUMNS, READERS, Columns
from cml_jax.errors import ConfigError, DataError

GENERATED = {"checkerboard": synthetic.make_checkerboard, "synthetic": synthetic.make_synthetic}
FILTERS = ("once", "k_core")
SPLITS = ("given", *splits.SPLITS)


def load(
    name: str,
    path: str | None = None,
    format: str = "adjacency",
    *,
    user_column: str | None = None,
    item_column: str | None = None,
    rating_column: str | None = None,
    time_column: str | None = None,
    min_rating: float = 0.0,
    min_user_items: int = 0,
    min_item_users: int = 0,
    filter: str = "once",
    split: str | None = None,
    split_ratio: Sequence[int] = (3, 1, 1),
    split_seed: int = 0,
    valid_fraction: float = 0.1,
) -> Dataset:
    """Generates, downloads or reads a data set, filters and splits it.

    In this order: rows of a lower rating are dropped, equal pairs become one, items with few users and users with few
    items are dropped, and what is left is split. A data set that comes with train and test files but no validation has
    one carved out of train.

    Args:
        name: 'synthetic' or 'checkerboard' to generate one; a key of `download.SOURCES` to download one, which sets the
            format too; any other name is a label for what stands at `path`.
        path: the file or folder; read whenever it is given.
        format: a key of `readers.READERS`.
        user_column: of csv, tsv and parquet; 'user' where None.
        item_column: likewise; 'item' where None.
        rating_column: likewise; needed for min_rating.
        time_column: likewise; needed for splits by time.
        min_rating: least rating, or play count, that makes a pair; 0 for all rows, whatever their rating.
        min_user_items: users with fewer items are dropped.
        min_item_users: items with fewer users are dropped.
        filter: 'once', items first, or 'k_core': both again until nothing changes.
        split: 'given', or a key of `splits.SPLITS`; by default 'given' where the data come in parts, else 'ratio'.
        split_ratio: of train, validation and test.
        split_seed: of what is random in the split; apart from the run's seed, so that runs over seeds share one split.
        valid_fraction: share of each user's training items that become validation where there is no validation part.

    Raises:
        ConfigError: an option that is unknown or does not fit the format, or neither a known name nor a path.
        DataError: files that cannot be used.
    """
    chosen = {"user": user_column, "item": item_column, "rating": rating_column, "time": time_column}
    if path is None and name in GENERATED:
        if any(chosen.values()) or min_rating or min_user_items or min_item_users or split:
            raise ConfigError(
                f"dataset.name = '{name}' is generated with its split: leave out columns, filters and dataset.split, "
                f"or set dataset.path."
            )
        return GENERATED[name]()
    if path is None and name not in download.SOURCES:
        known = ", ".join(sorted(GENERATED))
        downloads = ", ".join(sorted(download.SOURCES))
        raise ConfigError(
            f"dataset.path is not set: give the folder of '{name}' with --config.dataset.path=FOLDER "
            f"(only {known} need no files, and {downloads} are downloaded)."
        )
    if path is None:
        format = download.SOURCES[name].format
    if format not in READERS:
        raise ConfigError(f"dataset.format = '{format}' is unknown; choose one of {', '.join(sorted(READERS))}.")
    _check_columns(format, chosen, min_rating)
    if path is None:
        source = download.SOURCES[name]
        file = download.fetch(name, source, download.cache_folder())
    else:
        source, file = None, Path(path)

    columns = Columns(user_column or "user", item_column or "item", rating_column, time_column, min_rating)
    table = READERS[format](file, columns)
    if source is not None:
        table = table.note(f"Please cite {source.citation}.")
    if table.num_pairs == 0:
        raise DataError(f"{file}: no pairs are left; check the file, and dataset.min_rating if it is set.")
    table = tables.without_repeats(table)
    table = tables.keep_min_degrees(table, min_user_items, min_item_users, repeat=filter == "k_core")
    dataset = splits.split(table, split or ("ratio" if table.parts is None else "given"), split_ratio, split_seed)
    if dataset.valid.num_pairs == 0:
        dataset = splits.carve_validation(dataset, valid_fraction, split_seed)
        if dataset.valid.num_pairs == 0:
            raise DataError(
                f"{file}: no user has enough training items to carve validation pairs from; add a validation file or "
                f"raise dataset.valid_fraction (now {valid_fraction:g})."
            )
    return dataset


def _check_columns(format: str, columns: dict[str, str | None], min_rating: float) -> None:
    """Refuses options of columns that the format does not have, and a rating without a use or a use without one."""
    for key, column in columns.items():
        if column is not None and format not in NAMED_COLUMNS:
            raise ConfigError(
                f"dataset.{key}_column = '{column}' does not fit dataset.format = '{format}'; only "
                f"{', '.join(NAMED_COLUMNS)} have columns to name."
            )
    if min_rating and format == "adjacency":
        raise ConfigError(
            f"dataset.min_rating = {min_rating:g} does not fit dataset.format = 'adjacency': it has none."
        )
    if format in NAMED_COLUMNS and (min_rating > 0) != (columns["rating"] is not None):
        raise ConfigError(
            "dataset.rating_column and dataset.min_rating go together: name the column and the least rating to count."
        )
