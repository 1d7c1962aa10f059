"""Grids: the points that a config's `sweep` section declares, and the folder of each."""

import copy
import difflib
import fnmatch
import itertools
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ml_collections import ConfigDict, config_dict

from cml_jax.errors import ConfigError
from cml_jax.runs import compilation_cache, validation
from experiments.config import Config, flatten


class Point(NamedTuple):
    """One run of a grid.

    Attributes:
        folder: of the run, below the grid's: its label, then its seed.
        config: the base config with the point's changes.
    """

    folder: str
    config: Config

    @property
    def label(self) -> str:
        """What stands in the folder's name before the seed; empty where runs differ in the seed alone."""
        return label_in(self.folder)


def label_in(folder: str) -> str:
    """The label of a run, from its folder's name."""
    return os.path.dirname(folder)


def make_grid(
    base: Config,
    axes: Mapping[str, Sequence[Any]],
    points: Sequence[Mapping[str, Any]] = (),
    baseline: str | None = None,
    baselines: Sequence[Mapping[str, Any]] = (),
) -> Config:
    """A config with a `sweep` section, as `experiments.sweep` takes it.

    Args:
        base: the keys that all runs share.
        axes: dotted key -> values, of a product. Seeds are an axis like any other, `seed`.
        points: a list of runs, each a dict of dotted keys with their values and, if wanted, a 'name'. Every one of them
            is taken through the product of the axes.
        baseline: label of the runs that a report compares the others with; a label is what stands in a folder's name
            before the seed.
        baselines: what `experiments.results.baselines` fits for comparison, each a dict of 'name' and the model's
            options.
    """
    config = copy.deepcopy(base).unlock()  # keeps the types of keys without a value
    config.sweep = ConfigDict()
    config.sweep.axes = ConfigDict()  # nested as the keys are, so --config.sweep.axes.seed="(0, 1)" changes one
    for key, values in axes.items():
        *sections, name = key.split(".")
        inner: Config = config.sweep.axes
        for section in sections:
            if section not in inner:
                inner[section] = ConfigDict()
            inner = inner[section]
        inner[name] = tuple(values)
    config.sweep.points = tuple(dict(point) for point in points)
    config.sweep.baselines = tuple(dict(entry) for entry in baselines)
    config.sweep.memory_budget_mb = 4096.0  # for the members that are trained together
    config.sweep.baseline = config_dict.placeholder(str)
    config.sweep.baseline = baseline
    return config


def points(config: Config, more_axes: Mapping[str, Sequence[Any]] | None = None) -> list[Point]:
    """Every run of a grid: the points of the list, each taken through the product of the axes.

    Args:
        config: with a `sweep` section.
        more_axes: dotted key -> values; replaces the config's axis of that key.

    Raises:
        ConfigError: an axis or a point cannot be used, or two points are the same.
    """
    axes = dict(flatten(config.sweep.axes)) | dict(more_axes or {})
    listed = [_plain(point) for point in config.sweep.points] or [{}]
    _check(axes, listed)
    base = copy.deepcopy(config).unlock()
    del base["sweep"]
    changes = [
        point | dict(zip(axes, values, strict=True)) for point in listed for values in itertools.product(*axes.values())
    ]
    varying = [key for key in _keys(changes) if len({json.dumps(_value(c, key, base)) for c in changes}) > 1]
    found: dict[str, Point] = {}
    for change in changes:
        own = copy.deepcopy(base).lock()
        name = change.pop("name", "")
        for key, value in change.items():
            try:
                own.update_from_flattened_dict({key: value})
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise ConfigError(
                    f"config.sweep: {key} = {value!r} cannot be set ({' '.join(str(error).split())})."
                ) from error
        shown = [key for key in varying if key in change and key != "seed" and not (name and key not in axes)]
        label = ",".join([name] * bool(name) + [label_of({key: change[key] for key in shown})] * bool(shown))
        folder = os.path.join(label, str(own.seed))
        if folder in found:
            raise ConfigError(
                f"config.sweep has two points for the folder {folder}; give each value once, and the points a 'name' "
                f"each."
            )
        found[folder] = Point(folder, own)
    labels = list(dict.fromkeys(point.label for point in found.values()))
    if config.sweep.baseline not in (None, *labels):
        raise ConfigError(
            f"config.sweep.baseline = {config.sweep.baseline!r} is not a label of this grid; choose one of {labels}."
        )
    return list(found.values())


def narrowed(points: Sequence[Point], only: Sequence[str]) -> list[Point]:
    """The points whose label, or whole folder, matches one of some shell-style patterns; all without a pattern.

    Raises:
        ConfigError: nothing matches a pattern.
    """
    matches = {pattern: [point for point in points if _matches(point, pattern)] for pattern in only}
    for pattern, matched in matches.items():
        if not matched:
            names = list(dict.fromkeys(point.label or point.folder for point in points))
            close = difflib.get_close_matches(pattern, [*names, *(point.folder for point in points)], n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"choose some of {', '.join(names)}."
            raise ConfigError(f"--only={pattern}: no run of this grid has such a label; {hint}")
    chosen = {point.folder for matched in matches.values() for point in matched}
    return [point for point in points if not only or point.folder in chosen]


def _matches(point: Point, pattern: str) -> bool:
    return any(name == pattern or fnmatch.fnmatchcase(name, pattern) for name in (point.label, point.folder))


def _plain(point: Any) -> dict[str, Any]:
    return point.to_dict() if isinstance(point, ConfigDict) else dict(point)


def _check(axes: Mapping[str, Any], listed: Iterable[dict[str, Any]]) -> None:
    for key, values in axes.items():
        if not isinstance(values, tuple | list) or not values:
            raise ConfigError(f"config.sweep.axes.{key} = {values!r} must be a tuple of one or more values.")
        if key == "name":
            raise ConfigError(f"config.sweep.axes.name = {values!r}: a 'name' is for points; leave the axis out.")
        _check_values({key: values})
    for point in listed:
        _check_values(point)
        name = point.get("name", "")
        if not isinstance(name, str) or "/" in name or name in (".", ".."):
            raise ConfigError(f"config.sweep.points: name = {name!r} must be text that a folder can have as its name.")
    for keys in (axes, *listed):
        stranger = validation.unknown_key(key for key in keys if key != "name")
        if stranger:
            raise ConfigError(f"config.sweep: {stranger}")
        if compilation_cache.KEY in keys:
            raise ConfigError(
                f"config.sweep: config.{compilation_cache.KEY} is one for all runs; set it outside of config.sweep."
            )


def _check_values(values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        try:
            json.dumps(value)
        except TypeError as error:
            raise ConfigError(f"config.sweep: {key} = {value!r} cannot be kept as JSON; give another value.") from error


def _keys(changes: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(key for change in changes for key in change if key != "name"))


def _value(change: dict[str, Any], key: str, base: Config) -> Any:
    return change[key] if key in change else dict(flatten(base)).get(key)


def label_of(values: Mapping[str, Any]) -> str:
    """Changed keys with their values, as they stand in a folder's name; strategies first."""
    return ",".join(_part(key, values[key]) for key in sorted(values, key=lambda key: not key.endswith(".name")))


def _part(key: str, value: Any) -> str:
    """How a changed key stands in a folder's name; of strategies the name alone."""
    last = key.rsplit(".", 1)[-1]
    text = f"{value:g}" if isinstance(value, float) else "none" if value is None else str(value)
    text = text.replace("/", "_").replace(" ", "")
    return text if last == "name" else f"{last}={text}"
