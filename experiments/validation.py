"""Checks of a config, all in one place: keys, types and ranges, what goes together, and what the data allow."""

import difflib
from collections.abc import Iterable
from typing import Any

import jax
import numpy as np

from cml_jax import metrics, sampling, training
from cml_jax.data import datasets
from cml_jax.data.interactions import Dataset
from cml_jax.errors import ConfigError
from cml_jax.geometry import CONSTRAINTS
from cml_jax.rowwise import ROW_MODES
from experiments import config as config_lib
from experiments import events, scoring
from experiments.config import Config, default_config, flatten, num_distinct

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
        lambda v: len(v) == 3 and all(type(s) is int and 0 <= s <= 1000 for s in v) and v[0] > 0 and v[2] > 0,
        "must be three integers up to 1000, for train, validation and test, and only that of validation may be 0",
    ),
    "dataset.valid_fraction": (lambda v: 0 <= v < 1, "must be 0 or more and below 1"),
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
    "model.l2_weight": _FINITE_AT_LEAST_0,
    "model.num_negatives": _AT_LEAST_1,
    "model.constraint": _one_of(CONSTRAINTS),
    "model.init_scale": _POSITIVE,
    "model.loss_reduction": _one_of(training.LOSS_REDUCTIONS),
    "model.gor_weight": _FINITE_AT_LEAST_0,
    "model.gor_form": _one_of(training.GOR_FORMS),
    "optimizer.name": _one_of(training.OPTIMIZERS),
    "optimizer.learning_rate": _POSITIVE,
    "optimizer.average_passes": _FINITE_AT_LEAST_0,
    "optimizer.schedule": _one_of(("constant", "linear")),
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
    "eval.final_ks": (lambda v: all(type(k) is int and k >= 1 for k in v), "must be integers of 1 or more"),
    "eval.max_users": _AT_LEAST_1,
    "eval.final_split": _one_of(("test", "valid")),
    "eval.memory_budget_mb": _POSITIVE,
    "checkpoint.every_steps": _AT_LEAST_1,
    "checkpoint.keep": _AT_LEAST_1,
    "sharding.num_shards": _AT_LEAST_1,
}


def validate(config: Config) -> None:
    """Checks keys, types and ranges that can be checked without the data.

    Raises:
        ConfigError: one sentence that names the key and the value.
    """
    values = dict(flatten(config))
    default = default_config()
    defaults = dict(flatten(default))
    stranger = unknown_key(values)
    if stranger:
        raise ConfigError(stranger)
    for key in defaults:
        if key not in values:
            raise ConfigError(f"config.{key} is missing; start the config from experiments.config.default_config().")
        value, kind = values[key], _type_of(default, key)
        if value is None and defaults[key] is None:
            continue
        if not _is_of(value, kind):
            raise ConfigError(f"config.{key} = {value!r} must be of type {kind.__name__}.")
        allowed, sentence = _RANGES.get(key, (lambda v: True, ""))
        if not allowed(value):
            raise ConfigError(f"config.{key} = {value!r} {sentence}.")
    if config.eval.select is not None:
        choices = [f"{name}@{k}" for name in metrics.USER_METRICS for k in config.eval.ks]
        if config.eval.select not in choices:
            raise ConfigError(
                f"config.eval.select = '{config.eval.select}' is unknown; choose one of {', '.join(choices)}."
            )
    if config.model.loss == "softmax" and config.sampler.name != "two_stage":
        raise ConfigError(
            f"config.model.loss = 'softmax' weights the candidates of stage 1, so config.sampler.name = "
            f"'{config.sampler.name}' must be 'two_stage'."
        )
    if config.model.loss == "bpr" and config.model.constraint != "none":
        raise ConfigError(
            f"config.model.loss = 'bpr' ranks by inner products, so config.model.constraint = "
            f"'{config.model.constraint}' must be 'none'."
        )
    if config.optimizer.rows == "catch_up" and config.optimizer.name != "adam":
        raise ConfigError(
            f"config.optimizer.rows = 'catch_up' is for config.optimizer.name = 'adam', not '{config.optimizer.name}'; "
            f"rows without a gradient stand still with the others, so 'lazy' does the same."
        )
    if config.log.tensorboard and not events.is_installed():
        raise ConfigError("config.log.tensorboard = True needs pip install -e '.[tensorboard]'; or leave it out.")
    _check_shards(config)
    draws_in_two_stages = config.sampler.name == "two_stage" and config.model.loss != "softmax"
    for key, has_effect, needed in (
        ("sampler.own_positive", draws_in_two_stages, "sampler.name = 'two_stage' and no model.loss = 'softmax'"),
        ("sampler.known_positives", draws_in_two_stages, "sampler.name = 'two_stage' and no model.loss = 'softmax'"),
        ("model.decoupled", config.model.loss == "softmax", "model.loss = 'softmax'"),
        ("model.l2_weight", config.model.loss == "bpr", "model.loss = 'bpr'"),
        ("sampler.without_replacement", config.sampler.name == "popularity", "sampler.name = 'popularity'"),
        (
            "model.gor_form",
            config.model.loss == "triplet" and config.model.gor_weight > 0,
            "model.loss = 'triplet' and model.gor_weight above 0",
        ),
    ):
        if values[key] != defaults[key] and not has_effect:
            raise ConfigError(f"config.{key} = {values[key]!r} has an effect only with {needed}; leave it out.")


