"""Collaborative metric learning with features: points are drawn to what a perceptron makes of their features."""

import functools
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from cml_jax.data.features import DeviceFeatures
from cml_jax.geometry import CONSTRAINTS, squared_distance
from cml_jax.losses.base import Loss
from cml_jax.models import cml, neighbours
from cml_jax.models.base import Model, users_positives_others
from cml_jax.models.points import init_points
from cml_jax.options import AT_LEAST_1, FINITE_AT_LEAST_0, Range, options, static, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array, Lookup, Params

_ROLES = {"item": "positive", "user": "user"}  # kind -> role of its points in the loss
_MAX_VALUES = 32  # of a multi-hot column that a step reads of one item or user
_VALUE_SCALE = 0.1  # standard deviation of fresh rows of values: those that nothing is trained on add little
_BLOCK = 2**22  # numbers of rows of values that are in memory at once


@options
class CmlFeaturesOptions(cml.CmlOptions):
    """Options of collaborative metric learning with features."""

    takes: ClassVar[tuple[str, ...]] = ("negatives", "candidates")

    feature_weight: float = traced(
        0.3, "lambda_f: weight of the squared distance of a point to what its features make", FINITE_AT_LEAST_0
    )
    feature_hidden: int = static(256, "H, hidden units between features and points", AT_LEAST_1)
    feature_dropout: float = traced(
        0.3, "share of the hidden units that a step leaves out", Range(lambda v: 0 <= v < 1, "must be in [0, 1)")
    )


class Inputs(NamedTuple):
    """Features of n items or users, as the perceptron takes them.

    Attributes:
        values: Array[n, L] int32; rows of the table of values.
        weights: Array[n, L]; of those rows, 0 where there is no value.
        numbers: Array[n, F].
    """

    values: Array
    weights: Array
    numbers: Array


def num_values(features: DeviceFeatures) -> int:
    """Rows of the table of values: a place for each value of each column, and one for a missing one."""
    return sum(size + 1 for _, size in features.sizes)


def inputs_of(features: DeviceFeatures, rows: Array, key: Array | None = None) -> Inputs:
    """Features of some rows.

    Args:
        features: of all items or all users.
        rows: Array[n] int32.
        key: PRNG key by which up to `_MAX_VALUES` values of a multi-hot column are drawn; None reads all.
    """
    values, weights, first = [], [], 0
    for number, (name, size) in enumerate(features.sizes):
        if name in features.categorical:
            ids = features.categorical[name][rows][:, None]
            found = jnp.ones(ids.shape, bool)
        else:
            sets = features.multi_hot[name]
            shape = (len(rows), sets.longest if key is None else min(sets.longest, _MAX_VALUES))
            at = jnp.full(shape, 0.5) if key is None else jax.random.uniform(jax.random.fold_in(key, number), shape)
            ids, found = neighbours.spread(sets.indptr, sets.values, rows, at)
        values.append(first + ids)
        weights.append(found / jnp.maximum(jnp.sum(found, axis=1, keepdims=True), 1))
        first += size + 1
    # In the order of the names, which is the same on either side of jit.
    numbers = [features.numeric[name][rows][:, None] for name in sorted(features.numeric)]
    numbers += [features.vector[name][rows] for name in sorted(features.vector)]
    joined = jnp.concatenate(values, axis=1) if values else jnp.zeros((len(rows), 0), jnp.int32)
    return Inputs(
        joined,
        jnp.concatenate(weights, axis=1) if weights else jnp.zeros((len(rows), 0)),
        jnp.concatenate(numbers, axis=1) if numbers else jnp.zeros((len(rows), 0)),
    )


def perceptron(
    options: CmlFeaturesOptions, dense: Any, kind: str, inputs: Inputs, rows: Array | None, kept: Array | None = None
) -> Array:
    """What features make, within the norm constraint.

    Args:
        options: of the model.
        dense: its dense parameters.
        kind: 'item' or 'user'.
        inputs: of n items or users.
        rows: Array[n, L, H]; those of the table of values. None where no column has values.
        kept: Array[n, H] bool; hidden units that are not dropped. None where all are kept, as in ranking.

    Returns:
        Array[n, D].
    """
    hidden = dense[f"{kind}_hidden_bias"][None]
    with jax.default_matmul_precision("highest"):
        if rows is not None:
            hidden = hidden + jnp.einsum("nl,nlh->nh", inputs.weights, rows)
        if f"{kind}_numbers" in dense:
            hidden = hidden + inputs.numbers @ dense[f"{kind}_numbers"]
        hidden = jax.nn.relu(hidden)
        if kept is not None:
            hidden = jnp.where(kept, hidden / (1.0 - options.feature_dropout), 0.0)
        constraint = CONSTRAINTS[options.constraint]
        return constraint.project(constraint.embed(hidden @ dense[f"{kind}_output"] + dense[f"{kind}_bias"][None]))


