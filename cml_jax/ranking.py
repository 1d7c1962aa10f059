"""Exact masked top-k over the full catalogue, in chunks of users that fit a memory budget."""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax import sharding
from cml_jax.data.interactions import Interactions, padded_rows
from cml_jax.types import Array, Params

_MAX_CHUNK = 1024  # users a call; more gains nothing and makes the last, padded chunk wasteful
_CACHE_BYTES = {"cpu": 2**25}  # scores of the users that are ranked at once, where more is slower
_LEAST_AT_ONCE = 32  # users at once, in the cache or not; reading all items for fewer is what would take the time
_BLOCK = 64  # L of `_top_k`
_BYTES_PER_SCORE = 12  # scores, their masked copy and what is selected from


def top_k(
    params: Params, users: np.ndarray, seen: Interactions, k: int, *, memory_budget_mb: float = 512.0
) -> np.ndarray:
    """The k nearest items of each user that the user has not seen, nearest first; of equal distances the smaller id.

    Args:
        params: the embeddings.
        users: ndarray[n] of user row numbers.
        seen: interactions whose items are left out of the user's own list.
        k: K, at most I.
        memory_budget_mb: bound on the score matrix and its copies, in MiB; at least one user is ranked at a time.

    Returns:
        ndarray[n, K] int32; -1 where fewer than K unseen items exist.
    """
    ranked = np.empty((len(users), k), np.int32)
    for places, ids, _ in ranked_chunks(params, users, seen, k, memory_budget_mb=memory_budget_mb):
        ranked[places] = ids
    return ranked


