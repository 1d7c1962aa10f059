"""What is drawn in a step depends on the seed, the step and the options that say so."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax import training
from tests.steps import make


def draws_of(options, data, seed, steps):
    """Users, positives and others of some steps, at the parameters of the start."""
    state = training.init_state(options, data, seed)
    model, sampler = options.make_model(), options.make_sampler(data)

    @jax.jit
    def draw(step):
        batch, _ = training.draw_batch(options, model, sampler, data, dataclasses.replace(state, step=step))
        return batch.users, batch.positives, batch.others

    found = [draw(jnp.int32(step)) for step in steps]
    return [np.stack(part) for part in zip(*found, strict=True)]


def test_each_random_stream_depends_on_the_seed_and_on_nothing_else(ragged):
    """Rows at the start, order of the pairs, candidates: each another for another seed, whatever else is asked for."""
    data, steps = ragged.to_device(), range(3)
    softmax = make(loss="softmax", sampler="popularity", num_candidates=4)
    first, again, other = (draws_of(softmax, data, seed, steps) for seed in (1, 1, 2))
    for a, b, c in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert np.any(a != c), "another seed"
    triplet = make(sampler="uniform", num_negatives=3)
    for a, b in zip(first[:2], draws_of(triplet, data, 1, steps)[:2], strict=True):
        np.testing.assert_array_equal(a, b)
    starts = [training.init_state(options, data, seed) for options, seed in ((softmax, 1), (triplet, 1), (softmax, 2))]
    tables = [np.asarray(state.params.tables["items"]) for state in starts]
    np.testing.assert_array_equal(tables[0], tables[1])
    assert np.any(tables[0] != tables[2])


def test_rows_at_the_start_depend_on_the_key_and_differ_between_tables(ragged):
    data, options = ragged.to_device(), make(constraint="none", dim=50, init_scale=0.3)
    init = options.make_model().init
    first, again, other = (init(jax.random.key(key), data).tables for key in (1, 1, 2))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    for name, table in first.items():
        assert not np.any(np.isclose(table, other[name])[:, :3].all(axis=1))
        np.testing.assert_allclose(np.mean(np.sum(table**2, axis=1)), 0.3**2, rtol=0.3)
        assert len(np.unique(table)) == table.size
    assert abs(np.corrcoef(first["users"].ravel(), first["items"][:7].ravel())[0, 1]) < 0.3


def test_candidates_are_shared_by_a_step_and_differ_between_steps(ragged):
    data = ragged.to_device()
    options = make(loss="softmax", sampler="popularity", num_candidates=4)
    *_, others = draws_of(options, data, 0, [0, 0, 1, 2, 3])
    assert others.shape == (5, 4)
    np.testing.assert_array_equal(others[0], others[1])
    assert len({tuple(row) for row in others[1:].tolist()}) > 1


def test_cutoff_of_stage_2_reaches_the_step(ragged):
    """Of similar candidates the lower bound makes all equal, so that others are drawn."""
    data = ragged.to_device()
    near, far = (draws_of(make(similarity_cutoff=cutoff), data, 0, range(9))[2] for cutoff in (0.05, 1.0))
    np.testing.assert_array_equal(near, draws_of(make(similarity_cutoff=0.05), data, 0, range(9))[2])
    assert np.any(near != far)
