"""From a data set's name, path and format to a Dataset that is ready for training."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from cml_jax.data import download, synthetic
from cml_jax.data.formats import format_of
from cml_jax.data.interactions import Dataset
from cml_jax.data.options import FILTERS, SPLITS, DataOptions, data_options, unknown_choice
from cml_jax.data.preparation import prepare
from cml_jax.data.readers import NAMED_COLUMNS, READERS, TEXT_OF, WEIGHT_OF, read
from cml_jax.errors import ConfigError
from cml_jax.files import home_path
from cml_jax.options import declared

__all__ = ["FILTERS", "GENERATED", "READERS", "RECIPES", "SPLITS", "check_format", "load", "resolve"]

GENERATED = {
    "checkerboard": synthetic.make_checkerboard,
    "cold_items": synthetic.make_cold_items,
    "synthetic": synthetic.make_synthetic,
}
# What names that are not downloaded stand for where an option is left out.
RECIPES = {"echonest": download.SOURCES["taste-profile"].recipe}
_DEFAULTS = {"format": "adjacency", "min_rating": None, "min_user_items": 0}


def resolve(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `load`, those that are None filled in by the name's recipe, if the format is its, else by defaults.

    The recipe of a data set that can be downloaded is for its own files, other ones at a path have the name as a label.
    The format of what stands at a path is told by it, and without a path 'adjacency'; there are no thresholds by
    default. Other options are returned as they are.
    """
    recipe = _recipe(options["name"], options.get("path"))
    if options.get("format") not in (None, recipe.get("format")):
        recipe = {}
    guessed = guessed_format(options)
    defaults = _DEFAULTS | ({"format": guessed[0]} if guessed else {})
    filled = {key: value for key, value in {**defaults, **recipe}.items() if options.get(key) is None}
    return {**options, **filled}


def _recipe(name: str | None, path: str | None) -> Mapping[str, Any]:
    if name not in download.SOURCES:
        return RECIPES.get(name or "", {})
    source = download.SOURCES[name]
    return source.recipe if path is None or not os.path.exists(home_path(path)) or source.at(home_path(path)) else {}


def guessed_format(options: Mapping[str, Any]) -> tuple[str, str] | None:
    """The format that the path tells, and the reason; None where it is given or follows from the name, or no path is.

    Raises:
        DataError: it cannot be told.
    """
    path = options.get("path")
    if path is None or options.get("format") is not None or _recipe(options["name"], path):
        return None
    if not os.path.exists(home_path(path)):  # also where the name is too long
        return None  # reading says so
    named = bool(options.get("user_column") or options.get("item_column"))
    return format_of(home_path(path), named=named, lists=options.get("first_number") is not None)


def load(name: str, path: str | None = None, format: str | None = None, **options: Any) -> Dataset:
    """Generates, downloads or reads a data set, filters and splits it.

    Args:
        name: a key of GENERATED to generate one, a key of `download.SOURCES` to download one, 'echonest' for
            the paper's recipe (see RECIPES); any other name is a label for what stands at `path`.
        path: the file or folder; read whenever it is given.
        format: a key of `readers.READERS`; see `resolve` for None.
        **options: fields of `DataOptions`; those of a name's recipe count where they are None. By default what
            comes in parts is split as given, and all else by ratio.

    Raises:
        ConfigError: an option that is unknown or has no effect here, or neither a known name nor a path.
        DataError: files that cannot be used.
    """
    how = data_options(options)
    if path is None and name in GENERATED:
        return _generated(name, format, how)
    names = [option.name for option in declared(DataOptions)]
    given = {"name": name, "path": path, "format": format, **{key: getattr(how, key) for key in names}}
    filled, guessed = resolve(given), guessed_format(given)
    how, kind = dataclasses.replace(how, **{key: filled[key] for key in names}), filled["format"]
    check_format(kind, how)
    check_text(kind, how)
    how.check()
    if path is not None:
        own = download.SOURCES[name].at(home_path(path)) if name in download.SOURCES else None
        file = own if own is not None and kind == download.SOURCES[name].format else home_path(path)
        dataset = prepare(read(kind, file, how.columns(), how), how, str(file), whole="ratio")
        said = (format_note(path, *guessed),) if guessed else ()
        return dataset._replace(notes=(*dataset.notes, *said))
    if name not in download.SOURCES:
        raise ConfigError(
            f"dataset.path is not set: set dataset.path to the file or folder of '{name}' (only "
            f"{', '.join(sorted(GENERATED))} need no files, and {', '.join(sorted(download.SOURCES))} are downloaded)."
        )
    source, cache = download.SOURCES[name], download.cache_folder()
    file = download.fetch(name, source, cache)
    table = read(kind, file, how.columns(), how).note(f"Please cite {source.citation}.")
    for sentence in (f"Terms of use: {source.terms} ({source.page}).", *download.pinned(source, cache)):
        table = table.note(sentence)
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


def check_text(format: str, options: DataOptions) -> None:
    """Raises ConfigError for options of text that have no effect on the format; those of other readers have."""
    if format in TEXT_OF:
        options.check_text_of(f"dataset.format = '{format}'", TEXT_OF[format])


def format_note(path: Any, format: str, why: str) -> str:
    """Sentence about a format that was guessed."""
    return f"{home_path(path)}: read as {format}, {why}."
