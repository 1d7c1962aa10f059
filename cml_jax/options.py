"""Declaration of options: default, range, help and whether an option is static or traced, each in one place.

A strategy's options are a frozen dataclass whose fields are made by `static`, `traced` and `derived`, under the
decorator `options`. It is a pytree: traced numbers are its leaves, so that a grid over them compiles once and can be
vmapped; everything else is part of its structure, which jit hashes. Config sections, ranges, `--help` and the keyword
arguments of `cml_jax.make_options` follow from the fields.
"""

import dataclasses
import math
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import jax

from cml_jax.errors import ConfigError

_KEY = "cml_jax.option"
_Class = TypeVar("_Class")


class Range(NamedTuple):
    """The values that an option may have, and a sentence's end about those that it may not."""

    allows: Callable[[Any], bool]
    sentence: str


AT_LEAST_0 = Range(lambda v: v >= 0, "must be 0 or more")
AT_LEAST_1 = Range(lambda v: v >= 1, "must be 1 or more")
POSITIVE = Range(lambda v: 1e-37 < v < 3e38, "must be a finite number above 0 that float32 can hold")
FINITE_AT_LEAST_0 = Range(lambda v: 0 <= v < 3e38, "must be a finite number of 0 or more")
ANY = Range(lambda v: True, "")


def one_of(names: Any) -> Range:
    """The values of a collection of names."""
    return Range(lambda v: v in names, "is unknown; choose one of " + ", ".join(sorted(names)))


class Effect(NamedTuple):
    """When an option has an effect, beside its strategy being the chosen one.

    Attributes:
        holds: a function of the chosen `Options`.
        needed: the condition in words, for messages.
        enforced: whether a value other than the default is refused where there is no effect, instead of being named in
            the log.
    """

    holds: Callable[[Any], bool] = lambda chosen: True
    needed: str = ""
    enforced: bool = False


class FromData(NamedTuple):
    """A default that follows from the training interactions.

    Attributes:
        rule: training `Interactions` -> value.
        without: value where they are not known.
    """

    rule: Callable[[Any], Any]
    without: Any


class Option(NamedTuple):
    """What is declared about one option.

    Attributes:
        name: of the field, and the last part of the config's key.
        kind: its type: int, float, bool, str or tuple.
        default: value where nothing is said; None where it follows from something else.
        range: of its values.
        help: one line, for `--help`.
        traced: whether it is a number that may differ between members of one compiled program.
        effect: when it has one.
        from_data: what its default follows from, where that is the data.
    """

    name: str
    kind: type
    default: Any
    range: Range
    help: str
    traced: bool
    effect: Effect
    from_data: FromData | None = None

    def check(self, value: Any, key: str) -> None:
        """Raises ConfigError, which names the key and the value, where the value cannot be used."""
        if value is None and self.default is None:
            return
        if not _is_of(value, self.kind):
            raise ConfigError(f"{key} = {value!r} must be of type {self.kind.__name__}.")
        if not self.range.allows(value):
            raise ConfigError(f"{key} = {value!r} {self.range.sentence}.")


def _is_of(value: Any, kind: type) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is tuple:
        return isinstance(value, tuple | list)
    return isinstance(value, kind) and isinstance(value, bool) == (kind is bool)


def static(
    default: Any, help: str, range: Range = ANY, effect: Effect | None = None, from_data: FromData | None = None
) -> Any:
    """A field that a compiled program depends on: a size, or the name of a choice.

    A default of None with `from_data` is found from the training interactions.
    """
    return _field(default, default, help, range, effect, from_data, traced=False)


def traced(
    default: float,
    help: str,
    range: Range = ANY,
    effect: Effect | None = None,
    rule: Callable[[Any], Any] | None = None,
) -> Any:
    """A field that is a number and may differ between members of one compiled program.

    A default of infinity stands for 'no bound' and is written as None in a config; so is one with a rule, by which it
    follows from the training interactions where they are known.
    """
    written = None if default == math.inf or rule else default
    return _field(default, written, help, range, effect, rule and FromData(rule, default), traced=True)


class StrategyOptions:
    """Base of the options of a strategy: what it makes of the other options and of the data, on the host."""

    def resolved(self, chosen: Any, train: Any) -> dict[str, Any]:
        """Values of the derived fields.

        Args:
            chosen: the `strategies.Options` that these belong to.
            train: training `Interactions`, or None where they are not known.
        """
        del chosen, train
        return {}

    def check(self, chosen: Any) -> None:
        """Raises ConfigError where options do not go together."""

    def check_data(self, chosen: Any, train: Any) -> None:
        """Raises ConfigError where the training `Interactions` do not allow the options."""


def derived(default: Any, *, traced: bool = False) -> Any:
    """A field that is found from other options and the data by the class's `resolved`; it is no key of a config."""
    return dataclasses.field(default=default, metadata={"traced": traced})


def _field(
    value: Any,
    written: Any,
    help: str,
    range: Range,
    effect: Effect | None,
    from_data: FromData | None,
    *,
    traced: bool,
) -> Any:
    declared = {"default": written, "range": range, "help": help, "traced": traced, "effect": effect or Effect()}
    declared["from_data"] = from_data
    return dataclasses.field(default=value, metadata={_KEY: declared, "traced": traced})


@typing.dataclass_transform(frozen_default=True, field_specifiers=(static, traced, derived))
def options(cls: type[_Class]) -> type[_Class]:
    """Makes a class of options: a frozen dataclass that is a pytree whose leaves are the traced fields.

    Raises:
        TypeError: a field was not made by `static`, `traced` or `derived`.
    """
    made = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(made)  # pyright: ignore[reportArgumentType]
    for field in fields:
        if "traced" not in field.metadata:
            raise TypeError(f"{cls.__name__}.{field.name}: declare it by static(), traced() or derived().")
    leaves = [field.name for field in fields if field.metadata["traced"]]
    rest = [field.name for field in fields if not field.metadata["traced"]]
    return jax.tree_util.register_dataclass(made, data_fields=leaves, meta_fields=rest)  # pyright: ignore


def from_data(options: Mapping[str, Option], given: Mapping[str, Any], train: Any) -> dict[str, Any]:
    """Values of options that follow from training `Interactions` and are not given; without `train` their stand-ins."""
    rules = {name: option.from_data for name, option in options.items() if given.get(name) is None}
    return {
        name: rule.without if train is None else rule.rule(train) for name, rule in rules.items() if rule is not None
    }


def declared(cls: type) -> Iterator[Option]:
    """The options that a class declares, in order, without the derived ones."""
    hints = typing.get_type_hints(cls)
    for field in dataclasses.fields(cls):
        if _KEY in field.metadata:
            yield Option(name=field.name, kind=_kind(hints[field.name]), **field.metadata[_KEY])


def _kind(hint: Any) -> type:
    """The type of values of an annotation such as int, float | None or tuple[int, ...]."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(part for part in typing.get_args(hint) if part is not type(None))
    return typing.get_origin(hint) or hint


def field_names(cls: type) -> list[str]:
    """Names of all fields of a class of options, the derived ones too."""
    return [field.name for field in dataclasses.fields(cls)]


def construct(cls: type[_Class], values: Mapping[str, Any]) -> _Class:
    """An instance with the values that belong to it; None stands for the default of a traced field."""
    kept = {name: values[name] for name in field_names(cls) if name in values}
    written = {option.name: option for option in declared(cls)}
    for name in [name for name, value in kept.items() if value is None and name in written and written[name].traced]:
        del kept[name]
    return cls(**kept)
