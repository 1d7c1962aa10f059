"""Our softmax and its peers, one after the other on the same machine and split: validation NDCG@20 against seconds.

python -m experiments.benchmarks.peers --data=FOLDER --output=FOLDER --seconds=120 --libcml=FOLDER

The data are a folder in the format 'adjacency', such as Last.fm's or Gowalla's; without a valid.txt a tenth of train is
set aside. Every method runs its own code on all cores, is given as many dimensions and, for each of its settings
(experiments/benchmarks/peer_methods/settings.py; at most four, of which validation chooses), as many seconds of
training, and is scored by our evaluation, training items left out, while its clock stands still. Set-up counts: our
seconds contain compilation. Imports and the reading of the data are in nobody's.

The output folder gets peers.json, after each setting, and at the end peers.md and a figure. What is measured is kept:
called again, the command measures what is missing, and --methods=NAME,NAME measures these anew, perhaps with other
--seconds. Peers need pip install -e '.[peers]', and LibCML a checkout of github.com/statusrank/LibCML; what is not
there is said and left out. --quick takes a minute, on generated data and one core.
"""

import contextlib
import functools
import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from absl import flags

from cml_jax import evaluate
from cml_jax.data.interactions import Dataset
from cml_jax.errors import ConfigError, UserError
from cml_jax.files import home_path
from cml_jax.runs import versions
from cml_jax.runs.setup import make_setup
from cml_jax.runs.workdir import write_atomically
from cml_jax.types import Ranking
from experiments import cli
from experiments.benchmarks import peer_results
from experiments.benchmarks.peer_methods import METHODS, settings, trainer, why_left_out
from experiments.benchmarks.peer_methods.watch import Enough, Task, Watch
from experiments.config import Config, to_values
from experiments.configs import gowalla_softmax, soft
from experiments.log import say

FLAGS = flags.FlagValues()  # its own, since commands share names
_DATA = flags.DEFINE_string("data", None, "Folder with train.txt, test.txt and perhaps valid.txt.", flag_values=FLAGS)
_NAME = flags.DEFINE_string("name", None, "Name of the data set; the folder's where left out.", flag_values=FLAGS)
_OUTPUT = flags.DEFINE_string("output", None, "Folder for results.", required=True, flag_values=FLAGS)
_SECONDS = flags.DEFINE_float(
    "seconds", 120.0, "Seconds of training for each setting, set-up apart.", lower_bound=0.1, flag_values=FLAGS
)
_METHODS = flags.DEFINE_list("methods", None, "Those to measure anew: " + ", ".join(METHODS), flag_values=FLAGS)
_LIBCML = flags.DEFINE_string("libcml", None, "A checkout of LibCML.", flag_values=FLAGS)
_QUICK = flags.DEFINE_boolean("quick", False, "Generated data, one core, one second a setting.", flag_values=FLAGS)
_PACKAGES = ("jax", "jaxlib", "numpy", "torch", "implicit", "lightfm-next", "lightfm")
_QUICK_SECONDS, _K = 1.0, 20
_FLOOR = 10  # times the share of a list of K in all items, about the score of a random list


def make_task(name: str, folder: Path | None, libcml: Path | None) -> Task:
    """Our config for a data set, and the data set, read and split once for all methods.

    Args:
        name: 'gowalla' has a config of its own.
        folder: of the data; None where they are generated.
        libcml: a checkout of LibCML, or None.

    Raises:
        UserError: the data cannot be used.
    """
    config: Config = gowalla_softmax.get_config() if name == "gowalla" else soft.get_config()
    config.dataset.name = name
    if folder is not None:
        config.dataset.path, config.dataset.format = str(folder), "adjacency"
    else:
        quick = {"model.dim": 8, "sampler.num_candidates": 16, "train.batch_size": 512, "optimizer.learning_rate": 0.03}
        config.update_from_flattened_dict(quick)
    setup = make_setup(to_values(config))
    for note in setup.dataset.notes:
        say(note)
    num_threads = 1 if folder is None else len(os.sched_getaffinity(0))
    return Task(config, setup.dataset, setup.data_sha256, config.model.dim, num_threads, libcml)


def ndcg(dataset: Dataset, ranking: Ranking) -> float:
    """Validation NDCG of a method, training items left out."""
    return evaluate(ranking, dataset.train, dataset.train, dataset.valid, ks=(_K,)).values[f"ndcg@{_K}"]


