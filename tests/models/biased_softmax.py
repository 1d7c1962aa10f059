"""Batches of models with item biases, and their decoupled softmax, pair by pair in NumPy."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax import batches, make_options, training
from cml_jax.data.interactions import Interactions
from cml_jax.models.base import Model
from cml_jax.strategies import Options
from cml_jax.types import Batch, DeviceInteractions, TrainState
from tests.oracles.geometry import to_sphere


def drawn(options: Options, train: Interactions) -> tuple[Model, DeviceInteractions, TrainState, Batch]:
    """A model, its data, a fresh state with item biases, and the first batch."""
    data, model = batches.to_device(train, None, options), options.make_model()
    state = training.init_state(options, data, 0)
    biases = np.random.default_rng(0).normal(size=train.num_items)
    state.params.tables["item_biases"] = jnp.float32(biases)
    batch, _ = training.draw_batch(options, model, options.make_sampler(data), data, state)
    return model, data, state, batch


def unit_vectors(state: TrainState) -> tuple[np.ndarray, np.ndarray]:
    """Rows of users and items on the sphere, in double precision."""
    users, items = (to_sphere(np.asarray(state.params.tables[name], np.float64)) for name in ("users", "items"))
    return users, items


def as_they_are(points: np.ndarray) -> np.ndarray:
    """Points that nothing moves."""
    return points


def check_loss(
    train: Interactions,
    *,
    moved: Callable[[np.ndarray], np.ndarray] = as_they_are,
    moved_users: Callable[[np.ndarray], np.ndarray] = as_they_are,
    **values: Any,
) -> None:
    """Compares the loss of a batch with a sum over its pairs.

    Args:
        train: training interactions; a user's known positives are no candidates.
        moved: unit vectors of the items' rows -> those that are compared with users.
        moved_users: the same of the users' rows.
        **values: options of the model, besides those that are the same for all.
    """
    options = make_options(
        **values,
        num_candidates=6,
        dim=4,
        batch_size=8,
        temperature=0.4,
        negative_exponent=1.3,
        bias_scale=0.6,
        constraint="none",
    )
    model, data, state, batch = drawn(options, train)
    biases = np.asarray(state.params.tables["item_biases"], np.float64)
    users, items = unit_vectors(state)
    users, items, total = moved_users(users), moved(items), 0.0
    for pair in np.flatnonzero(batch.trained):
        user, positive = int(batch.users[pair]), int(batch.positives[pair])
        others = [int(item) for item in batch.others if int(item) not in train.row(user)]
        own, *away = (items[[positive, *others]] @ users[user] + 0.6 * biases[[positive, *others]]) / 0.4
        total += 1.3 * np.log(np.exp(away).sum()) - own
    points = {role: state.params.tables[of.table][of.ids] for role, of in model.lookups(batch, data).items()}
    found = jax.jit(model.loss)(points, {}, batch._replace(weights=None))
    np.testing.assert_allclose(found, total, rtol=1e-5)