def _check_shards(config: Config) -> None:
    num_shards, num_devices = config_lib.num_shards(config), jax.device_count()
    if num_shards > num_devices:
        raise ConfigError(f"config.sharding.num_shards = {num_shards} is above the number of devices, {num_devices}.")
    if jax.process_count() > 1 and num_shards != num_devices:
        raise ConfigError(
            f"config.sharding.num_shards = {num_shards} must be the number of devices of all processes, {num_devices}; "
            f"leave it out."
        )
    if config.train.batch_size % num_shards:
        raise ConfigError(
            f"config.train.batch_size = {config.train.batch_size} must be a multiple of the number of shards, "
            f"{num_shards}."
        )


def _type_of(config: Config, key: str) -> type:
    """The type of a dotted key, also of one that has no value."""
    *sections, name = key.split(".")
    for section in sections:
        config = config[section]
    return config.get_type(name)


def _is_of(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is tuple:
        return isinstance(value, tuple | list)
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)


def unknown_key(keys: Iterable[str]) -> str | None:
    """A sentence about the first of the dotted keys that no config has, or None."""
    known = dict(flatten(default_config()))
    for key in keys:
        if key not in known:
            close = difflib.get_close_matches(key, known, n=1)
            if key.split(".")[0] == "sweep":
                return (
                    f"config.{key} is a key of a grid's config, see experiments/grid.py; experiments.sweep runs those."
                )
            hint = f"did you mean config.{close[0]}?" if close else "see experiments/config.py for all of them."
            return f"config.{key} is not a config key; {hint}"
    return None


def validate_against(config: Config, dataset: Dataset) -> None:
    """Checks what depends on the data.

    Raises:
        ConfigError: one sentence that names the key, the value and the size.
    """
    train = dataset.train
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
    if config.sampler.without_replacement and num_distinct(config) > num_drawable:
        raise ConfigError(
            f"config.sampler.without_replacement needs {num_distinct(config)} negatives a step of the {num_drawable} "
            f"items with a training user; lower config.train.batch_size or config.model.num_negatives."
        )
    if dataset.valid.num_pairs == 0 and config.eval.final_split == "valid":
        raise ConfigError(
            "config.eval.final_split = 'valid' needs a validation part; raise config.dataset.valid_fraction."
        )
    per_pass = sampling.steps_per_pass(train.num_pairs, config.train.batch_size)
    if config.train.num_steps is None and config.train.num_passes * per_pass >= 2**31:
        raise ConfigError(f"config.train.num_passes = {config.train.num_passes:g} is 2^31 steps or more; lower it.")
    for key in ("ks", "final_ks"):
        largest = max(config.eval[key], default=0)
        if largest > train.num_items:
            raise ConfigError(
                f"config.eval.{key} has {largest}, which is above the number of items, {train.num_items}; lower it."
            )
    metric = scoring.selection_metric(config)
    needed, most = int(metric.split("@")[1]), int(dataset.valid.degrees.max(initial=0))
    if config.eval.enough_held_out and 0 < most < needed:
        raise ConfigError(
            f"config.eval.enough_held_out leaves nobody for {metric}, which selects the parameters: no user has more "
            f"than {most} validation items; set config.eval.select to a metric at a smaller cut-off."
        )
