"""Peak memory of evaluation, lists and fold-in with and without one user who has most of the catalogue.

python -m experiments.benchmarks.heavy_user --output=FILE.json

Every figure is of a process of its own, which makes the same model and data each time; but for one user, who has 30
items or nine tenths of all. `peak` is the largest memory of the process in MiB, `growth` what of it came after the
model and the data were made. Three minutes on two CPU cores; Linux alone, whose /proc tells the peak.
"""

import json
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from absl import flags

from cml_jax import Params, Recommender, evaluate, make_options
from cml_jax.data.interactions import Interactions, difference, from_pairs, keep_users
from cml_jax.serving.raw_ids import RawIds
from experiments import cli

FLAGS = flags.FlagValues()  # its own, since commands share names
_OUTPUT = flags.DEFINE_string("output", None, "JSON file for the figures.", flag_values=FLAGS)
_ITEMS = flags.DEFINE_integer("items", 150_000, "Items.", lower_bound=1000, flag_values=FLAGS)
_USERS = flags.DEFINE_integer("users", 600, "Users.", lower_bound=2, flag_values=FLAGS)
_BUDGET = flags.DEFINE_float("memory_budget_mb", 64.0, "Bound on the scores held at once.", flag_values=FLAGS)
_TASK = flags.DEFINE_string("task", None, "Measures this one here, and prints it as JSON.", flag_values=FLAGS)
_HEAVY = flags.DEFINE_boolean("heavy", False, "For --task: whether the heavy user is there.", flag_values=FLAGS)
_DIM, _DEGREE, _HEAVY_SHARE = 64, 30, 0.9


def make_model(num_users: int, num_items: int, *, heavy: bool, budget: float) -> tuple[Recommender, Interactions]:
    """A model of random points, and two fifths of all pairs held out, so that the heavy user has many of both parts."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(num_users), _DEGREE)
    items = rng.integers(0, num_items, len(users))
    if heavy:
        many = rng.choice(num_items, int(_HEAVY_SHARE * num_items), replace=False)
        users, items = np.concatenate([users, np.full(len(many), num_users // 2)]), np.concatenate([items, many])
    pairs, is_test = from_pairs(users, items, num_users, num_items), rng.random(len(users)) < 0.4
    test = from_pairs(users[is_test], items[is_test], num_users, num_items)
    train, _ = difference(pairs, test)
    tables = {
        "users": rng.standard_normal((num_users, _DIM), dtype=np.float32) / 8,
        "items": rng.standard_normal((num_items, _DIM), dtype=np.float32) / 8,
    }
    model = Recommender(
        options=make_options(train),
        params=Params({name: jnp.asarray(table) for name, table in tables.items()}),
        user_ids=RawIds(np.arange(num_users), "user"),
        item_ids=RawIds(np.arange(num_items), "item"),
        train=train,
        valid=from_pairs(np.zeros(0, int), np.zeros(0, int), num_users, num_items),
        step=0,
        memory_budget_mb=budget,
    )
    return model, test


def run_task(task: str, model: Recommender, test: Interactions) -> None:
    """Evaluates, recommends to everyone, or folds in as many users as a chunk holds, the heavy one among them."""
    if task == "evaluate":
        evaluate(
            model.ranking,
            model.train,
            model.train,
            test,
            ks=(50,),
            by_popularity=True,
            memory_budget_mb=model.memory_budget_mb,
        )
    elif task == "recommend":
        for _ in model.recommend_in_blocks(k=50):
            pass
    else:
        num_users = model.train.num_users
        some = np.arange(max(0, num_users // 2 - 20), min(num_users, num_users // 2 + 20))
        model.fold_in_all(keep_users(model.train, some))


TASKS = ("evaluate", "recommend", "fold_in")


def measure(task: str, num_users: int, num_items: int, *, heavy: bool, budget: float) -> dict[str, float]:
    """Peak and growth of this process, in MiB."""
    model, test = make_model(num_users, num_items, heavy=heavy, budget=budget)
    _ = model.ranking, model.data
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = _status_mb("VmRSS")
    run_task(task, model, test)
    peak = _status_mb("VmHWM")
    return {"peak": peak, "growth": peak - before}


def _status_mb(name: str) -> float:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 2**10


def measure_apart(task: str, num_users: int, num_items: int, *, heavy: bool, budget: float) -> dict[str, float]:
    """`measure`, in a process of its own."""
    command = [sys.executable, "-m", "experiments.benchmarks.heavy_user", f"--task={task}", f"--heavy={heavy}"]
    command += [f"--users={num_users}", f"--items={num_items}", f"--memory_budget_mb={budget}"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measures one task, or all of them with and without the heavy user."""
    sizes = _USERS.value, _ITEMS.value
    if _TASK.value is not None:
        print(json.dumps(measure(_TASK.value, *sizes, heavy=_HEAVY.value, budget=_BUDGET.value)))
        return
    results: dict[str, object] = {"users": sizes[0], "items": sizes[1], "memory_budget_mb": _BUDGET.value}
    for task in TASKS:
        without, heavy = (measure_apart(task, *sizes, heavy=there, budget=_BUDGET.value) for there in (False, True))
        ratio = heavy["peak"] / without["peak"]
        results[task] = {"without": without, "with": heavy, "ratio": ratio}
        print(
            f"{task}: peak {without['peak']:,.0f} MiB without the heavy user, {heavy['peak']:,.0f} MiB with: "
            f"{ratio:.2f} times; growth {without['growth']:,.0f} and {heavy['growth']:,.0f} MiB",
            flush=True,
        )
    if _OUTPUT.value is not None:
        Path(_OUTPUT.value).write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    cli.run(main, FLAGS)
