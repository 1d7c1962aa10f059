"""From a data set's name, path and format to a Dataset that is ready for training."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cml_jax.data import download, synthetic
from cml_jax.data.interactions import Dataset
from cml_jax.data.options import FILTERS, SPLITS, DataOptions, unknown_choice
from cml_jax.data.preparation import prepare
from cml_jax.data.readers import NAMED_COLUMNS, READERS, WEIGHT_OF, read
from cml_jax.errors import ConfigError
from cml_jax.options import declared

__all__ = ["FILTERS", "GENERATED", "READERS", "RECIPES", "SPLITS", "check_format", "load", "resolve"]

GENERATED = {"checkerboard": synthetic.make_checkerboard, "synthetic": synthetic.make_synthetic}
# What the names of known data sets stand for where an option is left out. Echonest's is the paper's recipe (Tran et al.
# 2019, section 4.1): play counts of 10 and more, then users with 10 and more such songs.
RECIPES = {"echonest": {"format": "echonest", "min_rating": 10.0, "min_user_items": 10}}
_DEFAULTS = {"format": "adjacency", "min_rating": None, "min_user_items": 0}


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


def load(name: str, path: str | None = None, format: str | None = None, **options: Any) -> Dataset:
    """Generates, downloads or reads a data set, filters and splits it.

    Args:
        name: 'synthetic' or 'checkerboard' to generate one, a key of `download.SOURCES` to download one, 'echonest' for
            the paper's recipe (see RECIPES); any other name is a label for what stands at `path`.
        path: the file or folder; read whenever it is given.
        format: a key of `readers.READERS`; see `resolve` for None.
        **options: fields of `DataOptions`; see `resolve` for a min_rating or min_user_items of None. By default what
            comes in parts is split as given, and all else by ratio.

    Raises:
        ConfigError: an option that is unknown or has no effect here, or neither a known name nor a path.
        DataError: files that cannot be used.
    """
    how = DataOptions(**options)
    if path is None and name in GENERATED:
        return _generated(name, format, how)
    given = {"name": name, "format": format, "min_rating": how.min_rating, "min_user_items": how.min_user_items}
    filled = resolve(given)
    how, kind = (
        dataclasses.replace(how, min_rating=filled["min_rating"], min_user_items=filled["min_user_items"]),
        filled["format"],
    )
    check_format(kind, how)
    how.check()
    if path is not None:
        return prepare(read(kind, Path(path), how.columns()), how, str(Path(path)), whole="ratio")
    if name not in download.SOURCES:
        raise ConfigError(
            f"dataset.path is not set: set dataset.path to the file or folder of '{name}' (only "
            f"{', '.join(sorted(GENERATED))} need no files, and {', '.join(sorted(download.SOURCES))} are downloaded)."
        )
    source = download.SOURCES[name]
    file = download.fetch(name, source, download.cache_folder())
    table = read(kind, file, how.columns()).note(f"Please cite {source.citation}.")
    return prepare(table, how, str(file), whole="ratio")


def _generated(name: str, format: str | None, options: DataOptions) -> Dataset:
    # A threshold of 0 leaves everything there is.
    allowed = {"min_rating": (None, 0), "min_user_items": (None, 0), "split_ratio": ((3, 1, 1), [3, 1, 1])}
    given = {o.name: (getattr(options, o.name), allowed.get(o.name, (o.default,))) for o in declared(DataOptions)}
    changed = [name for name, (value, ineffective) in given.items() if value not in ineffective]
    if format or set(changed) - {"split_seed", "valid_fraction"}:
        raise ConfigError(
            f"dataset.name = '{name}' is generated with its split: leave out the other keys of dataset, or set "
            f"dataset.path."
        )
    return GENERATED[name]()


def check_format(format: str, options: DataOptions) -> None:
    """Raises ConfigError where the format is unknown or the options do not fit it."""
    if format not in READERS:
        raise unknown_choice("format", format, list(READERS))
    options.check_columns(
        f"dataset.format = '{format}'",
        named=format in NAMED_COLUMNS,
        rated=format != "adjacency",
        weight=WEIGHT_OF.get(format),
    )
