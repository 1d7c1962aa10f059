"""What a model is: a record of pure functions that closes over its options, as an optax transformation does."""

import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from cml_jax.geometry import Constraint, identity, pairwise_squared_distances, squared_distance, to_sphere
from cml_jax.losses import blocks
from cml_jax.losses.base import Loss
from cml_jax.types import Array, Batch, DeviceInteractions, Lookup, Params, PyTree, Ranking

MAKE_ARGUMENTS = ("options", "loss")
# Tables by name, whose rows are looked up: an array, or what stands for one that is split over devices.
Tables = Mapping[str, Any]


def _no_penalty(points: dict[str, Array], dense: PyTree, batch: Batch, total: Callable[[Array], Array]) -> Array:
    del points, dense, batch, total
    return jnp.zeros(())


def _nothing_drawn(key: Array, batch: Batch, data: DeviceInteractions) -> PyTree:
    del key, batch, data


def _no_context(params: Params, data: DeviceInteractions) -> dict[str, Array]:
    del params, data
    return {}


class Model(NamedTuple):
    """A family of collaborative metric learning, or what it is compared with.

    Inside `loss` and `penalty`, `batch` and points of roles that are not shared are those of this device, b = B / P.

    Attributes:
        init: (key, data) -> Params; the tables 'users' and 'items' are among those of every model.
        lookups: (batch, data) -> role -> Lookup; the rows that the loss reads.
        loss: (points by role, dense, batch) -> Array[b], the loss of each pair, anything where it does not count; or
            their sum by `batch.factors`, a scalar. Points are the rows that were looked up, embedded.
        constraints: table -> how its rows are embedded and, after an update, projected; nothing is done to tables that
            are not named.
        user_points: (tables, dense, ids[...]) -> Array[..., D]; users in the metric space; Array[..., V, D] where
            a user has several points.
        item_points: (tables, dense, ids[...]) -> Array[..., D]; items in the metric space.
        directions: (tables, dense, ids[...]) -> Array[..., D]; items as unit vectors, which stage 2 compares.
        ranking: (params, data) -> Factors or Score of all users and items.
        parametrize_user: (row[D], scale) -> row[D] of the table 'users' within the constraint; for fold-in.
        penalty: (points by role, dense, batch, total) -> scalar, added to the loss; `total` sums over the batch.
        draw: (key, batch, data) -> tree of Array[B, ...], `Batch.drawn` of the step; what the model draws for the
            pairs besides their negatives.
        reads_item_users: whether `draw` reads `data.item_users`, which are not on the device otherwise.
        num_nearest: 'item' or 'user' -> how many of `data.nearest` the model reads for each, of those kinds alone.
        context: (params, data) -> table -> rows; what `ranking` reads of a user's items, of an item's users or of
            features. It is given `params` with these tables, see `table_kinds.with_context`.
        context_of: 'user' or 'item' -> (params, histories Array[n, I] or Array[n, U] bool) -> table -> Array[n, ...];
            rows of the tables of `context` for new users, from their items, or for new items, from their users.
        of_features: (params, 'item' or 'user', features of n of them) -> Array[n, D], rows of the table 'items' or
            'users' by features alone; None for models that read none, for which `data.features` is empty.
    """

    init: Callable[[Array, DeviceInteractions], Params]
    lookups: Callable[[Batch, DeviceInteractions], dict[str, Lookup]]
    loss: Callable[[dict[str, Array], PyTree, Batch], Array]
    constraints: dict[str, Constraint]
    user_points: Callable[[Tables, PyTree, Any], Array]
    item_points: Callable[[Tables, PyTree, Any], Array]
    directions: Callable[[Tables, PyTree, Any], Array]
    ranking: Callable[[Params, DeviceInteractions | None], Ranking]
    parametrize_user: Callable[[Array, Array], Array]
    penalty: Callable[[dict[str, Array], PyTree, Batch, Callable[[Array], Array]], Array] = _no_penalty
    draw: Callable[[Array, Batch, DeviceInteractions], PyTree] = _nothing_drawn
    reads_item_users: bool = False
    num_nearest: Mapping[str, int] = types.MappingProxyType({})
    context: Callable[[Params, DeviceInteractions], dict[str, Array]] = _no_context
    context_of: Mapping[str, Callable[[Params, Array], dict[str, Array]]] = types.MappingProxyType({})
    of_features: Callable[[Params, str, Any], Array] | None = None


def users_positives_others(batch: Batch) -> dict[str, Lookup]:
    """The look-ups that all families have: users, positives, and the negatives or the candidates that pairs share."""
    counted = batch.valid.of_items(batch.trained) if batch.shared else batch.valid
    return {
        "user": Lookup("users", batch.users, batch.trained),
        "positive": Lookup("items", batch.positives, batch.trained),
        "others": Lookup("items", batch.others, counted, batch.shared),
    }


def all_points(points: dict[str, Array], batch: Batch) -> tuple[Array, Array]:
    """Points Array[n, D] of users, positives and drawn negatives, each as often as it occurs, and 1 where it counts."""
    counted = {"user": batch.trained, "positive": batch.trained, "others": batch.valid}
    rows = jnp.concatenate([points[role].reshape(-1, points[role].shape[-1]) for role in counted])
    return rows, jnp.concatenate([counts.ravel() for counts in counted.values()]).astype(rows.dtype)


def lacks_margin(loss: Loss) -> bool:
    """Whether a loss is more than a hinge, or takes no margin of its own for each pair."""
    return loss.hinge is None or loss.penalty is not None


def is_of_more_than_negatives(loss: Loss) -> bool:
    """Whether a loss takes candidates, or has a term of the points themselves."""
    return loss.takes == "candidates" or loss.penalty is not None


