"""Recommending from a catalogue of a million items: exact lists within a memory budget, and HNSW beside them.

python -m experiments.benchmarks.bench_recommend --output=FILE.json

Points of the sphere at d = 64: 'clustered' ones, around 2,000 directions that users and items share, and 'uniform'
ones, which are the hardest case for an approximate index, since all neighbours are about equally far. The first part
ranks 2,000 users by the code that recommends, 40 seen items left out of each list. The second (with faiss, extra
`[ann]`) builds an HNSW index and raises efSearch until recall@50 is 0.95, or the largest one is reached. About ten
minutes on two CPU cores, nearly all of it building; --items makes it smaller.
"""

import json
import platform
import resource
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from cml_jax.data.interactions import from_pairs
from cml_jax.errors import UserError
from cml_jax.models.points import distance_factors
from cml_jax.runs import versions
from cml_jax.serving import ann
from cml_jax.serving.lists import ranked_lists
from experiments import cli

FLAGS = flags.FlagValues()  # its own, since commands share names
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the figures.", required=True, flag_values=FLAGS)
_ITEMS = flags.DEFINE_integer("items", 1_000_000, "Items.", lower_bound=100, flag_values=FLAGS)
_USERS = flags.DEFINE_integer("users", 2000, "Users that are ranked.", lower_bound=2, flag_values=FLAGS)
_BUDGET = flags.DEFINE_float(
    "memory_budget_mb", 512.0, "Bound on the scores held at once.", lower_bound=1.0, flag_values=FLAGS
)
_M = flags.DEFINE_integer("hnsw_m", 32, "Links of a node.", lower_bound=2, flag_values=FLAGS)
_CONSTRUCTION = flags.DEFINE_integer(
    "hnsw_ef_construction", 80, "Candidates when a node is linked.", lower_bound=1, flag_values=FLAGS
)
_DIM, _K, _SEEN, _CLUSTERS = 64, 50, 40, 2000
_SEARCHES = (64, 128, 256, 512, 1024, 2048)


def make_points(kind: str, num_users: int, num_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Users and items on the sphere, 'clustered' or 'uniform'."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((_CLUSTERS, _DIM), dtype=np.float32)
    tables = []
    for count in (num_users, num_items):
        table = rng.standard_normal((count, _DIM), dtype=np.float32)
        if kind == "clustered":
            table *= 0.5
            table += centres[rng.integers(0, _CLUSTERS, count)]
        table /= np.linalg.norm(table, axis=1, keepdims=True)
        tables.append(table)
    return tables[0], tables[1]


def bench_exact(users: np.ndarray, items: np.ndarray, budget: float) -> dict[str, float]:
    """Users a second, and by how much memory has grown at its peak; the second of two runs, which compiles nothing."""
    num_users, num_items = len(users), len(items)
    rng = np.random.default_rng(1)
    seen = from_pairs(
        np.repeat(np.arange(num_users), _SEEN), rng.integers(0, num_items, _SEEN * num_users), num_users, num_items
    )
    ranking = distance_factors(jnp.asarray(users), jnp.asarray(items))
    before, seconds = _resident_mb(), 0.0
    for _ in range(2):
        started = time.perf_counter()
        lists = ranked_lists(
            ranking, np.arange(num_users), seen, _K, allowed=np.arange(num_items), memory_budget_mb=budget
        )
        for _ in lists:
            pass
        seconds = time.perf_counter() - started
    return {
        "users_per_second": num_users / seconds,
        "memory_budget_mb": budget,
        "items_mb": items.nbytes / 2**20,
        "peak_growth_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10 - before,
    }


def _resident_mb() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def bench_hnsw(users: np.ndarray, items: np.ndarray, how: ann.Hnsw) -> list[dict[str, float]]:
    """Recall and speed-up at growing efSearch, until recall is 0.95."""
    started = time.perf_counter()
    index = ann.build_hnsw(items, how)
    built, flat, rows = time.perf_counter() - started, ann.build_flat(items), []
    for ef_search in _SEARCHES:
        index.hnsw.efSearch = ef_search
        rows.append({"ef_search": ef_search, "build_seconds": built} | ann.compare(flat, index, users[:200], _K))
        if rows[-1]["recall"] >= 0.95:
            break
    return rows


def main() -> None:
    """Runs everything, prints a line a result and writes the figures."""
    results: dict[str, Any] = {
        "device": versions.devices(),
        "versions": {"jax": jax.__version__, "python": platform.python_version()},
        "items": _ITEMS.value,
        "dim": _DIM,
    }
    how = ann.Hnsw(m=_M.value, ef_construction=_CONSTRUCTION.value)
    for kind in ("clustered", "uniform"):
        users, items = make_points(kind, _USERS.value, _ITEMS.value)
        exact = bench_exact(users, items, _BUDGET.value)
        results[kind] = {"exact": exact}
        print(
            f"{kind}: exact {exact['users_per_second']:,.0f} users/s, memory grew by "
            f"{exact['peak_growth_mb']:,.0f} MiB (budget {_BUDGET.value:,.0f}, items {exact['items_mb']:,.0f})",
            flush=True,
        )
        try:
            results[kind]["hnsw"] = bench_hnsw(users, items, how)
        except UserError as error:
            print(error, flush=True)
            continue
        for row in results[kind]["hnsw"]:
            print(
                f"{kind}: HNSW, M = {how.m}, efConstruction = {how.ef_construction}, efSearch = {row['ef_search']}: "
                f"recall@{_K} {row['recall']:.3f}, {row['speed_up']:.1f} x flat, built in {row['build_seconds']:.0f} s",
                flush=True,
            )
    Path(_OUTPUT.value).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    cli.run(main, FLAGS)
