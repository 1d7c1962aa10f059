"""What a run is, resolved once from its config and its data; for a run alone and for a member of a sweep alike."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from cml_jax import batches
from cml_jax.data import datasets
from cml_jax.data.interactions import Dataset
from cml_jax.strategies import Options
from cml_jax.types import DeviceInteractions, Params, Ranking
from experiments import validation
from experiments.config import Config
from experiments.runs import scoring
from experiments.runs.scoring import Protocol


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
        tensorboard: whether event files are written.
        notes: lines for the log.
    """

    config: Config
    dataset: Dataset
    data_sha256: str
    options: Options
    num_steps: int
    periods: Periods
    protocol: Protocol
    valid_users: np.ndarray
    tensorboard: bool
    notes: tuple[str, ...]

    @property
    def program(self) -> tuple[Any, ...]:
        """What runs must share to be trained together."""
        return jax.tree.structure(self.options), self.data_sha256, self.num_steps, self.periods

    @property
    def seed(self) -> int:
        """Of every random draw."""
        return self.config.seed

    def ranking(self, params: Params, data: DeviceInteractions) -> Ranking:
        """How the model ranks items, with these parameters and the training interactions."""
        return self.options.make_model().ranking(params, data)


def with_names(config: Config) -> Config:
    """A copy in which what the names of the data set and of the model stand for is filled in."""
    config = config.copy_and_resolve_references()
    if config.dataset.path is not None or config.dataset.name not in datasets.GENERATED:
        config.dataset.update(datasets.resolve(config.dataset))
    config.model.name = validation.options_of(config).model.name
    return config


def make_setup(config: Config, load: Callable[..., tuple[Dataset, str]] | None = None) -> Setup:
    """Checks a config, loads its data and finds what follows from both.

    Args:
        config: from a config file; see `experiments.config` for its keys.
        load: dataset options -> data set and digest; where several runs share them.

    Raises:
        UserError: one sentence about what cannot be used.
    """
    validation.validate(config)
    config = with_names(config)
    dataset, data_sha256 = (load or load_with_digest)(**config.dataset)
    protocol = scoring.make_protocol(config)
    valid_users = scoring.validation_users(dataset, config)
    validation.validate_against(config, dataset, protocol, valid_users)
    num_steps = _num_steps(config, dataset.train.num_pairs)
    options = validation.options_of(config, dataset, num_steps)
    return Setup(
        config=config,
        dataset=dataset,
        data_sha256=data_sha256,
        options=options.as_arrays(),
        num_steps=num_steps,
        periods=Periods(config.train.report_every_steps, config.eval.every_steps, config.checkpoint.every_steps),
        protocol=protocol,
        valid_users=valid_users,
        tensorboard=config.log.tensorboard,
        notes=(*dataset.notes, *validation.notes_on_unused(options, config)),
    )


def load_with_digest(**options: Any) -> tuple[Dataset, str]:
    """A data set and its digest."""
    dataset = datasets.load(**options)
    return dataset, dataset.sha256()


def _num_steps(config: Config, num_pairs: int) -> int:
    """Steps of the whole run: train.num_steps where given, else train.num_passes over the pairs, rounded up."""
    if config.train.num_steps is not None:
        return config.train.num_steps
    return math.ceil(config.train.num_passes * batches.steps_per_pass(num_pairs, config.train.batch_size))


def sizes(dataset: Dataset) -> dict[str, int]:
    """Numbers of users and items, and of pairs in each part."""
    return {
        "users": dataset.train.num_users,
        "items": dataset.train.num_items,
        "train": dataset.train.num_pairs,
        "valid": dataset.valid.num_pairs,
        "test": dataset.test.num_pairs,
    }


def size_note(config: Config, dataset: Dataset) -> str:
    """A line for the log: the data set's name and sizes."""
    return f"{config.dataset.name}: " + ", ".join(f"{count:,} {name}" for name, count in sizes(dataset).items())
