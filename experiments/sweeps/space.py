"""The space of a search: config keys with the values that they may take."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from cml_jax import keys
from cml_jax.errors import ConfigError
from cml_jax.runs import validation
from cml_jax.runs.config import KEYS, section_of
from cml_jax.runs.setup import Setup
from experiments.sweeps.literals import value_of, values_of

# What the others name would change the data or the score, and trials could not be compared.
_SECTIONS = ("model", "optimizer", "sampler", "train")
_FORMS = "LOW:HIGH, LOW:HIGH:log or VALUE,VALUE"


@dataclasses.dataclass(frozen=True)
class Interval:
    """Numbers from low to high, both included; integers where the key's values are.

    Attributes:
        low: the least.
        high: the greatest.
        log: whether equal ratios, and not equal differences, are equally likely.
    """

    low: float
    high: float
    log: bool = False


Space: TypeAlias = Mapping[str, "Interval | tuple[Any, ...]"]  # dotted key -> interval, or the choices
Setting: TypeAlias = dict[str, Any]  # dotted key -> value


def space_of_flags(arguments: Sequence[str]) -> Space:
    """The space of --space=KEY=LOW:HIGH, --space=KEY=LOW:HIGH:log and --space=KEY=VALUE,VALUE.

    Raises:
        ConfigError: a flag cannot be read.
    """
    space: dict[str, Interval | tuple[Any, ...]] = {}
    for argument in arguments:
        key, _, text = argument.partition("=")
        if key in space:
            raise ConfigError(f"--space names config.{key} twice; give all its values in one.")
        _check_key(key)
        space[key] = values_of(text) if "," in text else _interval(key, text)
    return space


def _interval(key: str, text: str) -> Interval:
    low, *rest = (value_of(part) for part in text.split(":"))
    if len(rest) not in (1, 2) or rest[1:] not in ([], ["log"]) or not (_is_number(low) and _is_number(rest[0])):
        raise ConfigError(f"--space of config.{key} must be {_FORMS}, not '{text}'.")
    return Interval(low, rest[0], log=len(rest) == 2)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def checked(space: Space) -> Space:
    """The space, its numbers of the type of their keys.

    Raises:
        ConfigError: it is empty, or a key, an interval or a choice cannot be used.
    """
    if not space:
        raise ConfigError(f"--space is needed, KEY={_FORMS}, such as --space=model.dim=32,64.")
    return {
        key: _checked_interval(key, values) if isinstance(values, Interval) else _checked_choices(key, values)
        for key, values in space.items()
        if _check_key(key) is None
    }


def _check_key(key: str) -> None:
    stranger = validation.unknown_key([key])
    if stranger:
        raise ConfigError(f"--space: {stranger}")
    if section_of(key) not in _SECTIONS or key == "train.report_every_steps":
        raise ConfigError(
            f"--space: config.{key} is no setting that trials can be compared by; choose keys of "
            f"{', '.join(_SECTIONS)}, or experiments.sweep."
        )


def _checked_interval(key: str, interval: Interval) -> Interval:
    kind, given = KEYS[key].kind, f"{interval.low!r}:{interval.high!r}"
    if kind not in (int, float):
        raise ConfigError(f"--space of config.{key} must be VALUE,VALUE, not {given}, since it is no number.")
    for value in (interval.low, interval.high):
        KEYS[key].check(value, f"--space of config.{key}:")
    if not interval.low < interval.high:
        raise ConfigError(f"--space of config.{key} must be LOW:HIGH with LOW below HIGH, not {given}.")
    if interval.log and interval.low <= 0:
        raise ConfigError(f"--space of config.{key}: log needs a LOW above 0, not {interval.low!r}.")
    return Interval(kind(interval.low), kind(interval.high), interval.log)


def _checked_choices(key: str, values: Any) -> tuple[Any, ...]:
    if not isinstance(values, tuple | list) or not 2 <= len(values) == len(
        {json.dumps(v, default=str) for v in values}
    ):
        raise ConfigError(f"--space of config.{key} must be two or more different values, not {values!r}.")
    for value in values:
        KEYS[key].check(value, f"--space of config.{key}:")
    floats = KEYS[key].kind is float
    return tuple(float(value) if floats and value is not None else value for value in values)


def num_settings(space: Space) -> int | None:
    """How many settings there are; None where an interval of real numbers is among them."""
    total = 1
    for key, values in space.items():
        if not isinstance(values, Interval):
            total *= len(values)
        elif KEYS[key].kind is int:
            total *= int(values.high - values.low) + 1
        else:
            return None
    return total


def probes(space: Space) -> list[Setting]:
    """A setting of first values, and for every other end of an interval and choice one that differs in it alone."""
    values = {key: (of.low, of.high) if isinstance(of, Interval) else of for key, of in space.items()}
    first = {key: of[0] for key, of in values.items()}
    return [first, *(first | {key: value} for key, of in values.items() for value in of[1:])]


def check_effects(space: Space, tried: Sequence[Setup]) -> None:
    """Raises ConfigError where a key has an effect in none of the `probes`, whose setups are given."""
    found = [{option.key: option for option in keys.unused(setup.options, setup.config)} for setup in tried]
    for key in space:
        set_in = [unused for unused, setup in zip(found, tried, strict=True) if setup.config[key] != KEYS[key].default]
        if all(key in unused for unused in set_in):
            raise ConfigError(f"--space: config.{key} has an effect only with {set_in[0][key].needed}; leave it out.")


def written(space: Space) -> dict[str, Any]:
    """The space as JSON holds it."""
    return {key: dataclasses.asdict(of) if isinstance(of, Interval) else list(of) for key, of in space.items()}
