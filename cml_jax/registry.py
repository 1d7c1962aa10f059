"""Registries of strategies: models, losses and samplers by name."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from cml_jax.options import Option, declared


class Strategy(NamedTuple):
    """A strategy as it is registered.

    Attributes:
        name: the value of the config's key.
        options: the dataclass of its options, see `cml_jax.options`.
        make: builds its record of pure functions; the options are its first argument.
    """

    name: str
    options: type
    make: Callable[..., Any]


class Registry(Mapping[str, Strategy]):
    """Strategies of one kind, by name."""

    def __init__(self, kind: str, arguments: tuple[str, ...], *strategies: Strategy) -> None:
        """Checks that every strategy can be made.

        Args:
            kind: 'model', 'loss' or 'sampler', for messages.
            arguments: names of the parameters that every `make` takes.
            *strategies: to be registered.

        Raises:
            TypeError: two strategies have one name, a `make` takes other arguments, or two strategies declare an option
                of the same name differently.
        """
        self.kind = kind
        self._strategies: dict[str, Strategy] = {}
        for strategy in strategies:
            if strategy.name in self._strategies:
                raise TypeError(f"{kind} '{strategy.name}' is registered twice; give each strategy a name of its own.")
            found = tuple(inspect.signature(strategy.make).parameters)
            if found != arguments:
                raise TypeError(
                    f"{kind} '{strategy.name}': {strategy.make.__qualname__} takes ({', '.join(found)}); it must take "
                    f"({', '.join(arguments)})."
                )
            if not dataclasses.is_dataclass(strategy.options):
                raise TypeError(f"{kind} '{strategy.name}': its options must be a class decorated by @options.")
            self._strategies[strategy.name] = strategy
        self.declared = merged(kind, [strategy.options for strategy in strategies])

    def __getitem__(self, name: str) -> Strategy:
        """The strategy of a name."""
        return self._strategies[name]

    def __iter__(self) -> Iterator[str]:
        """Names, in the order of registration."""
        return iter(self._strategies)

    def __len__(self) -> int:
        """Number of strategies."""
        return len(self._strategies)

    def users_of(self, option: str) -> list[str]:
        """Names of the strategies that have an option."""
        return [name for name, strategy in self.items() if option in {o.name for o in declared(strategy.options)}]


def merged(kind: str, classes: list[type]) -> dict[str, Option]:
    """Options of several classes by name.

    Raises:
        TypeError: two classes declare an option of the same name differently.
    """
    found: dict[str, Option] = {}
    for cls in classes:
        for option in declared(cls):
            if found.setdefault(option.name, option) != option:
                raise TypeError(
                    f"{kind}: the option '{option.name}' of {cls.__name__} is declared differently by another one; "
                    f"inherit the declaration, or choose another name."
                )
    return found
