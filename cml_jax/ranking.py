"""Exact masked top-k over the full catalogue, in chunks of users that fit a memory budget."""

import dataclasses
import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax import sharding
from cml_jax.data.interactions import Interactions
from cml_jax.left_out import LeftOut, left_out, mask
from cml_jax.types import Array, Factors, PyTree, Ranking, Score

_MAX_CHUNK = 1024  # users a call; more gains nothing and makes the last, padded chunk wasteful
_CACHE_BYTES = {"cpu": 2**25}  # scores of the users that are ranked at once, where more is slower
_LEAST_AT_ONCE = 32  # users at once, in the cache or not; reading all items for fewer is what would take the time
_BLOCK = 64  # L of `_top_k`
_BYTES_PER_SCORE = 12  # scores, their masked copy and what is selected from
_ITEMS_AT_ONCE = 256  # of a `Score`, whose scores are computed block by block; a multiple of _BLOCK
_SHARE = 8  # the part of the budget, one by this, for the lists of a chunk, those left out and those found each
_SHORTEST = 8192  # pairs left out, at least, that a chunk has room for

Ranker = Callable[[Array, LeftOut], tuple[Array, Array]]  # users Array[c], left out -> scores and ids Array[c, K]


def top_k(
    ranking: Ranking, users: np.ndarray, seen: Interactions, k: int, *, memory_budget_mb: float = 512.0
) -> np.ndarray:
    """The k best items of each user that the user has not seen, best first; of equal scores the smaller id.

    Args:
        ranking: of all users and items, as a model gives it.
        users: ndarray[n] of user row numbers.
        seen: interactions whose items are left out of the user's own list.
        k: K, at most I.
        memory_budget_mb: bound on the score matrix and its copies, in MiB, whatever the users have seen; at least one
            user is ranked at a time.

    Returns:
        ndarray[n, K] int32; -1 where fewer than K unseen items exist.
    """
    ranked = np.empty((len(users), k), np.int32)
    for places, ids, _ in ranked_chunks(ranking, users, seen, k, memory_budget_mb=memory_budget_mb):
        ranked[places] = ids
    return ranked


