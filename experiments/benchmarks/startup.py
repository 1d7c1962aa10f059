"""How long it takes to start: import, help, first step, first list, with and without compiled programs at hand.

python -m experiments.benchmarks.startup --output=FILE.json [--repeats=5]

Every measurement is of a process of its own, and figures are medians over the repeats. The model is the recommended one
at its default sizes, on random pairs of 1,000 users and 500 items, so that next to nothing but the start is measured:
`fit` of a single step with nothing held out, its first list, `fit` with validation, then `load` of a saved model and
its first list. Each is measured without a compilation cache ('cold') and with one that an earlier process has filled
('warm'). Seconds are those of the clock and those of the processor, which other programs on the machine disturb less.
The import is also split by package. About five minutes on two CPU cores.
"""

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from absl import flags

import cml_jax
from cml_jax.runs import compilation_cache, versions
from experiments import cli

FLAGS = flags.FlagValues()  # its own, since commands share names
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the figures.", flag_values=FLAGS)
_REPEATS = flags.DEFINE_integer("repeats", 5, "Processes of each kind.", lower_bound=1, flag_values=FLAGS)
_USERS, _ITEMS, _PAIRS_A_USER = 1000, 500, 20
_PROGRAM = "run_steps"  # the function that a step is compiled as a part of
_IMPORT = "import time; a, b = time.perf_counter(), time.process_time(); import cml_jax; "
_IMPORT += "print(time.perf_counter() - a, time.process_time() - b)"
_PARTS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile",
}
_READ = "/jax/compilation_cache/cache_hits"

Figures = dict[str, float]


class Stages:
    """What each stage of this process takes.

    Attributes:
        figures: stage -> `seconds`, `cpu_seconds`, `programs` that were wanted, how many of them were `read` from a
            cache, and `trace`, `lower` and `compile`: seconds of the step's program alone.
    """

    def __init__(self) -> None:
        """Listens to what JAX compiles from here on."""
        self.figures: dict[str, Figures] = {}
        self._now: Figures = {}
        jax.monitoring.register_event_duration_secs_listener(self._took)
        jax.monitoring.register_event_listener(self._happened)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measures what is done meanwhile."""
        self._now = dict.fromkeys(("programs", "read", *_PARTS.values()), 0)
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        taken = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        self.figures[name] = taken | self._now

    def _took(self, event: str, duration_secs: float, **about: Any) -> None:
        part = _PARTS.get(event)
        if part is None or not self._now:
            return
        self._now["programs"] += part == "compile"
        if _PROGRAM in str(about.get("fun_name")):
            self._now[part] += duration_secs

    def _happened(self, event: str, **_: Any) -> None:
        if event == _READ and self._now:
            self._now["read"] += 1


def pairs() -> dict[str, np.ndarray]:
    """Random pairs, of which a few are repeated."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(_USERS), _PAIRS_A_USER)
    return {"user": users, "item": rng.integers(0, _ITEMS, len(users))}


def train(stages: Stages, saved: Path) -> None:
    """The first step and the first list of a process; the model is saved where none is."""
    data = pairs()
    with stages.stage("first step"):
        model = cml_jax.fit(data, num_steps=1, valid_fraction=0, progress=False)
    with stages.stage("first list"):
        model.recommend(7)
    if not saved.exists():
        model.save(saved)


def validate(stages: Stages, saved: Path) -> None:
    """A whole run of one step, with the evaluation of it."""
    del saved
    data = pairs()
    with stages.stage("first run with validation"):
        cml_jax.fit(data, num_steps=1, progress=False)


def serve(stages: Stages, saved: Path) -> None:
    """Loading a saved model, and its first list."""
    with stages.stage("load"):
        model = cml_jax.load(saved)
    with stages.stage("first list after load"):
        model.recommend(7)


TASKS: dict[str, Callable[[Stages, Path], None]] = {"train": train, "validate": validate, "serve": serve}


def measure(task: str, saved: str, cache: str | None) -> dict[str, Figures]:
    """A task in this process, with a compilation cache or none: stage -> figures."""
    stages = Stages()
    with compilation_cache.used(cache, lambda line: None):
        TASKS[task](stages, Path(saved))
    return stages.figures


def measure_apart(task: str, saved: Path, cache: Path | None) -> dict[str, Figures]:
    """`measure`, in a process of its own."""
    arguments = task, str(saved), None if cache is None else str(cache)
    code = (
        f"import json; from experiments.benchmarks import startup; print(json.dumps(startup.measure(*{arguments!r})))"
    )
    return json.loads(_output([sys.executable, "-c", code]).stdout.splitlines()[-1])


