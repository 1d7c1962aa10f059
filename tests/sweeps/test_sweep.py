"""Whole sweeps on the checkerboard. CML_KILLS says how often one is killed."""

import gc
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import weakref

import numpy as np
import pytest

from cml_jax.errors import ConfigError, UserError
from cml_jax.runs import loop, opening, programs, scoring
from cml_jax.runs.preemption import Preempted
from cml_jax.runs.setup import make_setup
from experiments import sweep, train
from experiments.config import to_values
from experiments.sweeps import grid, planning
from tests.conftest import compile_by_default
from tests.tiny import ROOT, last_params, read_records, tiny_config

AXES = {"sampler.name": ("uniform", "two_stage"), "optimizer.learning_rate": (1e-3, 1e-2), "seed": (0, 1)}
LOSES_ITSELF = {"model__constraint": "none", "model__gor_weight": 0.1, "sampler__name": "uniform"}  # at a rate of 1e30
COMMAND = [
    *(sys.executable, "-m", "experiments.sweep", "--config=experiments/configs/quickstart.py"),
    *("--config.dataset.name=checkerboard", "--config.model.dim=8", "--config.train.batch_size=64"),
    *("--config.sampler.num_candidates=30", "--config.eval.ks=(1,5)", "--config.train.report_every_steps=20"),
    *("--config.eval.every_steps=100", "--config.checkpoint.every_steps=100", "--config.train.num_steps=600"),
    *("--axis=sampler.name=uniform,two_stage", "--axis=seed=0,1"),
]
ENV = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    sweep.run_sweep(grid.make_grid(tiny_config(), AXES), folder)
    return folder


def test_members_are_as_if_run_alone(workdir, tmp_path):
    for name, rate, seed in (("uniform", 1e-2, 1), ("two_stage", 1e-3, 0), ("two_stage", 1e-2, 1)):
        alone = tmp_path / f"{name}{rate}{seed}"
        config = tiny_config(sampler__name=name, optimizer__learning_rate=rate, seed=seed)
        theirs = train.train_and_evaluate(config, alone)
        folder = workdir / f"{name},learning_rate={rate:g}" / str(seed)
        assert {path.name for path in folder.iterdir()} == {path.name for path in alone.iterdir()}
        assert (folder / "config.json").read_text() == (alone / "config.json").read_text()
        assert read_records(folder) == read_records(alone)
        ours = json.loads((folder / "summary.json").read_text())
        assert (ours["members"], theirs["members"]) == (4, 1)
        for key in ("valid", "test", "intervals", "best_step", "steps", "dataset", "versions", "device"):
            assert ours[key] == json.loads(json.dumps(theirs[key]))
        for one, other in zip(last_params(folder), last_params(alone), strict=True):
            np.testing.assert_array_equal(one, other)
        with np.load(folder / "per_user.npz") as one, np.load(alone / "per_user.npz") as other:
            assert set(one) == set(other) and one["users"].shape == (50,)
            for metric in one:
                np.testing.assert_array_equal(one[metric], other[metric])
            assert float(one["ndcg@5"].mean()) == pytest.approx(ours["test"]["ndcg@5"])


def compiled_by_default(run_steps, data, progress):
    """As `programs._compiled`, but for the tests' flag."""
    compiled = {}

    def advance(state, options, num_steps):
        if num_steps not in compiled:
            compiled[num_steps] = compile_by_default(run_steps.lower(state, data, options, num_steps=num_steps))
        return *compiled[num_steps](state, data, options), 1.0

    return advance


def test_members_as_one_population_are_as_if_run_alone(tmp_path, monkeypatch):
    """As on an accelerator, but for the program itself, which on CPU takes one member after the other."""
    monkeypatch.setattr(programs, "_compiled", compiled_by_default)
    config = grid.make_grid(tiny_config(train__num_steps=20), AXES | {"sampler.name": ("uniform",)})
    sweep.run_sweep(config, tmp_path / "in turn")
    monkeypatch.setattr(programs.jax, "default_backend", lambda: "an accelerator")
    sweep.run_sweep(config, tmp_path / "together")
    for rate in ("0.001", "0.01"):
        for seed in "01":
            ours, theirs = (tmp_path / how / f"learning_rate={rate}" / seed for how in ("together", "in turn"))
            records = read_records(ours)
            assert records == read_records(theirs) and records[-1]["metrics"]
            for one, other in zip(last_params(ours), last_params(theirs), strict=True):
                np.testing.assert_array_equal(one, other)


