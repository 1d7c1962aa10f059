"""From a data set's name, path and format to a Dataset that is ready for training."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cml_jax.data import download, splits, synthetic, tables
from cml_jax.data.interactions import Dataset
from cml_jax.data.readers import NAMED_COLUMNS, READERS, Columns
from cml_jax.errors import ConfigError, DataError

GENERATED = {"checkerboard": synthetic.make_checkerboard, "synthetic": synthetic.make_synthetic}
FILTERS = ("once", "k_core")
SPLITS = ("given", *splits.SPLITS)
# What the names of known data sets stand for where an option is left out. Echonest's is the paper's recipe (Tran et al.
# 2019, section 4.1): play counts of 10 and more, then users with 10 and more such songs.
RECIPES = {"echonest": {"format": "echonest", "min_rating": 10.0, "min_user_items": 10}}
_DEFAULTS = {"format": "adjacency", "min_rating": 0.0, "min_user_items": 0}


def resolve(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `load`, those that are None filled in by the name's recipe, if the format is its, else by defaults.

    'adjacency' without thresholds is the default. Other options are returned as they are.
    """
    name = options["name"]
    recipe = {"format": download.SOURCES[name].format} if name in download.SOURCES else RECIPES.get(name, {})
    if options.get("format") not in (None, recipe.get("format")):
        recipe = {}
    filled = {key: recipe.get(key, default) for key, default in _DEFAULTS.items() if options.get(key) is None}
    return {**options, **filled}


def load(
    name: str,
    path: str | None = None,
    format: str | None = None,
    *,
    user_column: str | None = None,
    item_column: str | None = None,
    rating_column: str | None = None,
    time_column: str | None = None,
    min_rating: float | None = None,
    min_user_items: int | None = None,
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
        name: 'synthetic' or 'checkerboard' to generate one, a key of `download.SOURCES` to download one, 'echonest' for
            the paper's recipe (see RECIPES); any other name is a label for what stands at `path`.
        path: the file or folder; read whenever it is given.
        format: a key of `readers.READERS`; see `resolve` for None.
        user_column: of csv, tsv and parquet; 'user' where None.
        item_column: likewise; 'item' where None.
        rating_column: likewise; needed for min_rating.
        time_column: likewise; needed for splits by time.
        min_rating: least rating, or play count, that makes a pair; 0 for all rows, whatever it is; see `resolve`.
        min_user_items: users with fewer items are dropped; see `resolve`.
        min_item_users: items with fewer users are dropped.
        filter: 'once', items first, or 'k_core': both again until nothing changes.
        split: 'given', or a key of `splits.SPLITS`; by default 'given' where the data come in parts, else 'ratio'.
        split_ratio: of train, validation and test.
        split_seed: of what is random in the split; apart from the run's seed, so that runs over seeds share one split.
        valid_fraction: share of each user's training items that become validation where there is no validation part; 0
            to do without.

    Raises:
        ConfigError: an option that is unknown or has no effect here, or neither a known name nor a path.
        DataError: files that cannot be used.
    """
    columns = {"user": user_column, "item": item_column, "rating": rating_column, "time": time_column}
    if path is None and name in GENERATED:
        filters = (min_rating, min_user_items, min_item_users, filter != "once")
        if any(columns.values()) or any(filters) or format or split or tuple(split_ratio) != (3, 1, 1):
            raise ConfigError(
                f"dataset.name = '{name}' is generated with its split: leave out the other keys of dataset, or set "
                f"dataset.path."
            )
        return GENERATED[name]()
    given = {"name": name, "format": format, "min_rating": min_rating, "min_user_items": min_user_items}
    _, kind, least_rating, least_items = resolve(given).values()
    _check(kind, columns, least_rating, least_items, min_item_users, filter, split, split_ratio)
    source = download.SOURCES.get(name) if path is None else None
    if path is not None:
        file = Path(path)
    elif source is not None:
        file = download.fetch(name, source, download.cache_folder())
    else:
        raise ConfigError(
            f"dataset.path is not set: set dataset.path to the file or folder of '{name}' (only "
            f"{', '.join(sorted(GENERATED))} need no files, and {', '.join(sorted(download.SOURCES))} are downloaded)."
        )

    wanted = Columns(user_column or "user", item_column or "item", rating_column, time_column, least_rating)
    try:
        table = READERS[kind](file, wanted)
    except OSError as error:  # a folder that must not be entered, or a name that is too long
        raise DataError(f"{error.filename or file}: cannot be read ({error.strerror or error}).") from error
    if source is not None:
        table = table.note(f"Please cite {source.citation}.")
    if table.num_pairs == 0:
        raise DataError(f"{file}: no pairs are left; check the file, and dataset.min_rating if it is set.")
    try:
        table = tables.without_repeats(table)
        table = tables.keep_min_degrees(table, least_items, min_item_users, repeat=filter == "k_core")
        dataset = splits.split(table, split or ("ratio" if table.parts is None else "given"), split_ratio, split_seed)
    except DataError as error:
        raise DataError(f"{file}: {error}") from error
    if dataset.valid.num_pairs == 0 and valid_fraction > 0:
        dataset = splits.carve_validation(dataset, valid_fraction, split_seed)
        if dataset.valid.num_pairs == 0:
            raise DataError(
                f"{file}: no user has enough training items to carve validation pairs from; add a validation file or "
                f"raise dataset.valid_fraction (now {valid_fraction:g})."
            )
    return dataset


def _check(
    format: str,
    columns: dict[str, str | None],
    min_rating: float,
    min_user_items: int,
    min_item_users: int,
    filter: str,
    split: str | None,
    split_ratio: Sequence[int],
) -> None:
    """Refuses options that are unknown, that do not fit the format, or that would have no effect."""
    for key, value, known in (
        ("format", format, READERS),
        ("filter", filter, FILTERS),
        ("split", split, (None, *SPLITS)),
    ):
        if value not in known:
            choices = ", ".join(sorted(choice for choice in known if choice))
            raise ConfigError(f"dataset.{key} = '{value}' is unknown; choose one of {choices}.")
    for key, column in columns.items():
        if column is not None and format not in NAMED_COLUMNS:
            raise ConfigError(
                f"dataset.{key}_column = '{column}' does not fit dataset.format = '{format}'; only "
                f"{', '.join(NAMED_COLUMNS)} have columns to name."
            )
    if (columns["user"] or "user") == (columns["item"] or "item"):
        raise ConfigError(f"dataset.user_column and dataset.item_column are both '{columns['user'] or 'user'}'.")
    if min_rating and format == "adjacency":
        raise ConfigError(
            f"dataset.min_rating = {min_rating:g} does not fit dataset.format = 'adjacency': it has none."
        )
    if format in NAMED_COLUMNS and (min_rating > 0) != (columns["rating"] is not None):
        raise ConfigError(
            "dataset.rating_column and dataset.min_rating go together: name the column and the least rating to count."
        )
    if filter == "k_core" and min_user_items <= 1 and min_item_users <= 1:
        raise ConfigError("dataset.filter = 'k_core' needs dataset.min_user_items or dataset.min_item_users above 1.")
    if split in ("given", "leave_one_out") and tuple(split_ratio) != (3, 1, 1):
        raise ConfigError(f"dataset.split_ratio has no effect with dataset.split = '{split}'; leave it out.")
    if math.gcd(*split_ratio) == 0:
        raise ConfigError("dataset.split_ratio must not be all 0.")
