"""Members against runs alone; CML_ALL=1 tries every case."""

import dataclasses
import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import population, training
from cml_jax.types import HParams, Spec
from experiments.bench import make_interactions

DATA = make_interactions(61, 103, 900).to_device()
BASE = Spec(dim=6, batch_size=16, num_candidates=30, num_draws=55, num_negatives=2)
CASES = {
    "two_stage": BASE,
    "uniform, ball": dataclasses.replace(BASE, sampler="uniform", constraint="ball"),
    "popularity, catch_up": dataclasses.replace(BASE, sampler="popularity", rows="catch_up"),
    "refreshed": dataclasses.replace(BASE, refresh_every=3, num_draws=0),
    "average": dataclasses.replace(BASE, rows="catch_up", average=True),
    "softmax, gor": dataclasses.replace(BASE, loss="softmax", gor="mean"),
}
SOME = [*CASES] if os.environ.get("CML_ALL") else ["two_stage", "average", "refreshed"]
SEEDS = (5, 0, 2**31 - 1)
MEMBERS = [
    jax.tree.map(
        jnp.float32,
        HParams(
            learning_rate=rate,
            margin=margin,
            gor_weight=0.3,
            popularity_exponent=beta,
            similarity_cutoff=cutoff,
            popularity_cap=cap,
            init_scale=scale,
        ),
    )
    for rate, margin, beta, cutoff, cap, scale in (
        (0.05, 0.8, 1.0, 0.4, np.inf, 1.0),
        (0.01, 1.0, 0.5, 0.2, 9.0, 0.1),
        (0.1, 0.5, 0.0, 1.0, np.inf, 0.8),
    )
]


def alone(spec, seed, hparams, num_steps):
    state = training.init_state(spec, DATA, hparams, seed)
    return training.run_steps(state, DATA, hparams, spec=spec, num_steps=num_steps)


def start(spec):
    hparams = population.stacked(MEMBERS)
    return population.init_population(DATA, hparams, jnp.asarray(SEEDS, jnp.int32), spec=spec), hparams


@pytest.mark.parametrize("spec", [CASES[name] for name in SOME], ids=SOME)
def test_members_are_runs_alone_to_the_bit(spec):
    states, hparams = start(spec)
    for num_steps in (4, 3):  # in two parts, which must not matter either
        states, metrics = population.run_population_steps(states, DATA, hparams, spec=spec, num_steps=num_steps)
    assert int(states.step) == 7 and metrics.loss.shape == (3, 3)
    for m, (seed, own) in enumerate(zip(SEEDS, MEMBERS, strict=True)):
        state, own_metrics = alone(spec, seed, own, 7)
        np.testing.assert_array_equal(metrics.loss[m], own_metrics.loss[4:])
        for ours, theirs in zip(
            jax.tree.leaves(population.member_state(states, m)),
            jax.tree.leaves(state),
            strict=True,
        ):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("spec", [CASES[name] for name in SOME], ids=SOME)
def test_a_step_of_all_at_once_is_the_step_of_each(spec):
    """What accelerators run; rounding differs."""
    states, hparams = start(spec)
    step = jax.jit(population.make_population_step(spec))
    losses = []
    for _ in range(5):
        states, metrics = step(states, DATA, hparams)
        losses.append(metrics.loss)
    for m, (seed, own) in enumerate(zip(SEEDS, MEMBERS, strict=True)):
        state, own_metrics = alone(spec, seed, own, 5)
        np.testing.assert_allclose(np.stack(losses)[:, m], own_metrics.loss, rtol=2e-5)
        for ours, theirs in zip(population.member(states.params, m), state.params, strict=True):
            np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_what_happens_every_few_steps_stays_a_branch():
    """A batch of conditions would copy the items of every member at every step."""
    spec = CASES["refreshed"]
    states, hparams = start(spec)
    with_branch = str(jax.make_jaxpr(population.make_population_step(spec))(states, DATA, hparams))
    always = dataclasses.replace(spec, refresh_every=0)
    without = str(jax.make_jaxpr(population.make_population_step(always))(states, DATA, hparams))
    assert with_branch.count("cond[") == without.count("cond[") + 1


def test_states_are_stacked_and_taken_apart():
    spec = CASES["popularity, catch_up"]
    states = [alone(spec, seed, own, 2)[0] for seed, own in zip(SEEDS, MEMBERS, strict=True)]
    together = population.stacked_states(states)
    assert together.step.shape == () and together.params.items.shape == (3, 103, 6)
    for m, state in enumerate(states):
        jax.tree.map(np.testing.assert_array_equal, population.member_state(together, m), state)


def test_data_are_shared_and_memory_is_estimated():
    """Against the compiled program of one and of four members: arguments, results and workspace."""
    data = make_interactions(1000, 2000, 30_000).to_device()
    spec = Spec(dim=32, batch_size=256, num_candidates=100, num_draws=0)
    own = MEMBERS[0]

    def size(num_members):
        hparams = population.stacked([own] * num_members)
        seeds = jnp.arange(num_members, dtype=jnp.int32)
        states = jax.eval_shape(functools.partial(population.init_population, spec=spec), data, hparams, seeds)
        lowered = population.run_population_steps.lower(states, data, hparams, spec=spec, num_steps=3)
        memory = lowered.compile().memory_analysis()
        assert memory is not None
        return memory.argument_size_in_bytes, memory.output_size_in_bytes + memory.temp_size_in_bytes

    (arguments, others), (arguments_of_4, others_of_4) = size(1), size(4)
    state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(training.init_state(spec, data, own, 0)))
    assert abs(arguments_of_4 - arguments - 3 * state_bytes) < 300  # but for the hyperparameters
    per_member = (arguments_of_4 + others_of_4 - arguments - others) / 3
    estimate = population.member_bytes(spec, data, own)
    assert per_member <= estimate <= 3 * per_member