def ranked_chunks(
    params: Params, users: np.ndarray, seen: Interactions, k: int, *, memory_budget_mb: float = 512.0
) -> Iterator[tuple[np.ndarray, Array, Array]]:
    """Yields (places ndarray[c] in `users`, ids Array[c, K], scores Array[c, K]) until every user is ranked.

    Arguments and ids as for `top_k`. Scores are -||u - i||^2 + ||u||^2, and -infinity where the id is -1.

    Users come in order of the number of items they have seen, so that the padded lists of a chunk are about equally
    long; lengths are rounded up to powers of two, which bounds the number of compiled shapes.
    """
    num_shards = sharding.num_shards_of(params.items)
    bytes_per_user = _BYTES_PER_SCORE * params.items.shape[0] // num_shards
    in_cache = max(_LEAST_AT_ONCE, _CACHE_BYTES.get(jax.default_backend(), 2**28) // bytes_per_user)
    at_once = max(1, int(min(memory_budget_mb * 2**20 / bytes_per_user, in_cache, _MAX_CHUNK, len(users))))
    size = min(_MAX_CHUNK // at_once, -(-len(users) // at_once)) * at_once
    rank = _ranker(params, seen.num_items, k, at_once)
    degrees = seen.degrees[users]
    order = np.argsort(degrees, kind="stable")
    for start in range(0, len(users), size):
        places = order[start : start + size]
        padded = np.resize(places, size)  # the last chunk repeats users, to keep the shape
        mask = padded_rows(seen, users[padded])
        scores, ids = rank(jnp.asarray(users[padded], jnp.int32), jnp.asarray(mask))
        yield places, ids[: len(places)], scores[: len(places)]


def _ranker(params: Params, num_items: int, k: int, at_once: int) -> Callable[[Array, Array], tuple[Array, Array]]:
    """A function (users Array[c], mask Array[c, length]) -> scores and ids Array[c, K]; prepares the items, once."""
    num_shards = sharding.num_shards_of(params.items)
    if num_shards == 1:
        items = jax.jit(_with_norms)(params.items)

        def rank(users, mask):
            return _rank_here(params.users, users, items, mask, num_items=num_items, k=k, at_once=at_once)

        return rank
    by_row, everywhere = jax.sharding.PartitionSpec(sharding.AXIS), jax.sharding.PartitionSpec()
    prepare, rank_part = _with_norms, functools.partial(_rank_by_parts, num_items=num_items, k=k, at_once=at_once)
    mesh = sharding.make_mesh(num_shards)
    items = jax.jit(jax.shard_map(prepare, mesh=mesh, in_specs=by_row, out_specs=by_row))(params.items)
    ranked = jax.jit(
        # Unchecked: the merged lists are the same everywhere, which the types of a gather do not say.
        jax.shard_map(
            rank_part,
            mesh=mesh,
            in_specs=(by_row, everywhere, by_row, by_row, everywhere),
            out_specs=everywhere,
            check_vma=False,
        )
    )
    # By way of the host, since what follows is the business of each process alone.
    return lambda users, mask: jax.tree.map(
        lambda part: jnp.asarray(np.asarray(part)), ranked(params.users, users, params.items, items, mask)
    )


def _with_norms(items: Array) -> Array:
    """Array[I, D] -> Array[I', D + 1] of (2 i, -||i||^2), I' in whole blocks: a product with (u, 1) gives all scores.

    What is filled up has the largest finite norm, so that no user is near it.
    """
    padding = -items.shape[0] % _BLOCK
    norms = jnp.pad(jnp.sum(jnp.square(items), axis=1), (0, padding), constant_values=jnp.finfo(jnp.float32).max)
    return jnp.concatenate([jnp.pad(2.0 * items, ((0, padding), (0, 0))), -norms[:, None]], axis=1)


@functools.partial(jax.jit, static_argnames=("num_items", "k", "at_once"))
def _rank_here(
    table: Array, users: Array, items: Array, mask: Array, *, num_items: int, k: int, at_once: int
) -> tuple[Array, Array]:
    """Scores and ids Array[c, K] where one device holds everything; `table` is the users'."""
    return _rank(table[users], items, mask, num_items, k, at_once)


def _rank_by_parts(
    table: Array, users: Array, part: Array, items: Array, mask: Array, *, num_items: int, k: int, at_once: int
) -> tuple[Array, Array]:
    """The same inside `shard_map`: every device ranks its own items, then the lists of all are merged.

    `table` and `part` are this device's rows of users and items, `items` is `_with_norms(part)`.
    """
    first = jax.lax.axis_index(sharding.AXIS) * part.shape[0]
    here = (mask >= first) & (mask < first + part.shape[0])
    mask = jnp.where(here, mask - first, items.shape[0])
    num_here = jnp.clip(num_items - first, 0, part.shape[0])
    points = sharding.ShardedTable(table)[users]
    best, ids = _rank(points, items, mask, num_here, min(k, part.shape[0]), at_once)
    ids = jnp.where(ids >= 0, ids + first, -1)
    best, ids = (jax.lax.all_gather(x, sharding.AXIS, axis=1, tiled=True) for x in (best, ids))
    # In the order of the devices, so that of equal scores the smaller id comes first here too.
    best, place = jax.lax.top_k(best, k)
    return best, jnp.take_along_axis(ids, place, axis=1)


def _rank(
    points: Array, items: Array, mask: Array, num_items: Array | int, k: int, at_once: int
) -> tuple[Array, Array]:
    """Scores and ids, Array[c, K] each, in ascending ||u - i||^2; the score -||u - i||^2 + ||u||^2 orders alike.

    A few users at a time, so that their scores stay in the cache.

    Args:
        points: Array[c, D] of the users.
        items: from `_with_norms`.
        mask: Array[c, length] int32; ids to leave out, and any above the last for none.
        num_items: I; rows after it stand for no item.
        k: K.
        at_once: a divisor of c.

    Returns:
        Scores, -infinity where fewer than K items are left, and ids, -1 there.
    """

    def rank_some(some):
        points, mask = some
        points = jnp.pad(points, ((0, 0), (0, 1)), constant_values=1.0)
        # Full precision: the default of GPUs and TPUs rounds products to fewer bits, which reorders near neighbours.
        scores = jnp.matmul(points, items.T, precision=jax.lax.Precision.HIGHEST)
        row = jnp.arange(points.shape[0])[:, None]
        best, ids = _top_k(scores.at[row, mask].set(-jnp.inf, mode="drop"), k)
        real = (best > -jnp.inf) & (ids < num_items)
        return jnp.where(real, best, -jnp.inf), jnp.where(real, ids, -1)

    groups = (points.reshape(-1, at_once, points.shape[1]), mask.reshape(-1, at_once, mask.shape[1]))
    return jax.tree.map(lambda x: x.reshape(-1, k), jax.lax.map(rank_some, groups))


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
