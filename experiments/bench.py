"""Timings of steps and of evaluation, with the floor that the same machine sets in the same run.

python -m experiments.bench --output=FILE.json

On generated interactions of Gowalla's size (29,858 users, 40,981 items, 810,128 pairs of long-tailed popularity): every
registered loss with every sampler that goes with it. About ten minutes on two CPU cores; --quick takes a tenth of the
sizes and fewer repeats, to see that everything runs. A step's floor is the bare gather of the rows that it reads, their
similarities and, where it has candidates, the products and exponentials of them all, see `benchmarks.floors`. Beside it
stand the shares that a step reaches of the machine's own rates: of bytes a second, where more than all of it means that
the cache helps, and of the products' operations. Timings take turns, so that a slow minute of the machine falls on all
of them. Faiss, if installed (extra `[ann]`), is the yardstick of evaluation: the same neighbours from its flat index,
but without leaving out the users' training items. How times grow with sizes: `experiments.benchmarks.growth`.
"""

import contextlib
import functools
import importlib
import importlib.util
import itertools
import json
import platform
import resource
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from cml_jax import ranking
from cml_jax.data.interactions import Interactions
from cml_jax.data.synthetic import make_interactions
from cml_jax.errors import ConfigError
from cml_jax.losses import LOSSES
from cml_jax.models.points import distance_factors
from cml_jax.runs import versions
from cml_jax.samplers import SAMPLERS
from cml_jax.strategies import Options, make_options
from experiments import cli
from experiments.benchmarks import floors
from experiments.benchmarks.timing import Stepper, Timing, repeat, time_in_turns

_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the figures.", required=True)
_QUICK = flags.DEFINE_boolean("quick", False, "Small sizes and few repeats.")
_SHAPES = flags.DEFINE_list("shapes", None, "Steps alone, of these B x C x D, such as 1024x1000x64,256x1000x128.")
_LOSSES = flags.DEFINE_list("losses", None, "Steps of these losses alone.")
_SAMPLERS = flags.DEFINE_list("samplers", None, "Steps of these samplers alone.")


class Shape(NamedTuple):
    """Sizes of a step: B, C and D."""

    batch_size: int
    num_candidates: int = 2000
    dim: int = 128


SHAPES = (Shape(256), Shape(1024), Shape(4096))


def combinations() -> list[tuple[str, str]]:
    """Names of the losses and samplers that go together; one sampler where the loss takes nothing of it."""
    found = []
    for loss, sampler in itertools.product(LOSSES, SAMPLERS):
        with contextlib.suppress(ConfigError):
            options = make_options(loss=loss, sampler=sampler, constraint=_constraint(loss))
            if options.loss_takes != "batch" or sampler == next(iter(SAMPLERS)):
                found.append((loss, sampler))
    return found


def _constraint(loss: str) -> str:
    return "none" if LOSSES[loss].make(LOSSES[loss].options()).similarity == "inner_product" else "sphere"


def bench_options(loss: str, sampler: str, shape: Shape, train: Interactions, rows: str = "catch_up") -> Options:
    """The options of a loss and a sampler at a shape."""
    more = {"constraint": _constraint(loss), "rows": rows, "average_passes": 0.0, "init_scale": 1.0}
    return make_options(train, loss=loss, sampler=sampler, **shape._asdict(), **more)


def measure_rates(repeats: int) -> dict[str, float]:
    """What the machine reaches: bytes/s of reading and writing 256 MiB in place, FLOP/s of a float32 product."""
    times, size, side = 20, 2**26, 4096 if jax.default_backend() != "cpu" else 1024
    source, square = jnp.zeros(size, jnp.float32), jnp.ones((side, side))
    in_place = jax.jit(lambda x: jax.lax.fori_loop(0, times, lambda _, y: y + 1.0, x)[0])
    runs = {
        "copy": functools.partial(in_place, source),
        "product": functools.partial(repeat, times, jax.jit(lambda x: x @ x), square),
    }
    seconds = {name: float(np.median(taken)) / times for name, taken in time_in_turns(runs, repeats).items()}
    return {"bytes_per_second": 8 * size / seconds["copy"], "flops": 2 * side**3 / seconds["product"]}


def _traffic(options: Options, shape: Shape, candidates: int) -> int:
    """Bytes a step moves at least: rows of tables and moments, read and written; similarities both ways."""
    size = shape.batch_size
    touched = 2 * size + (candidates if options.loss_takes == "candidates" else size)
    return touched * 3 * 2 * 4 * shape.dim + 4 * candidates * shape.dim + 2 * 4 * size * candidates


