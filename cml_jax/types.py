"""Axis legend and the records that cross modules.

Axes, used in every docstring as `Array[B, D]`:

| letter | axis |
|---|---|
| B | batch of (user, positive item) pairs |
| N | negatives per pair |
| C | candidates of stage 1, shared by the batch |
| D | embedding dimension |
| V | vectors of a user |
| U, I | users, items |
| K | length of a ranked list |
| F | features of a score |
| M | members of a population |
| P | shards |
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

Array = jax.Array
PyTree = Any


class Params(NamedTuple):
    """What is trained.

    Attributes:
        tables: name -> Array[R, ...] float32, a row a user, an item or whatever the model looks up; only touched rows
            are updated, and tables are split by row over devices.
        dense: small parameters that every pair uses; updated as a whole, a copy on every device.
    """

    tables: dict[str, Array]
    dense: PyTree = ()


class Shares(NamedTuple):
    """Where the pairs' shares of a pass end, pair after pair; the share of a pair of weight w is n w / W slots.

    Two numbers are exact for more slots than float32 can tell apart.

    Attributes:
        whole: Array[n] int32; whole slots, the last being n.
        rest: Array[n] int32; part of a slot beyond, in units of 2^-31.
    """

    whole: Array
    rest: Array


class Dislikes(NamedTuple):
    """Items that users dislike, as CSR.

    Attributes:
        indptr: Array[U + 1] int32.
        items: Array[m] int32; those of user u are items[indptr[u]:indptr[u + 1]].
    """

    indptr: Array
    items: Array


class ItemUsers(NamedTuple):
    """The training pairs by item, as CSR.

    Attributes:
        indptr: Array[I + 1] int32.
        users: Array[nnz] int32; those of item i, ascending, are users[indptr[i]:indptr[i + 1]].
    """

    indptr: Array
    users: Array


@struct.dataclass
class DeviceInteractions:
    """Training interactions on the device, as CSR; built by `Interactions.to_device`.

    Attributes:
      indptr: Array[U + 1] int32; the items of user u are `items[indptr[u]:indptr[u + 1]]`.
      items: Array[nnz] int32; item ids, ascending within a user.
      users: Array[nnz] int32; the user of each pair, so that pair j is (users[j], items[j]).
      popularity: Array[I] float32; number of training users of each item.
      max_degree: largest number of items of one user; static, it bounds the binary search in a row.
      weights: Array[nnz] float32; factor of each pair's loss, 1 on average. None for 1 each.
      shares: of a pass, by weight; None where a pass has every pair once.
      dislikes: items that are negatives of their users besides those drawn; None for none.
      item_users: the users of each item, for models whose steps read them; None for the others.
      nearest: 'item' or 'user' -> Array[I, K] or Array[U, K] int32, of `data.nearest`, those that the model reads.
      features: 'item' or 'user' -> `data.features.DeviceFeatures`, those that there are, for models that read them.
    """

    indptr: Array
    items: Array
    users: Array
    popularity: Array
    max_degree: int = struct.field(pytree_node=False)
    weights: Array | None = None
    shares: Shares | None = None
    dislikes: Dislikes | None = None
    item_users: ItemUsers | None = None
    nearest: dict[str, Array] = struct.field(default_factory=dict)
    features: dict[str, PyTree] = struct.field(default_factory=dict)

    @property
    def num_users(self) -> int:
        """U."""
        return self.indptr.shape[0] - 1

    @property
    def num_items(self) -> int:
        """I."""
        return self.popularity.shape[0]

    @property
    def num_pairs(self) -> int:
        """Number of (user, item) pairs."""
        return self.items.shape[0]


class Batch(NamedTuple):
    """What a step works on, before any embedding is looked up.

    Attributes:
        users: Array[B] int32.
        positives: Array[B] int32.
        others: the negatives of each pair, Array[B, N] int32, or the candidates that all pairs share, Array[C] int32;
            with H dislikes a pair, N + H of the former, or C + B H of the latter.
        trained: Array[B] bool; pairs that count.
        valid: Array[B, N] bool; pairs of a user and another item that count. Where pairs share the other items, the
            `CandidateMask` that says so.
        no_negative: int32 scalar; pairs left out because no valid negative was found.
        weights: Array[B] float32; factor of each pair's loss. None for 1 each.
        drawn: tree of Array[B, ...]; what the model draws for the pairs, see `Model.draw`. None for nothing.
    """

    users: Array
    positives: Array
    others: Array
    trained: Array
    valid: Any
    no_negative: Array
    weights: Array | None = None
    drawn: PyTree = None

    @property
    def shared(self) -> bool:
        """Whether pairs share the other items."""
        return self.others.ndim == 1

    @property
    def correction(self) -> Array | None:
        """What is added to the logits of shared other items, Array[n]; None for nothing."""
        return self.valid.correction if self.shared else None

    @property
    def factors(self) -> Array:
        """Factor of each pair's loss, Array[B]; 0 where it does not count."""
        if self.weights is None:
            return self.trained.astype(jnp.float32)
        return jnp.where(self.trained, self.weights, 0.0)

    def dense_valid(self) -> Array:
        """Whether an other item counts for a pair, Array[B, n] bool, even where pairs share them."""
        return self.valid.dense() if self.shared else self.valid


