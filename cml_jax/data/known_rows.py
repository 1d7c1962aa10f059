"""Rows that were known when training ended, in splits by time: later rows of training pairs do not weigh them."""

import numpy as np

from cml_jax.data.counting import repeated
from cml_jax.data.options import DataOptions
from cml_jax.data.splits import CUT_BY_USER, CUT_FOR_ALL, SPLITS
from cml_jax.data.tables import Table, rows_among


def known_rows(likes: Table, pairs: Table, split: str, options: DataOptions) -> tuple[Table, float | int | None]:
    """The rows without those of pairs seen before that are as new as held-out pairs.

    Args:
        likes: with repeated pairs; splits at dates have given each row its part.
        pairs: the likes of which the split is made, without repeated pairs.
        split: its name.
        options: `split_ratio` and `split_seed` of the split.

    Returns:
        The rows, of the same pairs with the same earliest times, so that the split is the same, and the newest time of
        the rows that training knows; None where times are not known.
    """
    if likes.times is None:
        return likes, None
    if split not in (*CUT_BY_USER, *CUT_FOR_ALL):
        known = likes.times if likes.parts is None else likes.times[likes.parts == 0]
        return likes, (known if len(known) else likes.times).max().item()
    assert pairs.times is not None
    parts = SPLITS[split](pairs, options.split_ratio, options.split_seed)
    never = np.inf if likes.times.dtype.kind == "f" else np.iinfo(likes.times.dtype).max
    held_out, ends = (parts == 1) | (parts == 2), np.full(len(pairs.user_ids) + 1, never, likes.times.dtype)
    np.minimum.at(ends, pairs.users[held_out], pairs.times[held_out])
    if split in CUT_FOR_ALL:
        ends[:] = ends.min()
    late = likes.times >= ends[rows_among(pairs.user_ids, likes.user_ids)][likes.users]  # -1 is the last: never
    known = np.concatenate([likes.times[~late], pairs.times[parts == 0]])
    newest = (known if len(known) else likes.times).max().item()
    again = repeated(likes.pair_keys)
    if len(again) == 0:
        return likes, newest
    _, pair_of = np.unique(likes.pair_keys()[again], return_inverse=True)
    times = likes.times[again]
    earliest = np.full(pair_of.max() + 1, never, times.dtype)
    np.minimum.at(earliest, pair_of, times)
    dropped = np.zeros(likes.num_pairs, bool)
    dropped[again] = late[again] & (times > earliest[pair_of])
    if not dropped.any():
        return likes, newest
    note = f"Dropped {dropped.sum():,} rows of repeated pairs that are as new as held-out pairs: they weigh nothing."
    return likes.where(~dropped).note(note), newest
