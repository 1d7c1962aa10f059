"""CML on the item graph: the loss of a pair, and what the graph is for."""

from typing import Any

import jax
import numpy as np
import pytest

import cml_jax
from cml_jax import batches, make_options, training
from cml_jax.data.interactions import Dataset, from_pairs
from cml_jax.errors import ConfigError, DataError
from tests.models.biased_softmax import check_loss
from tests.oracles import models as oracle
from tests.oracles.geometry import to_sphere

SHARED: dict[str, Any] = {"model": "cml_graph", "loss": "softmax", "sampler": "uniform"}


def test_loss_equals_numpy(ragged):
    def moved(items):
        return oracle.moved_to_means(items, oracle.nearest_items(ragged, 3), 0.7)

    def moved_users(users):
        return oracle.moved_to_means(users, oracle.nearest_users(ragged, 2), 1.4)

    check_loss(ragged, moved=moved, **SHARED, num_nearest_items=3, nearest_weight=0.7)
    of_users = {"num_nearest_users": 2, "nearest_users_weight": 1.4}
    check_loss(
        ragged, moved=moved, moved_users=moved_users, **SHARED, num_nearest_items=3, nearest_weight=0.7, **of_users
    )


def test_pairs_of_an_item_train_the_items_near_to_it():
    """A step of one pair moves the rows of the positive's nearest items, and of those that it is compared with."""
    train = from_pairs(np.array([0, 0, 1, 1, 2]), np.array([0, 1, 2, 3, 4]), 3, 5)
    options = make_options(
        **SHARED, dim=3, batch_size=5, num_candidates=1, num_nearest_items=1, nearest_weight=1.0, rows="lazy"
    )
    data, model = batches.to_device(train, None, options), options.make_model()
    state = training.init_state(options, data, 0)
    batch, _ = training.draw_batch(options, model, options.make_sampler(data), data, state)
    lookups = model.lookups(batch, data)
    for role in ("positive", "others"):
        ids, near = np.asarray(lookups[role].ids), np.asarray(lookups[f"near_{role}"].ids)
        partner = np.array([1, 0, 3, 2, 4])
        np.testing.assert_array_equal(near[..., 0], partner[ids])
        np.testing.assert_array_equal(lookups[f"near_{role}"].counted[..., 0], lookups[role].counted)


def test_shapes_of_the_data_are_known_without_a_search_for_nearest_items(ragged, monkeypatch):
    dataset = Dataset(ragged, ragged, ragged, np.arange(ragged.num_users), np.arange(ragged.num_items))
    options = make_options(**SHARED, num_nearest_items=3, num_nearest_users=2)
    data = batches.of_dataset(dataset, options)
    assert {kind: ids.shape for kind, ids in data.nearest.items()} == {
        "item": (ragged.num_items, 3),
        "user": (ragged.num_users, 2),
    }
    monkeypatch.setattr("cml_jax.data.nearest._best", None)  # which a search calls
    shapes = batches.shapes_of_dataset(dataset, options)
    assert jax.tree.structure(shapes) == jax.tree.structure(data)
    for shape, array in zip(jax.tree.leaves(shapes), jax.tree.leaves(data), strict=True):
        assert (shape.shape, shape.dtype) == (array.shape, array.dtype)


