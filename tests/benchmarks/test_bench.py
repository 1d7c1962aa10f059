import json

import jax
import numpy as np
import pytest

from cml_jax.data.synthetic import make_interactions
from cml_jax.samplers import SAMPLERS
from experiments import bench


@pytest.mark.slow
def test_bench_measures_everything_on_tiny_sizes(monkeypatch, tmp_path):
    monkeypatch.setattr(bench, "_CANDIDATES", 40)
    monkeypatch.setattr(bench, "_DIM", 8)
    train = make_interactions(50, 300, 900)
    steps = bench.bench_steps(train, (16,), 1)
    assert [row["sampler"] for row in steps] == [*SAMPLERS, "softmax"]
    for row in steps:
        assert 0 < row["ms"]["low"] <= row["ms"]["median"] <= row["ms"]["high"]
        np.testing.assert_allclose(row["triplets_per_second"], 16e3 / row["ms"]["median"])
    results = {"device": jax.devices()[0].device_kind, "steps": steps, "peak_memory_gib": 1.0, "table_sizes": []}
    results["rates"] = bench.measure_rates(1)
    assert all(1e8 < rate < 1e15 for rate in results["rates"].values())
    results["evaluation"] = bench.bench_evaluation(train, (8,), 1)
    results["rows"] = {"lazy": {"median": 1.0, "ratio_to_lazy": 1.0}}
    page = bench.format_results(json.loads(json.dumps(results)))
    assert "two_stage" in page and "users/s" in page


def test_time_in_turns_leaves_the_warm_up_out():
    calls = []
    seconds = bench.time_in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 4 and [len(values) for values in seconds.values()] == [3, 3]
