"""Every program that runs on a device, lowered for NVIDIA GPUs and TPUs without one; the slow tests try every one."""

import collections
import dataclasses
import functools
import importlib
import inspect
import itertools
import pkgutil
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import cml_jax
from cml_jax import batches, checkpoint, evaluation, make_options, population, ranking, sharding, training
from cml_jax.data.interactions import from_pairs
from cml_jax.data.synthetic import make_interactions
from cml_jax.errors import ConfigError
from cml_jax.geometry import CONSTRAINTS, to_sphere
from cml_jax.left_out import LeftOut
from cml_jax.losses import LOSSES
from cml_jax.models import MODELS, cml_features, neighbours, points
from cml_jax.optimizers import OPTIMIZERS
from cml_jax.rowwise import ROW_MODES
from cml_jax.runs import checks
from cml_jax.samplers import SAMPLERS
from cml_jax.serving import fold_in, new_items
from cml_jax.table_kinds import with_context
from cml_jax.types import Score
from tests import some_features
from tests.lowered import PLATFORMS, depends_on_the_platform, equations, inner_jaxprs, lower, operations

USERS, ITEMS, STEPS, SHARDS = 34, 79, 37, 8
SIZES: dict[str, Any] = {"dim": 5, "batch_size": 24, "num_candidates": 13, "num_draws": 30, "num_negatives": 2}


@functools.cache
def pairs(weighted):
    """Training pairs, with weights or without, and dislikes."""
    train = make_interactions(USERS, ITEMS, 310)
    weights = np.linspace(0.5, 1.5, train.num_pairs, dtype=np.float32) if weighted else None
    return train._replace(weights=weights), from_pairs(np.array([0, 0, 3]), np.array([5, 9, 11]), USERS, ITEMS)


def data_of(options, weighted=True):
    train, dislikes = pairs(weighted)
    data = batches.to_device(train, dislikes, options)
    return batches.with_features(data, options.make_model(), some_features.known(USERS, ITEMS))


def options_of(**values: Any) -> Any:
    """Options with the first norm constraint that the model allows; None where strategies do not go together."""
    for constraint in CONSTRAINTS:
        try:
            return make_options(**{**SIZES, "constraint": constraint, **values}).as_arrays()
        except ConfigError:
            continue
    return None


def named(names):
    return dict(zip(("model", "loss", "sampler"), names, strict=True))


TOGETHER = [names for names in itertools.product(MODELS, LOSSES, SAMPLERS) if options_of(**named(names))]
MODES = [(name, rows) for rows in ROW_MODES for name in OPTIMIZERS if options_of(optimizer=name, rows=rows)]


def covering(parts):
    """Few of TOGETHER, in which there is every part of any of them."""
    left = {part for names in TOGETHER for part in parts(names)}
    while left:
        best = max(TOGETHER, key=lambda names: len(left & parts(names)))
        left -= parts(best)
        yield best


def kind(names):
    return options_of(**named(names)).loss_takes


SOME = list(covering(lambda names: {*names}))  # every model, every loss and every sampler
EVERY_PAIR = list(covering(lambda names: {names[:2], names[1:], names[::2]}))
ONE_OF_EACH_KIND = [
    next(n for n in order if kind(n) == takes)
    for order, takes in ((TOGETHER, "candidates"), (TOGETHER[::-1], "negatives"), (TOGETHER, "batch"))
]


