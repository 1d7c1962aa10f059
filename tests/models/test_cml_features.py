"""CML with features beside a model among others: its loss, values that a step reads, cold items and new ones."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cml_jax
from cml_jax import batches, growing, training
from cml_jax.data.features import Feature, Features
from cml_jax.data.further_features import appended
from cml_jax.data.sources import dataset_of
from cml_jax.errors import ConfigError, DataError
from cml_jax.models import cml_features
from tests import some_features
from tests.oracles import models as oracles
from tests.steps import make

SIZES = {"model": "cml_features", "sampler": "uniform", "feature_hidden": 12, "constraint": "ball"}
PAIRS = {
    "user": [f"u{user}" for user in range(24) for item in range(user % 2, 20, 2) if (user + 3 * item) % 7],
    "item": [item for user in range(24) for item in range(user % 2, 20, 2) if (user + 3 * item) % 7],
}
ITEMS = {
    "item": list(range(20)),
    "parity": ["odd" if item % 2 else "even" for item in range(20)],
    "tags": [["a"] if item % 2 else ["b", "c"] for item in range(20)],
    "number": [100.0 + item % 2 for item in range(20)],
}


@pytest.fixture(scope="module")
def model():
    """Users of two tastes: even ones have even items."""
    more = {"batch_size": 32, "num_steps": 150, "learning_rate": 0.03, "dim": 8, "feature_hidden": 16}
    return cml_jax.fit(PAIRS, item_features=ITEMS, model="cml_features", valid_fraction=0, progress=False, **more)


def test_a_step_s_loss_is_that_of_cml_and_the_mean_distance_to_what_features_make(ragged):
    losses, tables = [], {}
    for name, more in (("cml", {}), ("cml_features", {"feature_weight": 0.7, "feature_dropout": 0.0})):
        options = make(**SIZES | {"model": name, "batch_size": 8} | more)
        known = some_features.known(7, 11)
        data = batches.with_features(ragged.to_device(), options.make_model(), known)
        state = training.init_state(options, data, 2)
        tables = state.params.tables | tables  # the points of the plain model
        state = dataclasses.replace(state, params=state.params._replace(tables=jax.tree.map(jnp.copy, tables)))
        params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), state.params)
        batch = training.draw_batch(options, options.make_model(), options.make_sampler(data), data, state)[0]
        losses.append(float(training.run_steps(state, data, options, num_steps=1)[1].loss[0]))
    apart = 0.0
    for kind, ids in (("item", batch.positives), ("user", batch.users)):
        renamed = [{k.replace(kind, "item"): v for k, v in part.items() if k.startswith(f"{kind}_")} for part in params]
        columns = getattr(known, f"{kind}_features")
        found = oracles.points_of_features(renamed[0], renamed[1], {"constraint": "ball"}, columns)[np.asarray(ids)]
        apart += np.mean(((params.tables[f"{kind}s"][np.asarray(ids)] - found) ** 2).sum(axis=1))
    np.testing.assert_allclose(losses[1] - losses[0], 0.7 * apart, rtol=1e-5)


def test_dropout_leaves_out_its_share_and_keeps_the_mean(ragged):
    options = make(**SIZES | {"feature_dropout": 0.25, "batch_size": 400, "feature_hidden": 50})
    data = batches.with_features(ragged.to_device(), options.make_model(), some_features.known(7, 11))
    state = training.init_state(options, data, 0)
    batch = training.draw_batch(options, options.make_model(), options.make_sampler(data), data, state)[0]
    kept = {kind: np.asarray(drawn[1]) for kind, drawn in batch.drawn.items()}
    assert abs(kept["item"].mean() - 0.75) < 0.02 and np.mean(kept["item"] == kept["user"]) < 0.7
    dense = {"item_hidden_bias": jnp.ones(50), "item_output": jnp.eye(50)[:, :6] / 9, "item_bias": jnp.zeros(6)}
    inputs = cml_features.Inputs(jnp.zeros((400, 0), jnp.int32), jnp.zeros((400, 0)), jnp.zeros((400, 0)))
    found = cml_features.perceptron(options.model.options, dense, "item", inputs, None, batch.drawn["item"][1])
    expected = np.where(kept["item"][:, :6], 1 / 0.75 / 9, 0.0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_step_reads_some_of_many_values_and_ranking_all(monkeypatch):
    monkeypatch.setattr(cml_features, "_MAX_VALUES", 3)
    lengths = np.array([0, 2, 8])
    codes = np.concatenate([np.arange(n) for n in lengths]).astype(np.int32)
    column = Feature("tags", "multi_hot", codes, np.arange(8), np.concatenate([[0], np.cumsum(lengths)]))
    features, rows = Features((column,)).to_device(), jnp.arange(3)
    draw = jax.vmap(lambda key: cml_features.inputs_of(features, rows, key))
    drawn = draw(jax.random.split(jax.random.key(0), 4000))
    assert drawn.values.shape == (4000, 3, 3)
    share = np.zeros((3, 8))
    for row in range(3):
        np.add.at(share[row], np.asarray(drawn.values[:, row]).ravel(), np.asarray(drawn.weights[:, row]).ravel())
    whole = cml_features.inputs_of(features, rows)
    assert whole.values.shape == (3, 8)
    np.testing.assert_allclose(share / 4000, [[0] * 8, [0.5] * 2 + [0] * 6, [1 / 8] * 8], atol=0.01)
    np.testing.assert_allclose(np.asarray(whole.weights).sum(axis=1), [0, 1, 1], rtol=1e-6)


@pytest.mark.parametrize("block", [1, 2**22])
def test_points_of_features_do_not_depend_on_the_block(block, ragged, monkeypatch):
    monkeypatch.setattr(cml_features, "_BLOCK", block)
    options = make(**SIZES)
    known = some_features.known(7, 11)
    data = batches.with_features(ragged.to_device(), options.make_model(), known)
    params = training.init_state(options, data, 0).params
    whole = jax.jit(inspect.unwrap(cml_features.points_of_features), static_argnames="kind")
    found = whole(options.model.options, params, data.features["item"], kind="item")
    exact = [jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), part) for part in params]
    expected = oracles.points_of_features(exact[0], exact[1], {"constraint": "ball"}, known.item_features)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_new_items_without_users_stand_among_those_of_their_features(model, tmp_path):
    features = {name: [*values[:2], values[0]] for name, values in ITEMS.items()} | {"item": [100, 101, 102]}
    features["tags"] = [["b", "c"], ["a"], ["unheard of"]]
    grown = model.with_items({100: [], 101: [], 102: ["u1", "u3"]}, item_features=features)
    assert {item % 2 for item in grown.similar_items(100, 6)["item"] if item < 100} == {0}
    assert {item % 2 for item in grown.similar_items(101, 6)["item"] if item < 100} == {1}
    assert {item % 2 for item in grown.similar_items(102, 6)["item"] if item < 100} == {1}  # by its users
    place = grown.recommend("u0", 23)["item"].to_list()
    assert place.index(100) < place.index(101)
    np.testing.assert_allclose(grown.item_points[:20], model.item_points, atol=1e-6)
    assert any("1 values of 'tags' of new items are unknown" in note for note in grown.notes)
    assert any("2 new items stand where their features say" in note for note in grown.notes)
    grown.save(tmp_path / "grown")
    loaded = cml_jax.load(tmp_path / "grown")
    assert loaded.recommend("u0", 23).equals(grown.recommend("u0", 23))
    again = loaded.with_items({200: []}, item_features={k: [v[0] if k != "item" else 200] for k, v in ITEMS.items()})
    np.testing.assert_allclose(again.item_points[-1], grown.item_points[20], atol=1e-6)


def test_cold_items_bring_no_warning_unless_features_do_not_place_them(model, recwarn):
    grown = model.with_items({100: []}, item_features={k: [v[0] if k != "item" else 100] for k, v in ITEMS.items()})
    assert grown.untrained_items.to_list() == [100] and len(grown.unplaced_items) == 0
    grown.recommend("u0", 21)
    grown.similar_items(100, 2)
    assert not [w for w in recwarn if "trained" in str(w.message)]


def test_further_features_keep_codes_and_standardisation():
    old = some_features.features(9, 4)
    new, _ = appended(old, None, "item", np.array([70, 71]))
    again, _ = appended(new, None, "item", np.array([72]))
    for before, after in ((old, new), (old, again)):
        a, b = before.to_device(), after.to_device()
        assert a.sizes == b.sizes and all(column.missing[9:].all() for column in after.columns)
        np.testing.assert_array_equal(a.numeric["year"], b.numeric["year"][:9])
    year = {"item": [70], "year": [5000.0], "tags": [[4, 2]], "genre": ["c"], "cover": [[1.0, 2.0, 3.0]]}
    far, _ = appended(old, year, "item", np.array([70]))
    np.testing.assert_array_equal(far.to_device().numeric["year"][:9], old.to_device().numeric["year"])
    assert far.column("genre").values[-1] == 2 and sorted(far.column("tags").values[-2:]) == [2, 4]
    with pytest.raises(DataError, match="vectors 'cover' have 2 numbers, and those of the model 3"):
        appended(old, year | {"cover": [[1.0, 2.0]]}, "item", np.array([70]))


def test_rows_of_values_go_with_them_into_another_model(ragged):
    """Rows of known values are those of the old model wherever they stand; other columns are refused."""
    chosen, states, held = make(**SIZES), [], []
    for tags in (["a", "b", "c"], ["aa", "b", "c", "d"]):
        items = {"item": list(range(20)), "tags": [[tags[i % len(tags)]] for i in range(20)]}
        found = dataset_of(PAIRS, valid_fraction=0, item_features=items)
        data = batches.of_dataset(found, chosen)
        held.append(found)
        states.append(training.init_state(chosen, data, len(states)))
    old = growing.Old(
        "old",
        chosen,
        states[0].params,
        held[0].user_ids,
        held[0].item_ids,
        None,
        "none",
        held[0].item_features,
        None,
    )
    state, _ = growing.grown_state(states[1], chosen, held[1], old)
    before, fresh, now = (np.asarray(s.params.tables["item_values"]) for s in (*states, state))
    np.testing.assert_array_equal(now, [fresh[0], before[1], before[2], fresh[3], before[3]])
    with pytest.raises(ConfigError, match=r"old learned from other columns of item features"):
        growing.grown_state(states[1], chosen, held[1], old._replace(item_features=None))


def test_what_cannot_be_is_one_sentence(model):
    with pytest.raises(ConfigError, match="learns from features, and the data have none; set item_features"):
        cml_jax.fit(PAIRS, model="cml_features", valid_fraction=0, progress=False)
    with pytest.raises(DataError, match="a new item has no user"):
        model.with_items({100: []})
    with pytest.raises(DataError, match="has no column 'tags'"):
        model.with_items({100: []}, item_features={"item": [100], "parity": ["odd"], "number": [1.0]})
    plain = dataclasses.replace(model, item_features=None)
    with pytest.raises(DataError, match="knows no features of items"):
        plain.with_items({100: ["u1"]}, item_features=ITEMS)
