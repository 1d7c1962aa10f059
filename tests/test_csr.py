import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import csr


def test_contains_equals_oracle_for_every_pair(ragged):
    users, items = np.meshgrid(np.arange(ragged.num_users), np.arange(ragged.num_items), indexing="ij")
    found = jax.jit(csr.contains)(ragged.to_device(), jnp.int32(users), jnp.int32(items))
    expected = [[item in ragged.row(user) for item in range(ragged.num_items)] for user in range(ragged.num_users)]
    assert found.tolist() == expected


def test_complement_element_lists_the_non_positives_in_order(ragged):
    data = ragged.to_device()
    users, ranks = jnp.meshgrid(jnp.arange(ragged.num_users), jnp.arange(ragged.num_items), indexing="ij")
    found = jax.jit(csr.complement_element)(data, users, ranks)
    for user in range(ragged.num_users):
        free = [item for item in range(ragged.num_items) if item not in ragged.row(user)]
        assert found[user, : len(free)].tolist() == free


USERS, CANDIDATES = np.array([5, 0, 0, 1, 4, 6]), np.array([0, 3, 5, 6, 9, 10])


def known(interactions):
    return np.array([[item in interactions.row(user) for item in CANDIDATES] for user in USERS])


@pytest.fixture(params=[64, 0], ids=["table", "search"])
def pieces(request, monkeypatch):
    """Several pieces, looked up some at a time; places of items from a table of all, or by a search."""
    for name in ("_PIECE", "_FEW_PIECES", "_MANY_PIECES"):
        monkeypatch.setattr(csr, name, 2)
    monkeypatch.setattr(csr, "_TABLE_OVER_LIST", request.param)


@pytest.mark.usefixtures("pieces")
def test_known_positives_equal_oracle(ragged):
    found = csr.known_positives(ragged.to_device(), jnp.int32(USERS), jnp.int32(CANDIDATES))
    np.testing.assert_array_equal(found, known(ragged))


@pytest.mark.usefixtures("pieces")
def test_known_positives_are_marked_where_an_item_stands_first(ragged):
    """Slots left over repeat an item that may be a candidate itself."""
    candidates = np.array([3, 6, 9, 9, 9])
    found = csr.known_positives(ragged.to_device(), jnp.int32(USERS), jnp.int32(candidates))
    expected = [[item in ragged.row(user) for item in candidates[:3]] for user in USERS]
    np.testing.assert_array_equal(found[:, :3], expected)
    assert any(row[2] for row in expected) and not np.any(found[:, 3:])


@pytest.mark.usefixtures("pieces")
def test_marks_leave_the_other_values(ragged):
    values = np.arange(36, dtype=np.float32).reshape(6, 6)
    places = csr.places(jnp.int32(CANDIDATES), ragged.num_items)
    found = csr.mark_known_positives(ragged.to_device(), jnp.int32(USERS), places, jnp.asarray(values), -jnp.inf)
    np.testing.assert_array_equal(found, np.where(known(ragged), -np.inf, values))


@pytest.mark.usefixtures("pieces")
def test_numbers_of_known_positives_equal_oracle(ragged):
    counted = np.array([True, False, True, True, True, False])
    places = csr.places(jnp.int32(CANDIDATES), ragged.num_items)
    users, data = jnp.int32(USERS), ragged.to_device()
    found = csr.num_known_positives(data, users, jnp.asarray(counted), places, 6)
    np.testing.assert_array_equal(found, np.where(counted, known(ragged).sum(axis=1), 0))


@pytest.mark.usefixtures("pieces")
def test_places_are_those_in_the_list_and_out_of_bounds_without():
    ids = jnp.int32([2, 3, 7, 11, 11])  # 11 is no item
    found = np.asarray(csr.places(ids, 11)(jnp.arange(11)))
    expected = {2: 0, 3: 1, 7: 2}
    assert [found[item] for item in expected] == list(expected.values())
    assert all(found[item] >= 2**29 for item in range(11) if item not in expected)
