import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cml_jax import geometry, sampling, training
from cml_jax.types import HParams, Spec
from tests import oracles

HPARAMS = HParams(learning_rate=0.05, margin=0.8, gor_weight=0.3, similarity_cutoff=0.4)
BASE = Spec(dim=6, batch_size=8, num_candidates=9, num_negatives=2)
CASES = [
    *(dataclasses.replace(BASE, sampler=name) for name in sampling.SAMPLERS),
    *(dataclasses.replace(BASE, constraint=name) for name in geometry.CONSTRAINTS),
    dataclasses.replace(BASE, loss="softmax"),
    dataclasses.replace(BASE, loss="softmax", decoupled=True),
    dataclasses.replace(BASE, loss="softmax", gor="mean"),
    dataclasses.replace(BASE, loss="bpr", constraint="none", sampler="uniform"),
    dataclasses.replace(BASE, gor="mean"),
    dataclasses.replace(BASE, gor="sum", loss_reduction="sum"),
    dataclasses.replace(BASE, own_positive="uniform_draw", known_positives="retry_then_keep"),
    dataclasses.replace(BASE, sampler="popularity", num_negatives=1, without_replacement=True),
    dataclasses.replace(BASE, rows="dense"),
    dataclasses.replace(BASE, rows="catch_up"),
    dataclasses.replace(BASE, refresh_every=0),
    dataclasses.replace(BASE, refresh_every=3),
]


def run(spec, data, num_steps, seed=0, hparams=HPARAMS):
    state = training.init_state(spec, data, hparams, seed)
    return training.run_steps(state, data, hparams, spec=spec, num_steps=num_steps)


def as_plain_optax(spec, data, num_steps):
    """The same run as an ordinary optax loop: gradients of the whole tables, dense Adam on everything."""
    state = training.init_state(spec, data, HPARAMS, 0)
    embed, project = geometry.CONSTRAINTS[spec.constraint]
    sampler = sampling.SAMPLERS[spec.sampler](spec, data, HPARAMS)
    transform = optax.adam(HPARAMS.learning_rate)

    @jax.jit
    def one_step(params, opt_state, step):
        key = jax.random.fold_in(training._stream(0, 2), step)
        users, items, filled = sampling.positives(training._stream(0, 1), step, data, spec.batch_size)
        negatives, valid = sampler.sample(key, state.sampler_state, params, users, items)

        def loss_fn(params):
            # The whole tables are embedded, as released code for the sphere does: the look-up of a batch is the same.
            u, p, n = embed(params.users)[users], embed(params.items)[items], embed(params.items)[negatives]
            to_negative = jnp.sum((u[:, None] - n) ** 2, axis=2).min(axis=1)
            hinge = jnp.maximum(0, HPARAMS.margin + jnp.sum((u - p) ** 2, axis=1) - to_negative)
            return jnp.sum(hinge * (filled & valid)) / spec.batch_size

        loss, grads = jax.value_and_grad(loss_fn)(params)
        updates, opt_state = transform.update(grads, opt_state, params)
        return jax.tree.map(project, optax.apply_updates(params, updates)), opt_state, loss

    params, opt_state, losses = state.params, transform.init(state.params), []
    for step in range(num_steps):
        params, opt_state, loss = one_step(params, opt_state, jnp.int32(step))
        losses.append(loss)
    return params, losses


@pytest.mark.parametrize("constraint", geometry.CONSTRAINTS)
def test_dense_run_equals_a_plain_optax_loop(ragged, constraint):
    spec = dataclasses.replace(BASE, rows="dense", constraint=constraint)
    state, metrics = run(spec, ragged.to_device(), 7)
    params, losses = as_plain_optax(spec, ragged.to_device(), 7)
    np.testing.assert_allclose(metrics.loss, losses, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), state.params, params)


@pytest.mark.parametrize("spec", CASES, ids=str)
def test_losses_stay_finite_and_training_lowers_them(ragged, spec):
    state, metrics = run(spec, ragged.to_device(), 120)
    assert np.isfinite(metrics.loss).all()
    assert np.mean(metrics.loss[-20:]) < np.mean(metrics.loss[:20])
    assert int(state.step) == 120


@pytest.mark.parametrize("spec", [BASE, dataclasses.replace(BASE, loss="softmax")], ids=["triplet", "softmax"])
def test_chunks_of_steps_make_no_difference(ragged, spec):
    data = ragged.to_device()
    whole, metrics = run(spec, data, 6)
    parts, first = run(spec, data, 3)
    parts, second = training.run_steps(parts, data, HPARAMS, spec=spec, num_steps=3)
    np.testing.assert_array_equal(metrics.loss, np.concatenate([first.loss, second.loss]))
    jax.tree.map(np.testing.assert_array_equal, whole, parts)


