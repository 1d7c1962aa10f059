"""Splits of a table into train, validation and test; seeded where chance decides."""

import math
from collections.abc import Sequence

import numpy as np

from cml_jax.data import overlap
from cml_jax.data.counting import blocks, count_rows
from cml_jax.data.interactions import Dataset, from_pairs, keep_pairs
from cml_jax.data.tables import PARTS, Table
from cml_jax.errors import DataError

_DROPPED = len(PARTS)  # number of a part that is left out


def per_user_ratio(table: Table, ratio: Sequence[int], seed: int) -> np.ndarray:
    """Each user's items at random in a ratio such as (3, 1, 1), the split of Tran et al. 2019, section 4.1.

    Of n items, floor(n 3/5) and floor(n 1/5) go to train and validation and the rest to test, as in the paper's code;
    users with fewer items than the sum of the ratio in lowest terms are dropped. Neither the order of the rows nor the
    other columns matter, but the set of all pairs does.

    Returns:
        ndarray[n] int8, place in PARTS of each pair's part; len(PARTS) for pairs that are left out.
    """
    return _by_ratio(table.users, *_places(table.users, _chances(table, seed)), ratio)


def _chances(table: Table, seed: int) -> np.ndarray:
    """A random number for each pair, whatever the order of the rows."""
    rng, chances = np.random.default_rng(seed), np.empty(table.num_pairs)
    order = np.argsort(table.pair_keys(), kind="stable")
    for block in blocks(table.num_pairs):
        chances[order[block]] = rng.random(block.stop - block.start)
    return chances


def temporal_user(table: Table, ratio: Sequence[int], seed: int) -> np.ndarray:
    """Each user's items by time, the newest to test, in the same proportions; ties keep the order of the file."""
    del seed
    assert table.times is not None
    return _by_ratio(table.users, *_places(table.users, table.times), ratio)


def temporal_global(table: Table, ratio: Sequence[int], seed: int) -> np.ndarray:
    """One point in time for all between train and validation, and one between validation and test.

    The pairs in order of time are cut in the ratio; pairs of the same time as the first after a cut go with it.
    """
    del seed
    assert table.times is not None
    in_order = np.sort(table.times)
    cuts = np.cumsum(_lowest_terms(ratio))[:-1] * len(in_order) // sum(_lowest_terms(ratio))
    return np.searchsorted(in_order[cuts], table.times, side="right").astype(np.int8)


def leave_one_out(table: Table, ratio: Sequence[int], seed: int) -> np.ndarray:
    """Each user's newest item to test, the one before to validation; random ones where times are unknown.

    Users with fewer than three items are dropped.
    """
    del ratio
    keys = _chances(table, seed) if table.times is None else table.times
    place, degrees = _places(table.users, keys)
    place += 3
    place -= degrees.astype(np.int32)[table.users]
    parts = np.clip(place, 0, 2, out=place).astype(np.int8)
    parts[(degrees < 3)[table.users]] = _DROPPED
    return parts


def all_train(table: Table, ratio: Sequence[int], seed: int) -> np.ndarray:
    """Every pair to train."""
    del ratio, seed
    return np.zeros(table.num_pairs, np.int8)


