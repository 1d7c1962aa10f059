"""Interactions as CSR on the host, and the data set that a run works on."""

import hashlib
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.sparse

from cml_jax.data.counting import blocks, count_rows, refuse_beyond_32_bits
from cml_jax.data.features import Features, digest_of
from cml_jax.data.overlap import Overlap
from cml_jax.types import DeviceInteractions, ItemUsers, Shares


class Interactions(NamedTuple):
    """A set of (user, item) pairs as CSR.

    Attributes:
        indptr: ndarray[U + 1] int64.
        items: ndarray[nnz] int32; the items of user u, ascending, are items[indptr[u]:indptr[u + 1]].
        num_items: I.
        weights: ndarray[nnz] float32, positive; how much each pair counts in training, up to a factor. None for equal
            ones.
    """

    indptr: np.ndarray
    items: np.ndarray
    num_items: int
    weights: np.ndarray | None = None

    @property
    def num_users(self) -> int:
        """U."""
        return len(self.indptr) - 1

    @property
    def num_pairs(self) -> int:
        """Number of (user, item) pairs."""
        return len(self.items)

    @property
    def degrees(self) -> np.ndarray:
        """ndarray[U] int64; number of items of each user."""
        return np.diff(self.indptr)

    @property
    def users(self) -> np.ndarray:
        """ndarray[nnz] int32; the user of each pair."""
        return np.repeat(np.arange(self.num_users, dtype=np.int32), self.degrees)

    @property
    def popularity(self) -> np.ndarray:
        """ndarray[I] int64; number of users of each item."""
        return count_rows(self.items, self.num_items)

    def row(self, user: int) -> np.ndarray:
        """Items of one user, ascending."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def to_device(self, *, draw_by_weight: bool = False, by_item: bool = False) -> DeviceInteractions:
        """Copies the interactions to the default device, as what the training step reads.

        Args:
            draw_by_weight: whether the weights, if there are any, decide how often pairs are drawn, instead of how much
                their losses count.
            by_item: whether the users of each item are copied too.

        Raises:
            DataError: there are more pairs, users or items than 32-bit integers can number.
        """
        refuse_beyond_32_bits({"training pairs": self.num_pairs, "users": self.num_users, "items": self.num_items})
        by_loss = None if draw_by_weight else self.weights
        by_draw = self.weights if draw_by_weight else None
        return DeviceInteractions(
            indptr=jnp.asarray(self.indptr, jnp.int32),
            items=jnp.asarray(self.items, jnp.int32),
            users=jnp.asarray(self.users, jnp.int32),
            popularity=jnp.asarray(self.popularity, jnp.float32),
            max_degree=int(self.degrees.max()),
            weights=None if by_loss is None else jnp.asarray(relative_weights(by_loss)),
            shares=None if by_draw is None else shares_of(by_draw),
            item_users=item_users_of(self) if by_item else None,
        )


class Dataset(NamedTuple):
    """Disjoint parts of one set of interactions, with the raw ids behind the row numbers.

    Attributes:
        train, valid, test: Interactions of the same users and items.
        user_ids: ndarray[U]; raw id of each user.
        item_ids: ndarray[I]; raw id of each item.
        notes: sentences about what was done to the data, for the log.
        item_features: what else is known of the items, row i of item i; None where nothing was read.
        user_features: likewise of the users.
        overlap: what of the held-out parts the split left in training; None where nothing was split.
        dislikes: pairs that training pushes apart, in no part; of the same users and items. None where there are none.
        item_titles: ndarray[I] of str objects, empty where an item has none; None where none were read. Not in the
            digest, since they change nothing that is trained.
    """

    train: Interactions
    valid: Interactions
    test: Interactions
    user_ids: np.ndarray
    item_ids: np.ndarray
    notes: tuple[str, ...] = ()
    item_features: Features | None = None
    user_features: Features | None = None
    overlap: Overlap | None = None
    dislikes: Interactions | None = None
    item_titles: np.ndarray | None = None

    def sha256(self) -> str:
        """Hex digest of split, raw ids, dislikes and features; equal digests mean that two runs used the same data."""
        digest = hashlib.sha256()
        for part in (self.train, self.valid, self.test):
            digest.update(np.asarray([part.num_users, part.num_items, part.num_pairs], "<i8").tobytes())
            digest.update(np.ascontiguousarray(part.indptr, "<i8").data)
            digest.update(np.ascontiguousarray(part.items, "<i4").data)
            if part.weights is not None:
                digest.update(b"weights")
                digest.update(np.ascontiguousarray(part.weights, "<f4").data)
        for ids in (self.user_ids, self.item_ids):
            digest.update("\n".join(map(str, ids.tolist())).encode() + b"\0")
        if self.dislikes is not None:
            digest.update(b"dislikes" + self.dislikes.indptr.astype("<i8").tobytes())
            digest.update(self.dislikes.items.astype("<i4").tobytes())
        for name, features in (("item", self.item_features), ("user", self.user_features)):
            if features is not None:
                digest.update(f"{name} features".encode() + digest_of(features))
        return digest.hexdigest()


def item_users_of(interactions: Interactions) -> ItemUsers:
    """The pairs by item, on the default device."""
    indptr = np.concatenate([[0], np.cumsum(interactions.popularity)])
    users = interactions.users[np.argsort(interactions.items, kind="stable")]
    return ItemUsers(jnp.asarray(indptr, jnp.int32), jnp.asarray(users, jnp.int32))


def relative_weights(weights: np.ndarray) -> np.ndarray:
    """Weights ndarray[n] divided by their mean, float32."""
    exact = weights.astype(np.float64)
    return (exact / exact.mean()).astype(np.float32)


def shares_of(weights: np.ndarray) -> Shares:
    """The shares that pairs of these weights, ndarray[n], have of a pass of n slots."""
    ends = np.cumsum(weights, dtype=np.float64)
    # Sums of equal float32 numbers are exact, and so are then the quotients: a slot for each pair.
    ends = np.minimum(ends / (ends[-1] / len(ends)), len(ends))
    ends[-1] = len(ends)
    whole = np.floor(ends)
    rest = np.floor((ends - whole) * 2.0**31)
    return Shares(jnp.asarray(whole, jnp.int32), jnp.asarray(rest, jnp.int32))


def nothing(num_users: int, num_items: int) -> Interactions:
    """No pair."""
    return Interactions(np.zeros(num_users + 1, np.int64), np.zeros(0, np.int32), num_items)


def keep_users(interactions: Interactions, users: np.ndarray) -> Interactions:
    """The rows of these users, ndarray[n], in their order; a user may come several times."""
    degrees = interactions.degrees[users]
    indptr = np.concatenate([[0], np.cumsum(degrees)])
    place = np.repeat(interactions.indptr[users] - indptr[:-1], degrees) + np.arange(indptr[-1])
    weights = None if interactions.weights is None else interactions.weights[place]
    return Interactions(indptr, interactions.items[place], interactions.num_items, weights)


def keep_pairs(interactions: Interactions, kept: np.ndarray) -> Interactions:
    """The pairs chosen by ndarray[nnz] bool."""
    degrees = count_rows(interactions.users[kept], interactions.num_users)
    weights = None if interactions.weights is None else interactions.weights[kept]
    indptr = np.concatenate([[0], np.cumsum(degrees)])
    return Interactions(indptr, interactions.items[kept], interactions.num_items, weights)


def keep_items(interactions: Interactions, items: np.ndarray) -> Interactions:
    """The pairs of these items, ndarray[n] of ascending numbers, which are numbered anew in their order."""
    number = np.full(interactions.num_items, -1, np.int32)
    number[items] = np.arange(len(items))
    kept = number[interactions.items] >= 0
    indptr = np.concatenate([[0], np.cumsum(kept)])[interactions.indptr]
    weights = None if interactions.weights is None else interactions.weights[kept]
    return Interactions(indptr, number[interactions.items[kept]], len(items), weights)


def from_pairs(
    users: np.ndarray, items: np.ndarray, num_users: int, num_items: int, weights: np.ndarray | None = None
) -> Interactions:
    """CSR of (user, item) row numbers; equal pairs become one, and their weights add up.

    Args:
        users: ndarray[n] of integers in [0, num_users).
        items: ndarray[n] of integers in [0, num_items).
        num_users: U.
        num_items: I.
        weights: ndarray[n] of positive numbers, or None.
    """
    values = np.ones(len(users), bool) if weights is None else weights.astype(np.float64, copy=False)
    matrix = scipy.sparse.coo_array((values, (users, items)), shape=(num_users, num_items)).tocsr()
    matrix.sum_duplicates()  # also sorts each row
    summed = None if weights is None else matrix.data.astype(np.float32)
    return Interactions(matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32, copy=False), num_items, summed)


def difference(a: Interactions, b: Interactions) -> tuple[Interactions, int]:
    """Pairs of a that are not in b, which has the same users and items, and how many were left out."""
    kept = np.ones(a.num_pairs, bool)
    if b.num_pairs:
        known, users = np.sort(b.users.astype(np.int64) * a.num_items + b.items), a.users
        for block in blocks(a.num_pairs):
            keys = users[block].astype(np.int64) * a.num_items + a.items[block]
            kept[block] = known[np.searchsorted(known, keys).clip(max=len(known) - 1)] != keys
    return keep_pairs(a, kept)._replace(weights=None), int(np.sum(~kept))


def union(a: Interactions, b: Interactions) -> Interactions:
    """Pairs of either, without weights; of the same users and items."""
    users, items = np.concatenate([a.users, b.users]), np.concatenate([a.items, b.items])
    return from_pairs(users, items, a.num_users, a.num_items)
