"""Timings of steps and of evaluation, with the floor that the same machine sets in the same run.

python -m experiments.bench --output=FILE.json

On generated interactions of Gowalla's size (29,858 users, 40,981 items, 810,128 pairs of long-tailed popularity). About
three minutes on two CPU cores; --quick takes a tenth of the sizes and fewer repeats, to see that everything runs. The
floor of a step is the bare gather of B positives and C candidates and their product [B, D] x [D, C]. Beside it stand
the shares that a step reaches of the machine's own rates: of bytes a second, where more than all of it means that the
cache helps, and of the product's operations. Timings take turns, so that a slow minute of the machine falls on all of
them. Faiss, if installed (extra `[ann]`), is the yardstick of evaluation: the same neighbours from its flat index, but
without leaving out the users' training items.
"""

import functools
import importlib
import importlib.util
import json
import platform
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from cml_jax import ranking, training
from cml_jax.data.interactions import Interactions
from cml_jax.data.synthetic import make_interactions
from cml_jax.models.points import distance_factors
from cml_jax.samplers import SAMPLERS
from cml_jax.strategies import Options, make_options
from experiments import cli

_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the figures.", required=True)
_QUICK = flags.DEFINE_boolean("quick", False, "Small sizes and few repeats.")
_DIM, _CANDIDATES = 128, 2000
_OVER_CANDIDATES = ("two_stage", "softmax")


class Timing(NamedTuple):
    """Milliseconds of repeated runs."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: list[float], per: int = 1) -> "Timing":
        """Median and range of runs of `per` steps each."""
        each = np.array(seconds) * 1e3 / per
        return cls(float(np.median(each)), float(each.min()), float(each.max()))


def time_in_turns(runs: dict[str, Callable[[], Any]], repeats: int) -> dict[str, list[float]]:
    """Seconds of every run, one of each a round, after a round of warming up."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(repeats + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            jax.block_until_ready(run())
            if turn:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def _repeat(times: int, run: Callable[..., Any], *arguments: Any) -> None:
    """One after the other; what is not waited for piles up in memory and is slower."""
    for _ in range(times):
        jax.block_until_ready(run(*arguments))


class Stepper:
    """A compiled run of steps that goes on where it stopped."""

    def __init__(self, options: Options, train: Interactions, num_steps: int) -> None:
        """Compiles; `compile_seconds` says how long that took."""
        self._data, self._options = train.to_device(), options.as_arrays()
        self._state = training.init_state(self._options, self._data, 0)
        started = time.perf_counter()
        lowered = training.run_steps.lower(self._state, self._data, self._options, num_steps=num_steps)
        self._compiled = lowered.compile()
        self.compile_seconds = time.perf_counter() - started

    def __call__(self) -> Any:
        """Takes the steps."""
        self._state, metrics = self._compiled(self._state, self._data, self._options)
        return self._state, metrics


def bench_options(name: str, batch_size: int, train: Interactions, dim: int = _DIM, rows: str = "lazy") -> Options:
    """The options of a sampler at the bench's sizes; 'softmax' is the sampled softmax over stage 1's candidates."""
    drawn = {"loss": "triplet", "decoupled": True, "sampler": name}
    strategies = {"loss": "softmax", "decoupled": False, "sampler": "two_stage"} if name == "softmax" else drawn
    sizes = {"dim": dim, "batch_size": batch_size, "num_candidates": _CANDIDATES}
    return make_options(train, rows=rows, average_passes=0.0, init_scale=1.0, **sizes, **strategies)


def measure_rates(repeats: int) -> dict[str, float]:
    """What the machine reaches: bytes/s of reading and writing 256 MiB in place, FLOP/s of a float32 product."""
    times, size, side = 20, 2**26, 4096 if jax.default_backend() != "cpu" else 1024
    source, square = jnp.zeros(size, jnp.float32), jnp.ones((side, side))
    in_place = jax.jit(lambda x: jax.lax.fori_loop(0, times, lambda _, y: y + 1.0, x)[0])
    runs = {
        "copy": functools.partial(in_place, source),
        "product": functools.partial(_repeat, times, jax.jit(lambda x: x @ x), square),
    }
    seconds = {name: float(np.median(taken)) / times for name, taken in time_in_turns(runs, repeats).items()}
    return {"bytes_per_second": 8 * size / seconds["copy"], "flops": 2 * side**3 / seconds["product"]}


