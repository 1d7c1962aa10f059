"""What of the held-out parts is known from training: users, items and pairs, and times that overlap."""

from typing import NamedTuple

import numpy as np

from cml_jax.data.counting import count_rows, repeated
from cml_jax.data.tables import PARTS, Table
from cml_jax.data.times import written


class Counts(NamedTuple):
    """Distinct users, items and pairs."""

    users: int
    items: int
    pairs: int


class PartOverlap(NamedTuple):
    """A held-out part beside training.

    Attributes:
        part: of PARTS.
        all: what is in the part.
        known: what of it is in training.
    """

    part: str
    all: Counts
    known: Counts


class TimeOverlap(NamedTuple):
    """Times of training beside those of test.

    Attributes:
        newest_train, oldest_test: times, in `unit`.
        unit: of `times.UNITS`, or None.
        older_pairs: test pairs that are older than the newest training pair, of anyone.
        ahead_of_own: users with a training pair that is newer than the oldest of their own test pairs.
        ahead_of_any: users with a training pair that is newer than the oldest test pair of anyone.
        num_pairs: test pairs.
        num_users: users with a training pair.
    """

    newest_train: float | int
    oldest_test: float | int
    unit: str | None
    older_pairs: int
    ahead_of_own: int
    ahead_of_any: int
    num_pairs: int
    num_users: int


class Overlap(NamedTuple):
    """What of the held-out parts is known from training.

    Attributes:
        parts: of validation and test, those that have a pair.
        times: None where times are unknown or there is no test pair.
    """

    parts: tuple[PartOverlap, ...]
    times: TimeOverlap | None


def measure(table: Table, parts: np.ndarray) -> Overlap:
    """Compares the held-out parts with training.

    Args:
        table: the pairs.
        parts: ndarray[n] of places in PARTS; pairs of other numbers are left out.
    """
    held_out = [place for place in (1, 2) if np.any(parts == place)]
    again = repeated(table.pair_keys)  # most tables have no pair twice
    found = []
    for place in held_out:
        users, items = (
            _distinct(rows, parts, place, len(ids))
            for rows, ids in ((table.users, table.user_ids), (table.items, table.item_ids))
        )
        pairs = _pairs(table, parts, place, again)
        counts = zip(users, items, pairs, strict=True)
        found.append(PartOverlap(PARTS[place], *(Counts(*each) for each in counts)))
    if table.times is None or 2 not in held_out or not np.any(parts == 0):
        return Overlap(tuple(found), None)
    return Overlap(tuple(found), _of_times(table, table.times, parts))


def _distinct(rows: np.ndarray, parts: np.ndarray, place: int, num_rows: int) -> tuple[int, int]:
    """How many distinct rows a part has, and how many of these training has."""
    here, in_train = (count_rows(rows[parts == of], num_rows) > 0 for of in (place, 0))
    return int(np.sum(here)), int(np.sum(here & in_train))


def _pairs(table: Table, parts: np.ndarray, place: int, again: np.ndarray) -> tuple[int, int]:
    """Likewise of pairs, those that are there several times being at `again`."""
    keys = table.users[again].astype(np.int64) * len(table.item_ids) + table.items[again]
    here, in_train = (np.unique(keys[parts[again] == of]) for of in (place, 0))
    once = int(np.sum(parts == place)) - int(np.sum(parts[again] == place))
    return once + len(here), len(np.intersect1d(here, in_train, assume_unique=True))


def _of_times(table: Table, times: np.ndarray, parts: np.ndarray) -> TimeOverlap:
    train, test = parts == 0, parts == 2
    newest_train, oldest_test = times[train].max(), times[test].min()
    newest = np.full(len(table.user_ids), times.min(), times.dtype)
    np.maximum.at(newest, table.users[train], times[train])
    oldest = np.full(len(table.user_ids), times.max(), times.dtype)
    np.minimum.at(oldest, table.users[test], times[test])
    trained = count_rows(table.users[train], len(newest)) > 0
    tested = count_rows(table.users[test], len(newest)) > 0
    return TimeOverlap(
        newest_train=newest_train.item(),
        oldest_test=oldest_test.item(),
        unit=table.time_unit,
        older_pairs=int(np.sum(times[test] < newest_train)),
        ahead_of_own=int(np.sum(trained & tested & (newest > oldest))),
        ahead_of_any=int(np.sum(trained & (newest > oldest_test))),
        num_pairs=int(np.sum(test)),
        num_users=int(np.sum(trained)),
    )


def report(overlap: Overlap) -> tuple[str, ...]:
    """Sentences about what is known from training."""
    sentences = []
    for part, held_out, known in overlap.parts:
        shares = ", ".join(
            f"{count:,} of {total:,} {kind} ({count / total:.1%})"
            for kind, count, total in zip(Counts._fields, known, held_out, strict=True)
        )
        sentences.append(f"Of {_NAMES[part]}, {shares} are in training.")
    if overlap.times is not None:
        sentences.append(times_sentence(overlap.times))
    return tuple(sentences)


_NAMES = {"valid": "validation", "test": "test"}


def times_sentence(times: TimeOverlap) -> str:
    """The newest training time against the oldest test time, and how far they overlap."""
    newest, oldest = written(times.newest_train, times.unit), written(times.oldest_test, times.unit)
    sentence = f"Newest training pair {newest}, oldest test pair {oldest}"
    if not times.older_pairs:
        return f"{sentence}: no test pair is older than a training pair."
    return (
        f"{sentence}: {times.older_pairs:,} of {times.num_pairs:,} test pairs are older than the newest training pair; "
        f"of {times.num_users:,} users, {times.ahead_of_own:,} have a training pair newer than a test pair of their "
        f"own, {times.ahead_of_any:,} one newer than a test pair of anyone."
    )
