"""What metric learning is compared with in the same harness: most popular items, ALS, BPR, item-KNN, EASE and SLIM.

python -m experiments.results.baselines --config=experiments/configs/results/lastfm.py --workdir=runs/results/lastfm \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

Takes data set, evaluation, dimension and seeds of a grid's config, and fits every entry of config.sweep.baselines; each
leaves a workdir that experiments.report reads as it does those of trained runs. 'popular' needs nothing, the others pip
install -e '.[baselines]': implicit for 'als', 'implicit_bpr' and 'item_knn', irspack for 'ease' and 'slim'.
"""

import copy
import importlib
import json
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse
from absl import flags
from ml_collections import config_flags

from cml_jax.data.interactions import Dataset, Interactions
from cml_jax.errors import ConfigError, UserError
from cml_jax.runs import config as run_config
from cml_jax.runs import scoring
from cml_jax.runs.config import Config as Values
from cml_jax.runs.setup import make_setup
from cml_jax.runs.summary import Summary, make_summary
from cml_jax.runs.workdir import Workdir, locked, write_atomically
from cml_jax.types import Factors, Ranking
from experiments import cli
from experiments.config import Config, to_values
from experiments.log import say
from experiments.results import item_models, rescore

_SECTIONS = ("dataset", "eval")
_DEFAULTS: dict[str, dict[str, Any]] = {
    "popular": {},
    "als": {"iterations": 15, "regularization": 0.01, "alpha": 1.0},
    "implicit_bpr": {"iterations": 100, "regularization": 0.01, "learning_rate": 0.01},
    "item_knn": {"weighting": "cosine", "num_neighbours": 50},  # the item itself is one of them
    "ease": {"regularization": 100.0},
    "slim": {"iterations": 100, "alpha": 0.05, "l1_ratio": 0.01},
}
NAMES = tuple(_DEFAULTS)
_CHOICES = {"weighting": tuple(item_models.WEIGHTINGS)}
_NO_SEED = ("popular", *item_models.LIBRARIES)


def fit(name: str, options: dict[str, Any], train: Interactions, dim: int, seed: int) -> Ranking:
    """Factors whose inner products rank the items, or the scores of models that have none.

    Args:
        name: one of NAMES.
        options: of the model.
        train: what it is fitted to.
        dim: number of factors.
        seed: of the factors at the start, and of BPR's draws.

    Raises:
        UserError: the library is not installed, or diverges.
    """
    if name == "popular":
        counts = np.log1p(train.popularity.astype(np.float64))[:, None]  # in the same order, and small
        return Factors(jnp.ones((train.num_users, 1)), jnp.asarray(counts, jnp.float32))
    if name in item_models.LIBRARIES:
        return item_models.fit(name, options, matrix_of(train))
    # One thread: BPR's threads race, so that a seed would not repeat; and ALS's own are slowed down by those of BLAS.
    model = make_model(name, options, dim, seed, num_threads=1)
    with importlib.import_module("threadpoolctl").threadpool_limits(1, "blas"):
        try:
            model.fit(matrix_of(train), show_progress=False)
        except importlib.import_module("implicit.recommender_base").ModelFitError as error:
            raise UserError(
                f"Baseline '{name}' with {options} has no finite factors (implicit: {error}); give it other options, "
                f"such as a lower learning_rate or a higher regularization."
            ) from error
    return Factors(jnp.asarray(model.user_factors), jnp.asarray(model.item_factors))


def make_model(name: str, options: Mapping[str, Any], dim: int, seed: int, num_threads: int) -> Any:
    """implicit's model, not fitted.

    Args:
        name: 'als' or 'implicit_bpr'.
        options: of the model.
        dim: number of factors.
        seed: of the factors at the start, and of BPR's draws.
        num_threads: of the model.

    Raises:
        UserError: implicit is not installed.
    """
    try:
        library = importlib.import_module("implicit")
    except ImportError as error:
        raise UserError(f"Baseline '{name}' needs pip install -e '.[baselines]'; or leave it out.") from error
    kind = library.als.AlternatingLeastSquares if name == "als" else library.bpr.BayesianPersonalizedRanking
    return kind(factors=dim, random_state=seed, num_threads=num_threads, **options)


def matrix_of(train: Interactions) -> scipy.sparse.csr_matrix:
    """The pairs as a matrix of ones, [U, I] float32."""
    ones = np.ones(train.num_pairs, np.float32)
    return scipy.sparse.csr_matrix((ones, train.items, train.indptr), (train.num_users, train.num_items))