def bench_steps(
    train: Interactions, shapes: Sequence[Shape], names: Sequence[tuple[str, str]], repeats: int
) -> list[dict[str, Any]]:
    """Losses with samplers at every shape, and their floors."""
    results = []
    for shape in shapes:
        num_steps = max(10, 25_600 // shape.batch_size)
        chosen = {f"{loss} {sampler}": bench_options(loss, sampler, shape, train) for loss, sampler in names}
        steppers = {name: Stepper(options, train, num_steps) for name, options in chosen.items()}
        runs: dict[str, Callable[[], Any]] = {**steppers}
        for name, options in chosen.items():
            runs[f"floor of {name}"] = functools.partial(repeat, num_steps, floors.floor_of(options, train))
        seconds = time_in_turns(runs, repeats)
        for name, options in chosen.items():
            step = Timing.of(seconds[name], num_steps)
            floor = Timing.of(seconds[f"floor of {name}"], num_steps)
            num_products = floors.num_products(options, train)
            count = floors.num_compared(options, train) if num_products else 0
            product_flops = 2 * shape.batch_size * count * shape.dim * num_products
            results.append(
                {
                    "loss": options.loss.name,
                    "sampler": options.sampler.name,
                    **shape._asdict(),
                    "num_candidates": count or shape.num_candidates,
                    "ms": step._asdict(),
                    "triplets_per_second": shape.batch_size / step.median * 1e3,
                    "floor_ms": floor.median,
                    "ratio_to_floor": step.median / floor.median,
                    "bytes_per_second": _traffic(options, shape, count) / step.median * 1e3,
                    "product_flops": product_flops / step.median * 1e3,
                    "compile_seconds": steppers[name].compile_seconds,
                    "temporary_mib": steppers[name].temporary_bytes / 2**20,
                }
            )
    return results


def bench_rows(train: Interactions, repeats: int) -> dict[str, Any]:
    """The ways of updating rows, uniform negatives, B = 256."""
    steps = {"lazy": 200, "catch_up": 200, "dense": 10}
    options = {rows: bench_options("triplet", "uniform", Shape(256), train, rows=rows) for rows in steps}
    runs = {rows: Stepper(options[rows], train, n) for rows, n in steps.items()}
    seconds = time_in_turns(dict(runs), repeats)
    timings = {rows: Timing.of(seconds[rows], steps[rows]) for rows in steps}
    return {
        rows: timing._asdict() | {"ratio_to_lazy": timing.median / timings["lazy"].median}
        for rows, timing in timings.items()
    }


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


def _chosen_names() -> list[tuple[str, str]]:
    """The combinations that the flags leave."""
    found = combinations()
    for place, (flag, registry) in enumerate(((_LOSSES, LOSSES), (_SAMPLERS, SAMPLERS))):
        unknown = [name for name in flag.value or () if name not in registry]
        if unknown:
            cli.fail(f"--{flag.name}: '{unknown[0]}' is none of {', '.join(registry)}.")
        found = [names for names in found if flag.value is None or names[place] in flag.value]
    if not found:
        cli.fail("None of these losses goes with any of these samplers.")
    return found


def _chosen_shapes() -> list[Shape]:
    found = []
    for text in _SHAPES.value or ():
        numbers = text.split("x")
        if len(numbers) != len(Shape._fields) or not all(number.isdecimal() and int(number) for number in numbers):
            cli.fail(f"--shapes: '{text}' is not B x C x D, such as 1024x1000x64.")
        found.append(Shape(*map(int, numbers)))
    return found


def main() -> None:
    """Runs everything, prints a table and writes the figures."""
    shrink, repeats = (10, 2) if _QUICK.value else (1, 7)
    names, shapes = _chosen_names(), _chosen_shapes()
    train = make_interactions(29_858 // shrink, 40_981 // shrink, 810_128 // shrink)
    results: dict[str, Any] = {
        "device": versions.devices(),
        "versions": {"jax": jax.__version__, "python": platform.python_version()},
        "rates": measure_rates(repeats),
        "steps": bench_steps(train, shapes or SHAPES, names, repeats),
        "rows": {} if shapes else bench_rows(train, repeats),
        "evaluation": [] if shapes else bench_evaluation(train, (64, 128), max(2, repeats // 2)),
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
        f"{'loss':<10}{'sampler':<12}{'B':>6}{'C':>6}{'D':>5}{'ms':>9}{'triplets/s':>12}{'x floor':>9}"
        f"{'of copy':>9}{'of product':>12}{'compile s':>11}",
        *(
            f"{row['loss']:<10}{row['sampler']:<12}{row['batch_size']:>6}{row['num_candidates']:>6}{row['dim']:>5}{row['ms']['median']:>9.3f}{row['triplets_per_second']:>12,.0f}"
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
