"""The keys of a config, their defaults and ranges, and what the core makes of them."""

import difflib
import math
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict, config_dict

from cml_jax import draws, sampling, training
from cml_jax.data import datasets
from cml_jax.data.interactions import Interactions
from cml_jax.errors import ConfigError
from cml_jax.geometry import CONSTRAINTS
from cml_jax.rowwise import ROW_MODES
from cml_jax.types import HParams, Spec

# A ConfigDict. Its own annotations give every key the union of all types that a key can have.
Config: TypeAlias = Any


def default_config() -> Config:
    """Every key with its default; config files start from here."""
    config: Config = ConfigDict()
    config.seed = 0

    config.dataset = ConfigDict()
    # What cml_jax/data/datasets.py takes. 'synthetic' and 'checkerboard' are generated, 'movielens-100k', '-1m' and
    # '-20m' downloaded; any other name is a label for path.
    config.dataset.name = "synthetic"
    config.dataset.path = config_dict.placeholder(str)
    config.dataset.format = "adjacency"  # adjacency | csv | echonest | movielens | npz | parquet | tsv
    config.dataset.user_column = config_dict.placeholder(str)  # csv, tsv, parquet; none: 'user'
    config.dataset.item_column = config_dict.placeholder(str)  # none: 'item'
    config.dataset.rating_column = config_dict.placeholder(str)
    config.dataset.time_column = config_dict.placeholder(str)
    config.dataset.min_rating = 0.0  # least rating or play count that makes a pair; 0: all rows
    config.dataset.min_user_items = 0
    config.dataset.min_item_users = 0
    config.dataset.filter = "once"  # once | k_core
    config.dataset.split = config_dict.placeholder(str)  # none: given where there are parts, else ratio
    config.dataset.split_ratio = (3, 1, 1)  # train, validation, test
    config.dataset.split_seed = 0
    config.dataset.valid_fraction = 0.1  # share of train that becomes validation where there is none

    config.sampler = ConfigDict()
    config.sampler.name = "two_stage"  # uniform | popularity | two_stage
    config.sampler.num_candidates = 2000
    config.sampler.popularity_exponent = 1.0
    config.sampler.popularity_cap = config_dict.placeholder(float)  # none: counts are not capped
    config.sampler.similarity_cutoff = 0.1  # 1: no cut-off
    config.sampler.refresh_every = 1  # triplet two_stage; 1: live, 0: frozen at the start, n: every n
    # What only the released code does, see cml_jax/sampling.py; for replication.
    config.sampler.own_positive = "exclude"  # triplet two_stage; exclude | uniform_draw
    config.sampler.known_positives = "exclude"  # triplet two_stage; exclude | retry_then_keep
    config.sampler.without_replacement = False  # popularity; the batch's negatives

    config.model = ConfigDict()
    config.model.dim = 64
    config.model.loss = "triplet"  # triplet | softmax
    config.model.margin = 1.0
    config.model.temperature = 0.1  # of the softmax loss
    config.model.num_negatives = 1  # of the triplet loss; the closest counts
    config.model.constraint = "sphere"  # ball | sphere | none
    config.model.init_scale = 1.0
    config.model.loss_reduction = "mean"  # mean | sum, over the batch
    config.model.gor_weight = 0.0
    config.model.gor_form = "mean"  # mean | sum; sum: the released code's

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.rows = "lazy"  # lazy | dense

    config.train = ConfigDict()
    config.train.batch_size = 256
    config.train.num_passes = 16.0  # over the training pairs; config files set this one
    config.train.num_steps = config_dict.placeholder(int)  # if given, counts instead of num_passes
    config.train.report_every_steps = 100  # steps in one dispatch; best a divisor of the other periods

    config.eval = ConfigDict()
    config.eval.every_steps = 500
    config.eval.ks = (20, 50)  # NDCG at the largest selects the parameters
    config.eval.max_users = config_dict.placeholder(int)  # validation users scored during training; none: all
    config.eval.final_split = "test"  # test | valid
    config.eval.memory_budget_mb = 512.0

    config.checkpoint = ConfigDict()
    config.checkpoint.every_steps = 1000
    config.checkpoint.keep = 2
    return config


_AT_LEAST_0 = (lambda v: v >= 0, "must be 0 or more")
_AT_LEAST_1 = (lambda v: v >= 1, "must be 1 or more")
_POSITIVE = (lambda v: 1e-37 < v < 3e38, "must be a finite number above 0 that float32 can hold")
_FINITE_AT_LEAST_0 = (lambda v: 0 <= v < 3e38, "must be a finite number of 0 or more")


def _one_of(names) -> tuple:
    return (lambda v: v in names, "is unknown; choose one of " + ", ".join(sorted(names)))