@pytest.mark.parametrize("of_users", [{}, {"num_nearest_users": 4, "nearest_users_weight": 1.3}])
def test_lists_are_those_of_moved_points_and_new_items_are_refused(tmp_path, of_users):
    rng = np.random.default_rng(1)
    pairs = {"user": rng.integers(0, 30, 300), "item": rng.integers(0, 20, 300)}
    options = {"dim": 4, "num_steps": 40, "batch_size": 32, "num_nearest_items": 3, "nearest_weight": 0.6} | of_users
    model = cml_jax.fit(pairs, **SHARED, **options, valid_fraction=0, progress=False, workdir=tmp_path / "run")
    tables = {name: np.asarray(table, np.float64) for name, table in model.params.tables.items()}
    scores = oracle.cml_graph_scores(tables, {}, options | {"train": model.train, "bias_scale": 0.1})
    user, rows = 7, model.recommend(7, k=5)
    scores[user, model.train.row(user)] = -np.inf
    assert rows["item"].to_list() == model.item_ids.values[np.argsort(-scores[user])[:5]].tolist()
    np.testing.assert_allclose(rows["score"], np.sort(scores[user])[::-1][:5], rtol=1e-5)
    assert cml_jax.load(tmp_path / "run").recommend(7, k=5).equals(rows)
    for placed in (lambda: model.with_items({99: [0, 1]}), lambda: model.fold_in_item([0, 1])):
        with pytest.raises(
            DataError, match="'cml_graph' reads the items nearest to an item, which are not known of new"
        ):
            placed()
    more = {name: np.append(values, extra) for (name, values), extra in zip(pairs.items(), (0, 99), strict=True)}
    again = cml_jax.fit(more, **SHARED, **options, valid_fraction=0, progress=False, init=model)
    assert 99 in again.recommend(1, k=21 - len(again.train.row(1)))["item"]


def test_new_users_have_no_nearest_users():
    """A user who is folded in is ranked by the row found for it alone, whatever users are near to those of training."""
    rng = np.random.default_rng(2)
    pairs = {"user": rng.integers(0, 30, 300), "item": rng.integers(0, 20, 300)}
    options = {"dim": 4, "num_steps": 40, "batch_size": 32, "num_nearest_users": 3, "nearest_users_weight": 1.5}
    model = cml_jax.fit(pairs, **SHARED, **options, valid_fraction=0, progress=False)
    items = model.item_ids.values[[2, 5]].tolist()
    row = model.fold_in(items)
    tables = {name: np.asarray(table, np.float64) for name, table in model.params.tables.items()} | {"users": row[None]}
    alone = {"num_nearest_items": 5, "nearest_weight": 0.5, "bias_scale": 0.1, "train": model.train}
    scores = oracle.cml_graph_scores(tables, {}, alone)[0]
    scores[[2, 5]] = -np.inf
    found = model.recommend_for(items, k=4)
    assert found["item"].to_list() == model.item_ids.values[np.argsort(-scores)[:4]].tolist()


def test_similar_ones_are_those_of_moved_points():
    rng = np.random.default_rng(4)
    pairs = {"user": rng.integers(0, 30, 300), "item": rng.integers(0, 20, 300)}
    options = {"dim": 4, "num_steps": 40, "batch_size": 32, "num_nearest_users": 5, "nearest_users_weight": 2.0}
    model = cml_jax.fit(pairs, **SHARED, **options, valid_fraction=0, progress=False)
    tables = {name: np.asarray(table, np.float64) for name, table in model.params.tables.items()}
    near = oracle.nearest_items(model.train, 5), oracle.nearest_users(model.train, 5)
    for kind, weight, of in (("item", 0.5, near[0]), ("user", 2.0, near[1])):
        points = oracle.moved_to_means(to_sphere(tables[f"{kind}s"]), of, weight)
        ids = getattr(model, f"{kind}_ids").values
        cosines = points @ points[3]
        cosines[3] = -np.inf
        found = getattr(model, f"similar_{kind}s")(ids[3].item(), k=6)
        assert found[kind].to_list() == ids[np.argsort(-cosines)[:6]].tolist()


def test_more_nearest_users_than_users_are_refused(ragged):
    all_of_them = make_options(**SHARED, num_nearest_users=ragged.num_users)
    all_of_them.model.options.check_data(all_of_them, ragged)
    options = make_options(**SHARED, num_nearest_users=ragged.num_users + 1)
    with pytest.raises(ConfigError, match=f"is above the number of users, {ragged.num_users}; lower it"):
        options.model.options.check_data(options, ragged)
