"""The options of a run: which model, loss, sampler and optimizer, and what each is told."""

import dataclasses
import difflib
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import struct

from cml_jax.data.interactions import Interactions
from cml_jax.errors import ConfigError
from cml_jax.losses import LOSSES, SIMILARITIES, Loss
from cml_jax.models import MODELS, Model
from cml_jax.optimizers import OptimizerOptions
from cml_jax.options import (
    AT_LEAST_1,
    Effect,
    Option,
    StrategyOptions,
    construct,
    declared,
    field_names,
    one_of,
    options,
    static,
)
from cml_jax.registry import Registry
from cml_jax.samplers import SAMPLERS, BatchShape, Sampler
from cml_jax.samplers.stage1 import takes_negatives
from cml_jax.types import DeviceInteractions

LOSS_REDUCTIONS = ("mean", "sum")


@options
class BatchOptions(StrategyOptions):
    """Options of a step's batch."""

    batch_size: int = static(256, "B, pairs of a step", AT_LEAST_1)


@options
class ObjectiveOptions(StrategyOptions):
    """Options that losses share."""

    num_negatives: int = static(
        1,
        "N, negatives of a pair; of the triplet loss the closest counts, of bpr the mean",
        AT_LEAST_1,
        Effect(takes_negatives, "a loss that takes negatives"),
    )
    loss_reduction: str = static("mean", "mean | sum, over the batch", one_of(LOSS_REDUCTIONS))


@struct.dataclass
class Choice:
    """A strategy that was chosen: its name in a registry, and its options."""

    name: str = struct.field(pytree_node=False)
    options: Any


@struct.dataclass
class Options:
    """What a compiled step depends on; made by `make_options`.

    A pytree: traced numbers are its leaves, all else is hashed by jit. Programs are shared by options of equal
    structure, `jax.tree.structure`.

    Attributes:
        model, loss, sampler: the strategies.
        optimizer: OptimizerOptions.
        batch: BatchOptions.
        objective: ObjectiveOptions.
        num_shards: P, devices that the tables are split over; it divides the batch size.
    """

    model: Choice
    loss: Choice
    sampler: Choice
    optimizer: OptimizerOptions
    batch: BatchOptions
    objective: ObjectiveOptions
    num_shards: int = struct.field(pytree_node=False, default=1)

    @property
    def batch_size(self) -> int:
        """B."""
        return self.batch.batch_size

    @property
    def num_negatives(self) -> int:
        """N."""
        return self.objective.num_negatives

    @property
    def loss_takes(self) -> str:
        """'negatives' or 'candidates'."""
        return self.make_loss().takes

    @property
    def similarity(self) -> str:
        """What the loss compares by, one of `losses.SIMILARITIES`."""
        return self.make_loss().similarity

    def make_loss(self) -> Loss:
        """The loss."""
        return LOSSES[self.loss.name].make(self.loss.options)

    def make_model(self) -> Model:
        """The model with its loss."""
        return MODELS[self.model.name].make(self.model.options, self.make_loss())

    def make_sampler(self, data: DeviceInteractions) -> Sampler:
        """The sampler of negatives or candidates."""
        shape = BatchShape(self.batch_size, self.num_negatives, self.num_shards, self.loss_takes)
        return SAMPLERS[self.sampler.name].make(self.sampler.options, data, shape)

    def values(self) -> dict[str, Any]:
        """Every option by name, derived ones too."""
        found: dict[str, Any] = {"num_shards": self.num_shards}
        found |= {kind: getattr(self, kind).name for kind in REGISTRIES} | {"optimizer": self.optimizer.name}
        for part in self._parts():
            found |= {name: getattr(part, name) for name in field_names(type(part)) if name != "name"}
        return found

    def _parts(self) -> tuple[StrategyOptions, ...]:
        chosen = (self.model.options, self.loss.options, self.sampler.options)
        return (*chosen, self.optimizer, self.batch, self.objective)

    def replace_options(self, train: Interactions | None = None, **values: Any) -> "Options":
        """The same with other values, by name as for `make_options`; what is derived is derived anew."""
        kept = {name: value for name, value in self.values().items() if name in OPTION_NAMES}
        return make_options(train, **kept | {"num_shards": self.num_shards} | values)

    def check_data(self, train: Interactions) -> None:
        """Raises ConfigError where the data do not allow the options."""
        for part in self._parts():
            part.check_data(self, train)

    def as_arrays(self) -> "Options":
        """The traced numbers as float32 arrays, which a compiled program takes without another compilation."""
        return jax.tree.map(jnp.float32, self)