def _places(users: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place of each pair among its user's pairs in ascending order of the keys, and how many each user has.

    Args:
        users: ndarray[n] int32; the user of each pair.
        keys: ndarray[n] of numbers.

    Returns:
        ndarray[n] int32 and ndarray[U] int64.
    """
    degrees = count_rows(users, int(users.max(initial=-1)) + 1)
    order = np.lexsort((keys, users))
    del keys  # the caller may have no other use for them
    starts, place = np.cumsum(degrees) - degrees, np.empty(len(users), np.int32)
    for block in blocks(len(users)):
        rows = order[block]
        place[rows] = np.arange(block.start, block.stop) - starts[users[rows]]
    return place, degrees


def _by_ratio(users: np.ndarray, place: np.ndarray, degrees: np.ndarray, ratio: Sequence[int]) -> np.ndarray:
    train, valid, test = _lowest_terms(ratio)
    total = train + valid + test
    to_train = degrees * train // total
    to_valid = to_train + degrees * valid // total
    parts = (place >= to_train.astype(np.int32)[users]).astype(np.int8)
    parts += place >= to_valid.astype(np.int32)[users]
    parts[(degrees < total)[users]] = _DROPPED
    return parts


def _lowest_terms(ratio: Sequence[int]) -> tuple[int, ...]:
    """80:10:10 is 8:1:1."""
    return tuple(share // math.gcd(*ratio) for share in ratio)


SPLITS = {
    "ratio": per_user_ratio,
    "leave_one_out": leave_one_out,
    "temporal_user": temporal_user,
    "temporal_global": temporal_global,
    "all": all_train,
}
BY_TIME = ("temporal_user", "temporal_global")
CUT_BY_USER = ("leave_one_out", "temporal_user")  # where there are times, at one of each user's
CUT_FOR_ALL = ("temporal_global",)  # at one time for all users


def split(
    table: Table, name: str, ratio: Sequence[int] = (3, 1, 1), seed: int = 0, *, rank_cold_items: bool = True
) -> Dataset:
    """Splits a table, or keeps the parts it was read with.

    Args:
        table: without repeated pairs.
        name: a key of SPLITS, or 'given' for the table's own parts.
        ratio: of train, validation and test, for the splits by ratio.
        seed: of the splits in which chance decides.
        rank_cold_items: whether items without a training user stay, which is then noted; else the caller drops them.

    Returns:
        The data set: users without training pairs are left out, items stay if they have a pair in any part.

    Raises:
        DataError: a part that must not be empty is, or the split needs what the table does not have.
    """
    if name == "given":
        if table.parts is None:
            known = ", ".join(SPLITS)
            raise DataError(f"dataset.split = 'given' needs files for each part; choose one of {known}.")
        return to_dataset(table, table.parts, rank_cold_items=rank_cold_items)
    if name in BY_TIME and table.times is None:
        raise DataError(f"dataset.split = '{name}' needs times, which the data do not have; name dataset.time_column.")
    parts = SPLITS[name](table, ratio, seed)
    kept = parts < _DROPPED
    if not kept.all():
        users, pairs = len(np.unique(table.users[~kept])), int(np.sum(~kept))
        table, parts = table.where(kept), parts[kept]
        table = table.note(f"Dropped {users:,} users ({pairs:,} pairs) with too few items for the split '{name}'.")
    how = {"ratio": f", {':'.join(map(str, ratio))}, split seed {seed}", "leave_one_out": f", split seed {seed}"}
    if name == "leave_one_out" and table.times is not None:
        how[name] = ", by time"
    table = table.note(f"Split '{name}'{how.get(name, '')}.")
    return to_dataset(table, parts, with_test=name != "all", rank_cold_items=rank_cold_items)


def to_dataset(table: Table, parts: np.ndarray, *, with_test: bool = True, rank_cold_items: bool = True) -> Dataset:
    """Interactions of each part; ndarray[n] of places in PARTS.

    Raises:
        DataError: there is no training pair or, unless that is meant, no test pair.
    """
    found = overlap.measure(table, parts)
    if found.times is not None:
        table = table.note(overlap.times_sentence(found.times))
    has_train = count_rows(table.users[parts == 0], len(table.user_ids)) > 0
    strangers = ~has_train[table.users]
    if strangers.any():
        count = len(np.unique(table.users[strangers]))
        table, parts = table.where(~strangers), parts[~strangers]
        table = table.note(f"Dropped {count:,} users ({strangers.sum():,} pairs) without training items.")
    num_users, num_items = len(table.user_ids), len(table.item_ids)
    interactions = []
    for place in range(len(PARTS)):
        here = parts == place
        weights = None if table.weights is None or place else table.weights[here]  # held-out pairs count alike
        interactions.append(from_pairs(table.users[here], table.items[here], num_users, num_items, weights))
    for name, part in zip(PARTS, interactions, strict=True):
        if part.num_pairs == 0 and (name == "train" or (name == "test" and with_test)):
            whose = "training pairs" if name == "train" else "test pairs of users with training pairs"
            raise DataError(f"the split leaves no {whose}; check dataset.split and its options.")
    new = int(np.sum(interactions[0].popularity == 0))
    if new and rank_cold_items:
        table = table.note(
            f"{new:,} items have no training user: no sampler that goes by popularity draws them, but they are ranked."
        )
    return Dataset(*interactions, user_ids=table.user_ids, item_ids=table.item_ids, notes=table.notes, overlap=found)


def carve_validation(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """Moves a share of each user's training items to validation, where the data set brings none.

    A user with n training items gives round(fraction * n), halves rounded up, and always keeps at least one.

    Args:
        dataset: its valid part must be empty.
        fraction: share of each user's training items, in (0, 1).
        seed: of the split.

    Returns:
        The data set with train and valid replaced, and a note that says so.
    """
    whole = dataset.train
    users = whole.users
    place, degrees = _places(users, np.random.default_rng(seed).random(len(users)))
    to_valid = np.minimum(np.floor(fraction * degrees + 0.5).astype(np.int64), degrees - 1)
    moved = place >= (degrees - to_valid).astype(np.int32)[users]
    train, valid = keep_pairs(whole, ~moved), keep_pairs(whole, moved)._replace(weights=None)
    note = (
        f"There is no validation split: carved {valid.num_pairs:,} of {whole.num_pairs:,} training pairs "
        f"({fraction:.0%} of each user's, split seed {seed}) for it."
    )
    return dataset._replace(train=train, valid=valid, notes=(*dataset.notes, note))
