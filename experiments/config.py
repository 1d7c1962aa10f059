"""Configs of the command line: ConfigDicts of the keys that `cml_jax.runs.config` declares."""

from collections.abc import Iterator
from typing import Any, TypeAlias

from ml_collections import ConfigDict, config_dict

from cml_jax.runs.config import KEYS, section_of

# A ConfigDict. Its own annotations give every key the union of all types that a key can have.
Config: TypeAlias = Any


def default_config() -> Config:
    """Every key with its default; config files start from here."""
    config: Config = ConfigDict()
    for key, option in KEYS.items():
        section, _, name = key.rpartition(".")
        if section and section not in config:
            config[section] = ConfigDict()
        place = config[section] if section else config
        place[name] = option.default if option.default is not None else config_dict.placeholder(option.kind)
    return config


def help_text() -> str:
    """A page of all keys, with default and meaning."""
    lines, section = [], None
    for key, option in KEYS.items():
        if section_of(key) != section:
            section = section_of(key)
            lines.append("")
        default = "none" if option.default is None else option.default
        lines.append(f"  --config.{key}={default}\n      {option.help}")
    return "\n".join(lines)


def flatten(config: Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (dotted key, value) of every leaf; a key without a value is yielded with None."""
    for key in config:
        value = config[key]
        if isinstance(value, ConfigDict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def to_values(config: Config) -> dict[str, Any]:
    """Every leaf by its dotted key, references resolved: a config as the library takes it."""
    return dict(flatten(config.copy_and_resolve_references()))