def distances(user: Array, items: Array) -> Array:
    """-||u - i||^2 of Array[D] and Array[D] or Array[n, D]."""
    return -squared_distance(user if items.ndim == 1 else user[None, :], items)


def inner_products(user: Array, items: Array) -> Array:
    """<u, i> of Array[D] and Array[D] or Array[n, D]."""
    return jnp.dot(user, items) if items.ndim == 1 else items @ user


def all_distances(users: Array, items: Array) -> Array:
    """-||u - i||^2 of all pairs by one product: Array[b, D], Array[n, D] -> Array[b, n]."""
    return -pairwise_squared_distances(users, items)


class Similarity(NamedTuple):
    """How a loss compares points.

    Attributes:
        transform: of every point first, Array[..., D] -> Array[..., D].
        compare: (user[D], items[D] or [n, D]) -> scalar or Array[n], larger is nearer.
        all_pairs: (users[b, D], items[n, D]) -> Array[b, n]; the same of all pairs.
    """

    transform: Callable[[Array], Array]
    compare: Callable[[Array, Array], Array]
    all_pairs: Callable[[Array, Array], Array]


SIMILARITY_FUNCTIONS = {
    "distance": Similarity(identity, distances, all_distances),
    "cosine": Similarity(to_sphere, inner_products, blocks.inner_products),
    "inner_product": Similarity(identity, inner_products, blocks.inner_products),
}


_WHOLE = {"user": "all_users", "positive": "all_positives"}  # role -> that of the same rows for every device


def with_rows_of_batch(model: Model, loss: Loss) -> Model:
    """The model with what a loss takes of the whole batch: its term, or the similarities that it pools.

    The rows of users and positives are read twice, by pair and for every device to have those of all pairs, and which
    pairs have to do with which is an array of [B, B]. Other losses leave the model as it is.
    """
    if loss.of_batch is None and loss.pool is None:
        return model
    transform = SIMILARITY_FUNCTIONS[loss.similarity].transform

    def lookups(batch, data):
        found = model.lookups(batch, data)
        return found | {name: found[role]._replace(shared=True) for role, name in _WHOLE.items()}

    def draw(key, batch, data):
        del key, data
        itself = jnp.eye(batch.users.shape[0], dtype=bool)
        if loss.of_batch is not None:
            return batch.trained[:, None] & batch.trained[None, :] & ~itself
        return itself | (batch.trained[None, :] & (batch.users[:, None] == batch.users[None, :]))

    def penalty(points, dense, batch, total):
        found = model.penalty(points, dense, batch, total)
        if loss.of_batch is None:
            return found
        # As much less in the last batch of a pass as the mean of the pairs' losses is.
        filled = total(batch.trained) / total(jnp.ones_like(batch.trained))
        for role, name in _WHOLE.items():
            found += filled * loss.of_batch(transform(points[role]), transform(points[name]), batch.drawn, total)
        return found

    return model._replace(lookups=lookups, draw=draw, penalty=penalty)


def pooled_similarities(loss: Loss, points: dict[str, Array], batch: Batch) -> Array | None:
    """What a loss takes for the similarities of users and positives, Array[b]; None where it is these."""
    if loss.pool is None:
        return None
    transform, compare, _ = SIMILARITY_FUNCTIONS[loss.similarity]
    return loss.pool(jax.vmap(compare)(*(transform(points[name]) for name in _WHOLE.values())), batch.drawn)


def user_factors(loss: Loss, batch: Batch) -> Array:
    """What a loss multiplies the similarities of each pair's user by, Array[b], see `Loss.user_factor`."""
    if loss.user_factor is None:
        return jnp.ones_like(batch.users, jnp.float32)
    assert batch.shared, "losses of drawn negatives have no temperature"
    data, users = batch.valid.data, batch.valid.users
    degrees = jnp.maximum(data.indptr[users + 1] - data.indptr[users], 1)  # places that are not filled hold any user
    return loss.user_factor(degrees * (data.num_users / data.num_pairs))


def loss_of_points(
    loss: Loss, users: Array, positives: Array, others: Array, batch: Batch, own: Array | None = None
) -> Array:
    """The losses of a batch of points, or their sum where pairs share the other items, see `Model.loss`.

    Args:
        loss: of the model.
        users: Array[b, D].
        positives: Array[b, D].
        others: Array[b, N, D], or Array[n, D] where pairs share them.
        batch: says which count.
        own: Array[b]; what takes the place of the similarities of users and positives. None: nothing.
    """
    transform, compare, all_pairs = SIMILARITY_FUNCTIONS[loss.similarity]
    if batch.shared and loss.penalty is None:
        users, positives, others = transform(users), transform(positives), transform(others)
        if loss.user_factor is not None:
            users *= user_factors(loss, batch)[:, None]
        own = jax.vmap(compare)(users, positives) if own is None else own
        pairs = blocks.Pairs(users, own, batch.factors)
        return blocks.total_loss(loss, all_pairs, pairs, others, batch.valid)
    assert own is None

    def example(user, positive, others, valid):
        # Once each, so that gradients of both similarities pass through it together.
        u, p, n = transform(user), transform(positive), transform(others)
        if loss.penalty is None:
            return loss.example(compare(u, p), compare(u, n), valid)
        # The order decides how gradients are rounded; this one repeats earlier runs of BPR to the bit.
        away, own = compare(u, n), compare(u, p)
        return loss.example(own, away, valid) + loss.penalty(user, positive, others, valid)

    of_pairs = jax.vmap(example, in_axes=(0, 0, None if batch.shared else 0, 0))
    return of_pairs(users, positives, others, batch.dense_valid())
