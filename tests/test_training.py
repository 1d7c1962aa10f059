import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cml_jax import geometry, training
from cml_jax.data.interactions import from_pairs
from cml_jax.data.synthetic import make_interactions
from cml_jax.samplers import SAMPLERS
from tests.steps import NUMBERS, SIZES, assert_trees, make, one_step, run

GOR: dict[str, Any] = {"gor_weight": 0.3}
CASES = [
    *({"sampler": name} for name in SAMPLERS),
    *({"constraint": name} for name in geometry.CONSTRAINTS if name != "sphere"),
    {"loss": "softmax", "decoupled": True},
    {"loss": "softmax", **GOR},
    {"loss": "softmax", "sampler": "uniform"},
    {"loss": "softmax", "sampler": "popularity"},
    {"loss": "bpr", "constraint": "none", "sampler": "uniform"},
    {"gor_form": "sum", "loss_reduction": "sum", "sampler": "uniform", **GOR},
    {"own_positive": "uniform_draw", "known_positives": "retry_then_keep"},
    {"sampler": "popularity", "num_negatives": 1, "without_replacement": True},
    {"rows": "dense", "sampler": "uniform"},
    {"rows": "catch_up", "sampler": "uniform"},
    {"refresh_every": 0},
    {"refresh_every": 3},
]


def as_plain_optax(options, data, num_steps):
    """The same run as an ordinary optax loop: gradients of the whole tables, dense Adam on everything."""
    state = training.init_state(options, data, 0)
    embed, project, _ = geometry.CONSTRAINTS[options.model.options.constraint]
    transform = optax.adam(NUMBERS["learning_rate"])

    @jax.jit
    def one_step(params, opt_state, step):
        before = dataclasses.replace(state, params=params, step=step)
        batch, _ = training.draw_batch(options, options.make_model(), options.make_sampler(data), data, before)

        def loss_fn(tables):
            # The whole tables are embedded, as released code for the sphere does: the look-up of a batch is the same.
            users, items = embed(tables["users"]), embed(tables["items"])
            u, p, n = users[batch.users], items[batch.positives], items[batch.others]
            to_negative = jnp.sum((u[:, None] - n) ** 2, axis=2).min(axis=1)
            hinge = jnp.maximum(0, NUMBERS["margin"] + jnp.sum((u - p) ** 2, axis=1) - to_negative)
            return jnp.sum(hinge * batch.trained) / options.batch_size

        loss, grads = jax.value_and_grad(loss_fn)(params.tables)
        updates, opt_state = transform.update(grads, opt_state, params.tables)
        tables = jax.tree.map(project, optax.apply_updates(params.tables, updates))
        return params._replace(tables=tables), opt_state, loss

    params, opt_state, losses = state.params, transform.init(state.params.tables), []
    for step in range(num_steps):
        params, opt_state, loss = one_step(params, opt_state, jnp.int32(step))
        losses.append(loss)
    return params, losses


