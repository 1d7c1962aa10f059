"""Signals of rows: how much a row counts, of which kind and how old it is, and whether it is a like.

Each row has a weight, that of its kind times that of its column. Weights of one pair add up, the transform is of the
sum, and the decay multiplies it by the mean over the pair's rows, by weight, of 0.5^(age / half-life):

    w(pair) = transform(W) * (sum over rows of w d) / W,  W = sum over rows of w.

A factor of all decays cancels in relative weights, so it does not matter from which moment on ages are counted.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from cml_jax.data.dislikes import parted
from cml_jax.data.tables import WEIGHTS, Table
from cml_jax.data.times import DAY, PER_SECOND
from cml_jax.errors import ConfigError, DataError
from cml_jax.options import POSITIVE, Range, one_of, options, static

TRANSFORMS = ("none", "log1p", "confidence")
_ALPHA = 40.0
FINITE = Range(lambda v: abs(v) < 3e38, "must be a finite number")
_SHOWN = 10  # kinds that a sentence lists


@options
class SignalOptions:
    """Options of weights, kinds and dislikes."""

    dislike_rating: float | None = static(
        None, "largest rating or value that makes a dislike, such as 2 of 5, or -1; none: no dislikes by rating", FINITE
    )
    kind_weights: str | None = static(
        None,
        "weight of each kind of interaction, 'view=1,cart=3,return=-1' or an object of JSON; 0: left out, negative: "
        "dislikes",
    )
    weight_transform: str = static(
        "none",
        "of the weights of a pair, added up: none | log1p | confidence, which is 1 + weight_alpha * w",
        one_of(TRANSFORMS),
    )
    weight_alpha: float = static(_ALPHA, "alpha of weight_transform = confidence", POSITIVE)
    half_life_days: float | None = static(
        None, "days after which a row counts half of what the newest one does; none: age does not matter", POSITIVE
    )

    def kinds(self) -> dict[str, float]:
        """The weight of each kind.

        Raises:
            ConfigError: they are not written as weights of kinds.
        """
        return parse_kind_weights(self.kind_weights) if self.kind_weights is not None else {}


def check(options: Any) -> None:
    """Raises ConfigError where options of a data set contradict each other or would have no effect."""
    weights = options.kinds()
    if (options.kind_weights is None) != (options.kind_column is None):
        raise ConfigError(
            "dataset.kind_column and dataset.kind_weights go together: name the column, and the weight of each kind."
        )
    if weights and max(weights.values()) <= 0:
        raise ConfigError(f"dataset.kind_weights = {options.kind_weights!r} has no weight above 0; give at least one.")
    if options.weight_alpha != _ALPHA and options.weight_transform != "confidence":
        raise ConfigError(
            f"dataset.weight_alpha = {options.weight_alpha:g} has an effect only with dataset.weight_transform = "
            f"'confidence'; leave it out."
        )
    least, most = options.min_rating, options.dislike_rating
    if least is not None and most is not None and most >= least:
        raise ConfigError(f"dataset.dislike_rating = {most:g} must be below dataset.min_rating = {least:g}.")


def parse_kind_weights(text: str | Mapping[Any, Any]) -> dict[str, float]:
    """The weight of each kind.

    Args:
        text: 'view=1,cart=3', an object of JSON, for names with commas or signs of equality, or a mapping.

    Raises:
        ConfigError: it is none of these.
    """
    try:
        pairs = _pairs_of(text)
        found = {str(name): float(weight) for name, weight in pairs}
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"dataset.kind_weights = {str(text)[:60]!r} must be weights of kinds, such as 'view=1,cart=3'."
        ) from error
    if len(found) < len(pairs):
        raise ConfigError(f"dataset.kind_weights = {str(text)[:60]!r} has a kind twice; give each once.")
    for name, weight in found.items():
        if weight and not WEIGHTS[0] <= abs(weight) <= WEIGHTS[1]:
            raise ConfigError(f"dataset.kind_weights: {weight:g} of {name!r} must be 0 or of a size of 1e-30 to 1e30.")
    return found


def _pairs_of(text: str | Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    if isinstance(text, Mapping):
        return list(text.items())
    if text.lstrip().startswith("{"):
        found = json.loads(text, object_pairs_hook=list)
        if any(isinstance(weight, list | bool | str) for _, weight in found):
            raise ValueError
        return found
    parts = [part.rpartition("=") for part in text.split(",")]
    if not all(name.strip() and sign for name, sign, _ in parts):
        raise ValueError
    return [(name.strip(), weight) for name, _, weight in parts]


def written_kind_weights(weights: Any) -> Any:
    """A mapping as text, which `parse_kind_weights` reads; all else as it is."""
    if not isinstance(weights, Mapping):
        return weights
    return json.dumps({str(name): weight for name, weight in parse_kind_weights(weights).items()}, ensure_ascii=False)


def likes_and_dislikes(table: Table) -> tuple[Table, Table | None]:
    """Tells likes from dislikes, of which there may be none.

    Args:
        table: with repeated pairs, see `of_kinds`.

    Raises:
        DataError: no like is left.
    """
    likes, dislikes = parted(table)
    if likes.num_pairs == 0:
        raise DataError("every pair is a dislike or left out; lower dataset.min_rating or change dataset.kind_weights.")
    return likes, dislikes


def likes_of(table: Table, options: Any, label: str) -> Table:
    """The likes among held-out rows, which all count alike; a note says how many dislikes are left out."""
    likes, dislikes = parted(of_kinds(table, options.kinds()))
    if dislikes is not None:
        likes = likes.note(f"{label}: left out {dislikes.num_pairs:,} dislikes, which are nothing to find.")
    return likes._replace(weights=None)


def of_kinds(table: Table, weights: dict[str, float]) -> Table:
    """The rows of kinds that count, with the kinds' weights multiplied in, and those of negative weight disliked.

    Raises:
        DataError: a kind has no weight.
    """
    if table.kinds is None:
        return table
    counts = dict(zip(table.kind_names, np.bincount(table.kinds, minlength=len(table.kind_names)), strict=True))
    if unknown := [name for name in counts if name not in weights]:
        found = sorted(counts, key=lambda name: -counts[name])
        listed = ", ".join(f"{name[:60]!r} ({counts[name]:,})" for name in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
        raise DataError(
            f"dataset.kind_weights has no weight of the kind {unknown[0][:60]!r}; the kinds are {listed}{more}: give "
            f"each a weight, 0 to leave it out."
        )
    of_row = np.array([weights[name] for name in table.kind_names])[table.kinds]
    disliked = of_row < 0 if table.disliked is None else table.disliked | (of_row < 0)
    row_weights = np.abs(of_row) if table.weights is None else table.weights * np.abs(of_row)
    likes = {name: count for name, count in counts.items() if weights[name] > 0}
    said = ", ".join(f"{name} {count:,} (weight {weights[name]:g})" for name, count in likes.items())
    table = table._replace(
        kinds=None, kind_names=(), disliked=disliked if disliked.any() else table.disliked, weights=row_weights
    ).note(f"Kinds that are likes: {said}.")
    for rule, sign in (("dislikes", -1), ("left out", 0)):
        chosen = {name: count for name, count in counts.items() if np.sign(weights[name]) == sign}
        if chosen:
            table = table.note(f"Kinds that are {rule}: {', '.join(f'{name} {n:,}' for name, n in chosen.items())}.")
    unused = [name for name in weights if name not in counts]
    if unused:
        table = table.note(f"Kinds with a weight that no row is of: {', '.join(unused[:_SHOWN])}.")
    return table if np.all(of_row) else table.where(of_row != 0)


def has_weights(table: Table, options: Any) -> bool:
    """Whether rows do not count alike."""
    return table.weights is not None or options.half_life_days is not None or options.weight_transform != "none"


def weighted(table: Table, options: Any, newest: float | int | None) -> Table:
    """The likes with a weight each such that those of one pair add up to what it counts.

    Args:
        table: with repeated pairs.
        options: `DataOptions`.
        newest: of the times that training knows, from which ages are counted.

    Raises:
        DataError: ages are asked for, and times or their unit are not known.
    """
    if not has_weights(table, options):
        return table
    weights = np.ones(table.num_pairs) if table.weights is None else table.weights
    decayed = weights
    if options.half_life_days is not None:
        decayed = weights * _decay(table, options.half_life_days, newest)
    if options.weight_transform != "none":
        _, pair_of = np.unique(table.pair_keys(), return_inverse=True)
        totals = np.bincount(pair_of, weights)
        how = np.log1p(totals) if options.weight_transform == "log1p" else 1.0 + options.weight_alpha * totals
        decayed = decayed * (how / totals)[pair_of]
        formula = "log(1 + w)" if options.weight_transform == "log1p" else f"1 + {options.weight_alpha:g} w"
        table = table.note(f"Weights are {formula} of what the rows of a pair add up to.")
    outside = (decayed < WEIGHTS[0]) | (decayed > WEIGHTS[1])
    if outside.any():
        table = table.note(f"Set {outside.sum():,} weights to the nearest of 1e-30 and 1e30, beyond which they were.")
    return table._replace(weights=np.clip(decayed, *WEIGHTS))


def _decay(table: Table, half_life_days: float, newest: float | int | None) -> np.ndarray:
    """0.5^(age / half-life) of each row; those that are newer than training, which are held out, have age 0."""
    if table.times is None or newest is None:
        raise DataError("dataset.half_life_days needs times, which the data do not have; name dataset.time_column.")
    if table.time_unit not in PER_SECOND:
        raise DataError(
            f"dataset.half_life_days needs times in a known unit; set dataset.time_unit = {' | '.join(PER_SECOND)}."
        )
    ages = np.maximum(newest - table.times, 0) / (DAY * PER_SECOND[table.time_unit])
    return np.exp2(-ages / half_life_days)