def ranked_chunks(
    ranking: Ranking,
    users: np.ndarray,
    seen: Interactions,
    k: int,
    *,
    memory_budget_mb: float = 512.0,
    numbers: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, Array, Array]]:
    """Yields (places ndarray[c] in `users`, ids Array[c, K], scores Array[c, K]) until every user is ranked.

    Arguments and ids as for `top_k`. Scores are those of the ranking, and -infinity where the id is -1.

    Args:
        ranking: as for `top_k`.
        users: as for `top_k`.
        seen: as for `top_k`.
        k: K.
        memory_budget_mb: as for `top_k`.
        numbers: ndarray of int32, for each item of `seen` its number in the ranking, -1 for those that are not in it;
            none: the same numbers.
    """
    if len(users) == 0:
        return
    budget, bytes_per_user = memory_budget_mb * 2**20, _bytes_per_user(ranking)
    in_cache = max(_LEAST_AT_ONCE, _CACHE_BYTES.get(jax.default_backend(), 2**28) // bytes_per_user)
    at_once = max(1, int(min(budget / bytes_per_user, in_cache, _MAX_CHUNK, len(users))))
    size, length = _chunk(seen.degrees[users], at_once, k, budget / _SHARE)
    rank = _ranker(ranking, seen.num_items if numbers is None else int(np.sum(numbers >= 0)), k, at_once)
    for start in range(0, len(users), size):
        places = np.arange(start, min(start + size, len(users)))
        own = users[np.resize(places, size)]  # the last chunk repeats users, to keep the shape
        lists = left_out(seen, users[places], size, length, numbers)
        scores, ids = rank(jnp.asarray(own, jnp.int32), lists)
        yield places, ids[: len(places)], scores[: len(places)]


def _chunk(degrees: np.ndarray, at_once: int, k: int, budget: float) -> tuple[int, int]:
    """How many users make a chunk, a multiple of `at_once`, and room for the items left out of all of their lists.

    The room is a power of two, which bounds the number of compiled shapes.

    Args:
        degrees: ndarray[n]; items left out of each list.
        at_once: users that are ranked at once.
        k: K.
        budget: bytes for the lists that are left out; those that are found, of a score and an id, may take as many.
    """
    groups = max(1, min(_MAX_CHUNK // at_once, -(-len(degrees) // at_once), int(budget / (8 * k * at_once))))
    ends = np.concatenate([[0], np.cumsum(degrees)])
    while True:
        size = groups * at_once
        starts = np.arange(0, len(degrees), size)
        most = int((ends[np.minimum(starts + size, len(degrees))] - ends[starts]).max())
        length = 1 << (max(most, _SHORTEST) - 1).bit_length()
        if groups == 1 or 4 * length <= max(budget, 4 * _SHORTEST):
            return size, length
        groups = -(-groups // 2)


def select(ranking: Ranking, users: Array | None = None, items: Array | None = None) -> Ranking:
    """The ranking of some users and some items alone: Array[n] and Array[m] of row numbers, all by default."""

    def rows(tree: PyTree, chosen: Array | None) -> PyTree:
        return tree if chosen is None else jax.tree.map(lambda leaf: leaf[chosen], tree)

    if isinstance(ranking, Score):
        return dataclasses.replace(ranking, users=rows(ranking.users, users), items=rows(ranking.items, items))
    offsets = rows(ranking.offsets, users)
    return Factors(rows(ranking.queries, users), rows(ranking.keys, items), offsets)


def _bytes_per_user(ranking: Ranking) -> int:
    """Memory of the scores of one user, on one device."""
    if isinstance(ranking, Score):
        num_items = jax.tree.leaves(ranking.items)[0].shape[0]
        return _BYTES_PER_SCORE * num_items + 4 * _ITEMS_AT_ONCE * ranking.row_numbers
    vectors = ranking.queries.shape[1] if ranking.queries.ndim == 3 else 1
    return (_BYTES_PER_SCORE + 4 * (vectors - 1)) * ranking.keys.shape[0] // sharding.num_shards_of(ranking.keys)


def _ranker(ranking: Ranking, num_items: int, k: int, at_once: int) -> Ranker:
    """A function (users Array[c], left out) -> scores and ids Array[c, K]; prepares the items, once."""
    sizes = {"num_items": num_items, "k": k, "at_once": at_once}
    if isinstance(ranking, Score):
        score = sharding.gathered(ranking)
        filled = dataclasses.replace(score, items=jax.tree.map(lambda x: _filled(x, _ITEMS_AT_ONCE), score.items))
        return lambda users, lists: _rank_by_score(filled, users, lists, **sizes)
    num_shards = sharding.num_shards_of(ranking.keys)
    if num_shards == 1:
        keys = _filled(ranking.keys, _BLOCK)
        return lambda users, lists: _rank_here(ranking.queries, users, keys, lists, **sizes)
    ranked = _program_of_parts(num_shards, num_items, k, at_once)
    # By way of the host, since what follows is the business of each process alone.
    return lambda users, lists: jax.tree.map(
        lambda part: jnp.asarray(np.asarray(part)), ranked(ranking.queries, users, ranking.keys, lists)
    )


@functools.cache  # or every evaluation would compile it anew
def _program_of_parts(num_shards: int, num_items: int, k: int, at_once: int) -> Callable[..., tuple[Array, Array]]:
    """`_rank_by_parts` for all devices at once: whole queries and keys, split by row -> the same lists everywhere."""
    by_row, everywhere = jax.sharding.PartitionSpec(sharding.AXIS), jax.sharding.PartitionSpec()
    return jax.jit(
        # Unchecked: the merged lists are the same everywhere, which the types of a gather do not say.
        jax.shard_map(
            functools.partial(_rank_by_parts, num_items=num_items, k=k, at_once=at_once),
            mesh=sharding.make_mesh(num_shards),
            in_specs=(by_row, everywhere, by_row, everywhere),
            out_specs=everywhere,
            check_vma=False,
        )
    )


def _filled(rows: Array, multiple: int) -> Array:
    """Rows with zeros at the end, so that their number is a multiple."""
    return jnp.pad(rows, ((0, -rows.shape[0] % multiple),) + ((0, 0),) * (rows.ndim - 1))


@functools.partial(jax.jit, static_argnames=("num_items", "k", "at_once"))
def _rank_here(
    queries: Array, users: Array, keys: Array, lists: LeftOut, *, num_items: int, k: int, at_once: int
) -> tuple[Array, Array]:
    """Scores and ids Array[c, K] where one device holds all factors."""
    return _rank(functools.partial(_products, keys=keys), queries[users], lists, num_items, 0, k, at_once)


@functools.partial(jax.jit, static_argnames=("num_items", "k", "at_once"))
def _rank_by_score(
    ranking: Score, users: Array, lists: LeftOut, *, num_items: int, k: int, at_once: int
) -> tuple[Array, Array]:
    """The same with a score function, whose items are whole blocks of _ITEMS_AT_ONCE."""
    blocks = jax.tree.map(lambda x: x.reshape(-1, _ITEMS_AT_ONCE, *x.shape[1:]), ranking.items)

    def scores(rows):
        found = jax.lax.map(lambda block: ranking.score(rows, block, ranking.shared), blocks)  # [blocks, c, block]
        return jnp.swapaxes(found, 0, 1).reshape(found.shape[1], -1)

    rows = jax.tree.map(lambda table: table[users], ranking.users)
    return _rank(scores, rows, lists, num_items, 0, k, at_once)


def _rank_by_parts(
    queries: Array, users: Array, part: Array, lists: LeftOut, *, num_items: int, k: int, at_once: int
) -> tuple[Array, Array]:
    """The same inside `shard_map`: every device ranks its own items, then the lists of all are merged.

    `queries` and `part` are this device's rows of queries and keys.
    """
    keys, num_devices = _filled(part, _BLOCK), jax.lax.axis_size(sharding.AXIS)
    first = jax.lax.axis_index(sharding.AXIS) * part.shape[0]
    here = (lists.items >= first) & (lists.items < first + part.shape[0])
    lists = lists._replace(items=jnp.where(here, lists.items - first, keys.shape[0]))
    num_here = jnp.clip(num_items - first, 0, part.shape[0])
    rows = sharding.ShardedTable(queries)[users]
    scores = functools.partial(_products, keys=keys)
    best, ids = _rank(scores, rows, lists, num_here, num_devices, min(k, part.shape[0]), at_once)
    ids = jnp.where(ids >= 0, ids + first, -1)
    best, ids = (jax.lax.all_gather(x, sharding.AXIS, axis=1, tiled=True) for x in (best, ids))
    # In the order of the devices, so that of equal scores the smaller id comes first here too.
    best, place = jax.lax.top_k(best, k)
    return best, jnp.take_along_axis(ids, place, axis=1)


def _products(queries: Array, keys: Array) -> Array:
    """Scores Array[c, I] of queries Array[c, F], or the best of each user's, Array[c, V, F]."""
    # Full precision: the default of GPUs and TPUs rounds products to fewer bits, which reorders near neighbours.
    scores = jnp.matmul(queries, keys.T, precision=jax.lax.Precision.HIGHEST)
    return scores if queries.ndim == 2 else jnp.max(scores, axis=1)


def _rank(
    scores_of: Callable[[PyTree], Array],
    rows: PyTree,
    lists: LeftOut,
    num_items: Array | int,
    max_missing: int,
    k: int,
    at_once: int,
) -> tuple[Array, Array]:
    """Scores and ids, Array[c, K] each, best first.

    A few users at a time, so that their scores stay in the cache.

    Args:
        scores_of: users' rows -> scores Array[c, I'], where I' is I filled up to a multiple of a block.
        rows: tree of Array[c, ...], of the users.
        lists: items to leave out.
        num_items: I; what comes after it stands for no item.
        max_missing: how much smaller I may be than the number of rows before they were filled up to whole blocks.
        k: K.
        at_once: a divisor of c.

    Returns:
        Scores, -infinity where fewer than K items are left, and ids, -1 there.
    """

    def rank_some(some):
        rows, start_of_lists, ends = some
        scores = scores_of(rows)
        # Only the last columns can stand for no item.
        start = max(0, scores.shape[1] - max(_BLOCK, _ITEMS_AT_ONCE) - max_missing)
        column = start + jnp.arange(scores.shape[1] - start)
        scores = scores.at[:, start:].set(jnp.where(column[None, :] < num_items, scores[:, start:], -jnp.inf))
        best, ids = _top_k(mask(scores, lists.items, start_of_lists, ends), k)
        return best, jnp.where(best > -jnp.inf, ids, -1)

    groups = jax.tree.map(lambda x: x.reshape(-1, at_once, *x.shape[1:]), rows)
    found = jax.lax.map(rank_some, (groups, *lists.grouped(at_once)))
    return jax.tree.map(lambda x: x.reshape(-1, k), found)


def _top_k(scores: Array, k: int) -> tuple[Array, Array]:
    """The k largest of each row and their places, of equal ones the first: Array[c, I] -> Array[c, K] twice.

    Each of the k largest lies in one of the k blocks with the largest maxima (equal maxima: the first blocks), since
    each of these has an element that comes before all of any other block. That leaves K L + I / L to select from.

    Args:
        scores: I a multiple of L.
        k: K.
    """
    num_rows, size = scores.shape
    if size < 4 * k * _BLOCK:
        return jax.lax.top_k(scores, k)
    blocks = scores.reshape(num_rows, -1, _BLOCK)
    chosen = jnp.sort(jax.lax.top_k(jnp.max(blocks, axis=2), k)[1], axis=1)  # in order, so that ties keep theirs
    inside = jnp.take_along_axis(blocks, chosen[:, :, None], axis=1)  # [c, K, L]
    best, place = jax.lax.top_k(inside.reshape(num_rows, -1), k)
    return best, jnp.take_along_axis(chosen, place // _BLOCK, axis=1) * _BLOCK + place % _BLOCK