REGISTRIES: dict[str, Registry] = {"model": MODELS, "loss": LOSSES, "sampler": SAMPLERS}
_NAME_KEYS = {"model": "model.name", "loss": "model.loss", "sampler": "sampler.name"}
_DEFAULT_NAMES = {"model": None, "loss": "triplet", "sampler": "two_stage"}
_SECTIONS = {"model": "model", "loss": "model", "sampler": "sampler"}


def _name_option(kind: str) -> Option:
    names = " | ".join(REGISTRIES[kind])
    more = "; none: what the loss stands for" if kind == "model" else ""
    return Option(
        name=kind,
        kind=str,
        default=_DEFAULT_NAMES[kind],
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


def _option_name(key: str) -> str:
    """The keyword of `make_options` for a config key: 'sampler.name' is `sampler`, 'model.dim' is `dim`."""
    section, name = key.split(".")
    return section if name == "name" else name


OPTION_NAMES: dict[str, str] = {_option_name(key): key for key in KEYS}
"""Keyword of `make_options` -> config key."""


def _check_losses() -> None:
    offered = {similarity for strategy in MODELS.values() for similarity in strategy.options.similarities}
    for name, strategy in LOSSES.items():
        loss = strategy.make(strategy.options())
        if loss.similarity not in SIMILARITIES or loss.takes not in ("negatives", "candidates"):
            raise TypeError(f"loss '{name}': similarity '{loss.similarity}' or takes '{loss.takes}' has no meaning.")
        if loss.similarity not in offered:
            raise TypeError(f"loss '{name}': no model offers the similarity '{loss.similarity}'; register one.")


_check_losses()
if len(OPTION_NAMES) < len(KEYS):
    raise TypeError("Two options of different sections have the same name; choose another name for one of them.")


def make_options(train: Interactions | None = None, **values: Any) -> Options:
    """Options of a step, from keyword arguments.

    Example:
        >>> options = make_options(dim=8, sampler="uniform", learning_rate=0.01)
        >>> options.model.options.dim, options.sampler.name, options.batch_size
        (8, 'uniform', 256)

    Args:
        train: training interactions; what follows from the data, such as the number of stage-1 draws, is then found.
        **values: any option by its name, such as `margin` for the config's `model.margin`; `model`, `loss`, `sampler`
            and `optimizer` name the strategies. Options of strategies that are not chosen are left aside. Derived
            fields, such as `num_draws`, may be given too.

    Raises:
        ConfigError: an option is unknown or out of range, or options do not go together.
    """
    for name, value in values.items():
        if name in OPTION_NAMES:
            KEYS[OPTION_NAMES[name]].check(value, OPTION_NAMES[name])
        elif name not in _derived_names():
            close = difflib.get_close_matches(name, OPTION_NAMES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"choose some of {', '.join(sorted(OPTION_NAMES))}."
            raise ConfigError(f"{name} is not an option; {hint}")
    loss = values.get("loss", _DEFAULT_NAMES["loss"])
    names = {
        "model": values.get("model") or default_model(loss),
        "loss": loss,
        "sampler": values.get("sampler", _DEFAULT_NAMES["sampler"]),
    }
    choices = {kind: Choice(name, construct(REGISTRIES[kind][name].options, values)) for kind, name in names.items()}
    of_optimizer = {key: value for key, value in values.items() if key != "name"}
    if "optimizer" in values:
        of_optimizer["name"] = values["optimizer"]
    chosen = Options(
        **choices,
        optimizer=construct(OptimizerOptions, of_optimizer),
        batch=construct(BatchOptions, values),
        objective=construct(ObjectiveOptions, values),
        num_shards=values.get("num_shards", 1),
    )
    return _checked(_resolved(chosen, train, values))


def options_of_config(values: Mapping[str, Any], train: Interactions | None = None, **more: Any) -> Options:
    """Options from a config's keys, such as 'sampler.name', and more by name, such as derived fields.

    Other keys are left aside.

    Raises:
        ConfigError: as `make_options`.
    """
    named = {_option_name(key): values[key] for key in KEYS if key in values}
    return make_options(train, **named | more)


def default_model(loss: str) -> str:
    """The model that a loss stands for: the first that offers its similarity."""
    strategy = LOSSES[loss]
    similarity = strategy.make(strategy.options()).similarity
    return next(name for name, model in MODELS.items() if similarity in model.options.similarities)


@functools.cache
def _derived_names() -> set[str]:
    classes = [strategy.options for registry in REGISTRIES.values() for strategy in registry.values()]
    every = {name for cls in (*classes, OptimizerOptions, BatchOptions, ObjectiveOptions) for name in field_names(cls)}
    return {"num_shards"} | every - {option.name for option in KEYS.values()} - {"name"}


def _resolved(chosen: Options, train: Interactions | None, given: Mapping[str, Any]) -> Options:
    """The options with their derived fields, but for those that were given."""

    def with_derived(part: StrategyOptions) -> StrategyOptions:
        found = {name: value for name, value in part.resolved(chosen, train).items() if name not in given}
        return construct(type(part), {name: getattr(part, name) for name in field_names(type(part))} | found)

    choices = {}
    for kind in REGISTRIES:
        choice = getattr(chosen, kind)
        choices[kind] = dataclasses.replace(choice, options=with_derived(choice.options))
    return dataclasses.replace(chosen, **choices, optimizer=with_derived(chosen.optimizer))


def _checked(chosen: Options) -> Options:
    similarities = MODELS[chosen.model.name].options.similarities
    if chosen.similarity not in similarities:
        usable = [name for name, s in LOSSES.items() if s.make(s.options()).similarity in similarities]
        raise ConfigError(
            f"model.loss = '{chosen.loss.name}' does not go with model.name = '{chosen.model.name}'; choose one of "
            f"{', '.join(usable)}."
        )
    if chosen.loss_takes == "candidates":
        check_offers_candidates(chosen)
    if chosen.batch_size % chosen.num_shards:
        raise ConfigError(
            f"train.batch_size = {chosen.batch_size} must be a multiple of the number of shards, {chosen.num_shards}."
        )
    for part in chosen._parts():
        part.check(chosen)
    return chosen


def check_offers_candidates(chosen: Options) -> None:
    """Raises ConfigError where the loss takes candidates and the sampler offers none."""
    offering = [name for name in SAMPLERS if "num_candidates" in field_names(SAMPLERS[name].options)]
    if chosen.sampler.name not in offering:
        raise ConfigError(
            f"model.loss = '{chosen.loss.name}' takes candidates, which sampler.name = '{chosen.sampler.name}' does "
            f"not offer; choose one of {', '.join(offering)}."
        )


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


def unused(chosen: Options, values: Mapping[str, Any]) -> list[Unused]:
    """Options whose value is not the default and that have no effect with the chosen strategies.

    Args:
        chosen: the options.
        values: config key -> value.
    """
    found = []
    for key, option in KEYS.items():
        if key not in values or key in _NAME_KEYS.values() or values[key] == option.default:
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