def test_runs_that_share_a_program_are_one_group_and_the_budget_splits_it():
    plan = planning.make_plan(grid.make_grid(tiny_config(), AXES))
    first, second = planning.grouped(plan.runs, 4096.0)
    assert [run.folder for run in first] == [f"uniform,learning_rate={r}/{s}" for r in ("0.001", "0.01") for s in "01"]
    assert {run.setup.options.sampler.name for run in second} == {"two_stage"} and len(second) == 4
    one = planning._member_bytes(first[0]) / 2**20
    assert [len(group) for group in planning.grouped(first, 3.5 * one)] == [3, 1]
    assert [len(group) for group in planning.grouped(first, 0.1 * one)] == [1, 1, 1, 1]
    sharded = planning.make_plan(grid.make_grid(tiny_config(sharding__num_shards=2), {"seed": (0, 1)}))
    assert [len(group) for group in planning.grouped(sharded.runs, 4096.0)] == [1, 1]
    steps = planning.make_plan(grid.make_grid(tiny_config(), {"train.num_steps": (20, 40), "seed": (0, 1)}))
    assert [len(group) for group in planning.grouped(steps.runs, 4096.0)] == [2, 2]


@pytest.mark.slow
def test_started_again_finished_runs_are_left_alone_and_new_ones_added(workdir, tmp_path, monkeypatch):
    shutil.copytree(workdir, tmp_path / "again")
    trained = []
    original = loop.train_together
    monkeypatch.setattr(
        sweep,
        "train_together",
        lambda runs, *rest: (trained.extend(run.workdir.folder.name for run in runs), original(runs, *rest)),
    )
    sweep.run_sweep(grid.make_grid(tiny_config(), AXES), tmp_path / "again")
    assert trained == []
    sweep.run_sweep(grid.make_grid(tiny_config(), AXES | {"seed": (0, 1, 2)}), tmp_path / "again")
    assert trained == ["2"] * 4
    assert (tmp_path / "again" / "results.csv").read_text() != (workdir / "results.csv").read_text()


def test_a_run_that_diverges_is_marked_and_the_rest_go_on(tmp_path, capsys):
    base = tiny_config(**LOSES_ITSELF)
    config = grid.make_grid(base, {"optimizer.learning_rate": (1e-3, 1e30, 1e-2)})
    sweep.run_sweep(config, tmp_path / "grid")
    said = capsys.readouterr().err
    assert "learning_rate=1e+30/0 failed: " in said and "1 of 3 runs failed: learning_rate=1e+30/0" in said
    reason = json.loads((tmp_path / "grid" / "learning_rate=1e+30" / "0" / "failed.json").read_text())["reason"]
    assert "lower config.optimizer.learning_rate (now 1e+30)" in reason
    assert not (tmp_path / "grid" / "learning_rate=1e+30" / "0" / "summary.json").exists()
    for rate in (1e-3, 1e-2):
        alone = tmp_path / str(rate)
        train.train_and_evaluate(tiny_config(**LOSES_ITSELF, optimizer__learning_rate=rate), alone)
        assert read_records(tmp_path / "grid" / f"learning_rate={rate:g}" / "0") == read_records(alone)
    sweep.run_sweep(config, tmp_path / "grid")
    assert "has failed before (" in capsys.readouterr().err
    of_another = tmp_path / "grid" / "learning_rate=1e+30" / "0" / "config.json"
    of_another.write_text(of_another.read_text().replace('"margin": 1.0', '"margin": 2.0'))
    sweep.run_sweep(config, tmp_path / "grid")
    said = capsys.readouterr().err
    assert "has failed before (" not in said and "learning_rate=1e+30/0 failed: " in said
    with pytest.raises(UserError, match="no finished run"):
        sweep.run_sweep(grid.make_grid(base, {"optimizer.learning_rate": (1e30,)}), tmp_path / "none")