@functools.partial(jax.jit, static_argnames="kind")
def points_of_features(options: CmlFeaturesOptions, params: Params, features: DeviceFeatures, *, kind: str) -> Array:
    """What the features of all items, or all users, make: Array[n, D], in blocks of rows."""
    table = params.tables.get(f"{kind}_values")

    def block(ids):
        inputs = inputs_of(features, ids)
        return perceptron(options, params.dense, kind, inputs, None if table is None else table[inputs.values])

    longest = jax.eval_shape(lambda: inputs_of(features, jnp.zeros(1, jnp.int32))).values.shape[1]
    size = max(1, min(features.num_rows, _BLOCK // (options.feature_hidden * max(longest, 1))))
    blocks = -(-features.num_rows // size)
    ids = jnp.minimum(jnp.arange(blocks * size, dtype=jnp.int32), features.num_rows - 1)
    return jax.lax.map(block, ids.reshape(blocks, size)).reshape(blocks * size, -1)[: features.num_rows]


def init_perceptron(
    options: CmlFeaturesOptions, key: Array, features: DeviceFeatures, kind: str
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Fresh rows of values, a table, and the dense parameters."""
    values_key, numbers_key, output_key = jax.random.split(key, 3)
    hidden, rows = options.feature_hidden, num_values(features)
    width = jax.eval_shape(lambda: inputs_of(features, jnp.zeros(1, jnp.int32))).numbers.shape[1]
    tables = {f"{kind}_values": _VALUE_SCALE * jax.random.normal(values_key, (rows, hidden))} if rows else {}
    dense = {
        f"{kind}_hidden_bias": jnp.zeros(hidden),
        f"{kind}_output": jax.random.normal(output_key, (hidden, options.dim)) / hidden**0.5,
        f"{kind}_bias": jnp.zeros(options.dim),
    }
    if width:
        dense[f"{kind}_numbers"] = jax.random.normal(numbers_key, (width, hidden)) / width**0.5
    return tables, dense


def make(options: CmlFeaturesOptions, loss: Loss) -> Model:
    """CML with features (Hsieh et al., WWW 2017, section 3.3): the loss of `cml` and, weighted by lambda_f,

        L_f = mean over the pairs (u, i) of a step of ||i - f(x_i)||^2, and of ||u - g(x_u)||^2 with user features,

    where f is a perceptron of one hidden layer of rectified units with dropout, whose output is within the norm
    constraint of the points. As in the paper both ends are trained, so that points of rare items are drawn to what
    their features say. The paper sums over all items; here an item counts as often as it occurs.

    The hidden layer adds up a row of a table for each categorical value, the mean of such rows of a multi-hot column's
    values, of which a step reads some where there are many, and a product with numbers and vectors. Items without
    training pairs, cold ones, stand at f(x) in ranking; the others at their own points.
    """
    plain = cml.make(options, loss)

    def init(key, data):
        points_key, *keys = jax.random.split(key, 1 + len(_ROLES))
        params = init_points(options, points_key, data)
        for own, kind in zip(keys, _ROLES, strict=True):
            if kind in data.features:
                tables, dense = init_perceptron(options, own, data.features[kind], kind)
                params = Params(params.tables | tables, dict(params.dense) | dense)
        return params

    def draw(key, batch, data):
        drawn, rows = {}, {"item": batch.positives, "user": batch.users}
        for own, kind in zip(jax.random.split(key, len(_ROLES)), _ROLES, strict=True):
            if kind in data.features:
                ids = rows[kind]
                values_key, dropout_key = jax.random.split(own)
                shape = (len(ids), options.feature_hidden)
                kept = jax.random.bernoulli(dropout_key, 1.0 - options.feature_dropout, shape)
                drawn[kind] = inputs_of(data.features[kind], ids, values_key), kept
        return drawn

    def lookups(batch, data):
        del data
        found = users_positives_others(batch)
        for kind, (inputs, _) in batch.drawn.items():
            if inputs.values.shape[1]:
                counted = (inputs.weights > 0) & batch.trained[:, None]
                found[f"{kind}_values"] = Lookup(f"{kind}_values", inputs.values, counted)
        return found

    def penalty(points, dense, batch, total):
        value, trained = plain.penalty(points, dense, batch, total), batch.trained
        for kind, (inputs, kept) in batch.drawn.items():
            found = perceptron(options, dense, kind, inputs, points.get(f"{kind}_values"), kept)
            apart = jnp.where(trained, squared_distance(points[_ROLES[kind]], found), 0.0)
            value += options.feature_weight * total(apart) / jnp.maximum(total(trained.astype(apart.dtype)), 1.0)
        return value

    def context(params, data):
        if "item" not in data.features:
            return {}
        found, items = of_features(params, "item", data.features["item"]), params.tables["items"]
        cold, rows = (data.popularity == 0)[:, None], items[: len(found)]
        return {"items": items.at[: len(found)].set(jnp.where(cold, found, rows))}

    def of_features(params, kind, features):
        return points_of_features(options, params, features, kind=kind)

    return plain._replace(
        init=init, draw=draw, lookups=lookups, penalty=penalty, context=context, of_features=of_features
    )


CML_FEATURES = Strategy("cml_features", CmlFeaturesOptions, make)
