"""Axis legend and the records that cross modules.

Axes, used in every docstring as `Array[B, D]`:

| letter | axis |
|---|---|
| B | batch of (user, positive item) pairs |
| N | negatives per triplet |
| C | candidates of stage 1, shared by the batch |
| D | embedding dimension |
| U, I | users, items |
| K | length of a ranked list |
| M | members of a population |
| P | shards |
"""

import dataclasses
from typing import Any, NamedTuple

import jax
from flax import struct

Array = jax.Array
PyTree = Any


class Params(NamedTuple):
    """The model: users and items as points of one Euclidean space."""

    users: Array  # [U, D] float32
    items: Array  # [I, D] float32


@struct.dataclass
class DeviceInteractions:
    """Training interactions on the device, as CSR; built by `Interactions.to_device`.

    Attributes:
      indptr: Array[U + 1] int32; the items of user u are `items[indptr[u]:indptr[u + 1]]`.
      items: Array[nnz] int32; item ids, ascending within a user.
      users: Array[nnz] int32; the user of each pair, so that pair j is (users[j], items[j]).
      popularity: Array[I] float32; number of training users of each item.
      max_degree: largest number of items of one user; static, it bounds the binary search in a row.
    """

    indptr: Array
    items: Array
    users: Array
    popularity: Array
    max_degree: int = struct.field(pytree_node=False)

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


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a compiled step depends on: shapes and the names of strategies. Hashable, so it can be a static argument.

    Attributes:
      dim: D.
      batch_size: B.
      sampler: 'uniform', 'popularity' or 'two_stage'.
      num_negatives: N.
      num_candidates: C, used by two_stage.
      num_draws: independent draws made to find the C candidates, or the B N negatives without replacement, that are
        distinct, see `draws.num_draws_needed`; 0 ranks perturbed weights of the whole catalogue instead.
      refresh_every: steps between refreshes of the item embeddings that stage 2 sees; 1 = live, 0 = frozen at
        initialisation.
      own_positive: what two_stage does in a row whose positive is among the candidates: 'exclude' it, or, as the
        released code does, 'uniform_draw' over all candidates, see `sampling.two_stage`.
      known_positives: what two_stage does with known positives of the user: 'exclude' them, or 'retry_then_keep'.
      without_replacement: whether the sampler popularity draws the negatives of a batch without replacement.
      loss: 'triplet', 'softmax' or 'bpr'.
      decoupled: whether the softmax loss leaves the positive out of its sum, see `losses.softmax_loss`.
      loss_reduction: 'mean' or 'sum' over the batch.
      gor: 'none', or the form of the GOR term, 'mean' or 'sum', see `losses.gor` and `losses.gor_sum`.
      constraint: 'sphere', 'ball' or 'none'.
      optimizer: a name in `training.OPTIMIZERS`.
      rows: 'lazy' (touched rows only), 'dense' (all rows at every step) or 'catch_up' (as dense, but late).
      average: whether the tables that are evaluated are an average over the last steps.
      num_shards: P, devices that the tables are split over, see `sharding`; it divides the batch size.
    """

    dim: int
    batch_size: int
    sampler: str = "two_stage"
    num_negatives: int = 1
    num_candidates: int = 0
    num_draws: int = 0
    refresh_every: int = 1
    own_positive: str = "exclude"
    known_positives: str = "exclude"
    without_replacement: bool = False
    loss: str = "triplet"
    decoupled: bool = False
    loss_reduction: str = "mean"
    gor: str = "none"
    constraint: str = "sphere"
    optimizer: str = "adam"
    rows: str = "lazy"
    average: bool = False
    num_shards: int = 1


class HParams(NamedTuple):
    """Numbers that may differ between members of one compiled program; traced scalars.

    Attributes:
      learning_rate: step size of the optimizer, at the first step.
      average_steps: window of the average of the tables, see `training.settled`.
      decay_steps: steps in which it falls to 0, on a straight line; infinity for a constant one.
      margin: m of the triplet hinge, in units of squared distance.
      init_scale: root mean square norm of a fresh row; on the sphere, small values make the first steps large.
      temperature: divisor of the cosines in the softmax loss.
      l2_weight: weight of the squared norms in the BPR loss.
      gor_weight: weight of the GOR term.
      popularity_exponent: beta; item i is drawn with probability proportional to popularity_i^beta.
      popularity_cap: counts above it are lowered to it; infinity for no cap.
      similarity_cutoff: upper bound of the inner product in the stage-2 weight; 1 for no cut-off.
    """

    learning_rate: Array | float
    decay_steps: Array | float = float("inf")
    average_steps: Array | float = 1.0
    margin: Array | float = 1.0
    init_scale: Array | float = 1.0
    temperature: Array | float = 0.1
    l2_weight: Array | float = 0.0
    gor_weight: Array | float = 0.0
    popularity_exponent: Array | float = 1.0
    popularity_cap: Array | float = float("inf")
    similarity_cutoff: Array | float = 0.2


@struct.dataclass
class TrainState:
    """All that a step reads and writes, besides data and hyperparameters.

    Attributes:
      step: int32 scalar; number of steps done.
      seed: int32 scalar; with `step` it determines every random draw, so no key is stored.
      params: the embeddings.
      opt_state: the optimizer's state of the users' and of the items' table.
      sampler_state: what the sampler prepared at initialisation.
      snapshot: Array[I, D] item embeddings as stage 2 sees them, or None when it sees the live ones.
      average: the average of the tables that is evaluated, or None where the live ones are.
    """

    step: Array
    seed: Array
    params: Params
    opt_state: tuple[PyTree, PyTree]
    sampler_state: PyTree
    snapshot: Array | None
    average: Params | None = None


class StepMetrics(NamedTuple):
    """What one step reports.

    Attributes:
      loss: float32 scalar; the step's objective, a mean or a sum over the batch as `Spec.loss_reduction` says.
      no_negative: int32 scalar; triplets left out because no valid negative was found.
    """

    loss: Array
    no_negative: Array