@pytest.mark.parametrize(
    ("constraint", "sampler"), [("ball", "uniform"), ("sphere", "two_stage"), ("none", "popularity")]
)
def test_dense_run_equals_a_plain_optax_loop(ragged, constraint, sampler):
    options = make(rows="dense", constraint=constraint, sampler=sampler)
    state, metrics = run(options, ragged.to_device(), 7)
    params, losses = as_plain_optax(options, ragged.to_device(), 7)
    np.testing.assert_allclose(metrics.loss, losses, rtol=1e-5, atol=1e-6)
    assert_trees(state.params, params, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_losses_stay_finite_and_training_lowers_them(ragged, case):
    state, metrics = run(make(**case), ragged.to_device(), 120)
    assert np.isfinite(metrics.loss).all()
    assert np.mean(metrics.loss[-20:]) < np.mean(metrics.loss[:20])
    assert int(state.step) == 120


@pytest.mark.parametrize(
    "case", [{"sampler": "two_stage"}, {"loss": "softmax", "sampler": "popularity"}], ids=["triplet", "softmax"]
)
def test_chunks_of_steps_make_no_difference(ragged, case):
    data, options = ragged.to_device(), make(**case)
    whole, metrics = run(options, data, 120)
    parts, first = run(options, data, 60)
    parts, second = training.run_steps(parts, data, options, num_steps=60)
    np.testing.assert_array_equal(metrics.loss, np.concatenate([first.loss, second.loss]))
    jax.tree.map(np.testing.assert_array_equal, whole, parts)


def test_jit_equals_eager(ragged):
    data, options = ragged.to_device(), make(sampler="uniform")  # samplers are compared in tests/samplers
    state = training.init_state(options, data, 0)
    with jax.disable_jit():
        eager, eager_metrics = training.make_step(options)(state, data)
    jitted, jitted_metrics = one_step(state, data, options)
    np.testing.assert_allclose(eager_metrics.loss, jitted_metrics.loss, rtol=1e-6)
    assert_trees(eager.params, jitted.params, rtol=1e-5, atol=1e-6)


def test_second_call_and_other_numbers_do_not_retrace(ragged):
    data, options, traces = ragged.to_device(), make(), []

    @jax.jit
    def steps(state, options):
        traces.append(1)
        return training.make_step(options)(state, data)

    state = training.init_state(options, data, 0)
    for rate in (0.1, 0.2, 0.3):
        state, _ = steps(state, make(learning_rate=rate, margin=rate, popularity_exponent=rate))
    assert len(traces) == 1


def test_seed_decides_everything(ragged):
    data, options = ragged.to_device(), make(sampler="popularity")
    (a, _), (b, _), (c, _) = (run(options, data, 120, seed=seed) for seed in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, a, b)
    assert not np.allclose(a.params.tables["items"], c.params.tables["items"])


@pytest.mark.parametrize("refresh_every", [0, 1, 3])
def test_snapshot_is_as_old_as_refresh_every_says(ragged, refresh_every):
    options, data = make(refresh_every=refresh_every), ragged.to_device()
    state = training.init_state(options, data, 0)
    tables = [np.array(state.params.tables["items"])]
    for t in range(1, 8):
        state, _ = one_step(state, data, options)
        tables.append(np.array(state.params.tables["items"]))
        if refresh_every == 1:
            assert state.snapshot is None
        else:
            age_0 = 0 if refresh_every == 0 else (t - 1) // refresh_every * refresh_every
            np.testing.assert_array_equal(state.snapshot, tables[age_0])


def with_moments(state):
    """The state with moments as they are after some steps, so that a touched row moves without a gradient too."""
    moved = jax.tree.map(lambda leaf: leaf + 0.1 if leaf.ndim > 1 else leaf, state.opt_state)
    return dataclasses.replace(state, opt_state=moved)


def rows_that_changed(before, after, table):
    """Numbers of the rows whose value or optimizer state is another one."""
    pairs = zip(
        jax.tree.leaves((before.params.tables[table], before.opt_state[table])),
        jax.tree.leaves((after.params.tables[table], after.opt_state[table])),
        strict=True,
    )
    num_rows = len(before.params.tables[table])
    changed = [np.any(a != b, axis=1) for a, b in pairs if a.ndim > 1 and len(a) == num_rows]
    assert len(changed) == 3, "value and two moments"
    return set(np.flatnonzero(np.any(changed, axis=0)).tolist())


# Why a pair does not count: (interactions, options, step). User 0 has every item, so no negative; places past the end
# of the pass hold pairs and negatives all the same; of the candidates of one pair most are the user's positives.
WITHOUT_EFFECT = {
    "no negative": (
        from_pairs(np.array([0, 0, 0, 0, 0, 1]), np.array([0, 1, 2, 3, 4, 2]), 2, 5),
        {"num_negatives": 1},
        0,
    ),
    "past the end": (make_interactions(30, 80, 100), {"batch_size": 40}, 3),
    "known positives": (
        from_pairs(np.zeros(6, int), np.arange(6), 1, 8),
        {"loss": "softmax", "num_candidates": 6, "batch_size": 1},
        0,
    ),
}


@pytest.mark.parametrize("reason", WITHOUT_EFFECT)
def test_rows_of_pairs_that_do_not_count_are_not_touched(reason):
    interactions, more, step = WITHOUT_EFFECT[reason]
    data, options = interactions.to_device(), make(sampler="uniform", **more)
    state = with_moments(dataclasses.replace(training.init_state(options, data, 0), step=jnp.int32(step)))
    batch, _ = training.draw_batch(options, options.make_model(), options.make_sampler(data), data, state)
    after, metrics = one_step(state, data, options)
    if reason == "no negative":
        assert int(metrics.no_negative) == 5 and int(batch.trained.sum()) == 1
    valid, trained = np.asarray(batch.dense_valid()), np.asarray(batch.trained)
    others = np.broadcast_to(batch.others, valid.shape)
    positives, users = np.asarray(batch.positives), np.asarray(batch.users)
    assert rows_that_changed(state, after, "users") == {*users[trained].tolist()}
    touched = {*positives[trained].tolist(), *others[valid].tolist()}
    assert rows_that_changed(state, after, "items") == touched
    unseen = {*others.ravel().tolist(), *positives.tolist()} - touched
    assert len(unseen) >= 3, "rows that were looked up and do not count"


def test_hinge_is_divided_by_the_batch_size_on_a_partial_batch(ragged):
    """22 pairs in batches of 8: the third batch has 6, and its loss is still a sum over 8 slots."""
    options = make(sampler="uniform", margin=1e6, learning_rate=1e-30)  # every triplet has a loss of about the margin
    state, losses, without = training.init_state(options, ragged.to_device(), 0), [], []
    for _ in range(3):
        state, metrics = one_step(state, ragged.to_device(), options)
        losses.append(float(metrics.loss) / 1e6)
        without.append(int(metrics.no_negative))
    np.testing.assert_allclose(losses, [(8 - without[0]) / 8, 1, 6 / 8], atol=1e-4)


def test_summed_loss_is_the_mean_times_the_batch_size(ragged):
    """With plain SGD the sum's step is B times the mean's, so a learning rate B times smaller gives the same run."""
    data, options = ragged.to_device(), make(optimizer="sgd", sampler="uniform")
    mean, metrics = run(options, data, 5)
    rate = NUMBERS["learning_rate"] / SIZES["batch_size"]
    total, summed = run(make(optimizer="sgd", sampler="uniform", loss_reduction="sum", learning_rate=rate), data, 5)
    np.testing.assert_allclose(summed.loss, metrics.loss * SIZES["batch_size"], rtol=1e-5)
    assert_trees(mean.params, total.params, atol=1e-6)


def test_learning_rate_falls_on_a_line(ragged):
    """With plain SGD a step moves the rows by gradient times rate, so equal states move by the ratio of the rates."""
    data = ragged.to_device()

    def moved(at, decay_steps):
        options = make(optimizer="sgd", sampler="uniform", decay_steps=decay_steps)
        before = dataclasses.replace(training.init_state(options, data, 3), step=jnp.int32(at))
        after, _ = one_step(before, data, options)
        return jax.tree.map(lambda a, b: np.asarray(a - b), after.params.tables, before.params.tables)

    for at, share in ((0, 1.0), (3, 0.25), (4, 0.0), (9, 0.0)):
        whole = jax.tree.map(lambda move, share=share: share * move, moved(at, float("inf")))
        assert_trees(moved(at, 4.0), whole, atol=1e-6)
    assert np.abs(moved(3, 4.0)["users"]).max() > 1e-4


@pytest.mark.parametrize("rows", ["lazy", "catch_up"])
def test_average_is_that_of_the_flushed_tables_every_so_many_steps(ragged, rows):
    """Window of three samples: the weights are 1, 1/2, 1/3, 1/3 ...; and averaging changes nothing else."""
    data, every = ragged.to_device(), training.AVERAGE_EVERY
    plain, options = (
        make(rows=rows, sampler="uniform", average_steps=3.0 * every, average=average) for average in (False, True)
    )
    state, averaged = (training.init_state(o, data, 3) for o in (plain, options))
    mean = now = np.zeros(())
    for i in range(1, 6):
        state, _ = training.run_steps(state, data, plain, num_steps=every)
        averaged, _ = training.run_steps(averaged, data, options, num_steps=every)
        now = np.asarray(training.evaluation_params(state, plain).tables["users"])
        weight = 1 / min(i, 3)
        mean = (1 - weight) * mean + weight * now
        np.testing.assert_allclose(training.evaluation_params(averaged, options).tables["users"], mean, atol=1e-5)
    assert np.abs(mean - now).max() > 1e-2
    assert_trees(averaged.params, state.params, atol=1e-5)
    for _ in range(7):  # between two samples the average stands still
        averaged, _ = one_step(averaged, data, options)
    np.testing.assert_allclose(training.evaluation_params(averaged, options).tables["users"], mean, atol=1e-5)


def test_before_the_first_sample_the_live_tables_are_evaluated(ragged):
    data, options = ragged.to_device(), make(sampler="uniform", average_steps=96.0, average=True)
    state = training.init_state(options, data, 0)
    for _ in range(5):
        state, _ = one_step(state, data, options)
    jax.tree.map(np.testing.assert_array_equal, training.evaluation_params(state, options), state.params)