def test_jit_equals_eager(ragged):
    data = ragged.to_device()
    spec = dataclasses.replace(BASE, sampler="uniform")  # the others are compared in test_sampling
    step = training.make_step(spec)
    state = training.init_state(spec, data, HPARAMS, 0)
    with jax.disable_jit():
        eager, eager_metrics = step(state, data, HPARAMS)
    jitted, jitted_metrics = jax.jit(step)(state, data, HPARAMS)
    np.testing.assert_allclose(eager_metrics.loss, jitted_metrics.loss, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), eager.params, jitted.params)


def test_second_call_and_other_hyperparameters_do_not_retrace(ragged):
    data = ragged.to_device()
    traces = []

    @jax.jit
    def steps(state, hparams):
        traces.append(1)
        return jax.lax.scan(lambda s, _: training.make_step(BASE)(s, data, hparams), state, length=2)

    state = training.init_state(BASE, data, HPARAMS, 0)
    for rate in (0.1, 0.2, 0.3):
        state, _ = steps(state, HPARAMS._replace(learning_rate=rate, margin=rate, popularity_exponent=rate))
    assert len(traces) == 1


def test_seed_decides_everything(ragged):
    data = ragged.to_device()
    (a, _), (b, _), (c, _) = (run(BASE, data, 5, seed=seed) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, a, b)
    assert not np.allclose(a.params.items, c.params.items)


@pytest.mark.parametrize("refresh_every", [0, 1, 3])
def test_snapshot_is_as_old_as_refresh_every_says(ragged, refresh_every):
    spec = dataclasses.replace(BASE, refresh_every=refresh_every)
    data = ragged.to_device()
    state = training.init_state(spec, data, HPARAMS, 0)
    tables = [np.array(state.params.items)]
    step = jax.jit(training.make_step(spec))
    for t in range(1, 8):
        state, _ = step(state, data, HPARAMS)
        tables.append(np.array(state.params.items))
        if refresh_every == 1:
            assert state.snapshot is None
        else:
            age_0 = 0 if refresh_every == 0 else (t - 1) // refresh_every * refresh_every
            np.testing.assert_array_equal(state.snapshot, tables[age_0])


def test_rows_of_invalid_triplets_are_not_trained():
    """User 0 has every item, so no negative; neither that user's row nor its positives' rows may move."""
    from cml_jax.data.interactions import from_pairs

    data = from_pairs(np.array([0, 0, 0, 1]), np.array([0, 1, 2, 2]), 2, 3).to_device()
    spec = dataclasses.replace(BASE, sampler="uniform", batch_size=4)
    before = jax.tree.map(np.array, training.init_state(spec, data, HPARAMS, 0).params)
    state, metrics = run(spec, data, 1)
    assert int(metrics.no_negative[0]) == 3
    np.testing.assert_array_equal(state.params.users[0], before.users[0])
    assert not np.array_equal(state.params.users[1], before.users[1])


def test_hinge_is_divided_by_the_batch_size_on_a_partial_batch(ragged):
    """22 pairs in batches of 8: the third batch has 6, and its loss is still a sum over 8 slots."""
    data = ragged.to_device()
    spec = dataclasses.replace(BASE, sampler="uniform", num_negatives=1)
    hparams = HPARAMS._replace(margin=1e6, learning_rate=0.0)  # every triplet has a loss of about the margin
    _, metrics = run(spec, data, 3, hparams=hparams)
    np.testing.assert_allclose(metrics.loss / 1e6, [(8 - metrics.no_negative[0]) / 8, 1, 6 / 8], atol=1e-4)


def test_summed_loss_is_the_mean_times_the_batch_size(ragged):
    """With plain SGD the sum's step is B times the mean's, so a learning rate B times smaller gives the same run."""
    data = ragged.to_device()
    spec = dataclasses.replace(BASE, optimizer="sgd")
    mean, metrics = run(spec, data, 5, hparams=HPARAMS._replace(gor_weight=0.0))
    small = HPARAMS._replace(gor_weight=0.0, learning_rate=HPARAMS.learning_rate / BASE.batch_size)
    total, summed = run(dataclasses.replace(spec, loss_reduction="sum"), data, 5, hparams=small)
    np.testing.assert_allclose(summed.loss, metrics.loss * BASE.batch_size, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), mean.params, total.params)