def cases(soon, all_of_them):
    """Combinations, those that are not among `soon` slow; modes of rows, weights, averages in turn."""
    found = []
    in_order = [*soon, *(names for names in all_of_them if names not in soon)]
    for number, (names, (optimizer, rows)) in enumerate(zip(in_order, itertools.cycle(MODES), strict=False)):
        values = named(names) | {"optimizer": optimizer, "rows": rows, "average_passes": float(number % 2)}
        values |= {"weight_use": ("loss", "draw")[number % 2], "loss_reduction": ("mean", "sum")[number // 2 % 2]}
        marks = [] if names in soon else [pytest.mark.slow]
        found.append(pytest.param(values, number % 4 > 0, id="-".join((*names, optimizer, rows)), marks=marks))
    return found


@pytest.fixture(autouse=True)
def _nobody_asks_where_it_is_traced(monkeypatch):
    """What a program is must not follow from the machine that traces it, or this would lower that of a CPU."""

    def refuse():
        raise AssertionError("jax.default_backend() was asked for while a program was traced")

    monkeypatch.setattr(jax, "default_backend", refuse)


def state_of(options, data):
    return jax.eval_shape(training._init_state, options, data, 0)


def assert_steps_are_one_loop(jaxpr):
    loops = [e for e in equations(jaxpr) if e.primitive.name == "scan" and e.params["length"] == STEPS]
    assert len(loops) == 1
    whole, inside = (
        collections.Counter(e.primitive.name for e in equations(part)) for part in (jaxpr, *inner_jaxprs(loops[0]))
    )
    assert whole["scatter"] + whole["mul"] == inside["scatter"] + inside["mul"] > 0, "work outside the loop over steps"


@pytest.mark.parametrize(("values", "weighted"), cases(SOME, EVERY_PAIR))
def test_steps(values, weighted):
    options = options_of(**values)
    data = data_of(options, weighted)
    state = state_of(options, data)
    jaxpr, _ = lower(training.run_steps, state, data, options, num_steps=STEPS)
    assert_steps_are_one_loop(jaxpr)
    lower(training.evaluation_params, state, options)
    lower(training._jitted_init_state, options, data, 0)


@pytest.mark.parametrize(("values", "weighted"), cases(ONE_OF_EACH_KIND, SOME))
def test_steps_over_8_devices(values, weighted):
    options = options_of(num_shards=SHARDS, **values)
    data = data_of(options, weighted)
    state = state_of(options, data)
    jaxpr, program = lower(training.run_steps, state, data, options, num_steps=STEPS)
    assert_steps_are_one_loop(jaxpr)
    assert any(name.startswith("stablehlo.all_reduce") for name in operations(program))
    by_row = sharding.shardings(sharding.state_specs(state), SHARDS)
    lower(jax.jit(training._init_state, out_shardings=by_row), options, data, 0)


@pytest.mark.parametrize(("values", "weighted"), cases(ONE_OF_EACH_KIND, SOME))
def test_steps_of_a_population(values, weighted):
    options = population.stacked([options_of(**values)] * 3)
    data, seeds = data_of(options, weighted), jnp.arange(3)
    lower(population.init_population, data, options, seeds)
    states = jax.eval_shape(population.init_population, data, options, seeds)
    jaxpr, _ = lower(population.run_population_steps, states, data, options, num_steps=STEPS)
    assert_steps_are_one_loop(jaxpr)


def test_many_steps_are_one_dispatch():
    """The functions that run steps are a compiled program and nothing else."""
    options = options_of()
    data = data_of(options)
    alone, together = state_of(options, data), population.stacked([options] * 2)
    states = jax.eval_shape(population.init_population, data, together, jnp.arange(2))
    for run, state, own in (
        (training.run_steps, alone, options),
        (population.run_population_steps, states, together),
    ):
        steps = functools.partial(run, num_steps=STEPS)
        assert [e.primitive.name for e in jax.make_jaxpr(steps)(state, data, own).eqns] == ["jit"]


def program_of_two_branches(name):
    """A function and arguments, which does something else on CPU."""
    if name == "step":
        options = options_of(sampler="two_stage", loss="triplet", batch_size=512)
        data = data_of(options)
        return lambda state, *rest: training.make_step(rest[1])(state, rest[0]), (
            state_of(options, data),
            data,
            options,
        )
    together = population.stacked([options_of(sampler="uniform", loss="triplet")] * 3)
    return lambda *given: inspect.unwrap(population.init_population)(*given), (
        data_of(together),
        together,
        jnp.arange(3),
    )


@pytest.mark.parametrize("name", ["step", "population"])
def test_accelerators_take_the_branches_that_are_not_of_cpu(name, monkeypatch):
    function, arguments = program_of_two_branches(name)

    def found():
        traced = jax.jit(lambda *given: function(*given)).trace(*arguments)
        lowered = (traced.lower(lowering_platforms=platforms) for platforms in (("cpu",), PLATFORMS))
        return depends_on_the_platform(traced.jaxpr.jaxpr), *map(operations, lowered)

    depends, on_cpu, on_accelerators = found()
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda *given, default, **_: default(*given))
    depends_still, default_on_cpu, default = found()
    assert depends and not depends_still
    assert on_accelerators == default and on_cpu != default_on_cpu


def shapes(rows, tree):
    """Tables with another number of rows."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), leaf.dtype), tree)


def model_of(name):
    options = options_of(**named(next(names for names in TOGETHER if names[0] == name)))
    data = data_of(options)
    params = state_of(options, data).params
    return options, data, params, jax.eval_shape(lambda params: options.make_model().ranking(params, data), params)


@pytest.mark.parametrize("name", MODELS)
def test_ranking(name):
    """Of enough items for blocks to be selected first."""
    *_, found = model_of(name)
    users, lists = jnp.arange(6), LeftOut(jnp.zeros(9000, jnp.int32), jnp.zeros(6, jnp.int32))
    sizes = {"num_items": 700, "k": 2, "at_once": 3}
    if isinstance(found, Score):
        lower(ranking._rank_by_score, dataclasses.replace(found, items=shapes(768, found.items)), users, lists, **sizes)
    else:
        keys = shapes(768, found.keys)
        lower(ranking._rank_here, found.queries, users, keys, lists, **sizes)
        whole = shapes(40, found.queries), users, keys, lists
        _, program = lower(ranking._program_of_parts(SHARDS, **sizes), *whole)
        assert any(operation.startswith("stablehlo.all_gather") for operation in operations(program))


@pytest.mark.parametrize("name", MODELS)
def test_fold_in_of_users_and_of_items(name):
    options, data, params, found = model_of(name)
    known = jax.eval_shape(lambda params: with_context(options.make_model(), params, data), params)
    programs: list[tuple[Any, tuple[Any, ...], int]] = [(fold_in._solve, (known, data, found), ITEMS)]
    if "item" not in options.make_model().num_nearest:  # new items of others are refused
        programs.append((new_items._solve, (params, data), USERS))
    for solve, prepared, others in programs:
        log_weights, histories = jnp.zeros(others), jnp.zeros((3, others), bool)
        lower(solve, options, *prepared, log_weights, histories)


def test_evaluation_checksums_and_factors():
    data, users, ids = pairs(False)[0].to_device(), jnp.arange(6), jnp.zeros((6, 4), jnp.int32)
    lower(evaluation._score, data, data.popularity, users, ids, (2, 4))
    counts = jnp.zeros((6, evaluation.NUM_DECILES), jnp.int32)
    lower(evaluation._ndcg_by_group, data, jnp.zeros(ITEMS, jnp.int32), counts, users, ids)
    lower(checkpoint.fingerprint, {"users": jnp.zeros((USERS, 3)), "steps": jnp.int32(3)})
    lower(points.distance_factors, jnp.zeros((USERS, 3)), jnp.zeros((ITEMS, 3)), embed=to_sphere)
    lower(neighbours.means, jnp.zeros((ITEMS, 3)), data.users, data.items, num_rows=USERS)
    options = options_of(model="cml_features")
    data = data_of(options)
    params = state_of(options, data).params
    lower(cml_features.points_of_features, options.model.options, params, data.features["item"], kind="item")
    lower(checks._all_finite, {"users": jnp.zeros((USERS, 3)), "bias": jnp.zeros(ITEMS)})


LOWERED_HERE = {
    "checkpoint.fingerprint",
    "evaluation._ndcg_by_group",
    "evaluation._score",
    "models.cml_features.points_of_features",
    "models.neighbours.means",
    "models.points.distance_factors",
    "population.init_population",
    "population.run_population_steps",
    "ranking._rank_by_score",
    "ranking._rank_here",
    "runs.checks._all_finite",
    "serving.fold_in._solve",
    "serving.new_items._solve",
    "training._jitted_init_state",
    "training.evaluation_params",
    "training.run_steps",
}


def test_no_program_of_the_library_is_left_out():
    found = set()
    for module in pkgutil.walk_packages(cml_jax.__path__, "cml_jax."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, type(jax.jit(len))) and getattr(value, "__module__", "") == module.name:
                found.add(f"{module.name.removeprefix('cml_jax.')}.{name}")
    assert found == LOWERED_HERE


def called_back(x):
    return jax.pure_callback(np.sin, x, x)


def printed(x):
    jax.debug.print("{}", x)
    return x


def on_host(x):
    return jax.device_put(x) + 1


def decomposed(x):
    return jnp.linalg.qr(x)[1]


@pytest.mark.parametrize(
    ("function", "found"),
    [(called_back, "goes back"), (printed, "goes back"), (on_host, "goes back"), (decomposed, "custom call")],
)
def test_what_is_not_for_every_accelerator_is_found(function, found):
    """Deep in a program, too."""

    def program(x):
        return jax.lax.map(lambda y: jax.lax.cond(y[0, 0] > 0, function, jnp.copy, y), x)

    with pytest.raises(AssertionError, match=found):
        lower(jax.jit(program), jnp.ones((3, 4, 4)))