def _output(command: list[str]) -> subprocess.CompletedProcess[str]:
    """What a process prints that finds this code, and no compilation cache."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    return subprocess.run(command, env=env | {"PYTHONPATH": path}, check=True, capture_output=True, text=True)


def import_figures() -> Figures:
    """`import cml_jax` in a process of its own."""
    seconds, cpu_seconds = map(float, _output([sys.executable, "-c", _IMPORT]).stdout.split())
    return {"seconds": seconds, "cpu_seconds": cpu_seconds}


def help_figures() -> Figures:
    """`python -m experiments.main --help`, from the start of the interpreter to its end."""
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    _output([sys.executable, "-m", "experiments.main", "--help"])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - wall, "cpu_seconds": cpu_seconds}


def import_shares() -> Figures:
    """Shares of `import cml_jax` by package, of the clock, the largest first; those of the interpreter's in one."""
    found: Figures = {}
    for line in _output([sys.executable, "-X", "importtime", "-c", "import cml_jax"]).stderr.splitlines():
        timed = re.fullmatch(r"import time:\s*(\d+) \|\s*\d+ \|\s*([\w.]+)", line)
        if timed:
            package = timed[2].partition(".")[0]
            package = "python" if package in sys.stdlib_module_names else package
            found[package] = found.get(package, 0.0) + int(timed[1])
    total = sum(found.values())
    return {name: own / total for name, own in sorted(found.items(), key=lambda item: -item[1])}


def medians(repeated: list[Figures]) -> Figures:
    """The median of every figure, 0 where a repeat lacks it."""
    names = dict.fromkeys(name for figures in repeated for name in figures)
    return {name: statistics.median(figures.get(name, 0.0) for figures in repeated) for name in names}


def all_stages(repeats: int) -> dict[str, dict[str, Figures]]:
    """Stage -> 'cold' or 'warm' -> medians; cold and warm in turn."""
    found: dict[str, dict[str, list[Figures]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        saved, cache = Path(folder) / "model", Path(folder) / "cache"
        for task in TASKS:  # fills the cache, and does not count
            measure_apart(task, saved, cache)
        for _ in range(repeats):
            for task in TASKS:
                for state, place in (("cold", None), ("warm", cache)):
                    for stage, figures in measure_apart(task, saved, place).items():
                        found.setdefault(stage, {}).setdefault(state, []).append(figures)
    return {stage: {state: medians(repeated) for state, repeated in states.items()} for stage, states in found.items()}


def figures_of(repeats: int) -> dict[str, Any]:
    """All that is measured, as the JSON file has it."""
    return {
        "repeats": repeats,
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "versions": versions.versions(),
        "import cml_jax": medians([import_figures() for _ in range(repeats)]),
        "import by package": medians([import_shares() for _ in range(repeats)]),
        "experiments.main --help": medians([help_figures() for _ in range(repeats)]),
        "stages": all_stages(repeats),
    }


def table(found: dict[str, Any]) -> str:
    """The figures as text: seconds, those of the processor behind a stroke."""
    lines = [f"{'seconds / of the processor':<28}{'cold':>14}{'warm':>14}{'programs':>10}"]
    lines += [f"{name:<28}{_seconds(found[name]):>14}" for name in ("import cml_jax", "experiments.main --help")]
    for name, states in found["stages"].items():
        cold, warm = states["cold"], states["warm"]
        lines.append(f"{name:<28}{_seconds(cold):>14}{_seconds(warm):>14}{cold['programs']:>10.0f}")
        if cold["compile"]:
            lines += [f"  {part + ' the step':<26}{cold[part]:>14.2f}{warm[part]:>14.2f}" for part in _PARTS.values()]
    shares = [f"{name} {share:.0%}" for name, share in found["import by package"].items() if share >= 0.02]
    return "\n".join([*lines, f"import by package: {', '.join(shares)}"])


def _seconds(figures: Figures) -> str:
    return f"{figures['seconds']:.2f} / {figures['cpu_seconds']:.2f}"


def main() -> None:
    """Measures, prints the table and writes the file."""
    found = figures_of(_REPEATS.value)
    print(table(found))
    if _OUTPUT.value is not None:
        Path(_OUTPUT.value).write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    cli.run(main, FLAGS)
