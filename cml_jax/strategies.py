"""The options of a run: which model, loss, sampler and optimizer, and what each is told."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from cml_jax.data.interactions import Interactions
from cml_jax.errors import ConfigError
from cml_jax.keys import (
    DEFAULT_NAMES,
    KEYS,
    OPTION_NAMES,
    REGISTRIES,
    BatchOptions,
    ObjectiveOptions,
    derived_names,
    option_name,
)
from cml_jax.losses import LOSSES, Loss
from cml_jax.models import MODELS, Model
from cml_jax.optimizers import OptimizerOptions
from cml_jax.options import StrategyOptions, construct, field_names, from_data
from cml_jax.samplers import SAMPLERS, BatchShape, Sampler
from cml_jax.types import DeviceInteractions


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
        """The same with other values, by name as for `make_options`.

        What is derived is derived anew; where that takes the data and these are not given, it is kept if none of the
        options that it follows from changes.
        """
        kept = {name: value for name, value in self.values().items() if name in OPTION_NAMES}
        if train is None and not values.keys() & {"batch_size", "num_negatives", "optimizer", *REGISTRIES}:
            for part in self._parts():
                own = field_names(type(part))
                if not values.keys() & {*own}:
                    kept |= {name: getattr(part, name) for name in own if name in derived_names()}
        if "optimizer" in values and self.optimizer.rows == self.optimizer.default_rows():
            del kept["rows"]
        _check_values(values)
        return _make_options(train, kept | {"num_shards": self.num_shards} | values)

    def check_data(self, train: Interactions) -> None:
        """Raises ConfigError where the data do not allow the options."""
        for part in self._parts():
            part.check_data(self, train)

    def as_arrays(self) -> "Options":
        """The traced numbers as float32 arrays, which a compiled program takes without another compilation."""
        return jax.tree.map(jnp.float32, self)


def make_options(train: Interactions | None = None, **values: Any) -> Options:
    """Options of a step, from keyword arguments.

    Examples:
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
    _check_values(values)
    return _make_options(train, values)


def _check_values(values: Mapping[str, Any]) -> None:
    """Raises ConfigError where a name is unknown or a value out of range."""
    for name, value in values.items():
        if name in OPTION_NAMES:
            KEYS[OPTION_NAMES[name]].check(value, OPTION_NAMES[name])
        elif name not in derived_names():
            close = difflib.get_close_matches(name, OPTION_NAMES, n=1)
            hint = f"did you mean {close[0]}?" if close else f"choose some of {', '.join(sorted(OPTION_NAMES))}."
            raise ConfigError(f"{name} is not an option; {hint}")


def _make_options(train: Interactions | None, values: Mapping[str, Any]) -> Options:
    values = dict(values) | from_data({name: KEYS[key] for name, key in OPTION_NAMES.items()}, values, train)
    loss = values.get("loss", DEFAULT_NAMES["loss"])
    names = {
        "model": values.get("model") or default_model(loss),
        "loss": loss,
        "sampler": values.get("sampler", DEFAULT_NAMES["sampler"]),
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
    named = {option_name(key): values[key] for key in KEYS if key in values}
    return make_options(train, **named | more)


def default_model(loss: str) -> str:
    """The model that a loss stands for: the first that offers its similarity."""
    strategy = LOSSES[loss]
    similarity = strategy.make(strategy.options()).similarity
    return next(name for name, model in MODELS.items() if similarity in model.options.similarities)


def _resolved(chosen: Options, train: Interactions | None, given: Mapping[str, Any]) -> Options:
    """The options with their derived fields, but for those that were given."""

    def with_derived(part: StrategyOptions) -> StrategyOptions:
        found = {name: value for name, value in part.resolved(chosen, train).items() if given.get(name) is None}
        return construct(type(part), {name: getattr(part, name) for name in field_names(type(part))} | found)

    choices = {}
    for kind in REGISTRIES:
        choice = getattr(chosen, kind)
        choices[kind] = dataclasses.replace(choice, options=with_derived(choice.options))
    return dataclasses.replace(chosen, **choices, optimizer=with_derived(chosen.optimizer))


def losses_of(model: str) -> dict[str, Loss]:
    """The losses that go with a model, as they are by default, by name."""
    options = MODELS[model].options
    made = {name: strategy.make(strategy.options()) for name, strategy in LOSSES.items()}
    return {
        name: loss
        for name, loss in made.items()
        if loss.similarity in options.similarities and not options.objection(loss)
    }


def _check_loss(chosen: Options) -> None:
    """Raises ConfigError, which names those that do, where the loss does not go with the model."""
    model, loss = MODELS[chosen.model.name].options, chosen.make_loss()
    reason, named = model.objection(loss), f"model.loss = '{chosen.loss.name}'"
    if loss.similarity not in model.similarities:
        reason = f"{named} does not go with model.name = '{chosen.model.name}'"
    elif reason:
        reason = f"model.name = '{chosen.model.name}' {reason.format(loss=named)}"
    else:
        return
    usable, offers_candidates = losses_of(chosen.model.name), SAMPLERS[chosen.sampler.name].options.offers_candidates
    names = [name for name, loss in usable.items() if loss.takes == "negatives" or offers_candidates] or [*usable]
    advice = f"use model.loss = '{names[0]}'" if len(names) == 1 else f"choose one of {', '.join(names)}"
    raise ConfigError(f"{reason}; {advice}.")


def _checked(chosen: Options) -> Options:
    _check_loss(chosen)
    if chosen.loss_takes == "candidates":
        check_offers_candidates(chosen)
    if chosen.num_shards < 1:
        raise ConfigError(f"num_shards = {chosen.num_shards} must be 1 or more.")
    if chosen.batch_size % chosen.num_shards:
        raise ConfigError(
            f"train.batch_size = {chosen.batch_size} must be a multiple of the number of shards, {chosen.num_shards}."
        )
    for part in chosen._parts():
        part.check(chosen)
    return chosen


def check_offers_candidates(chosen: Options) -> None:
    """Raises ConfigError where the loss takes candidates and the sampler offers none."""
    offering = [name for name in SAMPLERS if SAMPLERS[name].options.offers_candidates]
    if chosen.sampler.name not in offering:
        raise ConfigError(
            f"model.loss = '{chosen.loss.name}' takes candidates, which sampler.name = '{chosen.sampler.name}' does "
            f"not offer; choose one of {', '.join(offering)}."
        )