def test_learning_rate_falls_on_a_line(ragged):
    """With plain SGD a step moves the rows by gradient times rate, so equal states move by the ratio of the rates."""
    data, spec = ragged.to_device(), dataclasses.replace(BASE, optimizer="sgd")
    state = training.init_state(spec, data, HPARAMS, 3)
    step = jax.jit(training.make_step(spec))

    def moved(at, decay_steps):
        before = dataclasses.replace(state, step=jnp.int32(at))
        after, _ = step(before, data, HPARAMS._replace(decay_steps=decay_steps))
        return jax.tree.map(lambda a, b: np.asarray(a - b), after.params, before.params)

    for at, share in ((0, 1.0), (3, 0.25), (4, 0.0), (9, 0.0)):
        jax.tree.map(
            lambda a, b, share=share: np.testing.assert_allclose(a, share * b, atol=1e-6),
            moved(at, 4.0),
            moved(at, float("inf")),
        )
    assert np.abs(moved(3, 4.0).users).max() > 1e-4


@pytest.mark.parametrize("rows", ["lazy", "catch_up"])
def test_average_is_that_of_the_settled_tables_every_so_many_steps(ragged, rows):
    """Window of three samples: the weights are 1, 1/2, 1/3, 1/3 ...; and averaging changes nothing else."""
    data, every = ragged.to_device(), training.AVERAGE_EVERY
    spec = dataclasses.replace(BASE, rows=rows)
    hparams = HPARAMS._replace(average_steps=3.0 * every)
    state, averaged = (
        training.init_state(s, data, hparams, 3) for s in (spec, dataclasses.replace(spec, average=True))
    )
    mean = now = np.zeros(())
    for i in range(1, 6):
        state, _ = training.run_steps(state, data, hparams, spec=spec, num_steps=every)
        now = np.asarray(training.settled(state, hparams, spec=spec).users)
        weight = 1 / min(i, 3)
        mean = (1 - weight) * mean + weight * now
    spec = dataclasses.replace(spec, average=True)
    averaged, _ = training.run_steps(averaged, data, hparams, spec=spec, num_steps=5 * every + 7)
    np.testing.assert_allclose(training.settled(averaged, hparams, spec=spec).users, mean, atol=1e-5)
    assert np.abs(mean - now).max() > 1e-2
    live, _ = run(dataclasses.replace(spec, average=False), data, 5 * every + 7, seed=3, hparams=hparams)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), averaged.params, live.params)


def test_before_the_first_sample_the_live_tables_are_evaluated(ragged):
    spec = dataclasses.replace(BASE, average=True)
    state, _ = run(spec, ragged.to_device(), 5)
    settled = training.settled(state, HPARAMS, spec=spec)
    jax.tree.map(np.testing.assert_array_equal, settled, state.params)


@pytest.mark.parametrize("loss", ["triplet", "softmax"])
def test_gor_term_of_a_step_is_that_of_its_pairs(ragged, loss):
    """The step's loss with GOR, less the loss without, is the weight times the oracle's value for the pairs drawn."""
    data = ragged.to_device()
    plain = dataclasses.replace(BASE, loss=loss)
    state = training.init_state(plain, data, HPARAMS, 3)
    draw = training._draw_candidates if loss == "softmax" else training._draw_negatives
    drawn = draw(plain, data, HPARAMS, state, state.params)
    points = training.embeddings(state.params, "sphere", "triplet")
    users, positives = np.asarray(points.users[drawn.users]), np.asarray(points.items[drawn.positives])
    others = np.asarray(points.items[drawn.others])
    each = "bd,cd->bc" if loss == "softmax" else "bd,bnd->bn"
    products = [np.einsum(each, anchors, others) for anchors in (users, positives)]
    valid = np.asarray(drawn.valid)
    assert valid.sum() > 0
    expected = {"mean": oracles.gor(np.stack(products), np.stack([valid, valid]), BASE.dim)}
    if loss == "triplet":
        expected["sum"] = sum(oracles.gor_sum(p, valid, BASE.dim) for p in products)

    def loss_of(spec):
        return float(jax.jit(training.make_step(spec))(state, data, HPARAMS)[1].loss)

    for form, value in expected.items():
        added = loss_of(dataclasses.replace(plain, gor=form)) - loss_of(plain)
        np.testing.assert_allclose(added, HPARAMS.gor_weight * value, rtol=1e-4, atol=1e-6)
        assert value > 1e-3