def _traffic(name: str, batch_size: int) -> int:
    """Bytes a step moves at least: rows of table and moments, read and written; stage 2's rows, [B, C] both ways."""
    moved = 3 * batch_size * 3 * 2 * 4 * _DIM
    if name in _OVER_CANDIDATES:
        moved += 4 * (batch_size + _CANDIDATES) * _DIM + 2 * 4 * batch_size * _CANDIDATES
    return moved


def bench_steps(train: Interactions, batch_sizes: tuple[int, ...], repeats: int) -> list[dict[str, Any]]:
    """Every sampler at every batch size, and the floor."""
    results = []
    items = jax.random.normal(jax.random.key(0), (train.num_items, _DIM))
    candidates = jax.random.permutation(jax.random.key(1), train.num_items)[:_CANDIDATES]
    for batch_size in batch_sizes:
        positives = jax.random.randint(jax.random.key(2), (batch_size,), 0, train.num_items)
        product = jax.jit(lambda items, positives, candidates: items[positives] @ items[candidates].T)
        num_steps = max(10, 51_200 // batch_size)
        names = (*SAMPLERS, "softmax")
        steppers = {name: Stepper(bench_options(name, batch_size, train), train, num_steps) for name in names}
        runs: dict[str, Callable[[], Any]] = {**steppers}
        runs["floor"] = functools.partial(_repeat, 20, product, items, positives, candidates)
        seconds = time_in_turns(runs, repeats)
        floor = Timing.of(seconds.pop("floor"), 20)
        for name, taken in seconds.items():
            step = Timing.of(taken, num_steps)
            results.append(
                {
                    "sampler": name,
                    "batch_size": batch_size,
                    "ms": step._asdict(),
                    "triplets_per_second": batch_size / step.median * 1e3,
                    "floor_ms": floor.median,
                    "ratio_to_floor": step.median / floor.median,
                    "bytes_per_second": _traffic(name, batch_size) / step.median * 1e3,
                    "product_flops": 2e3 * batch_size * _DIM * _CANDIDATES * (name in _OVER_CANDIDATES) / step.median,
                    "compile_seconds": steppers[name].compile_seconds,
                }
            )
    return results


def bench_rows(train: Interactions, repeats: int) -> dict[str, Any]:
    """The ways of updating rows, uniform negatives, B = 256."""
    steps = {"lazy": 200, "catch_up": 200, "dense": 10}
    runs = {rows: Stepper(bench_options("uniform", 256, train, rows=rows), train, n) for rows, n in steps.items()}
    seconds = time_in_turns(dict(runs), repeats)
    timings = {rows: Timing.of(seconds[rows], steps[rows]) for rows in steps}
    return {
        rows: timing._asdict() | {"ratio_to_lazy": timing.median / timings["lazy"].median}
        for rows, timing in timings.items()
    }


def bench_table_sizes(sizes: tuple[int, ...], repeats: int) -> list[dict[str, Any]]:
    """Step time against the number of items, d = 32, B = 256; all sizes take turns."""
    trains = {size: make_interactions(20_000, size, 400_000) for size in sizes}  # the table alone grows
    runs = {
        f"{name} {size}": Stepper(bench_options(name, 256, train, dim=32), train, 200)
        for size, train in trains.items()
        for name in ("uniform", "two_stage")
    }
    seconds = time_in_turns(dict(runs), repeats)
    rows = []
    for name in ("uniform", "two_stage"):
        timings = {size: Timing.of(seconds[f"{name} {size}"], 200) for size in sizes}
        for size, timing in timings.items():
            ratio = timing.median / timings[sizes[0]].median
            rows.append({"sampler": name, "items": size, "ms": timing._asdict(), "ratio_to_smallest": ratio})
    return rows


def bench_evaluation(train: Interactions, dims: tuple[int, ...], repeats: int) -> list[dict[str, Any]]:
    """Top 50 of every user, training items left out; against faiss's flat index where that is installed."""
    rows = []
    for dim in dims:
        rng = np.random.default_rng(0)
        users, items = (rng.normal(size=(n, dim)).astype(np.float32) for n in (train.num_users, train.num_items))
        factors = distance_factors(jnp.asarray(users), jnp.asarray(items))
        runs: dict[str, Callable[[], Any]] = {
            "ours": functools.partial(ranking.top_k, factors, np.arange(train.num_users), train, 50)
        }
        if importlib.util.find_spec("faiss"):
            index = importlib.import_module("faiss").IndexFlatL2(dim)
            index.add(items)
            runs["faiss"] = functools.partial(index.search, users, 50)
        seconds = time_in_turns(runs, repeats)
        ours = Timing.of(seconds["ours"])
        row = {"dim": dim, "ms": ours._asdict(), "users_per_second": train.num_users / ours.median * 1e3}
        if "faiss" in seconds:
            faiss_ms = Timing.of(seconds["faiss"])
            row |= {"faiss_ms": faiss_ms._asdict(), "ratio_to_faiss": ours.median / faiss_ms.median}
        rows.append(row)
    return rows


def main() -> None:
    """Runs everything, prints a table and writes the figures."""
    shrink, repeats = (10, 2) if _QUICK.value else (1, 7)
    train = make_interactions(29_858 // shrink, 40_981 // shrink, 810_128 // shrink)
    largest = 10_000_000 // (shrink * shrink)
    results = {
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind} ({jax.default_backend()})",
        "versions": {"jax": jax.__version__, "python": platform.python_version()},
        "rates": measure_rates(repeats),
        "steps": bench_steps(train, (256, 1024, 4096), repeats),
        "rows": bench_rows(train, repeats),
        "evaluation": bench_evaluation(train, (64, 128), max(2, repeats // 2)),
        "table_sizes": bench_table_sizes((100_000 // shrink, 1_000_000 // shrink, largest), repeats),
        "peak_memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }
    Path(_OUTPUT.value).write_text(json.dumps(results, indent=2) + "\n")
    print(format_results(results))


def format_results(results: dict[str, Any]) -> str:
    """The figures as a page of text."""
    rates = results["rates"]
    lines = [
        results["device"],
        f"measured here: copy {rates['bytes_per_second'] / 1e9:,.1f} GB/s, product {rates['flops'] / 1e9:,.0f} GFLOP/s",
        "",
        f"{'sampler':<12}{'B':>6}{'ms':>9}{'triplets/s':>12}{'x floor':>9}"
        f"{'of copy':>9}{'of product':>12}{'compile s':>11}",
        *(
            f"{row['sampler']:<12}{row['batch_size']:>6}{row['ms']['median']:>9.3f}{row['triplets_per_second']:>12,.0f}"
            f"{row['ratio_to_floor']:>9.2f}{row['bytes_per_second'] / rates['bytes_per_second']:>9.1%}"
            f"{row['product_flops'] / rates['flops']:>12.1%}{row['compile_seconds']:>11.1f}"
            for row in results["steps"]
        ),
        "",
        *(
            f"rows = {rows:<9} {timing['median']:.3f} ms, {timing['ratio_to_lazy']:.2f} x lazy"
            for rows, timing in results["rows"].items()
        ),
        "",
        *(
            f"{row['sampler']:<10} {row['items']:>11,} items {row['ms']['median']:.3f} ms, "
            f"{row['ratio_to_smallest']:.2f} x the smallest"
            for row in results["table_sizes"]
        ),
        "",
        *(
            f"top 50, d = {row['dim']}: {row['ms']['median']:,.0f} ms, {row['users_per_second']:,.0f} users/s"
            + (f", {row['ratio_to_faiss']:.2f} x faiss" if "ratio_to_faiss" in row else "")
            for row in results["evaluation"]
        ),
        "",
        f"peak memory {results['peak_memory_gib']:.1f} GiB",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, example="python -m experiments.bench --output=bench.json")