_RANGES = {
    "seed": (lambda v: 0 <= v < 2**31, "must be 0 or more and below 2^31"),
    "dataset.min_rating": _FINITE_AT_LEAST_0,
    "dataset.min_user_items": _AT_LEAST_0,
    "dataset.min_item_users": _AT_LEAST_0,
    "dataset.filter": _one_of(datasets.FILTERS),
    "dataset.split": _one_of(datasets.SPLITS),
    "dataset.split_ratio": (
        lambda v: len(v) == 3 and all(type(share) is int and share >= 0 for share in v) and v[0] > 0 and v[2] > 0,
        "must be three integers for train, validation and test, only that of validation may be 0",
    ),
    "dataset.valid_fraction": (lambda v: 0 < v < 1, "must be above 0 and below 1"),
    "dataset.split_seed": _AT_LEAST_0,
    "sampler.name": _one_of(sampling.SAMPLERS),
    "sampler.num_candidates": _AT_LEAST_1,
    "sampler.popularity_exponent": _FINITE_AT_LEAST_0,
    "sampler.popularity_cap": _POSITIVE,
    "sampler.similarity_cutoff": (lambda v: 0 < v <= 1, "must be above 0 and at most 1"),
    "sampler.refresh_every": _AT_LEAST_0,
    "sampler.own_positive": _one_of(sampling.OWN_POSITIVE),
    "sampler.known_positives": _one_of(sampling.KNOWN_POSITIVES),
    "model.dim": (lambda v: 1 <= v < 2**20, "must be 1 or more and below 2^20"),
    "model.loss": _one_of(training.LOSSES),
    "model.margin": _POSITIVE,
    "model.temperature": _POSITIVE,
    "model.num_negatives": _AT_LEAST_1,
    "model.constraint": _one_of(CONSTRAINTS),
    "model.init_scale": _POSITIVE,
    "model.loss_reduction": _one_of(training.LOSS_REDUCTIONS),
    "model.gor_weight": _FINITE_AT_LEAST_0,
    "model.gor_form": _one_of(training.GOR_FORMS),
    "optimizer.name": _one_of(training.OPTIMIZERS),
    "optimizer.learning_rate": _POSITIVE,
    "optimizer.rows": _one_of(ROW_MODES),
    "train.batch_size": _AT_LEAST_1,
    "train.num_passes": _POSITIVE,
    "train.num_steps": (lambda v: 1 <= v < 2**31, "must be 1 or more and below 2^31"),
    "train.report_every_steps": _AT_LEAST_1,
    "eval.every_steps": _AT_LEAST_1,
    "eval.ks": (
        lambda v: len(v) > 0 and all(type(k) is int and k >= 1 for k in v),
        "must be integers of 1 or more",
    ),
    "eval.max_users": _AT_LEAST_1,
    "eval.final_split": _one_of(("test", "valid")),
    "eval.memory_budget_mb": _POSITIVE,
    "checkpoint.every_steps": _AT_LEAST_1,
    "checkpoint.keep": _AT_LEAST_1,
}


