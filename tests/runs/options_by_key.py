"""Another value of every key of a config, and configs in which it has an effect."""

import functools
import itertools

from cml_jax import keys
from cml_jax.errors import ConfigError
from cml_jax.losses import LOSSES
from cml_jax.models import MODELS
from cml_jax.runs import validation
from cml_jax.runs.config import KEYS
from cml_jax.samplers import SAMPLERS
from cml_jax.strategies import losses_of
from experiments.config import to_values
from tests.tiny import tiny_config

_NAMES = {"model.name": "model", "model.loss": "loss", "sampler.name": "sampler"}
_GIVEN = {  # where what follows from the type is not enough
    "dataset.encoding": "latin-1",
    "dataset.item_feature_columns": ("other",),
    "dataset.quote": "'",
    "dataset.split_ratio": (2, 1, 1),
    "dataset.test_from": "2020-01-31",
    "dataset.time_format": "%d/%m/%Y",
    "dataset.user_feature_columns": ("other:token",),
    "dataset.valid_from": "2019-12-31",
    "eval.ks": (1, 7),
    "eval.select": "map@1",
    "eval.final_ks": (3,),
    "eval.compare": ("popular",),
    "model.margin_limit": 1.5,  # not below the margin
    "model.own_share": 0.25,
    "sharding.num_shards": 2,  # divides the batch size
}
_NEEDED = {  # for the key to have an effect
    "model.hinge_temperature": {"model.hinge": "soft_min"},
    "model.nearest_users_weight": {"model.num_nearest_users": 2},
    "sampler.anneal_passes": {"sampler.similarity_cutoff_end": 0.3},
}


def other_value(key, default=None):
    """A value within the key's range that is not its default."""
    option = KEYS[key]
    default = option.default if default is None else default
    if key in _GIVEN:
        return _GIVEN[key]
    if option.kind is bool:
        return not default
    if option.kind is str:
        named = option.range.sentence.partition("choose one of ")[2]
        return next(name for name in named.split(", ") if name != default) if named else "other"
    tried = (0.5, 2.5) if option.kind is float else (3, 2)
    return next(value for value in tried if value != default and option.range.allows(value))


_losses_of = functools.cache(losses_of)


def configs_that_use(key):
    """Yields (config with the default, config with another value) for a key of the step, in each of which it counts.

    Every model, loss and sampler that has a use for it comes in one pair at least.
    """
    seen = set()
    name = next(name for name, of_key in keys.OPTION_NAMES.items() if of_key == key)
    owners = [registry.users_of(name) for registry in (MODELS, LOSSES, SAMPLERS)]
    for names in itertools.product(MODELS, LOSSES, SAMPLERS):
        if seen.issuperset(enumerate(names)) or names[1] not in _losses_of(names[0]):
            continue
        if any(owners) and not any(one in of_kind for one, of_kind in zip(names, owners, strict=True)):
            continue
        base = tiny_config(model__gor_weight=0.0 if key == "model.gor_weight" else 0.3, train__batch_size=16)
        if "distance" not in MODELS[names[0]].options.similarities and key != "model.constraint":
            base.model.constraint = "none"
        changed = base.copy_and_resolve_references()
        changed.update_from_flattened_dict(dict(zip(_NAMES, names, strict=True)))
        changed.update_from_flattened_dict(_NEEDED.get(key, {}))
        if key not in _NAMES:
            base = changed.copy_and_resolve_references()
            changed.update_from_flattened_dict({key: other_value(key, to_values(base)[key])})
        try:
            before, after = (validation.options_of(to_values(config)) for config in (base, changed))
        except ConfigError:
            continue
        if key in _NAMES:
            has_effect = before.values()[_NAMES[key]] != after.values()[_NAMES[key]]
        else:
            has_effect = key not in {option.key for option in keys.unused(after, to_values(changed))}
        if has_effect:
            seen |= {*enumerate(names)}
            yield base, changed
