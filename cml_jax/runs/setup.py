"""What a run is, resolved once from its config and its data; for a run alone and for a member of a sweep alike."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from cml_jax import batches, keys
from cml_jax.data import datasets
from cml_jax.data.interactions import Dataset
from cml_jax.options import from_data
from cml_jax.runs import config as config_lib
from cml_jax.runs import scoring, validation
from cml_jax.runs.config import KEYS, Config
from cml_jax.runs.scoring import Protocol
from cml_jax.strategies import Options
from cml_jax.table_kinds import with_context
from cml_jax.types import DeviceInteractions, Params, Ranking

Load = Callable[..., tuple[Dataset, str]]  # dataset options -> data set and digest


class Periods(NamedTuple):
    """Steps between what happens again and again."""

    report: int
    evaluate: int
    checkpoint: int


class Setup(NamedTuple):
    """A run before it has a workdir.

    Attributes:
        config: resolved and valid; what config.json holds.
        dataset: what it trains on and is scored on.
        data_sha256: the digest of that.
        options: what its steps are compiled for, with its traced numbers as arrays.
        num_steps: of the whole run.
        periods: of reports, evaluations and checkpoints.
        protocol: how it is scored.
        valid_users: ndarray; the validation users scored during training.
        notes: lines for the log.
        init: a `Recommender` in memory that it starts from; `init_from` of the config then has its name.
    """

    config: Config
    dataset: Dataset
    data_sha256: str
    options: Options
    num_steps: int
    periods: Periods
    protocol: Protocol
    valid_users: np.ndarray
    notes: tuple[str, ...]
    init: Any = None

    @property
    def program(self) -> tuple[Any, ...]:
        """What runs must share to be trained together."""
        return jax.tree.structure(self.options), self.data_sha256, self.num_steps, self.periods

    @property
    def seed(self) -> int:
        """Of every random draw."""
        return self.config["seed"]

    def ranking(self, params: Params, data: DeviceInteractions) -> Ranking:
        """How the model ranks items, with these parameters and the training interactions."""
        model = self.options.make_model()
        return model.ranking(with_context(model, params, data), data)


def with_names(config: Config) -> dict[str, Any]:
    """A copy in which what the names of the data set and of the model stand for is filled in."""
    of_data = config_lib.section(config, "dataset")
    path = of_data["path"]
    if of_data["name"] is None:  # of a path it is a label, which stands for no recipe
        of_data = datasets.resolve(of_data) if path else of_data
        of_data["name"] = Path(path).name if path else "synthetic"
    elif path is not None or of_data["name"] not in datasets.GENERATED:
        of_data = datasets.resolve(of_data)
    named = {f"dataset.{name}": value for name, value in of_data.items()}
    return {**config, **named, "model.name": validation.options_of(config).model.name}


def make_setup(config: Config, load: Load | None = None) -> Setup:
    """Checks a config, loads its data and finds what follows from both.

    Args:
        config: every key of `config.KEYS` with its value; None where it is to follow from something else.
        load: dataset options -> data set and digest; for data in memory, or shared by several runs.

    Raises:
        UserError: one sentence about what cannot be used.
    """
    validation.validate(config)
    given = with_names(config)
    guessed = datasets.guessed_format(config_lib.section(config, "dataset"))
    format_notes = (datasets.format_note(config["dataset.path"], *guessed),) if guessed else ()
    dataset, data_sha256 = (load or load_with_digest)(**config_lib.section(given, "dataset"))
    config = given | _from_data(given, dataset)
    protocol = scoring.make_protocol(config)
    valid_users = scoring.validation_users(dataset, config)
    validation.validate_against(config, dataset, protocol, valid_users)
    num_steps = _num_steps(config, dataset.train.num_pairs)
    options = validation.options_of(config, dataset, num_steps)
    validation.check_features(options, dataset)
    report = config["train.report_every_steps"]
    config["eval.every_steps"] = config["eval.every_steps"] or _every_tenth(num_steps, report)
    config |= {key: value for key, value in _values(options).items() if config[key] is None and value is not None}
    return Setup(
        config=config,
        dataset=dataset,
        data_sha256=data_sha256,
        options=options.as_arrays(),
        num_steps=num_steps,
        periods=Periods(report, config["eval.every_steps"], config["checkpoint.every_steps"]),
        protocol=protocol,
        valid_users=valid_users,
        notes=(
            *(*format_notes, *dataset.notes, *_notes(given, config, options)),
            *(*_notes_on_signals(given, dataset), *_notes_on_patience(config, num_steps)),
        ),
    )


def load_with_digest(**options: Any) -> tuple[Dataset, str]:
    """A data set and its digest."""
    dataset = datasets.load(**options)
    return dataset, dataset.sha256()


def _from_data(config: Config, dataset: Dataset) -> dict[str, Any]:
    """Keys without a value whose default follows from the training pairs."""
    found = from_data(KEYS, config, dataset.train)
    if config["train.num_steps"] is not None:
        found.pop("train.num_passes", None)
    return found


def _values(options: Options) -> dict[str, Any]:
    """Static options by config key."""
    values = options.values()
    return {key: values[name] for name, key in keys.OPTION_NAMES.items() if name in values and not KEYS[key].traced}


def _notes(given: Config, config: Config, options: Options) -> list[str]:
    """Lines for the log: what follows from the data, and what was set and has no effect."""
    derived = [key for key, option in KEYS.items() if option.from_data and given[key] is None]
    unused = {option.key for option in keys.unused(options, config)}
    said = [f"{key} = {_written(config[key])}" for key in derived if key not in unused and config[key] is not None]
    lines = [f"Follows from the data: {', '.join(said)}."] if said else []
    return lines + validation.notes_on_unused(options, given)


def _notes_on_patience(config: Config, num_steps: int) -> list[str]:
    """A line for the log where a run is over before it can be out of patience."""
    patience, every = config["eval.patience"], config["eval.every_steps"]
    if patience is None or (1 + patience) * every < num_steps:
        return []
    return [
        f"eval.patience = {patience} has no effect: {num_steps:,} steps with eval.every_steps = {every} have no more "
        f"evaluations than that."
    ]


def _notes_on_signals(given: Config, dataset: Dataset) -> list[str]:
    """Lines for the log about options that were set for signals that the data do not have."""
    lacking = {
        "train.weight_use": dataset.train.weights is None and "the pairs have no weights",
        "model.num_dislikes": dataset.dislikes is None and "the data have no dislikes",
    }
    unused = {key: why for key, why in lacking.items() if why and given[key] != KEYS[key].default}
    return [f"not used, since {why}: {key.split('.')[1]}" for key, why in unused.items()]


def _written(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _num_steps(config: Config, num_pairs: int) -> int:
    """Steps of the whole run: train.num_steps where given, else train.num_passes over the pairs, rounded up."""
    if config["train.num_steps"] is not None:
        return config["train.num_steps"]
    return math.ceil(config["train.num_passes"] * batches.steps_per_pass(num_pairs, config["train.batch_size"]))


def _every_tenth(num_steps: int, report_every_steps: int) -> int:
    """About a tenth of the steps, a multiple of those between reports."""
    return report_every_steps * max(1, round(num_steps / 10 / report_every_steps))


def sizes(dataset: Dataset) -> dict[str, int]:
    """Numbers of users and items, of pairs in each part and, where there are any, of dislikes."""
    dislikes = {} if dataset.dislikes is None else {"dislikes": dataset.dislikes.num_pairs}
    return {
        "users": dataset.train.num_users,
        "items": dataset.train.num_items,
        "train": dataset.train.num_pairs,
        "valid": dataset.valid.num_pairs,
        "test": dataset.test.num_pairs,
    } | dislikes


def size_note(config: Config, dataset: Dataset) -> str:
    """A line for the log: the data set's name and sizes."""
    counts = ", ".join(f"{count:,} {name}" for name, count in sizes(dataset).items())
    return f"{config['dataset.name']}: {counts}"