@pytest.mark.slow
@pytest.mark.parametrize("evaluation", [2, 6])
def test_sigterm_during_an_evaluation_of_a_population(tmp_path, workdir, monkeypatch, evaluation):
    """Of one member while others have been evaluated: nobody's evaluation is lost or made twice."""
    original, calls = scoring.evaluate, []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == evaluation:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments, **options)

    config = grid.make_grid(tiny_config(), AXES)
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "evaluate", interrupted)
        with pytest.raises(Preempted, match=r"after step (20|40), saved in .* and 3 more; start again"):
            sweep.run_sweep(config, tmp_path)
    sweep.run_sweep(config, tmp_path)
    assert (tmp_path / "results.csv").read_text() == (workdir / "results.csv").read_text()
    for path in workdir.glob("*/*/metrics.jsonl"):
        assert read_records(tmp_path / path.parent.relative_to(workdir)) == read_records(path.parent)


@pytest.mark.slow
def test_killed_again_and_again_ends_with_the_same_results(tmp_path):
    """SIGKILL at random moments: while it starts, compiles, trains, saves or reports."""
    rng, kills = random.Random(1), int(os.environ.get("CML_KILLS", "1"))
    quiet = {"cwd": ROOT, "env": ENV, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    before = time.monotonic()
    subprocess.run([*COMMAND, f"--workdir={tmp_path / 'whole'}"], check=True, timeout=600, **quiet)
    whole = time.monotonic() - before
    killed = 0
    while killed < kills:
        process = subprocess.Popen([*COMMAND, f"--workdir={tmp_path / 'killed'}"], **quiet)
        try:
            process.communicate(timeout=whole * rng.uniform(0.3, 1.0))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
        finished = list((tmp_path / "killed").glob("*/*/summary.json"))
        print(f"kill {killed}: {len(finished)} of 4 runs finished", flush=True)
        if len(finished) == 4 and killed < kills:  # more to do, and to disturb
            for path in rng.sample(finished, 3):
                shutil.rmtree(path.parent)
    subprocess.run([*COMMAND, f"--workdir={tmp_path / 'killed'}"], check=True, timeout=600, **quiet)
    for name in ("results.csv", "sweep.json"):
        assert (tmp_path / "killed" / name).read_text() == (tmp_path / "whole" / name).read_text()
    for path in (tmp_path / "whole").glob("*/*/metrics.jsonl"):
        other = tmp_path / "killed" / path.parent.relative_to(tmp_path / "whole")
        assert read_records(other) == read_records(path.parent)


@pytest.mark.slow
def test_dry_run_prints_the_plan_and_writes_nothing(tmp_path):
    done = subprocess.run(
        [*COMMAND, "--dry_run", f"--workdir={tmp_path / 'none'}"],
        cwd=ROOT,
        env=ENV,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "4 runs in 2 groups" in done.stdout and "uniform/0 uniform/1" in done.stdout
    assert "minutes for all of it" in done.stdout
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--axis=seed"], "--axis=seed must be KEY=VALUE,VALUE, such as --axis=seed=0,1,2."),
        ([], "--config has no `sweep` section; give a grid's config, or --axis=KEY=VALUE,VALUE."),
        (["--axis=seed=0,1", "--axis=seed=2"], "--axis=seed is given twice; give all its values in one."),
        (["--axis=model.dims=4,8"], "config.model.dims is not a config key; did you mean config.model.dim?"),
        (["--axis=sampler.name=unifrom,popularity"], "Run unifrom/0: config.sampler.name = 'unifrom' is unknown"),
        (
            ["--axis=train.batch_size=32,99999999"],
            "Run batch_size=99999999/0: config.train.batch_size = 99999999 is above",
        ),
    ],
)
def test_wrong_commands_are_one_sentence(tmp_path, monkeypatch, arguments, sentence):
    config = tiny_config()
    with pytest.raises(ConfigError) as error:
        axes = sweep._axes_of_flags([argument.removeprefix("--axis=") for argument in arguments])
        sweep.run_sweep(sweep._as_grid(config, axes), tmp_path / "runs", axes)
    assert sentence in str(error.value) or sentence.removeprefix("--axis=") in str(error.value)
    assert not list(tmp_path.rglob("config.json"))


