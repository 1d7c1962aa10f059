import json
import sys

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarks import startup


def test_a_stage_counts_the_programs_that_are_compiled_in_it_alone():
    @jax.jit
    def run_steps(x):
        return x * 3

    x = jnp.zeros(17)
    stages = startup.Stages()
    with stages.stage("two"):
        run_steps(x)
        jax.jit(lambda x: x * 5)(x)
    with stages.stage("none"):
        run_steps(x)
    two, none = stages.figures["two"], stages.figures["none"]
    assert two["programs"] == 2 and none["programs"] == none["compile"] == none["trace"] == 0
    assert 0 < two["compile"] < two["seconds"] and two["trace"] > 0 and two["lower"] > 0


def test_import_is_shared_out_over_packages():
    shares = startup.import_shares()
    assert sum(shares.values()) == pytest.approx(1) and list(shares.values()) == sorted(shares.values(), reverse=True)
    assert {"jax", "numpy", "polars", "cml_jax", "python"} <= shares.keys()
    assert not any(name in sys.stdlib_module_names for name in shares)


@pytest.mark.slow
def test_one_repeat(tmp_path, monkeypatch, capsys):
    output = tmp_path / "startup.json"
    monkeypatch.setattr(startup, "_REPEATS", type("Flag", (), {"value": 1}))
    monkeypatch.setattr(startup, "_OUTPUT", type("Flag", (), {"value": str(output)}))
    startup.main()
    found, text = json.loads(output.read_text()), capsys.readouterr().out
    stages = found["stages"]
    assert list(stages) == ["first step", "first list", "first run with validation", "load", "first list after load"]
    for name, states in stages.items():
        cold, warm = states["cold"], states["warm"]
        assert cold["read"] == 0 and warm["read"] == warm["programs"] == cold["programs"] > 0, name
        assert name in text
    assert stages["first step"]["cold"]["compile"] > stages["load"]["cold"]["compile"] == 0
    assert found["import cml_jax"]["cpu_seconds"] > 0 and found["experiments.main --help"]["cpu_seconds"] > 0
