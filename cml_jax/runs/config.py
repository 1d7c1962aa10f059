"""The keys of a run's config, each declared once: default, range and help; and configs as plain dictionaries.

What a compiled step depends on is declared with the strategies; this file has the rest of a run. A config is a mapping
from every key, such as 'model.dim', to its value.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

from cml_jax import defaults
from cml_jax import keys as option_keys
from cml_jax.data.options import DataOptions
from cml_jax.options import (
    AT_LEAST_1,
    POSITIVE,
    FromData,
    Option,
    Range,
    declared,
    one_of,
    options,
    static,
)

Config: TypeAlias = Mapping[str, Any]  # dotted key -> value

_CUTOFFS = Range(lambda v: all(type(k) is int and k >= 1 for k in v), "must be integers of 1 or more")
_SOME_CUTOFFS = Range(lambda v: len(v) > 0 and _CUTOFFS.allows(v), _CUTOFFS.sentence)
_NOT_EMPTY = Range(lambda v: bool(v.strip()), "must not be empty")
COMPARED = ("popular", "uniform")
_SEED = Range(lambda v: 0 <= v < 2**31, "must be 0 or more and below 2^31")
_COUNT = Range(lambda v: 1 <= v < 2**31, "must be 1 or more and below 2^31")


@options
class RunOptions:
    """Options of a run as a whole."""

    seed: int = static(0, "seed of every random draw of the training", _SEED)
    init_from: str | None = static(
        None, "workdir of a run, or folder of a saved model, to go on from with grown data; none: start at random"
    )
    init_moments: bool = static(True, "whether the optimizer goes on with the moments of init_from, if it has them")
    compilation_cache_dir: str | None = static(
        None,
        "folder of compiled programs, read by later runs instead of compiling; none: as JAX is set, such as by "
        "JAX_COMPILATION_CACHE_DIR",
        _NOT_EMPTY,
    )


@options
class SourceOptions:
    """Options of where the data are; `DataOptions` has what is done to them."""

    name: str | None = static(
        None,
        "synthetic | checkerboard (generated), a public data set such as movielens-1m (downloaded, see docs/data.md), "
        "echonest, or a label for path; none: the path's last part, synthetic without one",
    )
    path: str | None = static(None, "file or folder")
    format: str | None = static(
        None,
        "adjacency | csv | echonest | inter | jsonl | movielens | npz | parquet | text | tsv; none: as the name says, "
        "else as the path does",
    )


@options
class TrainOptions:
    """Options of the training loop."""

    num_passes: float | None = static(
        None,
        "passes over the training pairs; none: follows from their number",
        POSITIVE,
        from_data=FromData(defaults.num_passes, without=16.0),
    )
    num_steps: int | None = static(None, "steps; if given, counts instead of num_passes", _COUNT)
    report_every_steps: int = static(
        100, "steps in one dispatch, each with a report; best a divisor of the other periods", AT_LEAST_1
    )


@options
class EvalOptions:
    """Options of the evaluation."""

    every_steps: int | None = static(
        None, "steps between evaluations on validation; none: about ten of them in a run", AT_LEAST_1
    )
    ks: tuple[int, ...] | None = static(
        None,
        "cut-offs of the metrics; none: 20 and 50, or what the catalogue allows",
        _SOME_CUTOFFS,
        from_data=FromData(defaults.cutoffs, without=defaults.CUTOFFS),
    )
    select: str | None = static(None, "metric@k that selects the parameters; none: NDCG at the largest cut-off")
    final_ks: tuple[int, ...] = static((), "more cut-offs, for the final scores alone", _CUTOFFS)
    enough_held_out: bool = static(
        False, "leave users with fewer than k held-out items out of precision, recall, hit rate and NDCG at k"
    )
    max_users: int | None = static(None, "validation users scored during training; none: all", AT_LEAST_1)
    patience: int | None = static(
        None,
        "early stopping: evaluations in a row that are no better than the best before them after which a run ends; "
        "none: it goes on to its last step",
        AT_LEAST_1,
    )
    final_split: str = static(
        "test",
        "split of the final score: test | valid | best_test (test, and beside it the best test score of all "
        "evaluations, by which some published rows were selected)",
        one_of(("test", "valid", "best_test")),
    )
    memory_budget_mb: float = static(512.0, "bound on the scores held at once, in MiB", POSITIVE)
    compare: tuple[str, ...] = static(
        (),
        "by the commands: what else is scored on the same data: popular (most popular items), uniform (the triplet "
        "loss with uniform negatives)",
        Range(lambda v: all(name in COMPARED for name in v), "has an unknown name; choose of popular, uniform"),
    )


@options
class CheckpointOptions:
    """Options of checkpoints."""

    every_steps: int = static(1000, "steps between checkpoints", AT_LEAST_1)
    keep: int = static(2, "checkpoints kept, the newest", AT_LEAST_1)


@options
class LogOptions:
    """Options of the log."""

    tensorboard: bool = static(False, "write event files into the workdir's folder tensorboard")
    wandb: bool = static(False, "report to Weights & Biases")
    mlflow: bool = static(False, "report to MLflow")
    explore: bool = static(
        False, "by the commands: write space.html into the workdir at the end, as experiments.explore does"
    )
    project: str = static("cml_jax", "project of Weights & Biases, experiment of MLflow", _NOT_EMPTY)


@options
class ShardingOptions:
    """Options of several devices."""

    num_shards: int | None = static(
        None,
        "devices that the tables are split over; divides the batch size; none: 1, or all those of several processes",
        AT_LEAST_1,
    )


_CLASSES = {
    "": (RunOptions,),
    "dataset": (SourceOptions, DataOptions),
    "train": (TrainOptions,),
    "eval": (EvalOptions,),
    "checkpoint": (CheckpointOptions,),
    "log": (LogOptions,),
    "sharding": (ShardingOptions,),
}
_ORDER = ("", "dataset", "sampler", "model", "optimizer", "train", "eval", "checkpoint", "log", "sharding")


def _all_keys() -> dict[str, Option]:
    classes = [(section, cls) for section, several in _CLASSES.items() for cls in several]
    keys = {f"{section}.{o.name}".lstrip("."): o for section, cls in classes for o in declared(cls)}
    keys |= option_keys.KEYS
    return dict(sorted(keys.items(), key=lambda item: _ORDER.index(section_of(item[0]))))


def section_of(key: str) -> str:
    """The section of a dotted key; nothing for a key of the run as a whole."""
    return key.rpartition(".")[0]


KEYS: dict[str, Option] = _all_keys()
"""Every key of a config."""


def default_values() -> dict[str, Any]:
    """Every key with its default; None where it follows from something else."""
    return {key: option.default for key, option in KEYS.items()}


def section(config: Config, name: str) -> dict[str, Any]:
    """The keys of a section, by the last part of their names."""
    return {key.rpartition(".")[2]: value for key, value in config.items() if section_of(key) == name}


def to_json(config: Config) -> dict[str, Any]:
    """The config as an object of sections, of types that JSON has."""
    found: dict[str, Any] = {}
    for key in [key for key in KEYS if key in config]:
        section, _, name = key.rpartition(".")
        value = list(config[key]) if isinstance(config[key], tuple) else config[key]
        (found.setdefault(section, {}) if section else found)[name] = value
    return found