def test_values_of_an_axis_on_the_command_line():
    assert sweep._axes_of_flags(
        ["seed=0,1", "sampler.name=uniform,two_stage", "eval.ks=(1,2),(5,)", "a.b=none,0.5,x", "c=true,False"]
    ) == {
        "seed": (0, 1),
        "sampler.name": ("uniform", "two_stage"),
        "eval.ks": ((1, 2), (5,)),
        "a.b": (None, 0.5, "x"),
        "c": (True, False),
    }


def test_a_grid_is_not_for_main_and_budgets_are_positive(tmp_path):
    config = grid.make_grid(tiny_config(), {"seed": (0,)})
    with pytest.raises(ConfigError, match=r"config\.sweep\.axes\.seed is a key of a grid's config"):
        train.train_and_evaluate(config, tmp_path)
    for budget in (0.0, float("inf"), float("nan")):
        config.sweep.memory_budget_mb = budget
        with pytest.raises(
            ConfigError, match=rf"config\.sweep\.memory_budget_mb = {budget} must be above 0 and finite"
        ):
            planning.make_plan(config)


def test_plan_of_sharded_runs_is_timed_too(capsys):
    config = grid.make_grid(tiny_config(sharding__num_shards=2, sampler__name="uniform"), {"seed": (0, 1)})
    planning.show_plan(planning.make_plan(config), 4096.0)
    said = capsys.readouterr().out
    assert "2 runs in 2 groups" in said and "minutes for all of it" in said


def test_a_refused_grid_leaves_sweep_json_as_it_was(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "other")
    before = (tmp_path / "other" / "sweep.json").read_text()
    changed = grid.make_grid(tiny_config(model__margin=0.7), AXES | {"seed": (1,)})
    with pytest.raises(ConfigError, match=r"holds a run with config\.model\.margin = 1\.0, not 0\.7"):
        sweep.run_sweep(changed, tmp_path / "other")
    assert (tmp_path / "other" / "sweep.json").read_text() == before


def test_a_state_that_was_taken_is_held_by_nobody_else(tmp_path):
    setup = make_setup(to_values(tiny_config()))
    with opening.open_run(setup, tmp_path, setup.dataset.train.to_device(), say=print) as opened:
        users = weakref.ref(opened.take_state().params.tables["users"])
        gc.collect()
        assert users() is None


def test_a_member_that_failed_is_not_trained_any_more(tmp_path, monkeypatch):
    original, rates = programs._compiled, []

    def counted(*arguments):
        advance = original(*arguments)
        return lambda state, options, n: (
            rates.append(float(options.optimizer.learning_rate)),
            advance(state, options, n),
        )[1]

    monkeypatch.setattr(programs, "_compiled", counted)
    base = tiny_config(**LOSES_ITSELF)
    sweep.run_sweep(grid.make_grid(base, {"optimizer.learning_rate": (1e30, 1e-2)}), tmp_path)
    assert [rate > 1 for rate in rates] == [True, False, False, False, False]


def test_fewer_steps_than_were_done_are_refused_before_anything_is_trained(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "grid")
    config = grid.make_grid(tiny_config(train__num_steps=20), AXES | {"seed": (7, 1)})
    with pytest.raises(ConfigError, match=r"has done 40 steps, more than the 20 asked for; choose another workdir"):
        sweep.run_sweep(config, tmp_path / "grid")
    assert not list((tmp_path / "grid").glob("*/7/metrics.jsonl"))
