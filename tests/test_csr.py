import jax
import jax.numpy as jnp
import numpy as np

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


def test_known_positives_equals_oracle_over_several_chunks(ragged, monkeypatch):
    monkeypatch.setattr(csr, "_CHUNK", 5)
    users = np.array([5, 0, 0, 1, 4, 6])
    candidates = np.array([0, 3, 5, 6, 9, 10])
    found = csr.known_positives(ragged.to_device(), jnp.int32(users), jnp.int32(candidates))
    assert found.tolist() == [[item in ragged.row(user) for item in candidates] for user in users]
