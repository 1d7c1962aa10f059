"""Points of items that training has not seen, from their users alone, and a model that lists them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cml_jax.data.further_features import appended
from cml_jax.data.interactions import Interactions, from_pairs, keep_users
from cml_jax.errors import DataError
from cml_jax.geometry import Constraint
from cml_jax.serving.fold_in import (
    BYTES_PER_SCORE,
    NUM_STEPS,
    STEP_SIZE,
    TEMPERATURE,
    history_loss,
    in_chunks,
    negative_weights,
)
from cml_jax.serving.raw_ids import RawIds, written
from cml_jax.strategies import Options
from cml_jax.table_kinds import with_context, with_rows
from cml_jax.types import Array, DeviceInteractions, Factors, Params


def fold_in_items(
    options: Options,
    params: Params,
    data: DeviceInteractions,
    histories: Interactions,
    *,
    memory_budget_mb: float = 512.0,
) -> np.ndarray:
    """Rows of new items, by the mirror image of `fold_in.fold_in`: the softmax is over users, who stay where they are.

    Args:
        options: of the model, whose norm constraint and scores hold for new items too.
        params: of the model; only the table of the items is not used.
        data: training interactions; users of many items weigh more as those who do not have the item.
        histories: users of each new item, at least one; a row an item.
        memory_budget_mb: bound on the scores of the items solved at once, in MiB; at least one item is.

    Returns:
        ndarray[n, ...] float32, as the rows of the table 'items'.
    """
    bytes_per_item = BYTES_PER_SCORE * _numbers_a_score(options, params, data) * data.num_users
    degrees = (data.indptr[1:] - data.indptr[:-1]).astype(jnp.float32)
    log_weights = jax.jit(negative_weights)(degrees)
    return in_chunks(
        lambda here: _solve(options, params, data, log_weights, here),
        histories,
        params.tables["items"].shape[1:],
        memory_budget_mb * 2**20 / bytes_per_item,
    )


def _numbers_a_score(options: Options, params: Params, data: DeviceInteractions) -> int:
    """Numbers that a score of one user and one item takes while it is computed."""
    model = options.make_model()
    ranking = jax.eval_shape(lambda params: model.ranking(with_context(model, params, data), data), params)
    if isinstance(ranking, Factors):
        return ranking.queries.shape[1] if ranking.queries.ndim == 3 else 1
    return 1 + ranking.row_numbers


def _scores_of_new(options: Options, data: DeviceInteractions) -> Callable[[Params, Array, Array], Array]:
    """A function from parameters, a table of one item and its users Array[U] bool to the scores Array[U] of all."""
    model = options.make_model()

    def scores(params, item, history):
        ranking = model.ranking(with_rows(model, params, "item", item, history[None]), data)
        if not isinstance(ranking, Factors):
            return ranking.score(ranking.users, ranking.items, ranking.shared)[:, 0]
        products = jnp.matmul(ranking.queries, ranking.keys[0], precision=jax.lax.Precision.HIGHEST)
        products = jnp.max(products, axis=1) if products.ndim == 2 else products
        # Scores of users are compared, so that a term of the user alone counts.
        return products if ranking.offsets is None else products + ranking.offsets

    return scores


def starts(options: Options, params: Params, histories: Array) -> tuple[Array, Array]:
    """Means of the users' points within the constraint, for histories Array[c, U] bool, and the users' scale."""
    constraints = options.make_model().constraints
    users = constraints.get("users", Constraint()).embed(params.tables["users"])
    users = jnp.mean(users, axis=1) if users.ndim == 3 else users
    scale = jnp.sqrt(jnp.mean(jnp.sum(jnp.square(users), axis=1)))
    total = jnp.matmul(histories.astype(users.dtype), users, precision=jax.lax.Precision.HIGHEST)
    means = total / jnp.sum(histories, axis=1, keepdims=True)
    return constraints.get("items", Constraint()).parametrize(means, scale), scale


@jax.jit
def _solve(options: Options, params: Params, data: DeviceInteractions, log_weights: Array, histories: Array) -> Array:
    """Rows of the items with histories Array[c, U] bool, from the means of their users' points."""
    model = options.make_model()
    parametrize = model.constraints.get("items", Constraint()).parametrize
    params = with_context(model, params, data)
    start, scale = starts(options, params, histories)
    scores = _scores_of_new(options, data)
    temperature = TEMPERATURE * options.make_loss().scale

    def loss(row, history):
        own = scores(params, parametrize(row, scale)[None], history)
        return history_loss(own, history, log_weights, temperature)

    optimizer = optax.adam(STEP_SIZE * scale)

    def step(carry, _):
        rows, state = carry
        updates, state = optimizer.update(jax.vmap(jax.grad(loss))(rows, histories), state)
        return (rows + jnp.asarray(updates), state), None

    (rows, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), length=NUM_STEPS)
    return parametrize(rows, scale)


