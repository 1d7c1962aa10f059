"""A whole step of every loss against NumPy: the pairs drawn, the loss with all its options, the update of the rows."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import make_options, training
from cml_jax.losses import LOSSES
from cml_jax.types import Params
from tests.oracles import losses as oracles
from tests.oracles.geometry import to_ball, to_sphere
from tests.steps import DRAWN

SHARED: dict[str, Any] = DRAWN | {
    "dim": 4,
    "batch_size": 8,
    "optimizer": "sgd",
    "learning_rate": 0.3,
    "num_candidates": 9,
    "num_negatives": 2,
}
EMBED = {"sphere": to_sphere, "ball": np.asarray, "none": np.asarray}
PROJECT = {"sphere": np.asarray, "ball": to_ball, "none": np.asarray}


def step_cases():
    """(name of a loss, its options, options of the rest)."""
    for name, strategy in LOSSES.items():
        loss = strategy.make(strategy.options())
        for case in oracles.LOSS_CASES.get(name, []):
            if loss.similarity == "inner_product":
                yield name, case, {"constraint": "none", "sampler": "popularity"}
                continue
            if loss.takes == "batch":
                yield name, case, {"constraint": "ball"}
                yield name, case, {"constraint": "sphere"}
                continue
            yield name, case, {"constraint": "ball", "sampler": "two_stage"}
            more = {"gor_weight": 0.4, "loss_reduction": "sum"}
            yield name, case, {"constraint": "sphere", "sampler": "uniform"} | more
            if loss.takes == "negatives":
                terms = {"gor_form": "sum", "covariance_weight": 30.0}
                yield name, case, {"constraint": "sphere", "sampler": "uniform"} | terms | more


def objective(tables, batch, name, case, rest, train):
    """The loss of the batch, its GOR and its covariance term in NumPy."""
    users, items = (EMBED[rest["constraint"]](table) for table in tables)
    if name in oracles.BATCH_LOSSES:
        points = users[batch.users[batch.trained]], items[batch.positives[batch.trained]]
        return oracles.BATCH_LOSSES[name](*points, **case) * np.mean(batch.trained)
    total, products, weights, counted = 0.0, [], [], []
    for b in range(len(batch.users)):
        others = items[batch.others if batch.others.ndim == 1 else batch.others[b]]
        user, positive = users[batch.users[b]], items[batch.positives[b]]
        products.append([others @ user, others @ positive])
        weights.append([batch.valid[b]] * 2)
        if batch.trained[b]:
            if case.get("positives") == "batch_mean":
                positive = items[batch.positives[batch.trained & (batch.users == batch.users[b])]]
            more = {}
            if "temperature_degree_exponent" in case:
                more["relative_degree"] = train.degrees[batch.users[b]] / train.degrees.mean()
            total += oracles.LOSSES[name](user, positive, others, batch.valid[b], **case, **more)
            counted += [user, positive, *others[batch.valid[b]]]
    total /= 1 if rest.get("loss_reduction") == "sum" else len(batch.users)
    if "gor_weight" not in rest:
        return total
    products, weights = np.array(products), np.array(weights)
    if rest.get("gor_form") == "sum":
        term = sum(oracles.gor_sum(products[:, side], weights[:, side], SHARED["dim"]) for side in (0, 1))
    else:
        term = oracles.gor(products, weights, SHARED["dim"])
    assert term > 1e-3
    term *= rest["gor_weight"]
    if "covariance_weight" in rest:
        apart = rest["covariance_weight"] * oracles.covariance_term(np.array(counted))
        assert apart > 1e-3
        term += apart
    return total + term


def gradient(function, tables, step=1e-6):
    """Central differences with respect to every number of both tables."""
    found = [np.zeros_like(table) for table in tables]
    for table, slope in zip(tables, found, strict=True):
        for place in np.ndindex(table.shape):
            kept = table[place]
            values = []
            for sign in (1, -1):
                table[place] = kept + sign * step
                values.append(function(tables))
            table[place] = kept
            slope[place] = (values[0] - values[1]) / (2 * step)
    return found


def one_step(state, data, options):
    """The batch of a step, and the state and the metrics after it."""
    batch, _ = training.draw_batch(options, options.make_model(), options.make_sampler(data), data, state)
    # What counts for which pairs, written out for NumPy.
    return batch._replace(valid=batch.dense_valid()), *training.make_step(options)(state, data)


@pytest.mark.parametrize(("name", "case", "rest"), [*step_cases()], ids=str)
def test_step_equals_numpy(ragged, name, case, rest):
    """The third step of the pass, whose batch of 8 has 6 pairs."""
    data = ragged.to_device()
    options = make_options(**SHARED | {"loss": name} | case | rest).as_arrays()
    rng = np.random.default_rng(8)
    tables = [rng.normal(size=(n, SHARED["dim"])) * 0.6 for n in (7, 11)]
    tables = [PROJECT[rest["constraint"]](table).astype(np.float32).astype(np.float64) for table in tables]
    state = training.init_state(options, data, 3)
    params = Params(dict(zip(("users", "items"), map(jnp.float32, tables), strict=True)))
    state = dataclasses.replace(state, params=params, step=jnp.int32(2))
    batch, after, metrics = jax.device_get(jax.jit(one_step)(state, data, options))

    filled = np.arange(8) < 6
    known = np.array([np.isin(np.arange(11), ragged.row(int(user))) for user in batch.users])
    assert np.take_along_axis(known, batch.positives[:, None], axis=1).all()
    if batch.others.ndim == 1:
        # At least ten items can be drawn, so no slot is left over.
        np.testing.assert_array_equal(batch.valid, filled[:, None] & ~known[:, batch.others])
    else:
        assert not (batch.valid & np.take_along_axis(known, batch.others, axis=1)).any()
        np.testing.assert_array_equal(batch.valid, np.repeat(batch.trained[:, None], batch.others.shape[1], axis=1))
    expected = filled if name in oracles.BATCH_LOSSES else batch.valid.any(axis=1)
    np.testing.assert_array_equal(batch.trained, expected)
    assert metrics.no_negative == 6 - batch.trained.sum() and batch.trained.sum() >= 4

    def value(tables):
        return objective(tables, batch, name, case, rest, ragged)

    np.testing.assert_allclose(metrics.loss, value(tables), rtol=2e-5)
    slopes = gradient(value, tables)
    after_tables = [after.params.tables[role] for role in ("users", "items")]
    for table, slope, found in zip(tables, slopes, after_tables, strict=True):
        touched = np.abs(slope).max(axis=1) > 0
        moved = np.where(touched[:, None], PROJECT[rest["constraint"]](table - SHARED["learning_rate"] * slope), table)
        np.testing.assert_allclose(found, moved, atol=1e-5)
        assert np.abs(moved - table).max() > 1e-2
