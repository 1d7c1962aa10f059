"""Checks of a config, all in one place: keys, types and ranges, what goes together, and what the data allow."""

import difflib
import importlib.util
from collections.abc import Iterable

import jax
import numpy as np

from cml_jax import batches, keys, metrics, strategies
from cml_jax.data.interactions import Dataset
from cml_jax.errors import ConfigError
from cml_jax.runs import compilation_cache, trackers
from cml_jax.runs.config import KEYS, Config
from cml_jax.runs.scoring import Protocol
from cml_jax.strategies import Options


def validate(config: Config) -> None:
    """Checks keys, types and ranges that can be checked without the data.

    Raises:
        ConfigError: one sentence that names the key and the value.
    """
    stranger = unknown_key(config)
    if stranger:
        raise ConfigError(stranger)
    for key, option in KEYS.items():
        if key not in config:
            raise ConfigError(f"config.{key} is missing; start from the defaults, which have every key.")
        option.check(config[key], f"config.{key}")
    if config["eval.ks"] is not None:
        _check_select(config)
    trackers.check(config)
    if config["log.explore"] and importlib.util.find_spec("plotly") is None:
        raise ConfigError("config.log.explore = True needs pip install 'cml_jax[explore]'; or leave it out.")
    compilation_cache.check(config[compilation_cache.KEY])
    _check_devices(config)
    chosen = options_of(config)
    for option in keys.unused(chosen, config):
        if option.enforced:
            raise ConfigError(
                f"config.{option.key} = {option.value!r} has an effect only with {option.needed}; leave it out."
            )


def options_of(config: Config, dataset: Dataset | None = None, num_steps: int | None = None) -> Options:
    """What a compiled step depends on, of a config whose values were checked.

    Args:
        config: its keys.
        dataset: what it names; what depends on it is left at defaults without.
        num_steps: of the whole run.

    Raises:
        ConfigError: options do not go together, or with the data.
    """
    derived = {"num_shards": num_shards(config)}
    if num_steps is not None and config["optimizer.schedule"] != "constant":
        derived["decay_steps"] = num_steps
    try:
        chosen = strategies.options_of_config(config, dataset and dataset.train, **derived)
        if dataset is not None:
            chosen.check_data(dataset.train)
    except ConfigError as error:
        raise ConfigError(f"config.{error}") from error
    return chosen


def notes_on_unused(chosen: Options, config: Config) -> list[str]:
    """Lines for the log about options that were set and have no effect, one a strategy."""
    found: dict[str, list[str]] = {}
    for option in keys.unused(chosen, config):
        name = option.key if option.key == "sampler.name" else option.key.split(".")[1]
        found.setdefault(option.by, []).append(name)
    return [f"not used by {by}: {', '.join(names)}" for by, names in found.items()]


def num_shards(config: Config) -> int:
    """Devices that the tables are split over."""
    if config["sharding.num_shards"] is not None:
        return config["sharding.num_shards"]
    return 1 if jax.process_count() == 1 else jax.device_count()


def _check_devices(config: Config) -> None:
    shards, num_devices = num_shards(config), jax.device_count()
    if shards > num_devices:
        raise ConfigError(f"config.sharding.num_shards = {shards} is above the number of devices, {num_devices}.")
    if jax.process_count() > 1 and shards != num_devices:
        raise ConfigError(
            f"config.sharding.num_shards = {shards} must be the number of devices of all processes, {num_devices}; "
            f"leave it out."
        )


def unknown_key(given: Iterable[str]) -> str | None:
    """A sentence about the first of the dotted keys that no config has, or None."""
    for key in given:
        if key not in KEYS:
            if key.split(".")[0] == "sweep":
                return f"config.{key} is a key of a grid's config; experiments.sweep runs those."
            return f"config.{unknown_name(key, KEYS, 'a config key', 'config.')}"
    return None


def unknown_name(name: str, known: Iterable[str], what: str, prefix: str = "") -> str:
    """A sentence about a name that is none of those known, with the closest of them."""
    close = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean {prefix}{close[0]}?" if close else f"choose some of {', '.join(known)}."
    return f"{name} is not {what}; {hint}"


def _check_select(config: Config) -> None:
    """The metric that selects the parameters is one of those that are computed."""
    choices = [f"{name}@{k}" for name in metrics.USER_METRICS for k in config["eval.ks"]]
    if config["eval.select"] not in (None, *choices):
        raise ConfigError(
            f"config.eval.select = {config['eval.select']!r} is unknown; choose one of {', '.join(choices)}."
        )


def validate_against(config: Config, dataset: Dataset, protocol: Protocol, valid_users: np.ndarray) -> None:
    """Checks what depends on the data, besides the strategies' own options.

    Raises:
        ConfigError: one sentence that names the key, the value and the size.
    """
    train = dataset.train
    _check_select(config)
    if config["train.batch_size"] > train.num_pairs:
        raise ConfigError(
            f"config.train.batch_size = {config['train.batch_size']} is above the number of training pairs, "
            f"{train.num_pairs}; lower it."
        )
    if dataset.valid.num_pairs == 0 and protocol.final_split == "valid":
        raise ConfigError(
            "config.eval.final_split = 'valid' needs a validation part; raise config.dataset.valid_fraction."
        )
    if dataset.valid.num_pairs == 0 and config["eval.patience"] is not None:
        raise ConfigError(
            f"config.eval.patience = {config['eval.patience']} needs a validation part; raise "
            f"config.dataset.valid_fraction, or leave patience out."
        )
    per_pass = batches.steps_per_pass(train.num_pairs, config["train.batch_size"])
    if config["train.num_steps"] is None and config["train.num_passes"] * per_pass >= 2**31:
        raise ConfigError(f"config.train.num_passes = {config['train.num_passes']:g} is 2^31 steps or more; lower it.")
    for key, ks in (("ks", protocol.ks), ("final_ks", protocol.final_ks)):
        largest = max(ks, default=0)
        if largest > train.num_items:
            raise ConfigError(
                f"config.eval.{key} has {largest}, which is above the number of items, {train.num_items}; lower it."
            )
    if protocol.enough_held_out:
        _check_enough_held_out(dataset, protocol, valid_users)


def check_features(options: Options, dataset: Dataset) -> None:
    """Raises ConfigError where the model reads features and the data have none."""
    none_there = dataset.item_features is None and dataset.user_features is None
    if none_there and options.make_model().of_features is not None:
        raise ConfigError(
            f"config.model.name = '{options.model.name}' learns from features, and the data have none; set "
            f"config.dataset.item_features or config.dataset.user_features."
        )


def _check_enough_held_out(dataset: Dataset, protocol: Protocol, valid_users: np.ndarray) -> None:
    """With eval.enough_held_out, the selecting metric must be defined wherever it is going to be read."""
    kind, k = protocol.metric.split("@")
    if kind not in metrics.OF_SETS:
        return
    needed = int(k)
    chosen = f"{len(valid_users)} validation users that eval.max_users leaves"
    parts = {"validation users": dataset.valid.degrees, chosen: dataset.valid.degrees[valid_users]}
    if protocol.final_split != "valid":
        parts["test users"] = dataset.test.degrees
    for name, degrees in parts.items():
        most = int(degrees.max(initial=0))
        if 0 < most < needed:
            raise ConfigError(
                f"config.eval.enough_held_out leaves nobody for {protocol.metric}, which selects the parameters: none "
                f"of the {name} has more than {most} held-out items; set config.eval.select to a metric at a smaller "
                f"cut-off."
            )