def run_baseline(entry: dict[str, Any], config: Values, dataset: Dataset, data_sha256: str, folder: Path) -> Summary:
    """Fits one baseline, scores it as a run is scored, and writes config.json, per_user.npz and summary.json.

    Args:
        entry: 'name', and the model's options.
        config: resolved; seed, dataset, eval and model.dim are used.
        dataset: what it names.
        data_sha256: the digest of that.
        folder: the workdir.

    Returns:
        What summary.json holds.

    Raises:
        UserError: the workdir cannot be written, or the model not fitted.
    """
    started = time.perf_counter()
    name = entry["name"]
    options = _DEFAULTS[name] | {key: value for key, value in entry.items() if key != "name"}
    library = None if name == "popular" else item_models.LIBRARIES.get(name, "implicit")
    dim = {} if name in item_models.LIBRARIES else {"dim": config["model.dim"]}
    protocol = scoring.make_protocol(config)
    with locked(folder):
        ranking = fit(name, options, dataset.train, config["model.dim"], config["seed"])
        final = scoring.final_scores(ranking, dataset, protocol)
        steps = int(options.get("iterations", 1))
        summary = make_summary(
            final,
            dataset,
            data_sha256,
            best_step=steps,
            steps=steps,
            triplets_per_second=None,
            wall_seconds=time.perf_counter() - started,
            more_versions={library: metadata.version(library)} if library else {},
            device="cpu",
        )
        values = run_config.to_json(config)
        values = {key: values[key] for key in ("seed", *_SECTIONS)}
        values |= {"baseline": {"name": name, **dim, **options}, "data_sha256": data_sha256}
        write_atomically(folder / "config.json", json.dumps(values, indent=2) + "\n")
        workdir = Workdir(folder, [], writes=True)
        workdir.write_per_user(final[summary.part])
        if protocol.enough_held_out and summary.part == "test":
            rescore.write_scores(folder, ranking, steps, dataset, protocol)
        workdir.write_summary(summary.to_json())
    value = summary.metrics[protocol.metric]
    say(f"{folder}: {summary.part} {protocol.metric} {value:.4f}, {summary.wall_seconds:.0f} s")
    return summary


def run_all(config: Config, workdir: Path) -> None:
    """Every entry of config.sweep.baselines, with every seed of the grid, or the first where nothing depends on it.

    Raises:
        UserError: an entry or the data cannot be used.
    """
    entries = [dict(entry) for entry in config.sweep.baselines] if "sweep" in config else []
    if not entries:
        raise ConfigError("config.sweep.baselines is empty; give a config of experiments/configs/results.")
    for entry in entries:
        _check(entry)
    seeds = [int(seed) for seed in config.sweep.axes.get("seed", (config.seed,))]
    config = copy.deepcopy(config).unlock()
    del config["sweep"]
    setup = make_setup(to_values(config))
    for entry in entries:
        for seed in seeds[:1] if entry["name"] in _NO_SEED else seeds:
            folder = workdir / _label(entry, entries) / str(seed)
            run_baseline(entry, {**setup.config, "seed": seed}, setup.dataset, setup.data_sha256, folder)


def _label(entry: dict[str, Any], entries: list[dict[str, Any]]) -> str:
    """The entry's name; with its number where several have the name."""
    same = [other for other in entries if other["name"] == entry["name"]]
    return entry["name"] if len(same) == 1 else f"{entry['name']},{1 + same.index(entry)}"


def _check(entry: dict[str, Any]) -> None:
    name = entry.get("name")
    if name not in NAMES:
        raise ConfigError(f"config.sweep.baselines: name = {name!r} is unknown; choose one of {', '.join(NAMES)}.")
    for key, value in entry.items():
        if key == "name":
            continue
        if key not in _DEFAULTS[name]:
            known = ", ".join(_DEFAULTS[name]) or "none"
            raise ConfigError(f"config.sweep.baselines: '{key}' is not an option of '{name}', which has: {known}.")
        if key in _CHOICES:
            if value not in _CHOICES[key]:
                raise ConfigError(
                    f"config.sweep.baselines: {key} = {value!r} of '{name}' is unknown; choose one of "
                    f"{', '.join(_CHOICES[key])}."
                )
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
            raise ConfigError(f"config.sweep.baselines: {key} = {value!r} of '{name}' must be a number above 0.")


def main() -> None:
    """Runs with the flags' values."""
    run_all(flags.FLAGS.config, Path(flags.FLAGS.workdir))


if __name__ == "__main__":
    config_flags.DEFINE_config_file("config", None, "A grid's config, such as experiments/configs/results/lastfm.py.")
    flags.DEFINE_string("workdir", None, "Folder for the runs.", required=True)
    flags.mark_flag_as_required("config")
    cli.run(main)
