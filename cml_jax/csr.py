"""Look-ups in the training interactions on the device: known positives of users, and the items that are none."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from cml_jax.types import Array, DeviceInteractions

_PIECE = 32  # positives of a user that are looked up together
_FEW_PIECES, _MANY_PIECES = 64, 2048
_NOWHERE = 2**30  # a place out of bounds, where a scatter drops
_TABLE_OVER_LIST = 64  # items for each of a list up to which a table of all is filled instead of searching the list

Places = Callable[[Array], Array]


def bisect(low: Array, high: Array, max_length: int, is_before: Callable[[Array], Array]) -> Array:
    """First index in [low, high) for which `is_before` is False, or `high`; static number of rounds.

    Args:
        low: Array[...] int32, lower bounds.
        high: Array[...] int32, upper bounds; high - low <= max_length.
        max_length: static; sets the number of rounds to its bit length.
        is_before: monotone predicate on Array[...] of indices, True first; what it says of indices >= high is ignored.

    Returns:
        Array[...] int32.
    """

    def halve(_, bounds):
        low, high = bounds
        middle = (low + high) // 2
        go_right = is_before(middle) & (low < high)
        return jnp.where(go_right, middle + 1, low), jnp.where(go_right, high, middle)

    # Not unrolled: the compiler then fuses the rounds into one another, which takes it minutes.
    return jax.lax.fori_loop(0, max_length.bit_length(), halve, (low, high))[0]


def contains(data: DeviceInteractions, users: Array, items: Array) -> Array:
    """Whether items are known positives of users, by binary search in the sorted CSR row.

    Args:
        data: training interactions.
        users: Array[...] int32.
        items: Array[...] int32, broadcastable with users.

    Returns:
        Array[...] bool.
    """
    users, items = jnp.broadcast_arrays(users, items)
    end = data.indptr[users + 1]
    place = bisect(data.indptr[users], end, data.max_degree, lambda j: data.items[j] < items)
    return (place < end) & (data.items[place] == items)


def complement_element(data: DeviceInteractions, users: Array, rank: Array) -> Array:
    """The item with `rank` smaller non-positives of the user, so that uniform ranks give uniform negatives.

    The k-th positive of a user (from 0, ascending) has items[k] - k non-positives below it.

    Args:
        data: training interactions.
        users: Array[...] int32.
        rank: Array[...] int32 in [0, I - degree of the user), broadcastable with users.

    Returns:
        Array[...] int32 item ids.
    """
    users, rank = jnp.broadcast_arrays(users, rank)
    start = data.indptr[users]
    place = bisect(start, data.indptr[users + 1], data.max_degree, lambda j: data.items[j] - (j - start) <= rank)
    return rank + (place - start)


def places(ids: Array, num_items: int) -> Places:
    """Where items stand in a list.

    Args:
        ids: Array[C] int32, ascending; of equal ones the first is found, those of I or more never.
        num_items: I.

    Returns:
        A function Array[...] int32 -> Array[...] int32; far out of bounds for items that are not in the list.
    """
    count = ids.shape[0]
    if num_items <= _TABLE_OVER_LIST * count:
        nowhere = jnp.full_like(ids, _NOWHERE, shape=num_items)
        table = nowhere.at[ids].min(jnp.arange(count, dtype=jnp.int32), mode="drop")
        return lambda items: table[items]

    def search(items):
        place = bisect(jnp.zeros_like(items), jnp.full_like(items, count), count, lambda j: ids[j] < items)
        return jnp.where(ids[jnp.minimum(place, count - 1)] == items, place, _NOWHERE)

    return search


def fold_known_positives(
    data: DeviceInteractions,
    users: Array,
    counted: Array | bool,
    places: Places,
    update: Callable[[Array, Array, Array], Array],
    start: Array,
    at_once: int | None = None,
) -> Array:
    """Updates an array by the places at which known positives of rows' users stand among candidates.

    The positives of all users are looked up among the candidates, in pieces of their lists: sum(degree) work, whatever
    the number of candidates.

    Args:
        data: training interactions.
        users: Array[B] int32.
        counted: Array[B] bool; rows whose users are looked at.
        places: from items to places, see `places`.
        update: (array, rows[n, 1], places[n, m]) -> array; places that are far out of bounds mean nothing.
        start: the array.
        at_once: pieces that are looked up together; None for about as many as rows.

    Returns:
        The array after all updates.
    """
    at_once = at_once or max(_FEW_PIECES, min(users.shape[0], _MANY_PIECES))
    first = data.indptr[users]
    degree = jnp.where(counted, data.indptr[users + 1] - first, 0)
    pieces = -(-degree // _PIECE)
    ends = jnp.cumsum(pieces)  # [B]; where the users' pieces end in the list of all

    def look(carry):
        done, array = carry
        piece = done + jnp.arange(at_once, dtype=jnp.int32)
        row = jnp.minimum(jnp.searchsorted(ends, piece, side="right"), users.shape[0] - 1)
        number = piece - (ends[row] - pieces[row])
        offset = (number * _PIECE)[:, None] + jnp.arange(_PIECE, dtype=jnp.int32)[None, :]
        inside = (offset < degree[row][:, None]) & (piece < ends[-1])[:, None]
        items = data.items[jnp.where(inside, first[row][:, None] + offset, 0)]
        return done + at_once, update(array, row[:, None], jnp.where(inside, places(items), _NOWHERE))

    return jax.lax.while_loop(lambda carry: carry[0] < ends[-1], look, (jnp.int32(0), start))[1]


def mark_known_positives(
    data: DeviceInteractions,
    users: Array,
    places: Places,
    values: Array,
    mark: Array | float | bool,
    at_once: int | None = None,
) -> Array:
    """Writes `mark` where a candidate is a known positive of a row's user; the other values stay.

    Args:
        data: training interactions.
        users: Array[B] int32.
        places: from items to columns, see `places`.
        values: Array[B, C].
        mark: scalar.
        at_once: see `fold_known_positives`.

    Returns:
        Array[B, C].
    """

    def update(values, rows, columns):
        return values.at[rows, columns].set(mark, mode="drop")

    return fold_known_positives(data, users, True, places, update, values, at_once)


def num_known_positives(
    data: DeviceInteractions, users: Array, counted: Array, places: Places, num_places: int
) -> Array:
    """How many candidates are known positives of each row's user, Array[B] int32; 0 for rows that are not counted.

    Args:
        data: training interactions.
        users: Array[B] int32.
        counted: Array[B] bool.
        places: from items to places below `num_places`, see `places`.
        num_places: C.
    """

    def update(counts, rows, columns):
        return counts.at[rows[:, 0]].add(jnp.sum(columns < num_places, axis=1, dtype=jnp.int32))

    return fold_known_positives(data, users, counted, places, update, jnp.zeros_like(users))


def known_positives(data: DeviceInteractions, users: Array, candidates: Array) -> Array:
    """Which candidates are known positives of which users.

    Args:
        data: training interactions.
        users: Array[B] int32.
        candidates: Array[C] int32, ascending; of equal ones, as slots left over may be, the first is marked.

    Returns:
        Array[B, C] bool.
    """
    empty = jnp.zeros_like(users, bool, (users.shape[0], candidates.shape[0]))
    return mark_known_positives(data, users, places(candidates, data.num_items), empty, True)
