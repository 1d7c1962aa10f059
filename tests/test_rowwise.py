import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cml_jax import geometry, rowwise
from cml_jax.optimizers import OPTIMIZERS
from tests.oracles import optimizers as oracles

RNG = np.random.default_rng(6)
TABLE = RNG.normal(size=(9, 4))
STEPS = [(RNG.integers(0, 7, size=6), RNG.normal(size=(6, 4))) for _ in range(12)]  # rows repeat; 7 and 8 untouched


def run(optimizer, steps=STEPS):
    table = jnp.float32(TABLE)
    state = optimizer.init(table)

    @jax.jit
    def one_step(grads, rows, state, table):
        read = optimizer.read(jnp.minimum(rows, len(TABLE) - 1), state, table)
        return optimizer.write(grads, rows, read, state, table)

    for rows, grads in steps:
        table, state = one_step(jnp.float32(grads), jnp.int32(rows), state, table)
    return table, state


def test_merge_rows_equals_oracle():
    rows, grads = np.array([3, 5, 3, 9, 0, 5, 12]), RNG.normal(size=(7, 4))  # 9 and 12 are out of bounds
    merged, unique = rowwise.merge_rows(jnp.float32(grads), jnp.int32(rows), 9)
    assert unique[:2].tolist() == [3, 5] and int(unique[4]) == 0
    assert (unique[np.array([2, 3, 5, 6])] >= 9).all() and len(set(unique.tolist())) == 7
    expected = [grads[rows == row].sum(axis=0) for row in (3, 5, 0)]
    np.testing.assert_allclose(merged[np.array([0, 1, 4])], expected, rtol=1e-6)


def test_lazy_adam_equals_oracle():
    table, _ = run(rowwise.lazy(optax.adam(0.05), geometry.identity))
    np.testing.assert_allclose(table, oracles.lazy_adam(TABLE, STEPS, 0.05), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_lazy_equals_dense_where_every_row_is_touched(name):
    steps = [(np.concatenate([RNG.permutation(9), [2, 2]]), RNG.normal(size=(11, 4))) for _ in range(8)]
    transform = OPTIMIZERS[name](0.05)
    lazy, lazy_state = run(rowwise.lazy(transform, geometry.to_ball), steps)
    dense, dense_state = run(rowwise.dense(transform, geometry.to_ball), steps)
    np.testing.assert_allclose(lazy, dense, rtol=1e-4, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), lazy_state, dense_state)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_lazy_leaves_untouched_and_left_out_rows_alone(name):
    rows = np.array([1, 9, 1, 100, 4])
    table, state = run(rowwise.lazy(OPTIMIZERS[name](0.05), geometry.to_sphere), [(rows, np.ones((5, 4)))])
    untouched = [0, 2, 3, 5, 6, 7, 8]
    np.testing.assert_array_equal(np.asarray(table)[untouched], TABLE.astype(np.float32)[untouched])
    np.testing.assert_allclose(np.linalg.norm(table[jnp.array([1, 4])], axis=1), 1, rtol=1e-5)
    fresh = OPTIMIZERS[name](0.05).init(jnp.float32(TABLE))
    for leaf, start in zip(jax.tree.leaves(state), jax.tree.leaves(fresh), strict=True):
        if leaf.shape == TABLE.shape:
            np.testing.assert_array_equal(np.asarray(leaf)[untouched], np.asarray(start)[untouched])


def test_sgd_lazy_equals_dense_even_where_rows_are_missing():
    transform = optax.sgd(0.1)
    lazy, _ = run(rowwise.lazy(transform, geometry.identity))
    dense, _ = run(rowwise.dense(transform, geometry.identity))
    np.testing.assert_allclose(lazy, dense, rtol=1e-5, atol=1e-6)


def test_schedules_and_chains_work_row_by_row():
    transform = optax.chain(
        optax.clip(0.5), optax.adam(optax.linear_schedule(0.1, 0.0, 5)), optax.add_decayed_weights(0)
    )
    table, _ = run(rowwise.lazy(transform, geometry.identity))
    before, _ = run(rowwise.lazy(transform, geometry.identity), STEPS[:5])
    np.testing.assert_array_equal(table, before)  # the rate has reached 0


def test_state_that_is_not_per_element_is_refused():
    transform = optax.scale_by_factored_rms(min_dim_size_to_factor=2)
    with pytest.raises(ValueError, match="per-element"):
        rowwise.lazy(transform, geometry.identity).init(jnp.float32(TABLE))


def rare_steps(num_steps=400):
    """Row 8 is touched twice, row 7 never, the others at random: every gap from 1 to some hundred steps occurs."""
    rng = np.random.default_rng(9)
    for number in range(num_steps):
        rows = rng.choice(7, 3, p=np.array([64, 32, 16, 8, 4, 2, 1]) / 127)
        rows = np.append(rows, 8 if number in (3, 250) else rows[0])
        yield rows, rng.normal(size=(4, 4)) + 0.5


@pytest.mark.parametrize("project", [geometry.identity, geometry.to_ball])
def test_catch_up_ends_where_dense_adam_ends(project):
    """Displacements of every row within a thousandth; the ball is kept at touches only, so it is looser there."""
    rate = 0.003
    steps = list(rare_steps())
    late = rowwise.catch_up(optax.adam(rate), project, rate)
    table, state = run(late, steps)
    dense, _ = run(rowwise.dense(optax.adam(rate), project), steps)
    lazy, _ = run(rowwise.lazy(optax.adam(rate), project), steps)
    start, flushed = np.asarray(project(jnp.float32(TABLE))), np.asarray(late.flush(state, table))
    moved = np.linalg.norm(np.asarray(dense) - start, axis=1)

    def relative_error(found):
        return (np.linalg.norm(np.asarray(found) - np.asarray(dense), axis=1) / np.maximum(moved, 1e-3)).max()

    limit = 1e-3 if project is geometry.identity else 0.05
    assert relative_error(flushed) < limit
    assert relative_error(lazy) > 0.1, "the drift matters here"
    np.testing.assert_array_equal(flushed[7], start[7])


def test_catch_up_equals_lazy_where_every_row_is_touched():
    steps = [(RNG.permutation(9), RNG.normal(size=(9, 4))) for _ in range(8)]
    late, _ = run(rowwise.catch_up(optax.adam(0.05), geometry.to_ball, 0.05), steps)
    lazy, _ = run(rowwise.lazy(optax.adam(0.05), geometry.to_ball), steps)
    np.testing.assert_allclose(late, lazy, rtol=1e-5, atol=1e-6)


def test_adam_tail_equals_its_sum():
    tail = rowwise._adam_tail(2000)
    r = 0.9 / 0.999**0.5
    for t in (0, 1, 10, 1999):
        s = np.arange(t + 1, t + 3000, dtype=np.float64)
        expected = np.sum(r ** (s - t) * np.sqrt(1 - 0.999**s) / (1 - 0.9**s))
        np.testing.assert_allclose(tail[t], expected, rtol=1e-6)
