"""Batches: training pairs in the order of a pass, by weight if wanted, and dislikes of their users."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cml_jax import csr, draws
from cml_jax.candidate_mask import CandidateMask
from cml_jax.data.interactions import Dataset, Interactions
from cml_jax.data.nearest import NEAREST
from cml_jax.models import Model
from cml_jax.strategies import Options
from cml_jax.types import Array, DeviceInteractions, Dislikes, Shares

_STARTS = 2**32 - 1  # a number that no pass has, for the keys of the points where passes start


class Positives(NamedTuple):
    """Training pairs of a step.

    Attributes:
        users: Array[B] int32.
        items: Array[B] int32.
        valid: Array[B] bool; False past the end of the pass.
        weights: Array[B] float32; factor of each pair's loss. None for 1 each.
    """

    users: Array
    items: Array
    valid: Array
    weights: Array | None


def to_device(train: Interactions, dislikes: Interactions | None, options: Options) -> DeviceInteractions:
    """Copies to the default device what a step of these options reads of the training pairs and the dislikes."""
    return with_nearest(_pairs_to_device(train, dislikes, options), options.make_model(), train)


def of_dataset(dataset: Dataset, options: Options) -> DeviceInteractions:
    """The same of a data set, with the features that the model reads."""
    return with_features(to_device(dataset.train, dataset.dislikes, options), options.make_model(), dataset)


def shapes_of_dataset(dataset: Dataset, options: Options) -> DeviceInteractions:
    """Shapes of what `of_dataset` gives, which take no search for nearest items or users."""
    train, model = dataset.train, options.make_model()
    shapes = jax.eval_shape(lambda: with_features(_pairs_to_device(train, dataset.dislikes, options), model, dataset))
    sizes = {"item": train.num_items, "user": train.num_users}
    nearest = {kind: jax.ShapeDtypeStruct((sizes[kind], count), jnp.int32) for kind, count in model.num_nearest.items()}
    return dataclasses.replace(shapes, nearest=nearest)


def _pairs_to_device(train: Interactions, dislikes: Interactions | None, options: Options) -> DeviceInteractions:
    """Training pairs and dislikes alone, without what a search finds in them."""
    by_weight = options.batch.weight_use == "draw"
    data = train.to_device(draw_by_weight=by_weight, by_item=options.make_model().reads_item_users)
    if dislikes is None or options.objective.num_dislikes == 0:
        return data
    as_csr = Dislikes(jnp.asarray(dislikes.indptr, jnp.int32), jnp.asarray(dislikes.items, jnp.int32))
    return dataclasses.replace(data, dislikes=as_csr)


def for_ranking(model: Model, known: Any) -> DeviceInteractions:
    """Copies to the default device what ranking reads of the training pairs and features of a trained model."""
    return with_features(with_nearest(known.train.to_device(), model, known.train), model, known)


def with_nearest(data: DeviceInteractions, model: Model, train: Interactions) -> DeviceInteractions:
    """Training interactions with the nearest items of each item, or users of each user, that the model reads."""
    nearest = {kind: jnp.asarray(NEAREST[kind](train, count)) for kind, count in model.num_nearest.items()}
    return dataclasses.replace(data, nearest=nearest)


def with_features(data: DeviceInteractions, model: Model, known: Any) -> DeviceInteractions:
    """Training interactions with the features that the model reads, of a data set or whatever else has some."""
    if model.of_features is None:
        return data
    found = {kind: getattr(known, f"{kind}_features") for kind in ("item", "user")}
    return dataclasses.replace(data, features={kind: of.to_device() for kind, of in found.items() if of is not None})


def steps_per_pass(num_pairs: int, batch_size: int) -> int:
    """Steps that see as many pairs as there are; the last batch of a pass may be partly masked."""
    return -(-num_pairs // batch_size)


def positives(key: Array, step: Array, data: DeviceInteractions, batch_size: int) -> Positives:
    """The batch of training pairs of a step; every pass has n slots in an order of its own, one for each of n pairs.

    Where pairs have shares by weight, systematic sampling (Madow 1949) fills the slots: of one uniform number U a pass,
    slot k goes to the pair whose share holds the point k + U. A pass then sees a pair of weight w n w / W times, where
    W is the sum of all weights, rounded up or down such that the mean is exact. Pairs of equal weight have a slot each,
    as without.

    Args:
        key: PRNG key of the run, the same at every step.
        step: int32 scalar, from 0.
        data: training interactions.
        batch_size: B.
    """
    per_pass = steps_per_pass(data.num_pairs, batch_size)
    place = (step % per_pass) * batch_size + jnp.arange(batch_size, dtype=jnp.int32)
    valid = place < data.num_pairs
    place %= data.num_pairs  # slots past the end hold pairs of the pass, too, since in-batch negatives are drawn there
    number = step // per_pass
    pair = draws.permute(jax.random.fold_in(key, number), place, data.num_pairs)
    if data.shares is not None:
        start = jax.random.bits(jax.random.fold_in(jax.random.fold_in(key, _STARTS), number), (), jnp.uint32)
        pair = holders(data.shares, pair, (start >> 1).astype(jnp.int32))
    weights = None if data.weights is None else data.weights[pair]
    return Positives(data.users[pair], data.items[pair], valid, weights)


def holders(shares: Shares, slots: Array, start: Array) -> Array:
    """The pairs whose shares hold points of slots.

    Args:
        shares: of n pairs.
        slots: Array[...] int32 in [0, n).
        start: int32 scalar; where in its slot each point is, in units of 2^-31.

    Returns:
        Array[...] int32 in [0, n).
    """
    num_pairs = shares.whole.shape[0]

    def ends_before(pair):
        whole = shares.whole[pair]
        return (whole < slots) | ((whole == slots) & (shares.rest[pair] <= start))

    return csr.bisect(jnp.zeros_like(slots), jnp.full_like(slots, num_pairs), num_pairs, ends_before)


def dislikes_of(key: Array, dislikes: Dislikes, users: Array, filled: Array, count: int) -> tuple[Array, Array]:
    """Draws dislikes of users, uniformly with replacement.

    Args:
        key: PRNG key, consumed.
        dislikes: of all users.
        users: Array[B] int32.
        filled: Array[B] bool; pairs that there are.
        count: H, of each pair.

    Returns:
        Items Array[B, H] int32 and Array[B, H] bool, False for pairs that are none and users that have none.
    """
    start = dislikes.indptr[users]
    degree = dislikes.indptr[users + 1] - start
    place = jax.random.randint(key, (users.shape[0], count), 0, jnp.maximum(degree, 1)[:, None])
    drawn = dislikes.items[jnp.minimum(start[:, None] + place, dislikes.items.shape[0] - 1)]
    return drawn, jnp.broadcast_to((filled & (degree > 0))[:, None], drawn.shape)


def with_dislikes(
    others: Array, valid: Array | CandidateMask, drawn: Array, has: Array
) -> tuple[Array, Array | CandidateMask]:
    """Adds dislikes of their users to the other items of pairs.

    Args:
        others: Array[B, N] int32, or Array[C] where pairs share them.
        valid: Array[B, N] bool, or a mask of the C.
        drawn: Array[B, H] int32.
        has: Array[B, H] bool; dislikes that there are.

    Returns:
        others Array[B, N + H] or Array[C + B H], and which of them count; a dislike does for its own pair alone.
    """
    if not isinstance(valid, CandidateMask):
        return jnp.concatenate([others, drawn], axis=1), jnp.concatenate([valid, has], axis=1)
    mask = valid._replace(
        usable=jnp.concatenate([valid.usable, has.ravel()]),
        owner=jnp.repeat(valid.pair, drawn.shape[1], total_repeat_length=drawn.size),
        correction=None if valid.correction is None else jnp.pad(valid.correction, (0, drawn.size)),
    )
    return jnp.concatenate([others, drawn.ravel()]), mask
