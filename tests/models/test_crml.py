"""CRML's partners by their law and counts, and its loss against plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import batches, training
from cml_jax.errors import ConfigError
from cml_jax.models import crml
from tests.conftest import assert_law
from tests.steps import make

CASE = {"model": "crml", "loss": "triplet", "sampler": "uniform", "constraint": "ball"}


def known(ragged):
    """Whether a user has an item, bool[U, I]."""
    matrix = np.zeros((7, 11), bool)
    matrix[ragged.users, ragged.items] = True
    return matrix


@pytest.mark.parametrize("of", ["users", "items"])
def test_partners_are_drawn_by_what_is_shared_and_weights_undo_it(of, ragged):
    """Of every pair (u, p) many times: others of p's users alike, and all users who share something alike by weight."""
    data, matrix = batches.to_device(ragged, None, make(**CASE)), known(ragged)
    rows, shared = ragged.users, ragged.items
    if of == "items":
        data, matrix, rows, shared = crml.transposed(data), matrix.T, ragged.items, ragged.users
    keys, filled = jax.random.split(jax.random.key(1), 3000), jnp.ones(22, bool).at[3].set(False)
    draw = jax.jit(jax.vmap(lambda key: crml.partners(key, data, jnp.asarray(rows), jnp.asarray(shared), filled)))
    ids, counts, weights = map(np.asarray, draw(keys))
    num_shared = matrix.astype(int) @ matrix.T.astype(int)
    for pair, (row, item) in enumerate(zip(rows, shared, strict=True)):
        law = (matrix[:, item] & (np.arange(len(matrix)) != row)).astype(float)
        if not filled[pair] or not law.any():
            assert not counts[:, pair].any() and not weights[:, pair].any()
            continue
        assert_law(np.bincount(ids[:, pair], minlength=len(matrix)), law / law.sum())
        np.testing.assert_array_equal(counts[:, pair], num_shared[row, ids[:, pair]])
    every = crml.partners(keys[0], data, jnp.asarray(rows), jnp.asarray(shared), jnp.ones(22, bool))
    popularity = matrix.sum(axis=0)
    for row, partner, weight in zip(rows, every.ids, every.weights, strict=True):
        common = matrix[row] & matrix[int(partner)]
        if weight:
            np.testing.assert_allclose(1 / weight, (1 / (popularity[common] - 1)).sum(), rtol=1e-5)


def test_a_step_s_loss_equals_numpy(ragged):
    more = {"user_cooccurrence_weight": 0.3, "item_cooccurrence_weight": 0.7, "cooccurrence_cap": 2.5, "margin": 0.8}
    options = make(**CASE, **more, num_negatives=3)
    data = batches.to_device(ragged, None, options)
    state, model = training.init_state(options, data, 2), options.make_model()
    rng = np.random.default_rng(3)
    tables = {name: rng.normal(size=rows.shape) * 0.4 for name, rows in state.params.tables.items()}
    batch = training.draw_batch(options, model, options.make_sampler(data), data, state)[0]
    points = {role: jnp.float32(tables[of.table][of.ids]) for role, of in model.lookups(batch, data).items()}
    matrix = known(ragged).astype(int)
    expected, terms = [], {}
    for user, item, others in zip(*map(np.asarray, (batch.users, batch.positives, batch.others)), strict=True):
        u, p = tables["users"][user], tables["items"][item]
        closest = min(((u - tables["items"][n]) ** 2).sum() for n in others)
        away = ((u - tables["co_users"][user]) ** 2).sum() * 0.3 + ((p - tables["co_items"][item]) ** 2).sum() * 0.7
        expected.append(max(0.0, 0.8 + ((u - p) ** 2).sum() - closest) + away)
    for role, own, of in (("user", batch.users, "user"), ("positive", batch.positives, "item")):
        shares = matrix @ matrix.T if of == "user" else matrix.T @ matrix
        squares, weights = [], []
        for a, b, weight in zip(own, batch.drawn[role].ids, batch.drawn[role].weights, strict=True):
            a, b, count = int(a), int(b), shares[int(a), int(b)]
            predicted = tables[f"co_{of}s"][a] @ tables[f"co_{of}s"][b]
            biases = tables[f"{of}_biases"][a] + tables[f"{of}_biases"][b]
            squares.append(min(1.0, (count + 1) / 2.5) ** 0.75 * (predicted + biases - np.log(count + 1)) ** 2)
            weights.append(float(weight))
        terms[of] = np.average(squares, weights=weights)
    np.testing.assert_allclose(model.loss(points, (), batch), expected, rtol=1e-4)
    np.testing.assert_allclose(model.penalty(points, (), batch, jnp.sum), sum(terms.values()), rtol=1e-4)


@pytest.mark.parametrize("loss", ["softmax", "bpr"])
def test_other_losses_are_refused(loss):
    with pytest.raises(ConfigError, match=rf"model\.loss = '{loss}'"):
        make(**CASE | {"loss": loss})
