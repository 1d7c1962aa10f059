"""Members against runs alone; CML_ALL=1 tries every case."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import make_options, population, training
from cml_jax.data.synthetic import make_interactions
from tests.steps import DRAWN

ROOT = Path(__file__).parents[1]
DATA = make_interactions(61, 103, 900).to_device()
BASE = {"dim": 6, "batch_size": 16, "num_candidates": 30, "num_draws": 55, "num_negatives": 2}
CASES = {
    "two_stage": BASE,
    "uniform, ball": BASE | {"sampler": "uniform", "constraint": "ball"},
    "popularity, catch_up": BASE | {"sampler": "popularity", "rows": "catch_up"},
    "refreshed": BASE | {"refresh_every": 3, "num_draws": 0},
    "average": BASE | {"rows": "catch_up", "average": True, "sampler": "uniform"},
    "softmax, gor": BASE | {"loss": "softmax", "gor": "mean"},
}
SOME = [*CASES] if os.environ.get("CML_ALL") else ["two_stage", "average", "refreshed"]
SEEDS = (5, 0, 2**31 - 1)
NUMBERS = [
    {
        "learning_rate": rate,
        "margin": margin,
        "gor_weight": 0.3,
        "gor": "none",  # but where a case has the term
        "popularity_exponent": beta,
        "similarity_cutoff": cutoff,
        "popularity_cap": cap,
        "init_scale": scale,
    }
    for rate, margin, beta, cutoff, cap, scale in (
        (0.05, 0.8, 1.0, 0.4, None, 1.0),
        (0.01, 1.0, 0.5, 0.2, 9.0, 0.1),
        (0.1, 0.5, 0.0, 1.0, None, 0.8),
    )
]


def members_of(case):
    return [make_options(**DRAWN | numbers | case).as_arrays() for numbers in NUMBERS]


def alone(options, seed, num_steps):
    return training.run_steps(training.init_state(options, DATA, seed), DATA, options, num_steps=num_steps)


def start(case):
    options = population.stacked(members_of(case))
    return population.init_population(DATA, options, jnp.asarray(SEEDS, jnp.int32)), options


@pytest.mark.parametrize("name", [SOME[0], *(pytest.param(name, marks=pytest.mark.slow) for name in SOME[1:])])
def test_members_are_runs_alone_to_the_bit(name):
    """In a process of its own: with a flag that the tests set, two programs of one sum may round differently."""
    flags = [flag for flag in os.environ["XLA_FLAGS"].split() if "fusion_emitters" not in flag]
    code = f"from tests import test_population as t; t.assert_equal_to_the_bit(t.CASES[{name!r}])"
    environment = os.environ | {"XLA_FLAGS": " ".join(flags), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]


def assert_equal_to_the_bit(case):
    states, options = start(case)
    for num_steps in (4, 3):  # in two parts, which must not matter either
        states, metrics = population.run_population_steps(states, DATA, options, num_steps=num_steps)
    assert int(states.step) == 7 and metrics.loss.shape == (3, 3)
    for m, (seed, own) in enumerate(zip(SEEDS, members_of(case), strict=True)):
        state, own_metrics = alone(own, seed, 7)
        np.testing.assert_array_equal(metrics.loss[m], own_metrics.loss[4:])
        for ours, theirs in zip(
            jax.tree.leaves(population.member_state(states, m)),
            jax.tree.leaves(state),
            strict=True,
        ):
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("case", [CASES[name] for name in SOME], ids=SOME)
def test_a_step_of_all_at_once_is_the_step_of_each(case):
    """What accelerators run; rounding differs."""
    states, options = start(case)
    step = jax.jit(population.population_step)
    losses = []
    for _ in range(7):
        states, metrics = step(states, DATA, options)
        losses.append(metrics.loss)
    for m, (seed, own) in enumerate(zip(SEEDS, members_of(case), strict=True)):
        state, own_metrics = alone(own, seed, 7)
        np.testing.assert_allclose(np.stack(losses)[:, m], own_metrics.loss, rtol=2e-5)
        ours = population.member(states.params, m)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), ours, state.params)


def test_what_happens_every_few_steps_stays_a_branch():
    """A batch of conditions would copy the items of every member at every step."""
    states, options = start(CASES["refreshed"])
    with_branch = str(jax.make_jaxpr(population.population_step)(states, DATA, options))
    _, always = start(CASES["refreshed"] | {"refresh_every": 0})
    without = str(jax.make_jaxpr(population.population_step)(states, DATA, always))
    assert with_branch.count("cond[") == without.count("cond[") + 1


def test_states_are_stacked_and_taken_apart():
    states = [
        training.init_state(own, DATA, seed) for seed, own in zip(SEEDS, members_of(CASES["average"]), strict=True)
    ]
    together = population.stacked_states(states)
    assert together.step.shape == () and together.params.tables["items"].shape == (3, 103, 6)
    for m, state in enumerate(states):
        jax.tree.map(np.testing.assert_array_equal, population.member_state(together, m), state)


def test_data_are_shared_and_memory_is_estimated():
    """Against the compiled program of one and of four members: arguments, results and workspace."""
    data = make_interactions(1000, 2000, 30_000).to_device()
    own = make_options(None, **DRAWN | {"dim": 32, "batch_size": 256, "num_candidates": 100} | NUMBERS[0]).as_arrays()

    def size(num_members):
        options = population.stacked([own] * num_members)
        seeds = jnp.arange(num_members, dtype=jnp.int32)
        states = jax.eval_shape(population.init_population, data, options, seeds)
        lowered = population.run_population_steps.lower(states, data, options, num_steps=3)
        memory = lowered.compile().memory_analysis()
        assert memory is not None
        return memory.argument_size_in_bytes, memory.output_size_in_bytes + memory.temp_size_in_bytes

    (arguments, others), (arguments_of_4, others_of_4) = size(1), size(4)
    state_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(training.init_state(own, data, 0)))
    assert abs(arguments_of_4 - arguments - 3 * state_bytes) < 300  # but for the numbers of the options
    per_member = (arguments_of_4 + others_of_4 - arguments - others) / 3
    estimate = population.member_bytes(own, data)
    assert per_member <= estimate <= 3 * per_member
