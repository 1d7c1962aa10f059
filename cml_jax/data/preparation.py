"""From a table to a Dataset: repeats, filters, the split and the validation part, wherever the table was read."""

import numpy as np

from cml_jax.data import dislikes, signals, splits, tables, time_splits, times
from cml_jax.data.feature_tables import with_features
from cml_jax.data.interactions import Dataset, Interactions, from_pairs, keep_items
from cml_jax.data.known_rows import known_rows
from cml_jax.data.options import VALID_FRACTION, DataOptions
from cml_jax.data.tables import Table, rows_among
from cml_jax.data.titles import with_titles
from cml_jax.errors import ConfigError, DataError


def prepare(table: Table, options: DataOptions, label: str, *, whole: str, valid: Table | None = None) -> Dataset:
    """Tells likes from dislikes, makes pairs unique, filters, splits, sees to validation, reads features and titles.

    Args:
        table: all pairs.
        options: what is done.
        label: what messages call the data.
        whole: the split of a table without parts, where the options name none.
        valid: pairs for validation, of the same raw ids; None where the split or carving gives them.

    Raises:
        DataError: nothing is left, or a part that must not be empty is.
    """
    name = options.split or (whole if table.parts is None else "given")
    by_cut = name in time_splits.BY_CUT
    try:
        table, unit_notes = times.with_unit(table, options.time_unit)
        table = signals.of_kinds(table, options.kinds())
        if by_cut:
            table, name = time_splits.cut(table, name, options), "given"
        table, disliked = signals.likes_and_dislikes(table)
        if signals.has_weights(table, options):
            pairs = _pairs(table._replace(weights=None), options, training_only=by_cut)
            table, newest = known_rows(table, pairs, name, options)
            table = signals.weighted(table, options, newest)
        table = _pairs(table, options, training_only=by_cut)
        ranked = options.cold_items == "rank"
        dataset = splits.split(table, name, options.split_ratio, options.split_seed, rank_cold_items=ranked)
        if by_cut and dataset.valid.num_pairs == 0 and (options.valid_from or options.valid_days):
            raise DataError("no validation pair is of a user with training pairs; check dataset.split and its options.")
    except DataError as error:
        raise DataError(f"{label}: {error}") from error
    dataset = dataset._replace(notes=(*dataset.notes, *unit_notes))
    if valid is not None:
        dataset = _with_validation(dataset, valid, options)
    elif dataset.valid.num_pairs == 0 and options.valid_fraction > 0:
        dataset = splits.carve_validation(dataset, options.valid_fraction, options.split_seed)
        if dataset.valid.num_pairs == 0:
            raise DataError(
                f"{label}: no user has enough training items to carve validation pairs from; add validation pairs, "
                f"raise dataset.valid_fraction (now {options.valid_fraction:g}), or set it to 0 to do without."
            )
    if options.cold_items == "drop":
        dataset = _without_cold_items(dataset, label)
    if disliked is not None:
        dataset = dislikes.with_dislikes(dataset, disliked, table, name)
    dataset = with_features(dataset, options, (options.user_column, options.item_column))
    return with_titles(dataset, options, options.item_column)


def _pairs(rows: Table, options: DataOptions, *, training_only: bool) -> Table:
    """The rows without repeated pairs, and without rare users and items."""
    return tables.keep_min_degrees(
        tables.without_repeats(rows),
        options.min_user_items or 0,
        options.min_item_users,
        repeat=options.filter == "k_core",
        training_only=training_only,
    )


def _without_cold_items(dataset: Dataset, label: str) -> Dataset:
    """The data set without items that have no training user, and without their held-out pairs."""
    warm = np.flatnonzero(dataset.train.popularity)
    if len(warm) == len(dataset.item_ids):
        return dataset
    parts = {name: keep_items(getattr(dataset, name), warm) for name in tables.PARTS}
    lost = {name: getattr(dataset, name).num_pairs - part.num_pairs for name, part in parts.items()}
    for name, part in parts.items():
        if part.num_pairs == 0 and lost[name]:
            raise DataError(f"{label}: dataset.cold_items = 'drop' leaves no {name} pairs; set it to 'rank'.")
    note = (
        f"Dropped {len(dataset.item_ids) - len(warm):,} items without a training user ({lost['valid']:,} validation "
        f"and {lost['test']:,} test pairs)."
    )
    return dataset._replace(**parts, item_ids=dataset.item_ids[warm], notes=(*dataset.notes, note))


def _with_validation(dataset: Dataset, valid: Table, options: DataOptions) -> Dataset:
    """The data set with validation pairs from elsewhere."""
    if dataset.valid.num_pairs:
        raise ConfigError("valid does not go with data that have a validation part of their own; leave it out.")
    if options.valid_fraction not in (0, VALID_FRACTION):
        raise ConfigError(
            f"dataset.valid_fraction = {options.valid_fraction:g} has no effect where validation pairs are given; "
            f"leave it out."
        )
    pairs, notes = known_pairs_of(valid, dataset.user_ids, dataset.item_ids, "valid")
    keys = [part.users.astype(np.int64) * pairs.num_items + part.items for part in (pairs, dataset.train, dataset.test)]
    twice = np.flatnonzero(np.isin(keys[0], np.concatenate(keys[1:])))
    if len(twice):
        user, item = dataset.user_ids[pairs.users[twice[0]]], dataset.item_ids[pairs.items[twice[0]]]
        raise DataError(
            f"valid: item {item!s:.60} of user {user!s:.60} is also in another part of the data (as are "
            f"{len(twice) - 1:,} more pairs); keep each in one of them."
        )
    return dataset._replace(valid=pairs, notes=(*dataset.notes, *notes))


def known_pairs_of(
    table: Table, user_ids: np.ndarray, item_ids: np.ndarray, label: str
) -> tuple[Interactions, tuple[str, ...]]:
    """The pairs of a table as row numbers of raw ids that are known; ids that are written alike are the same.

    Args:
        table: the pairs.
        user_ids: ndarray[U] of raw ids.
        item_ids: ndarray[I] of raw ids.
        label: what messages call the table.

    Returns:
        The pairs of known users and items, and the table's notes with those about the pairs that were left out.

    Raises:
        DataError: no pair is left.
    """
    table = tables.without_repeats(table)
    users, items = (
        rows_among(known, ids)[rows]
        for known, ids, rows in ((user_ids, table.user_ids, table.users), (item_ids, table.item_ids, table.items))
    )
    kept, notes = (users >= 0) & (items >= 0), list(table.notes)
    for kind, rows, of_table in (("user", users, table.users), ("item", items, table.items)):
        unknown = rows < 0
        if unknown.any():
            count = len(np.unique(of_table[unknown]))
            notes.append(f"{label}: dropped {unknown.sum():,} pairs of {count:,} {kind}s that are not in training.")
    if not kept.any():
        raise DataError(f"{label}: no pair is of a user and an item that are in training; check the ids.")
    return from_pairs(users[kept], items[kept], len(user_ids), len(item_ids)), tuple(notes)
