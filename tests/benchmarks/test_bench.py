import json
import subprocess
import sys
from typing import Any

import jax
import numpy as np
import pytest

from cml_jax import make_options
from cml_jax.data.synthetic import make_interactions
from cml_jax.losses import LOSSES
from cml_jax.samplers import SAMPLERS
from experiments import bench
from experiments.benchmarks import floors, timing


@pytest.mark.slow
def test_bench_measures_everything_on_tiny_sizes():
    train = make_interactions(50, 300, 900)
    steps = bench.bench_steps(train, (bench.Shape(16, 40, 8),), bench.combinations(), 1)
    assert {(row["loss"], row["sampler"]) for row in steps} >= {
        ("softmax", name) for name, s in SAMPLERS.items() if s.options.offers_candidates
    }
    assert {row["loss"] for row in steps} == {*LOSSES}
    for row in steps:
        assert 0 < row["ms"]["low"] <= row["ms"]["median"] <= row["ms"]["high"]
        np.testing.assert_allclose(row["triplets_per_second"], 16e3 / row["ms"]["median"])
        assert row["floor_ms"] > 0 and row["temporary_mib"] > 0 and row["compile_seconds"] > 0
    results = {"device": jax.devices()[0].device_kind, "steps": steps, "peak_memory_gib": 1.0}
    results["rates"] = bench.measure_rates(1)
    assert all(1e8 < rate < 1e15 for rate in results["rates"].values())
    results["evaluation"] = bench.bench_evaluation(train, (8,), 1)
    results["rows"] = {"lazy": {"median": 1.0, "ratio_to_lazy": 1.0}}
    page = bench.format_results(json.loads(json.dumps(results)))
    assert "two_stage" in page and "softmax" in page and "users/s" in page


def test_flags_choose_shapes_losses_and_samplers(tmp_path):
    command = [sys.executable, "-m", "experiments.bench", "--quick", f"--output={tmp_path / 'bench.json'}"]
    for flag, sentence in (
        ("--shapes=16x40", "error: --shapes: '16x40' is not B x C x D, such as 1024x1000x64."),
        ("--losses=hinge", f"error: --losses: 'hinge' is none of {', '.join(LOSSES)}."),
        ("--samplers=none", f"error: --samplers: 'none' is none of {', '.join(SAMPLERS)}."),
    ):
        done = subprocess.run([*command, flag], capture_output=True, text=True)
        assert done.returncode == 1 and done.stderr.splitlines()[-1] == sentence
    chosen = ["--shapes=16x40x8,8x20x4", "--losses=softmax", "--samplers=uniform"]
    subprocess.run([*command, *chosen], check=True, capture_output=True)
    steps = json.loads((tmp_path / "bench.json").read_text())["steps"]
    assert [(row["batch_size"], row["num_candidates"], row["dim"]) for row in steps] == [(16, 40, 8), (8, 20, 4)]
    assert {(row["loss"], row["sampler"]) for row in steps} == {("softmax", "uniform")}


def test_losses_are_timed_with_the_samplers_that_they_go_with():
    found = bench.combinations()
    assert {loss for loss, _ in found} == {*LOSSES} and {sampler for _, sampler in found} == {*SAMPLERS}


@pytest.mark.parametrize(
    ("loss", "sampler", "products"),
    [("softmax", "uniform", 3), ("triplet", "two_stage", 1), ("directau", "uniform", 4)],
)
def test_floor_has_the_products_of_the_step(loss, sampler, products):
    """Operations of the compiled floor: those of the products with C candidates, and little more."""
    train = make_interactions(50, 600, 900)
    options = make_options(train, loss=loss, sampler=sampler, dim=32, batch_size=64, num_candidates=500)
    floor: Any = floors.floor_of(options, train)
    cost = floor.func.lower(*floor.args).compile().cost_analysis()
    count = 64 if loss == "directau" else 500
    assert 1.0 <= cost["flops"] / (products * 2 * 64 * count * 32) < 1.1
    assert jax.tree.all(jax.tree.map(lambda leaf: bool(np.isfinite(leaf).all()), floor()))


def test_floor_of_drawn_negatives_has_no_candidates():
    train = make_interactions(50, 600, 900)
    options = make_options(train, loss="triplet", sampler="popularity", dim=32, batch_size=64, num_negatives=3)
    own, others = floors.floor_of(options, train)()
    assert own.shape == (64,) and others.shape == (64, 3)


def test_time_in_turns_leaves_the_warm_up_out():
    calls = []
    seconds = timing.time_in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 4 and [len(values) for values in seconds.values()] == [3, 3]