def run(task: Task, name: str, setting: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Trains a method with one setting; what peers.json keeps of it.

    Args:
        task: data and sizes.
        name: key of METHODS.
        setting: of the method.
        seconds: of training.
    """
    train = trainer(name)
    watch = Watch(functools.partial(ndcg, task.dataset), seconds, floor=_FLOOR * _K / task.dataset.train.num_items)
    with contextlib.suppress(Enough):
        train(task, setting, watch)
    trial = {"setting": dict(setting), "seconds": seconds, "ended": watch.ended, "setup_seconds": watch.setup_seconds}
    return trial | {"points": [list(point) for point in watch.points]}


def measure(
    task: Task,
    name: str,
    tried: settings.Settings,
    seconds: float,
    results: dict[str, Any],
    keep: Callable[[], None] = lambda: None,
    *,
    anew: bool = False,
) -> None:
    """Tries settings of a method, and puts the trials into the results, one after the other.

    Args:
        task: data and sizes.
        name: key of METHODS.
        tried: settings of every method.
        seconds: of training.
        results: of peers.json; a method that cannot be run gets the reason.
        keep: called after each trial.
        anew: try those too of which there is a trial, which is replaced; else the others alone.
    """
    reason = why_left_out(name, task.libcml)
    if reason is not None:
        say(reason)
        if name not in results["methods"]:  # results of a place where it could be run are kept
            results["left_out"][name] = reason
            keep()
        return
    results["left_out"].pop(name, None)
    trials = results["methods"].setdefault(name, [])
    there = [trial["setting"] for trial in trials]
    for setting in (dict(setting) for setting in tried[name]):
        if setting in there and not anew:
            continue
        trial = run(task, name, setting, seconds)
        trials[:] = [other for other in trials if other["setting"] != setting] + [trial]
        keep()
        best = max((point[2] for point in trial["points"]), default=float("nan"))
        say(f"{METHODS[name].label}, {peer_results.written(setting)}: NDCG@{_K} {best:.4f} ({trial['ended']})")


def _new_results(task: Task) -> dict[str, Any]:
    parts = {part: getattr(task.dataset, part).num_pairs for part in ("train", "valid")}
    return {
        "data": task.config.dataset.name,
        "sha256": task.sha256,
        "sizes": {"users": task.dataset.train.num_users, "items": task.dataset.train.num_items, **parts},
        "dim": task.dim,
        "metric": f"ndcg@{_K}",
        "methods": {},
        "left_out": {},
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def read_results(path: Path, task: Task) -> dict[str, Any]:
    """The results so far, or empty ones.

    Args:
        path: of peers.json.
        task: what they must be of.

    Raises:
        UserError: they are damaged, or of other data.
    """
    if not path.exists():
        return _new_results(task)
    try:
        results = json.loads(path.read_text())
        same = (results["sha256"], results["dim"]) == (task.sha256, task.dim)
        _ = results["methods"], results["left_out"]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is damaged; remove it to measure everything anew.") from error
    if not same:
        raise UserError(f"{path} is of other data or dimensions; give another --output.")
    return results


def main() -> None:
    """Measures what is missing or named, and writes results, table and figure."""
    unknown = [name for name in _METHODS.value or () if name not in METHODS]
    if unknown:
        raise ConfigError(f"--methods: '{unknown[0]}' is unknown; choose among {', '.join(METHODS)}.")
    folder, libcml = (None if flag.value is None else home_path(flag.value) for flag in (_DATA, _LIBCML))
    if (folder is None) != _QUICK.value:
        raise ConfigError("Give either --data=FOLDER or --quick, which generates its data.")
    name = "synthetic" if folder is None else _NAME.value or folder.resolve().name
    task = make_task(name, folder, libcml)
    output = Path(_OUTPUT.value)
    output.mkdir(parents=True, exist_ok=True)
    results = read_results(output / "peers.json", task)
    tried = settings.quick() if folder is None else settings.settings(name)
    results |= {"device": versions.devices(), "threads": task.num_threads, "versions": _versions()}

    def keep():
        write_atomically(output / "peers.json", json.dumps(results, indent=2) + "\n")

    seconds, named = _QUICK_SECONDS if folder is None else _SECONDS.value, _METHODS.value
    for method in METHODS:
        if named is None or method in named:
            measure(task, method, tried, seconds, results, keep, anew=named is not None)
    peer_results.write(results, output)


if __name__ == "__main__":
    cli.run(main, FLAGS)
