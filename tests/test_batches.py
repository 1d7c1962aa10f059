import functools

import jax
import jax.numpy as jnp
import pytest

from cml_jax import batches


@pytest.mark.parametrize("batch_size", [1, 4, 9, 22])
def test_positives_sees_every_pair_once_a_pass(ragged, batch_size):
    data = ragged.to_device()
    positives = jax.jit(functools.partial(batches.positives, data=data, batch_size=batch_size))
    per_pass = batches.steps_per_pass(data.num_pairs, batch_size)
    every_pair = sorted(zip(ragged.users.tolist(), ragged.items.tolist(), strict=True))
    orders = []
    for first in (0, per_pass):
        found = [positives(jax.random.key(8), jnp.int32(first + s)) for s in range(per_pass)]
        pairs = [
            pair
            for users, items, valid, *_ in found
            for pair in zip(users[valid].tolist(), items[valid].tolist(), strict=True)
        ]
        assert sorted(pairs) == every_pair
        orders.append(pairs)
    assert orders[0] != orders[1], "each pass has an order of its own"


def test_order_of_the_pairs_depends_on_the_key(ragged):
    data = ragged.to_device()
    positives = jax.jit(functools.partial(batches.positives, data=data, batch_size=22))
    orders = [[part.tolist() for part in positives(jax.random.key(key), jnp.int32(0))[:2]] for key in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
