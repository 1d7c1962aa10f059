"""How the time and the memory of a step grow with its sizes: a figure and a table.

python -m experiments.benchmarks.growth --output=FOLDER

Two-stage sampling with the triplet loss and the softmax over uniform candidates, each size alone away from B = 1,024,
C = 1,000, D = 64 and 40,981 items, 1 million pairs. Memory is what the compiled step needs besides the state and the
data. Pairs are generated: 100 a user, one in each hundredth of the catalogue. Fifteen minutes on two CPU cores; --quick
takes a few small sizes, to see that everything runs. All sizes of an axis take turns.
"""

import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import matplotlib.ticker
import numpy as np
from absl import flags
from matplotlib.figure import Figure

from cml_jax.data.interactions import Interactions
from cml_jax.runs import versions
from cml_jax.strategies import make_options
from experiments import cli
from experiments.benchmarks.timing import Stepper, Timing, time_in_turns
from experiments.reports import style

FLAGS = flags.FlagValues()  # its own, since commands share names
_OUTPUT = flags.DEFINE_string("output", None, "Folder for the table and figure.", required=True, flag_values=FLAGS)
_QUICK = flags.DEFINE_boolean("quick", False, "A few small sizes.", flag_values=FLAGS)
BASE = {"batch_size": 1024, "num_candidates": 1000, "dim": 64, "items": 40_981, "pairs": 1_000_000}
SIZES = {
    "batch_size": (256, 1024, 4096),
    "num_candidates": (250, 1000, 4000, 16_000),
    "dim": (32, 64, 128, 256),
    "items": (100_000, 1_000_000, 10_000_000),
    "pairs": (1_000_000, 10_000_000, 100_000_000),
}
QUICK_BASE = {"batch_size": 32, "num_candidates": 20, "dim": 8, "items": 300, "pairs": 2_000}
QUICK_SIZES = {"batch_size": (16, 32), "items": (300, 600), "pairs": (2_000, 4_000)}
METHODS = {"two_stage": ("triplet", "two_stage"), "softmax": ("softmax", "uniform")}  # style -> loss, sampler
AXES = {
    "batch_size": "B, pairs of a step",
    "num_candidates": "C, candidates",
    "dim": "D, dimension",
    "items": "items (D = 32)",
    "pairs": "training pairs",
}
_DEGREE = 100  # items of a user
_DIM_OF_LARGE_TABLES = 32


def make_pairs(num_pairs: int, num_items: int) -> Interactions:
    """Users of 100 items, one drawn from each hundredth of the catalogue."""
    rng, num_users, width = np.random.default_rng(0), num_pairs // _DEGREE, num_items // _DEGREE
    items = np.empty((num_users, _DEGREE), np.int32)
    for start in range(0, num_users, 50_000):  # bounds the memory of the draws
        part = items[start : start + 50_000]
        part[:] = np.arange(_DEGREE) * width + rng.integers(0, width, part.shape)
    return Interactions(np.arange(num_users + 1, dtype=np.int64) * _DEGREE, items.reshape(-1), num_items)


def measure_axis(axis: str, sizes: Sequence[int], base: Mapping[str, int], repeats: int) -> list[dict[str, Any]]:
    """Rows of one axis: a method and a size, milliseconds a step, MiB, and seconds of compilation."""
    steppers, num_steps = {}, 20
    trains: dict[tuple[int, int], Interactions] = {}
    for size in sizes:
        chosen = dict(base) | {axis: size}
        shape = chosen["pairs"], chosen["items"]
        train = trains.setdefault(shape, make_pairs(*shape))
        dim = min(chosen["dim"], _DIM_OF_LARGE_TABLES) if axis == "items" else chosen["dim"]
        for method, (loss, sampler) in METHODS.items():
            options = make_options(
                train,
                loss=loss,
                sampler=sampler,
                dim=dim,
                batch_size=chosen["batch_size"],
                num_candidates=chosen["num_candidates"],
                rows="catch_up",
                average_passes=0.0,
            )
            steppers[method, size] = Stepper(options, train, num_steps)
    runs = {f"{method} {size}": stepper for (method, size), stepper in steppers.items()}
    seconds = time_in_turns(dict(runs), repeats)
    return [
        {
            "axis": axis,
            "size": size,
            "method": method,
            "ms": Timing.of(seconds[f"{method} {size}"], num_steps)._asdict(),
            "temporary_mib": stepper.temporary_bytes / 2**20,
            "compile_seconds": stepper.compile_seconds,
        }
        for (method, size), stepper in steppers.items()
    ]


