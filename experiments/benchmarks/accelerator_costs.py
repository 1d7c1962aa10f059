"""Operations and bytes of steps and of ranking, and the least time that accelerators' published rates allow. COMPUTED.

python -m experiments.benchmarks.accelerator_costs --output=FILE.json

Nothing here was measured on an accelerator, and none is needed. The programs are those that an accelerator would be
given, at Gowalla's size (29,858 users, 40,981 items, 810,128 generated pairs); their operations and bytes are counted
from their equations, see `counted_operations`. Loops whose length depends on the data are run for some steps on this
machine, which says how many rounds they take. Tables go to the file and, as Markdown, to one beside it; two minutes on
two CPU cores.
"""

import collections
import dataclasses
import functools
import inspect
import json
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from absl import flags

from cml_jax import population, ranking, training
from cml_jax.data.interactions import Interactions
from cml_jax.data.synthetic import make_interactions
from cml_jax.left_out import left_out
from cml_jax.models.points import distance_factors
from cml_jax.strategies import Options, options_of_config
from experiments import cli
from experiments.benchmarks.counted_operations import Counts, count, name_of
from experiments.config import Config, to_values
from experiments.configs import gowalla, gowalla_softmax, soft

FLAGS = flags.FlagValues()  # its own, since commands share names
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the counts.", required=True, flag_values=FLAGS)
GOWALLA = (29_858, 40_981, 810_128)
_MEMBERS, _STEPS = 64, 8  # of the population; run here, to see how many rounds loops take
_USERS, _K = 512, 50  # that are ranked at once


class Rates(NamedTuple):
    """What a vendor publishes of a chip, and what follows from it for float32.

    Attributes:
        bytes: a second, of its memory.
        flop: a second, of products by the precision asked for.
    """

    bytes: float
    flop: dict[str, float]


RATES = {
    # "NVIDIA H100 Tensor Core GPU", specifications of H100 SXM: 3.35 TB/s; 67 TFLOP/s of FP32; 989 of TF32 tensor cores
    # with sparsity, half of it without. By default XLA rounds the factors of float32 products to TF32.
    "H100 SXM": Rates(3.35e12, {"default": 494.5e12, "high": 494.5e12, "highest": 67e12}),
    # "TPU v5e" in Google Cloud's documentation: 819 GB/s; 197 TFLOP/s of bfloat16. By default a float32 product takes
    # one pass in bfloat16, at 'high' three, at 'highest' six.
    "TPU v5e": Rates(819e9, {"default": 197e12, "high": 197e12 / 3, "highest": 197e12 / 6}),
}


class Program(NamedTuple):
    """A program as an accelerator would be given it.

    Attributes:
        name: for the table.
        function: what is counted.
        arguments: trees of arrays or their shapes.
        times: how often loops and branches run that the program alone does not tell, see `counted_operations.count`.
    """

    name: str
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    times: Mapping[str, float]


def rounds_of_loops(function: Callable[..., Any], *arguments: Any) -> dict[str, list[int]]:
    """Runs a function here, on the branches of an accelerator: name of each loop -> rounds it took, each time."""
    seen: dict[str, list[int]] = collections.defaultdict(list)
    loop = jax.lax.while_loop

    def counted_loop(unfinished, body, start):
        def one_more(carry):
            rounds, inner = carry
            return rounds + 1, body(inner)

        rounds, after = loop(lambda carry: unfinished(carry[1]), one_more, (jnp.int32(0), start))
        jax.debug.callback(lambda found: seen[name_of(body)].append(int(found)), rounds)
        return after

    def default_branch(*given, default, **of_platforms):
        del of_platforms
        return default(*given)

    with (
        mock.patch.object(jax.lax, "while_loop", counted_loop),
        mock.patch.object(jax.lax, "platform_dependent", default_branch),
    ):
        jax.block_until_ready(jax.jit(lambda *given: function(*given))(*arguments))
        jax.effects_barrier()
    return dict(seen)


def step_program(name: str, options: Options, train: Interactions, num_steps: int = _STEPS) -> Program:
    """One step of one run; loops take the mean of the rounds that they take in some steps here, in none 1."""
    data, options = train.to_device(), options.as_arrays()
    times = {"training.moved": 1 / training.AVERAGE_EVERY}
    if num_steps:
        step, start = training.make_step(options), training.init_state(options, data, 0)

        def run(state):
            return jax.lax.scan(lambda s, _: step(s, data), state, length=num_steps)

        times |= _means(rounds_of_loops(run, start))
    state = jax.eval_shape(training.init_state, options, data, 0)
    return Program(name, lambda state, data, own: training.make_step(own)(state, data), (state, data, options), times)


def _means(rounds: Mapping[str, list[int]]) -> dict[str, float]:
    return {loop: sum(found) / len(found) for loop, found in rounds.items()}


def population_program(name: str, one: Program, num_members: int) -> Program:
    """One step of runs that differ in their seeds, together; loops end when those of all members have."""
    _, data, options = one.arguments
    together = population.stacked([options] * num_members)
    states = jax.eval_shape(population.init_population, data, together, jnp.arange(num_members))
    return Program(name, population.population_step, (states, data, together), one.times)