def flatten(config: Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (dotted key, value) of every leaf; a key without a value is yielded with None."""
    for key in config:
        value = config[key]
        if isinstance(value, ConfigDict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def validate(config: Config) -> None:
    """Checks keys, types and ranges that can be checked without the data.

    Raises:
        ConfigError: one sentence that names the key and the value.
    """
    values = dict(flatten(config))
    defaults = dict(flatten(default_config()))
    stranger = unknown_key(values)
    if stranger:
        raise ConfigError(stranger)
    for key, default in defaults.items():
        if key not in values:
            raise ConfigError(f"config.{key} is missing; start the config from experiments.config.default_config().")
        value = values[key]
        optional = default is None
        if value is None and optional:
            continue
        if not optional and not _same_kind(value, default):
            raise ConfigError(f"config.{key} = {value!r} must be of type {type(default).__name__}.")
        allowed, sentence = _RANGES.get(key, (lambda v: True, ""))
        if not allowed(value):
            raise ConfigError(f"config.{key} = {value!r} {sentence}.")
    if config.model.loss == "softmax" and config.sampler.name != "two_stage":
        raise ConfigError(
            f"config.model.loss = 'softmax' weights the candidates of stage 1, so config.sampler.name = "
            f"'{config.sampler.name}' must be 'two_stage'."
        )
    draws_in_two_stages = config.sampler.name == "two_stage" and config.model.loss == "triplet"
    for key, has_effect, needed in (
        ("sampler.own_positive", draws_in_two_stages, "sampler.name = 'two_stage' with model.loss = 'triplet'"),
        ("sampler.known_positives", draws_in_two_stages, "sampler.name = 'two_stage' with model.loss = 'triplet'"),
        ("sampler.without_replacement", config.sampler.name == "popularity", "sampler.name = 'popularity'"),
        ("model.gor_form", config.model.loss == "triplet", "model.loss = 'triplet'"),
    ):
        if values[key] != defaults[key] and not has_effect:
            raise ConfigError(f"config.{key} = {values[key]!r} has an effect only with {needed}; leave it out.")


def _same_kind(value: Any, default: Any) -> bool:
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, tuple):
        return isinstance(value, tuple | list)
    return isinstance(value, type(default)) and isinstance(value, bool) == isinstance(default, bool)


def unknown_key(keys: Iterable[str]) -> str | None:
    """A sentence about the first of the dotted keys that no config has, or None."""
    known = dict(flatten(default_config()))
    for key in keys:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean config.{close[0]}?" if close else "see experiments/config.py for all of them."
            return f"config.{key} is not a config key; {hint}"
    return None


def validate_against(config: Config, train: Interactions) -> None:
    """Checks what depends on the size of the data.

    Raises:
        ConfigError: one sentence that names the key, the value and the size.
    """
    if config.train.batch_size > train.num_pairs:
        raise ConfigError(
            f"config.train.batch_size = {config.train.batch_size} is above the number of training pairs, "
            f"{train.num_pairs}; lower it."
        )
    if config.sampler.name == "two_stage" and config.sampler.num_candidates > train.num_items:
        raise ConfigError(
            f"config.sampler.num_candidates = {config.sampler.num_candidates} is above the number of items, "
            f"{train.num_items}; lower it."
        )
    num_drawable = np.count_nonzero(train.popularity)
    if config.sampler.without_replacement and _num_distinct(config) > num_drawable:
        raise ConfigError(
            f"config.sampler.without_replacement needs {_num_distinct(config)} negatives a step of the {num_drawable} "
            f"items with a training user; lower config.train.batch_size or config.model.num_negatives."
        )
    per_pass = sampling.steps_per_pass(train.num_pairs, config.train.batch_size)
    if config.train.num_steps is None and config.train.num_passes * per_pass >= 2**31:
        raise ConfigError(f"config.train.num_passes = {config.train.num_passes:g} is 2^31 steps or more; lower it.")
    if max(config.eval.ks) > train.num_items:
        raise ConfigError(
            f"config.eval.ks has {max(config.eval.ks)}, which is above the number of items, {train.num_items}; "
            f"lower it."
        )


def make_hparams(config: Config) -> HParams:
    """The traced numbers of a config."""
    cap = config.sampler.popularity_cap
    return HParams(
        learning_rate=config.optimizer.learning_rate,
        margin=config.model.margin,
        init_scale=config.model.init_scale,
        temperature=config.model.temperature,
        gor_weight=config.model.gor_weight,
        popularity_exponent=config.sampler.popularity_exponent,
        popularity_cap=math.inf if cap is None else cap,
        similarity_cutoff=config.sampler.similarity_cutoff,
    )


def make_spec(config: Config, train: Interactions) -> Spec:
    """The static part of a config; the number of stage-1 draws depends on the data's popularity."""
    draws_by_embeddings = config.sampler.name == "two_stage" and config.model.loss == "triplet"
    num_candidates = config.sampler.num_candidates if config.sampler.name == "two_stage" else 0
    num_draws, num_distinct = 0, _num_distinct(config)
    if num_distinct:
        hparams = make_hparams(config)
        weights = sampling.popularity_weights(
            jnp.asarray(train.popularity, jnp.float32), hparams.popularity_exponent, hparams.popularity_cap
        )
        num_draws = draws.num_draws_needed(np.asarray(weights, np.float64), num_distinct)
    return Spec(
        dim=config.model.dim,
        batch_size=config.train.batch_size,
        sampler=config.sampler.name,
        num_negatives=config.model.num_negatives,
        num_candidates=num_candidates,
        num_draws=num_draws,
        # Nothing else looks at embeddings to draw, so nothing else needs a snapshot of them.
        refresh_every=config.sampler.refresh_every if draws_by_embeddings else 1,
        own_positive=config.sampler.own_positive,
        known_positives=config.sampler.known_positives,
        without_replacement=config.sampler.without_replacement,
        loss=config.model.loss,
        loss_reduction=config.model.loss_reduction,
        gor=config.model.gor_form if config.model.gor_weight > 0 else "none",
        constraint=config.model.constraint,
        optimizer=config.optimizer.name,
        rows=config.optimizer.rows,
    )


def _num_distinct(config: Config) -> int:
    """How many items a step draws without replacement: stage 1's candidates, or the negatives of the batch; else 0."""
    if config.sampler.name == "two_stage":
        return config.sampler.num_candidates
    return config.train.batch_size * config.model.num_negatives if config.sampler.without_replacement else 0


def num_steps(config: Config, num_pairs: int) -> int:
    """Steps of the whole run: train.num_steps where given, else train.num_passes over the pairs, rounded up."""
    if config.train.num_steps is not None:
        return config.train.num_steps
    return math.ceil(config.train.num_passes * sampling.steps_per_pass(num_pairs, config.train.batch_size))