def as_markdown(results: Mapping[str, Any]) -> str:
    """The figures as tables, one an axis."""
    lines = [f"{results['device']}, jax {results['versions']['jax']}"]
    for axis in dict.fromkeys(row["axis"] for row in results["rows"]):
        names = [f"{style.method_name(method)}: {unit}" for method in METHODS for unit in ("ms", "MiB")]
        lines += ["", f"| {' | '.join([AXES[axis], *names])} |", "|" + "---|" * (len(names) + 1)]
        rows = [row for row in results["rows"] if row["axis"] == axis]
        for size in dict.fromkeys(row["size"] for row in rows):
            here = [row for row in rows if row["size"] == size]
            cells = [cell for row in here for cell in (f"{row['ms']['median']:.2f}", f"{row['temporary_mib']:.1f}")]
            lines.append(f"| {' | '.join([f'{size:,}', *cells])} |")
    return "\n".join(lines) + "\n"


@style.styled
def figure(results: Mapping[str, Any]) -> Figure:
    """Milliseconds above, MiB below, a column an axis; all scales are logarithmic."""
    axes_shown = list(dict.fromkeys(row["axis"] for row in results["rows"]))
    drawn = style.new_figure(style.PAGE, 3.4)
    panels = drawn.subplots(2, len(axes_shown), sharey="row", sharex="col", squeeze=False)
    kinds = dict(zip(METHODS, style.line_styles(list(METHODS)), strict=True))
    for column, axis in enumerate(axes_shown):
        for method in METHODS:
            rows = [row for row in results["rows"] if (row["axis"], row["method"]) == (axis, method)]
            sizes = [row["size"] for row in rows]
            label = style.method_name(method)
            panels[0, column].plot(sizes, [row["ms"]["median"] for row in rows], **kinds[method], label=label)
            panels[1, column].plot(sizes, [row["temporary_mib"] for row in rows], **kinds[method], label=label)
        for panel in panels[:, column]:
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
            panel.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 3)))
            panel.yaxis.set_major_formatter("{x:g}")
            panel.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
        sizes = list(dict.fromkeys(row["size"] for row in results["rows"] if row["axis"] == axis))
        panels[1, column].set_xticks(sizes, labels=[_short(size) for size in sizes])
        panels[1, column].set_xlabel(AXES[axis])
    panels[0, 0].set_ylabel("ms a step")
    panels[1, 0].set_ylabel("MiB besides the state")
    style.place_legend(drawn, panels[0, 0], len(METHODS))
    return drawn


def _short(size: int) -> str:
    """A size in few letters, such as 4k."""
    for unit, letter in ((10**6, "M"), (10**3, "k")):
        if size >= unit and size % unit == 0:
            return f"{size // unit}{letter}"
    return str(size)


def main() -> None:
    """Measures every axis and writes the folder."""
    base, axes, repeats = (QUICK_BASE, QUICK_SIZES, 1) if _QUICK.value else (BASE, SIZES, 5)
    folder = Path(_OUTPUT.value)
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "device": versions.devices(),
        "versions": {"jax": jax.__version__, "python": platform.python_version()},
        "rows": [],
    }
    for axis, sizes in axes.items():
        results["rows"] += measure_axis(axis, sizes, base, repeats)
        (folder / "growth.json").write_text(json.dumps(results, indent=2) + "\n")
    (folder / "growth.md").write_text(as_markdown(results))
    style.save(figure(results), folder / "growth")
    print(as_markdown(results), end="")


if __name__ == "__main__":
    cli.run(main, FLAGS, example="python -m experiments.benchmarks.growth --output=growth")
