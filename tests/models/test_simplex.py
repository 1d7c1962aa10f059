"""SimpleX: the loss of a pair, which reads the user's items but the positive."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax import batches, make_options, training
from tests.oracles.geometry import to_sphere


def test_loss_equals_numpy_and_does_not_read_the_positive(ragged):
    options = make_options(
        model="simplex",
        loss="softmax",
        sampler="uniform",
        num_candidates=6,
        dim=4,
        batch_size=8,
        num_neighbours=3,
        own_share=0.3,
        temperature=0.4,
        negative_exponent=1.3,
        constraint="none",
    )
    data, model = batches.to_device(ragged, None, options), options.make_model()
    pooling = np.random.default_rng(0).normal(size=(4, 4))
    lengths = set()
    for step in range(4):
        state = dataclasses.replace(training.init_state(options, data, 0), step=jnp.int32(step))
        batch, _ = training.draw_batch(options, model, options.make_sampler(data), data, state)
        users, items = (np.asarray(state.params.tables[name], np.float64) for name in ("users", "items"))
        points = {role: state.params.tables[of.table][of.ids] for role, of in model.lookups(batch, data).items()}
        total = 0.0
        for pair in np.flatnonzero(batch.trained):
            user, positive = int(batch.users[pair]), int(batch.positives[pair])
            near = np.asarray(batch.drawn.ids[pair])[np.asarray(batch.drawn.found[pair])].tolist()
            assert positive not in near and {*near} <= {*ragged.row(user).tolist()}
            lengths.add(len(near))
            mean = items[near].sum(axis=0) / max(1, len(near))
            point = to_sphere((0.3 * users[user] + 0.7 * mean @ pooling)[None])[0]
            others = [int(item) for item in batch.others if int(item) not in ragged.row(user)]
            own, *away = (to_sphere(items[[positive, *others]]) @ point) / 0.4
            total += 1.3 * np.log(np.exp(away).sum()) - own
        found = jax.jit(model.loss)(points, {"pooling": jnp.float32(pooling)}, batch._replace(weights=None))
        np.testing.assert_allclose(found, total, rtol=1e-5)
    assert lengths == {0, 1, 2, 3}
