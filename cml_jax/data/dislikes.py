"""Dislikes: apart from the likes before the split, and beside the training pairs after it."""

import numpy as np

from cml_jax.data.interactions import Dataset, from_pairs
from cml_jax.data.splits import CUT_BY_USER, CUT_FOR_ALL
from cml_jax.data.tables import Table, rows_among


def parted(table: Table) -> tuple[Table, Table | None]:
    """Likes and dislikes as tables without a pair in common.

    Of a pair that is both, the newest row decides; where times are unknown or equal the like does.
    """
    if table.disliked is None:
        return table, None
    disliked, key = table.disliked, table.pair_keys()
    likes_again = np.isin(key, key[disliked]) & ~disliked
    both = np.isin(key, key[likes_again])
    if both.any():
        pairs, pair_of = np.unique(key[both], return_inverse=True)
        if table.times is None:
            is_dislike = np.zeros(len(pairs), bool)
            rule = "times are not known, so they are likes"
        else:
            order = np.lexsort((~disliked[both], table.times[both], pair_of))  # of equal times the like comes last
            last = np.append(np.flatnonzero(np.diff(pair_of[order])), len(order) - 1)
            is_dislike = disliked[both][order][last]
            rule = f"by the newest row {is_dislike.sum():,} are dislikes"
        kept = ~both
        kept[both] = disliked[both] == is_dislike[pair_of]
        table = table.where(kept).note(f"{len(pairs):,} pairs were both liked and disliked; {rule}.")
    disliked = table.disliked
    assert disliked is not None
    likes = table.where(~disliked)._replace(disliked=None)
    return likes, table.where(disliked)._replace(disliked=None, weights=None, notes=()) if disliked.any() else None


def with_dislikes(dataset: Dataset, dislikes: Table, likes: Table, split: str) -> Dataset:
    """The data set with those dislikes that were known when its training pairs were.

    Args:
        dataset: after the split, with its validation part.
        dislikes: as `parted` gives them.
        likes: of which the data set was made, without repeated pairs.
        split: the name of that split; after one by time, dislikes that are newer than the newest training pair, of the
            same user where the split is made for each user alone, are left out.

    Returns:
        The data set with `dislikes`, and a note that says how many there are and how many were left out.
    """
    reasons = []

    def without(table: Table, left_out: np.ndarray, reason: str) -> Table:
        if not left_out.any():
            return table
        reasons.append(f"{left_out.sum():,} {reason}")
        return table.where(~left_out)

    if dislikes.parts is not None:
        dislikes = without(dislikes, dislikes.parts != 0, "of held-out parts")
    users, items = _rows(dislikes, dataset)
    dislikes = without(dislikes, (users < 0) | (items < 0), "of users or items without a like in the data")
    if split in (*CUT_BY_USER, *CUT_FOR_ALL) and dislikes.times is not None and dislikes.num_pairs:
        newest = _newest_training(dataset, likes)
        newest = newest if split in CUT_BY_USER else np.full(len(newest), newest.max())
        users, _ = _rows(dislikes, dataset)
        dislikes = without(dislikes, dislikes.times > newest[users], "newer than training")
    users, items = _rows(dislikes, dataset)
    key = users * len(dataset.item_ids) + items
    held_out = [part.users.astype(np.int64) * part.num_items + part.items for part in (dataset.valid, dataset.test)]
    dislikes = without(dislikes, np.isin(key, np.concatenate(held_out)), "that are held-out pairs")
    users, items = _rows(dislikes, dataset)
    found = from_pairs(users, items, len(dataset.user_ids), len(dataset.item_ids))
    note = f"{found.num_pairs:,} dislikes of {np.count_nonzero(found.degrees):,} users"
    note += f"; left out {', '.join(reasons)}." if reasons else "."
    return dataset._replace(dislikes=found if found.num_pairs else None, notes=(*dataset.notes, note))


def _rows(table: Table, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers in the data set of the users and items of a table's pairs, int64; -1 where it has no such id."""
    return (
        rows_among(dataset.user_ids, table.user_ids)[table.users],
        rows_among(dataset.item_ids, table.item_ids)[table.items],
    )


def _newest_training(dataset: Dataset, likes: Table) -> np.ndarray:
    """ndarray[U]; time of each user's newest training pair."""
    assert likes.times is not None
    users, items = _rows(likes, dataset)
    key = users * len(dataset.item_ids) + items
    train = dataset.train
    known = (users >= 0) & (items >= 0)
    known &= np.isin(key, train.users.astype(np.int64) * train.num_items + train.items)
    newest = np.full(train.num_users, likes.times.min())
    np.maximum.at(newest, users[known], likes.times[known])
    return newest
