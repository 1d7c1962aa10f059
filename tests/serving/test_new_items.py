"""Items that training has not seen, from their users."""

import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

import cml_jax
from cml_jax.errors import DataError
from cml_jax.serving.new_items import fold_in_items, starts


@pytest.fixture(scope="module")
def model():
    """Users of two tastes: even ones have even items."""
    rows = [(f"u{u}", i) for u in range(24) for i in range(u % 2, 20, 2) if (u + 3 * i) % 7]
    pairs = pl.DataFrame(rows, schema=["user", "item"], orient="row")
    return cml_jax.fit(pairs, valid_fraction=0, dim=8, batch_size=32, num_steps=150, learning_rate=0.03, progress=False)


def test_new_item_is_near_to_items_of_its_users_taste_and_listed_for_others_of_it(model):
    grown = model.with_items({100: ["u0", "u2", "u4"], 101: ["u1", "u3"]})
    assert grown.item_ids.values.tolist()[-2:] == [100, 101] and len(grown.item_ids) == 22
    assert {i % 2 for i in grown.similar_items(100, 5)["item"].to_list()} == {0}
    assert 100 in grown.recommend("u10", 5)["item"].to_list()
    assert 100 not in grown.recommend("u0", 22)["item"].to_list()  # who has it
    place = grown.recommend("u11", 22)["item"].to_list()
    assert place.index(101) < place.index(100)
    np.testing.assert_array_equal(grown.params.tables["users"], model.params.tables["users"])
    np.testing.assert_allclose(grown.params.tables["items"][20], model.fold_in_item(["u4", "u0", "u2"]), atol=1e-5)
    assert len(model.item_ids) == 20 and "2 new items were folded in" in grown.notes[-1]


def test_saved_and_loaded_with_its_new_items(model, tmp_path):
    grown = model.with_items({100: ["u0", "u2"]})
    grown.save(tmp_path / "grown")
    assert cml_jax.load(tmp_path / "grown").recommend("u4", 5).equals(grown.recommend("u4", 5))


def test_start_is_the_mean_of_the_users_points_and_the_budget_changes_nothing(model):
    here = np.zeros((2, 24), bool)
    here[0, [1, 5]] = here[1, 7] = True
    users = np.asarray(model.user_points)
    means = np.stack([users[[1, 5]].mean(axis=0), users[7]])
    expected = means / np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(starts(model.options, model.params, jnp.asarray(here))[0], expected, atol=1e-6)
    histories = cml_jax.Interactions(np.array([0, 2, 3, 4]), np.array([1, 5, 7, 0], np.int32), 24)
    found = [
        fold_in_items(model.options, model.params, model.data, histories, memory_budget_mb=budget)
        for budget in (512.0, 1e-6)
    ]
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


@pytest.mark.parametrize(
    ("items", "sentence"),
    [
        ({}, "no item is given"),
        ({3: ["u1"]}, "item '3' is there already"),
        ({100: []}, "a new item has no user"),
        ({100: ["nobody"]}, "user 'nobody' is unknown"),
        ({"abc": ["u1"]}, "item 'abc' is no whole number"),
        ({2**63: ["u1"]}, "item '9223372036854775808' is not between -9223372036854775808 and"),
    ],
)
def test_bad_input_is_one_sentence(model, items, sentence):
    with pytest.raises(DataError) as caught:
        model.with_items(items)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
