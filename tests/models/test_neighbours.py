"""Neighbours of users and items: their lists on the device, how they are drawn, and the models that read them."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import batches, make_options, training
from cml_jax.data.interactions import item_users_of
from cml_jax.errors import ConfigError
from cml_jax.losses import Loss
from cml_jax.models import MODELS, neighbours
from cml_jax.serving import fold_in, new_items
from cml_jax.table_kinds import with_context
from tests.conftest import assert_law
from tests.oracles import models as oracles

SHARED = {"loss": "triplet", "sampler": "uniform", "dim": 4, "batch_size": 8, "num_negatives": 2, "margin": 0.8}
READING = [name for name in MODELS if issubclass(MODELS[name].options, neighbours.NeighbourOptions)]


def make(name, **more):
    return make_options(**SHARED | {"model": name} | oracles.MODEL_CASES[name][0] | more)


def batch_of(options, data, step=0, seed=0):
    state = dataclasses.replace(training.init_state(options, data, seed), step=jnp.int32(step))
    drawn = training.draw_batch(options, options.make_model(), options.make_sampler(data), data, state)[0]
    return drawn, {name: np.asarray(rows, np.float64) for name, rows in state.params.tables.items()}


def test_users_of_items_are_on_the_device_for_models_that_read_them_alone(ragged):
    found = item_users_of(ragged)
    for item in range(11):
        expected = [user for user in range(7) if item in ragged.row(user)]
        assert np.asarray(found.users[found.indptr[item] : found.indptr[item + 1]]).tolist() == expected
    brought = {name: batches.to_device(ragged, None, make(name)).item_users for name in ("cml", "transcf")}
    assert brought["cml"] is None
    jax.tree.map(np.testing.assert_array_equal, brought["transcf"], found)


def test_short_lists_are_read_whole_and_long_ones_by_equal_chances(ragged):
    """User 0 has eight items, user 3 two; item 10 has no user."""
    data, users = ragged.to_device(), jnp.array([0, 3])
    draw = jax.vmap(lambda key: neighbours.draw(key, data.indptr, data.items, users, 3))
    ids, found = draw(jax.random.split(jax.random.key(0), 20_000))
    assert np.asarray(found).all(axis=0).tolist() == [[True] * 3, [True, True, False]]
    assert not np.asarray(found)[:, 1, 2].any()
    np.testing.assert_array_equal(ids[:, 1, :2], np.broadcast_to(ragged.row(3), (20_000, 2)))
    counts = np.bincount(np.asarray(ids)[:, 0].ravel(), minlength=11)
    assert_law(counts, np.isin(np.arange(11), ragged.row(0)) / 8)
    place = np.searchsorted(ragged.row(0), np.asarray(ids)[:, 0])  # one from each third, which may share one item
    assert (np.floor(place[:, 1]) >= place[:, 0]).all() and (place[:, 2] >= place[:, 1]).all() and place.max() == 7
    lists = item_users_of(ragged)
    assert not np.any(neighbours.draw(jax.random.key(0), *lists, jnp.array([10]), 3).found)


@pytest.mark.parametrize("name", READING)
def test_draws_are_of_seed_and_step(name, ragged):
    options = make(name, num_neighbours=2)
    data = batches.to_device(ragged, None, options)
    same, again, later, other = (batch_of(options, data, *at)[0].drawn for at in ((1, 0), (1, 0), (2, 0), (1, 5)))
    jax.tree.map(np.testing.assert_array_equal, same, again)
    for changed in (later, other):
        assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (same, changed)), strict=True))


@pytest.mark.parametrize("block", [3, 100])
def test_means_are_of_all_neighbours_whatever_the_block(block, ragged, monkeypatch):
    monkeypatch.setattr(neighbours, "_BLOCK", block)
    points = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    found = jax.jit(inspect.unwrap(neighbours.means), static_argnames="num_rows")(
        points, jnp.asarray(ragged.items), jnp.asarray(ragged.users), num_rows=11
    )
    expected = [points[ragged.users[ragged.items == item]].sum(axis=0) for item in range(11)]
    np.testing.assert_allclose(found, np.array(expected) / np.maximum(ragged.popularity, 1)[:, None], atol=1e-6)
    held = np.zeros((11, 7), bool)
    held[ragged.items, ragged.users] = True
    np.testing.assert_allclose(neighbours.means_of_histories(jnp.asarray(points), jnp.asarray(held)), found, atol=1e-6)


def transcf_loss(user, positive, others, near, margin, distance_weight, neighbourhood_weight):
    """Of one pair; `near` has the points of neighbours of user, positive and each other item."""
    of_user, of_positive = near[0].mean(axis=0), near[1].mean(axis=0)
    own = ((user + of_user * of_positive - positive) ** 2).sum()
    away = [
        ((user + of_user * (rows.mean(axis=0) if len(rows) else 0) - other) ** 2).sum()
        for other, rows in zip(others, near[2:], strict=True)
    ]
    apart = ((user - of_user) ** 2).sum() + ((positive - of_positive) ** 2).sum()
    return max(0.0, margin + own - min(away)) + distance_weight * own + neighbourhood_weight * apart


def test_transcf_s_loss_equals_numpy(ragged):
    options = make("transcf", num_negatives=6)
    data = batches.to_device(ragged, None, options)
    batch, tables = batch_of(options, data, step=2)
    model, (users, items) = options.make_model(), (tables["users"], tables["items"])
    points = {role: jnp.float32(tables[of.table][of.ids]) for role, of in model.lookups(batch, data).items()}
    found = model.loss(points, (), batch)
    near = jax.tree.map(np.asarray, batch.drawn)
    others = np.asarray(batch.others)
    assert (others == 10).any(), "an item without users"

    def rows(table, of, *place):
        return table[of.ids[place][of.found[place]]]

    numbers = {name: options.values()[name] for name in ("margin", "distance_weight", "neighbourhood_weight")}
    for pair in np.flatnonzero(batch.trained):
        beside = [rows(users, near["others"], pair, n) for n in range(others.shape[1])]
        around = [rows(items, near["user"], pair), rows(users, near["positive"], pair), *beside]
        user, positive = users[batch.users[pair]], items[batch.positives[pair]]
        expected = transcf_loss(user, positive, items[others[pair]], around, **numbers)
        np.testing.assert_allclose(found[pair], expected, rtol=1e-5)


@pytest.mark.parametrize("item_attention", [False, True])
def test_hlr_s_loss_equals_numpy_and_does_not_read_the_positive(item_attention, ragged):
    options = make("hlr", item_attention=item_attention, constraint="none", init_scale=2.0)
    data = batches.to_device(ragged, None, options)
    dense = jax.tree.map(np.asarray, training.init_state(options, data, 0).params.dense)
    lengths = set()
    for step in range(4):
        batch, tables = batch_of(options, data, step)
        model, (users, items) = options.make_model(), (tables["users"], tables["items"])
        points = {role: jnp.float32(tables[of.table][of.ids]) for role, of in model.lookups(batch, data).items()}
        found = model.loss(points, dense, batch)
        for pair in np.flatnonzero(batch.trained):
            user, positive = int(batch.users[pair]), int(batch.positives[pair])
            near = np.asarray(batch.drawn.ids[pair])[np.asarray(batch.drawn.found[pair])].tolist()
            assert positive not in near and {*near} <= {*ragged.row(user).tolist()}
            assert len(near) == min(3, len(ragged.row(user)) - 1)
            lengths.add(len(near))
            own, *away = (
                oracles.hlr_score(users[user], items[item], items[near], dense, item_attention)
                for item in (positive, *np.asarray(batch.others[pair]).tolist())
            )
            np.testing.assert_allclose(found[pair], max(0.0, 0.8 - own + max(away)), rtol=1e-4, atol=1e-5)
    assert lengths == {0, 1, 2, 3}


@pytest.mark.parametrize("name", READING)
def test_what_folds_in_scores_rows_with_their_own_neighbours(name, ragged):
    """Of a known user with its items, and of a known item with its users, these are the model's scores."""
    options, data = make(name), ragged.to_device()
    params = training.init_state(options, data, 1).params
    exact = {table: np.asarray(rows, np.float64) for table, rows in params.tables.items()}
    dense = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params.dense)
    expected = oracles.MODEL_SCORES[name](exact, dense, options.values() | {"train": ragged})
    expected -= expected.mean(axis=1, keepdims=True)
    model = options.make_model()
    known = with_context(model, params, data)
    of_user = fold_in.scores_of_row(options, known, data, model.ranking(params, data))
    of_item = new_items._scores_of_new(options, data)
    held = np.zeros((7, 11), bool)
    held[ragged.users, ragged.items] = True
    for user in (0, 4):
        scores = of_user(params.tables["users"][user], jnp.asarray(held[user]))
        np.testing.assert_allclose(scores - scores.mean(), expected[user], atol=1e-5)
    for item in (3, 10):
        found = of_item(known, params.tables["items"][item, None], jnp.asarray(held[:, item]))
        whole = oracles.MODEL_SCORES[name](exact, dense, options.values() | {"train": ragged})[:, item]
        np.testing.assert_allclose(found, whole, atol=1e-5)


def test_losses_that_take_candidates_or_points_are_refused():
    def plain(own, others, valid):
        return own

    refused = MODELS["transcf"].options.objection
    assert not refused(Loss(plain, "distance"))
    for loss in (
        Loss(plain, "distance", takes="candidates"),
        Loss(plain, "distance", penalty=lambda user, positive, others, valid: user[0]),
    ):
        assert refused(loss) == "moves a user for each item, which {loss} does not allow"
    with pytest.raises(ConfigError, match=r"'transcf' moves a user .*'squared' does not allow; use model\.loss"):
        make("transcf", loss="squared")
