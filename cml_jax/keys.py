"""The keys of all options that a compiled step depends on, gathered from the registries of strategies."""

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

from cml_jax import defaults
from cml_jax.losses import LOSSES, SIMILARITIES, TAKES
from cml_jax.losses.base import WITH_OTHERS, takes_negatives
from cml_jax.models import MODELS
from cml_jax.optimizers import OptimizerOptions
from cml_jax.options import (
    AT_LEAST_0,
    AT_LEAST_1,
    Effect,
    FromData,
    Option,
    StrategyOptions,
    declared,
    field_names,
    one_of,
    options,
    static,
)
from cml_jax.registry import Registry
from cml_jax.samplers import SAMPLERS

LOSS_REDUCTIONS = ("mean", "sum")
WEIGHT_USES = ("loss", "draw")


@options
class BatchOptions(StrategyOptions):
    """Options of a step's batch."""

    batch_size: int = static(
        None,
        "B, pairs of a step; none: follows from their number, about its root",
        AT_LEAST_1,
        from_data=FromData(defaults.batch_size, without=256),
    )
    weight_use: str = static(
        "loss",
        "what weights of pairs do: loss (factors of their losses) | draw (how often a pass has them)",
        one_of(WEIGHT_USES),
    )


@options
class ObjectiveOptions(StrategyOptions):
    """Options that losses share."""

    num_negatives: int = static(
        1,
        "N, negatives of a pair; of the triplet loss the closest counts, of bpr the mean",
        AT_LEAST_1,
        Effect(takes_negatives, "a loss that takes negatives"),
    )
    num_dislikes: int = static(
        1,
        "H, dislikes of its user that a pair has as negatives besides, where the data have any; 0: none",
        AT_LEAST_0,
        WITH_OTHERS,
    )
    loss_reduction: str = static("mean", "mean | sum, over the batch", one_of(LOSS_REDUCTIONS))


REGISTRIES: dict[str, Registry] = {"model": MODELS, "loss": LOSSES, "sampler": SAMPLERS}
_NAME_KEYS = {"model": "model.name", "loss": "model.loss", "sampler": "sampler.name"}
DEFAULT_NAMES = {"model": None, "loss": "softmax", "sampler": "uniform"}
_SECTIONS = {"model": "model", "loss": "model", "sampler": "sampler"}


def _name_option(kind: str) -> Option:
    names = " | ".join(REGISTRIES[kind])
    more = "; none: what the loss stands for" if kind == "model" else ""
    return Option(
        name=kind,
        kind=str,
        default=DEFAULT_NAMES[kind],
        range=one_of(REGISTRIES[kind]),
        help=f"{kind}: {names}{more}",
        traced=False,
        effect=Effect(),
    )


def _declared_keys() -> dict[str, Option]:
    keys: dict[str, Option] = {}

    def add(section: str, found: Mapping[str, Option]) -> None:
        for name, option in found.items():
            if f"{section}.{name}" in keys:
                raise TypeError(f"The option '{name}' of section '{section}' is declared twice; choose another name.")
            keys[f"{section}.{name}"] = option

    keys |= {_NAME_KEYS[kind]: _name_option(kind) for kind in REGISTRIES}
    for kind, registry in REGISTRIES.items():
        add(_SECTIONS[kind], registry.declared)
    for section, cls in (("model", ObjectiveOptions), ("optimizer", OptimizerOptions), ("train", BatchOptions)):
        add(section, {option.name: option for option in declared(cls)})
    return dict(sorted(keys.items(), key=lambda item: (item[0].split(".")[0], item[0] not in _NAME_KEYS.values())))


KEYS: dict[str, Option] = _declared_keys()
"""Config key -> option, of everything that a compiled step depends on."""


SECTIONS: tuple[str, ...] = tuple(dict.fromkeys(key.split(".")[0] for key in KEYS))
"""Sections of a config that hold `KEYS`."""


def option_name(key: str) -> str:
    """The keyword of `make_options` for a config key: 'sampler.name' is `sampler`, 'model.dim' is `dim`."""
    section, name = key.split(".")
    return section if name == "name" else name


OPTION_NAMES: dict[str, str] = {option_name(key): key for key in KEYS}
"""Keyword of `make_options` -> config key."""


def _check_losses_and_models() -> None:
    used = {strategy.make(strategy.options()).similarity for strategy in LOSSES.values()}
    for name, strategy in MODELS.items():
        if not used.intersection(strategy.options.similarities):
            raise TypeError(
                f"model '{name}': no loss compares by one of its similarities, {strategy.options.similarities}; "
                f"register one."
            )
    offered = {similarity for strategy in MODELS.values() for similarity in strategy.options.similarities}
    for name, strategy in LOSSES.items():
        loss = strategy.make(strategy.options())
        if loss.similarity not in SIMILARITIES or loss.takes not in TAKES:
            raise TypeError(f"loss '{name}': similarity '{loss.similarity}' or takes '{loss.takes}' has no meaning.")
        if loss.similarity not in offered:
            raise TypeError(f"loss '{name}': no model offers the similarity '{loss.similarity}'; register one.")


_check_losses_and_models()
if len(OPTION_NAMES) < len(KEYS):
    raise TypeError("Two options of different sections have the same name; choose another name for one of them.")


@functools.cache
def derived_names() -> set[str]:
    """Names of the derived fields of all options, which are no keys."""
    classes = [strategy.options for registry in REGISTRIES.values() for strategy in registry.values()]
    every = {name for cls in (*classes, OptimizerOptions, BatchOptions, ObjectiveOptions) for name in field_names(cls)}
    return {"num_shards"} | every - {option.name for option in KEYS.values()} - {"name"}


class Unused(NamedTuple):
    """An option that was set and has no effect.

    Attributes:
        key: the config's.
        value: what it was set to.
        needed: what it takes to have one.
        by: the strategy that does not use it, in words.
        enforced: whether that is refused.
    """

    key: str
    value: Any
    needed: str
    by: str
    enforced: bool


def unused(chosen: Any, values: Mapping[str, Any]) -> list[Unused]:
    """Options whose value is not the default and that have no effect with the chosen strategies.

    Args:
        chosen: the `strategies.Options`.
        values: config key -> value.
    """
    found = []
    for key, option in KEYS.items():
        if key not in values or values[key] == option.default:
            continue
        if key.startswith("sampler.") and not WITH_OTHERS.holds(chosen):
            by = f"loss '{chosen.loss.name}'"
            found.append(Unused(key, values[key], WITH_OTHERS.needed, by, option.effect.enforced))
            continue
        if key in _NAME_KEYS.values():
            continue
        owners = {kind: registry.users_of(option.name) for kind, registry in REGISTRIES.items()}
        owners = {kind: names for kind, names in owners.items() if names and _SECTIONS[kind] == key.split(".")[0]}
        needed, by = [], []
        for kind, names in owners.items():
            if getattr(chosen, kind).name not in names:
                needed.append(" or ".join(f"{_NAME_KEYS[kind]} = '{name}'" for name in names))
                by.append(f"{kind} '{getattr(chosen, kind).name}'")
        if not needed and not option.effect.holds(chosen):
            needed.append(option.effect.needed)
            by.append(f"loss '{chosen.loss.name}'")
        if needed:
            found.append(Unused(key, values[key], " and ".join(needed), by[0], option.effect.enforced))
    return found
