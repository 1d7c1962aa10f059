import numpy as np
import pytest

from cml_jax.serving import ann
from experiments.benchmarks import bench_recommend


@pytest.mark.parametrize("kind", ["clustered", "uniform"])
def test_points_are_on_the_sphere_and_exact_lists_are_timed(kind):
    users, items = bench_recommend.make_points(kind, 60, 900)
    assert users.shape == (60, 64) and items.shape == (900, 64)
    np.testing.assert_allclose(np.linalg.norm(items, axis=1), 1, atol=1e-5)
    found = bench_recommend.bench_exact(users, items, 1.0)
    assert found["users_per_second"] > 0 and found["memory_budget_mb"] == 1.0


def test_hnsw_stops_at_the_recall_asked_for(monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(ann, "_SECONDS", 0.01)
    users, items = bench_recommend.make_points("uniform", 60, 900)
    rows = bench_recommend.bench_hnsw(users, items, ann.Hnsw(m=8, ef_construction=20))
    assert rows[-1]["recall"] >= 0.95 and all(row["recall"] < 0.95 for row in rows[:-1])
    assert [row["ef_search"] for row in rows] == list(bench_recommend._SEARCHES[: len(rows)])
