"""What a loss is: a function of one pair's similarities, vmapped by the model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cml_jax.options import Effect
from cml_jax.types import Array

SIMILARITIES = ("distance", "cosine", "inner_product")
TAKES = ("negatives", "candidates", "batch")
MAKE_ARGUMENTS = ("options",)


class Pooled(NamedTuple):
    """A loss that sees the other items through one number alone, l = log sum_n exp(c s_n) over those that count.

    Attributes:
        scale: c.
        combine: (own, l) -> scalar; not called where no other item counts.
    """

    scale: Array | float
    combine: Callable[[Array, Array], Array]


class Loss(NamedTuple):
    """A loss of one pair of a user and a positive item against other items.

    Attributes:
        example: (own, others[n], valid[n]) -> scalar; `own` is the similarity of user and positive, `others` that of
            user and each other item, larger is nearer. Others that are not valid do not count; where none is, the value
            is 0.
        similarity: what a similarity is: 'distance' for -||u - i||^2, 'cosine' or 'inner_product'.
        takes: 'negatives', drawn for each pair, 'candidates', which all pairs of the batch share, or 'batch', its pairs
            alone: there are no others then, and nothing is drawn.
        penalty: (user[D], positive[D], others[n, D], valid[n]) -> scalar, added to the pair's loss; None for none.
        hinge: `example` with a margin of its own for each pair as the last argument; None where the loss has no margin.
        pooled: the same loss by the logarithm of a sum, which is faster for many candidates; None for losses that are
            not of this form.
        moments: (own, mean, mean_square) -> scalar; the same loss by the mean of the other similarities that count and
            that of their squares; None for losses that are not of this form.
        of_batch: (points[b, D], whole[B, D], apart[b, B], total) -> scalar; a term of losses that take the batch, once
            of the users of all pairs and once of their items, transformed as for the similarity. `points` are those of
            this device, `apart` says which two are of different pairs that count, `total` sums over the batch.
        pool: (own[B], together[b, B]) -> own[b]; what takes the place of each pair's own similarity, of those of all
            pairs of the batch, of which `together` says that they have the same user. None: it stays.
        user_factor: number of a user's training pairs, by the mean of all users' -> what the user's similarities are
            multiplied by, elementwise; as 1 / t does, for temperatures that differ by user. None for 1.
        scale: unit of squared distance that the loss works in, such as its margin; it sets fold-in's temperature.
    """

    example: Callable[[Array, Array, Array], Array]
    similarity: str
    takes: str = "negatives"
    penalty: Callable[[Array, Array, Array, Array], Array] | None = None
    scale: Array | float = 1.0
    hinge: Callable[[Array, Array, Array, Array], Array] | None = None
    pooled: Pooled | None = None
    moments: Callable[[Array, Array, Array], Array] | None = None
    of_batch: Callable[[Array, Array, Array, Callable[[Array], Array]], Array] | None = None
    pool: Callable[[Array, Array], Array] | None = None
    user_factor: Callable[[Array], Array] | None = None


def takes_negatives(chosen: Any) -> bool:
    """Whether the chosen loss takes drawn negatives."""
    return chosen.loss_takes == "negatives"


def takes_others(chosen: Any) -> bool:
    """Whether the chosen loss compares with other items than the positives, so that a sampler has something to do."""
    return chosen.loss_takes != "batch"


WITH_OTHERS = Effect(takes_others, "a loss that takes negatives or candidates")


def mean_of_valid(values: Array, valid: Array) -> Array:
    """The mean of the values that count: Array[n], Array[n] bool -> scalar; 0 where none does."""
    return jnp.sum(jnp.where(valid, values, 0.0)) / jnp.maximum(jnp.sum(valid), 1)


def log_sum_of_valid(values: Array, valid: Array) -> Array:
    """log sum exp of the values that count: Array[n], Array[n] bool -> scalar.

    Where none does it is that of all, or the gradient of what does not count would not be finite.
    """
    return jax.nn.logsumexp(jnp.where(valid | ~jnp.any(valid), values, -jnp.inf))