class Lookup(NamedTuple):
    """The rows that a role of the loss reads.

    Attributes:
        table: name of the table.
        ids: Array[B], Array[B, N] or Array[C] int32; rows of the table.
        counted: bool, of the shape of `ids`; the other rows get no gradient.
        shared: whether all pairs of the batch share the rows; else the first axis is that of the batch.
    """

    table: str
    ids: Array
    counted: Array
    shared: bool = False


class Points(NamedTuple):
    """The metric space as a sampler sees it: look-ups by id, Array[...] int32 -> Array[..., D].

    Attributes:
        users: points of users.
        items: points of items.
        directions: items as unit vectors, which stage 2 compares (Tran et al. 2019, section 3).
    """

    users: Callable[[Array], Array]
    items: Callable[[Array], Array]
    directions: Callable[[Array], Array]


class Factors(NamedTuple):
    """A ranking by inner products: score(u, i) = max over v of <queries[u, v], keys[i]>, larger is better.

    Rows after the last user or item stand for nothing.

    Attributes:
        queries: Array[U, F] or Array[U, V, F].
        keys: Array[I, F].
        offsets: Array[U]; added to a user's scores they make negative squared distances. None where the scores are
            shown as they are.
    """

    queries: Array
    keys: Array
    offsets: Array | None = None


@struct.dataclass
class Score:
    """A ranking by a function, for models whose scores are no inner products of factors.

    Rows after the last user or item stand for nothing.

    Attributes:
        users: tree of Array[U, ...]; what is known of each user.
        items: tree of Array[I, ...]; what is known of each item.
        shared: tree of arrays that every score needs.
        score: (users' rows [c, ...], items' rows [b, ...], shared) -> Array[c, b], larger is better; a function of the
            module, since programs are compiled for it.
        row_numbers: numbers that a score of one user and one item takes while it is computed.
    """

    users: PyTree
    items: PyTree
    shared: PyTree
    score: Callable[[PyTree, PyTree, PyTree], Array] = struct.field(pytree_node=False)
    row_numbers: int = struct.field(pytree_node=False)


Ranking = Factors | Score


@struct.dataclass
class TrainState:
    """All that a step reads and writes, besides data and options.

    Attributes:
      step: int32 scalar; number of steps done.
      seed: int32 scalar; with `step` it determines every random draw, so no key is stored.
      params: what is trained.
      opt_state: the optimizer's state of each table, by name.
      dense_opt_state: the optimizer's state of the dense part.
      sampler_state: what the sampler keeps.
      snapshot: the items' table as the sampler sees it, or None where it sees the live one.
      average: the average of the parameters that is evaluated, or None where the live ones are.
    """

    step: Array
    seed: Array
    params: Params
    opt_state: dict[str, PyTree]
    dense_opt_state: PyTree
    sampler_state: PyTree
    snapshot: Array | None
    average: Params | None = None


class StepMetrics(NamedTuple):
    """What one step reports.

    Attributes:
      loss: float32 scalar; the step's objective, a mean or a sum over the batch.
      no_negative: int32 scalar; pairs left out because no valid negative was found.
    """

    loss: Array
    no_negative: Array