def with_items(model: Any, items: Mapping[Any, Any], item_features: Any = None) -> Any:
    """A `Recommender` that lists new items too; see `Recommender.with_items`."""
    if not items:
        raise DataError("no item is given; give a dict of raw ids of new items and the users of each.")
    if item_features is not None and model.item_features is None:
        raise DataError("the model knows no features of items; leave those of new items out.")
    by_features = item_features is not None and model.model.of_features is not None
    ids = _extended_ids(model.item_ids, list(items))
    histories = _histories(model, list(items.values()), all_have_users=not by_features)
    first, after = len(model.item_ids), len(ids)
    new = with_rows(model.model, model.params, "item", jnp.asarray(_rows_of(model, histories))).tables
    tables = {
        table: old if new[table] is old else jnp.concatenate([old, new[table]])
        for table, old in model.params.tables.items()
    }
    train, titles = model.train, model.item_titles
    grown = from_pairs(
        np.concatenate([train.users, histories.items]),
        np.concatenate([train.items, first + histories.users]),
        train.num_users,
        after,
        None
        if train.weights is None
        else np.concatenate([train.weights, np.full(histories.num_pairs, train.weights.mean())]),
    )
    alone = int(np.sum(histories.degrees == 0))
    notes = (f"{len(items) - alone:,} new items were folded in from their users; nothing was trained on them.",)
    if alone:
        notes += (f"{alone:,} new items stand where their features say.",)
    features = model.item_features
    if features is not None:
        column = None if model.columns[1] == "item" else model.columns[1]
        features, said = appended(features, item_features, "item", ids.values[first:], column)
        notes += said
    return dataclasses.replace(
        model,
        params=model.params._replace(tables=tables),
        item_ids=ids,
        train=grown,
        valid=model.valid._replace(num_items=after),
        dislikes=None if model.dislikes is None else model.dislikes._replace(num_items=after),
        item_features=features,
        item_titles=None if titles is None else np.concatenate([titles, np.full(after - first, "", object)]),
        notes=(*model.notes, *notes),
    )


def fold_in_item(model: Any, users: Any) -> np.ndarray:
    """See `Recommender.fold_in_item`."""
    histories, budget = _histories(model, [users]), model.memory_budget_mb
    return fold_in_items(model.options, model.params, model.data, histories, memory_budget_mb=budget)[0]


def _rows_of(model: Any, histories: Interactions) -> np.ndarray:
    """Rows of new items, ndarray[n, ...]; zeros, which ranking does not read, for those without users."""
    rows = np.zeros((histories.num_users, *model.params.tables["items"].shape[1:]), np.float32)
    known = np.flatnonzero(histories.degrees)
    if len(known):
        budget, chosen = model.memory_budget_mb, keep_users(histories, known)
        rows[known] = fold_in_items(model.options, model.params, model.data, chosen, memory_budget_mb=budget)
    return rows


def _histories(model: Any, users: list[Any], *, all_have_users: bool = True) -> Interactions:
    """A row for each new item: the numbers of its users."""
    if "item" in model.model.num_nearest:
        raise DataError(
            f"model.name = '{model.options.model.name}' reads the items nearest to an item, which are not known of new "
            f"ones; train on their pairs too, with this model as the init of cml_jax.fit."
        )
    rows = [np.unique(model.user_ids.rows(of)) for of in users]
    if all_have_users and min(map(len, rows)) == 0:
        raise DataError("a new item has no user; give at least one that the model knows.")
    which = np.repeat(np.arange(len(rows)), [len(of) for of in rows])
    return from_pairs(which, np.concatenate(rows), len(rows), len(model.user_ids))


def _extended_ids(ids: RawIds, names: list[Any]) -> RawIds:
    """Raw ids with new ones at their end."""
    texts = [written(name, ids.kind) for name in names]
    for number, text in enumerate(texts):
        if text in ids or text in texts[:number]:
            raise DataError(f"{ids.kind} {text[:60]!r} is there already; give only new ones, each once.")
    if ids.values.dtype.kind not in "iu":
        values = np.empty(len(texts), object)
        values[:] = texts
        return RawIds(np.concatenate([ids.values.astype(object), values]), ids.kind)
    limits = np.iinfo(ids.values.dtype)
    for text in texts:
        if not text.lstrip("-").isdecimal() or str(int(text)) != text:
            raise DataError(f"{ids.kind} {text[:60]!r} is no whole number, as the others are; give it a number.")
        if not limits.min <= int(text) <= limits.max:
            raise DataError(
                f"{ids.kind} {text[:60]!r} is not between {limits.min} and {limits.max}, as the others are; give it a "
                f"smaller number."
            )
    return RawIds(np.concatenate([ids.values, np.array([int(text) for text in texts], ids.values.dtype)]), ids.kind)
