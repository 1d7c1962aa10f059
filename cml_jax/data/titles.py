"""Titles of items, for lists that people read; they change nothing that is trained."""

import numpy as np
import polars as pl

from cml_jax.data import frames
from cml_jax.data.feature_files import source_of
from cml_jax.data.interactions import Dataset
from cml_jax.errors import ConfigError, DataError
from cml_jax.options import options, static

_USUAL = ("title", "name")


@options
class TitleOptions:
    """Options of titles."""

    item_titles: str | None = static(
        None, "titles of items, shown beside their ids: csv, tsv, jsonl or parquet file with a column of raw ids"
    )
    item_title_column: str | None = static(None, "column of item_titles that holds them; none: title or name")
    item_title_id: str | None = static(None, "column of raw ids of item_titles; none: as in the interactions")

    def check_titles(self) -> None:
        """Raises ConfigError for columns of titles where there are none."""
        for name in ("item_title_column", "item_title_id"):
            if self.item_titles is None and getattr(self, name):
                raise ConfigError(f"dataset.{name} has no effect without dataset.item_titles; leave it out.")


def with_titles(dataset: Dataset, options: TitleOptions, item_column: str | None) -> Dataset:
    """The data set with the titles that the options name, and a note about them.

    Args:
        dataset: filtered and split.
        options: `item_titles` is a path or data, see `feature_files.source_of`.
        item_column: column of items in the interactions; None for the usual one.

    Raises:
        DataError: titles cannot be read, or are of other items altogether.
    """
    if options.item_titles is None:
        return dataset
    source = source_of(options.item_titles, "item", options.item_title_id or item_column, "item_titles")
    label, rows = source.label, source.rows
    id_name = source.id_column("item", options.item_title_id or item_column)
    column = _title_column(rows.columns, options.item_title_column, label)
    ids, notes = frames.ids_of(rows[id_name], label)
    if rows.schema[column].is_nested() or rows.schema[column] == pl.Object:
        raise DataError(f"{label}: column '{column}' holds {rows.schema[column]}, no text; name another column.")
    titles = rows[column].cast(pl.String)
    title_of: dict[str, str] = {}
    several: set[str] = set()
    for name, title in zip(ids.cast(pl.String), titles, strict=True):
        if name is not None and title and title_of.setdefault(name, title) != title:  # of several the first
            several.add(name)
    found = np.empty(len(dataset.item_ids), object)
    found[:] = [title_of.get(str(value), "") for value in dataset.item_ids.tolist()]
    count = int(np.count_nonzero(found))
    if count == 0:
        raise DataError(f"{label}: no row is of an item of the data; check the ids.")
    note = f"{label}: titles of {count:,} of {len(found):,} items by columns '{id_name}' and '{column}'."
    if several:
        ids_have = "id has" if len(several) == 1 else "ids have"
        note += f" {len(several):,} {ids_have} several titles; the first is taken."
    return dataset._replace(item_titles=found, notes=(*dataset.notes, *source.notes, *notes, note))


def _title_column(names: list[str], chosen: str | None, label: str) -> str:
    for name in (chosen,) if chosen else _USUAL:
        if name in names:
            return name
    raise DataError(
        f"{label}: has no column '{chosen or _USUAL[0]}' of titles; its columns are {', '.join(names[1:])[:200]!r}, "
        f"name it by dataset.item_title_column."
    )