def ranking_program(train: Interactions, dim: int, num_users: int = _USERS, k: int = _K) -> Program:
    """Lists of some users, without their training items."""
    users = jnp.arange(num_users) % train.num_users
    degrees = int(train.degrees[jax.device_get(users)].sum())
    lists = left_out(train, jax.device_get(users), num_users, 1 << (degrees - 1).bit_length())
    tables = (jnp.zeros((n, dim)) for n in (train.num_users, train.num_items))
    factors = distance_factors(*tables)
    keys = ranking._filled(factors.keys, ranking._BLOCK)
    # Not the compiled function, which would remember the loops that `rounds_of_loops` puts in their places.
    rank = functools.partial(inspect.unwrap(ranking._rank_here), num_items=train.num_items, k=k, at_once=num_users)
    arguments = (factors.queries, users, keys, lists)
    times = _means(rounds_of_loops(rank, *arguments))
    return Program(f"top {k} of {num_users} users, d = {dim}", rank, arguments, times)


def options_from(config: Config, train: Interactions) -> Options:
    """The options of a config for data."""
    return options_of_config(to_values(config), train)


def programs(sizes: tuple[int, int, int] = GOWALLA) -> list[Program]:
    """All that are counted, at a number of users, items and pairs."""
    train = make_interactions(*sizes)
    two_stage = step_program("gowalla.py: two-stage", options_from(gowalla.get_config(), train), train)
    softmax_options = options_from(gowalla_softmax.get_config(), train)
    every_item = softmax_options.replace_options(train, num_candidates=0)
    softmax = step_program("gowalla_softmax.py", softmax_options, train)
    return [
        two_stage,
        softmax,
        step_program("soft.py", options_from(soft.get_config(), train), train),
        step_program("gowalla_softmax.py, all items", every_item, train, num_steps=2),
        population_program(f"gowalla.py, {_MEMBERS} seeds", two_stage, _MEMBERS),
        population_program(f"gowalla_softmax.py, {_MEMBERS} seeds", softmax, _MEMBERS),
        ranking_program(train, 64),
        ranking_program(train, 128),
    ]


def least_times(counts: Counts) -> dict[str, dict[str, Any]]:
    """Chip -> seconds that its rates allow, for products and for bytes, and which is the limit."""
    found = {}
    for chip, rates in RATES.items():
        products = sum(flop / rates.flop[precision] for precision, flop in counts.products.items())
        least, between = counts.least_bytes / rates.bytes, counts.bytes_between / rates.bytes
        found[chip] = {
            "products": products,
            "least_bytes": least,
            "bytes_between": between,
            "least": max(products, least),
            "between_kernels": max(products, least, between),
            "limit": "products" if products > least else "bytes",
        }
    return found


def measure(program: Program) -> dict[str, Any]:
    """A row of the table."""
    counts = count(program.function, *program.arguments, times=program.times)
    row = dataclasses.asdict(counts) | {"uncounted": sorted(counts.uncounted), "products": dict(counts.products)}
    row |= {"flop": counts.flop, "least_bytes": counts.least_bytes, "intensity": counts.flop / counts.least_bytes}
    return {"program": program.name} | row | {"seconds": least_times(counts)}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] + ["---:"] * (len(head) - 1), *rows)]


def as_markdown(results: dict[str, Any]) -> str:
    """The tables of counts, of times and of loops."""
    rows, chips = results["programs"], list(RATES)
    counted = [
        [
            row["program"],
            _number(row["products"].get("default", 0) / 1e9),
            _number((row["flop"] - row["products"].get("default", 0)) / 1e9),
            _number(row["transcendental"] / 1e6),
            _number(row["elementwise"] / 1e6),
            _number(row["least_bytes"] / 1e6),
            _number(row["bytes_between"] / 1e6),
            _number(row["intensity"]),
            _number(row["kernels"]),
        ]
        for row in rows
    ]
    head = ["computed, a call", "GFLOP, default", "GFLOP, highest", "10^6 transcendental", "10^6 elementwise"]
    head += ["MB, least", "MB between kernels", "FLOP a byte", "kernels"]
    timed = []
    for row in rows:
        cells = [row["program"]]
        for chip in chips:
            seconds = row["seconds"][chip]
            cells += [_number(seconds["least"] * 1e6), seconds["limit"], _number(seconds["between_kernels"] * 1e6)]
        timed.append(cells)
    times = ["computed, microseconds a call"]
    for chip in chips:
        times += [f"{chip}: least", "its limit", "between kernels"]
    loops = [
        [row["program"], ", ".join(f"{name} {_number(often)}" for name, often in row["named"].items())] for row in rows
    ]
    parts = (
        _table(head, counted),
        _table(times, timed),
        _table(["loops and branches: times a call", "run here"], loops),
    )
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def main() -> None:
    """Counts every program and writes the tables."""
    path = Path(_OUTPUT.value)
    results = {
        "computed": "from the programs' equations and published rates; nothing was measured on an accelerator",
        "versions": {"jax": jax.__version__, "python": platform.python_version()},
        "rates": {chip: rates._asdict() for chip, rates in RATES.items()},
        "programs": [measure(program) for program in programs()],
    }
    path.write_text(json.dumps(results, indent=2) + "\n")
    page = as_markdown(results)
    path.with_suffix(".md").write_text(page)
    print(page)


if __name__ == "__main__":
    cli.run(main, FLAGS, example="python -m experiments.benchmarks.accelerator_costs --output=costs.json")
