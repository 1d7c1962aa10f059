"""Splits at points in time that are given: by date, or by days counted back from the newest pair."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cml_jax.data.tables import PARTS, Table
from cml_jax.data.times import DAY, NAMES, PER_SECOND, UNITS, micros_of, number_of, written
from cml_jax.errors import ConfigError, DataError
from cml_jax.options import AT_LEAST_0, POSITIVE, Range, one_of, options, static

BY_CUT = ("temporal_date", "temporal_days")
COLD_ITEMS = ("rank", "drop")
_LEFT_OUT = len(PARTS)
_FARTHEST = 2**63 - 2
_MOMENT = Range(
    lambda v: micros_of(v) is not None or number_of(v) is not None,
    "is no moment; write a date such as 2020-01-31 or '2020-01-31 10:00' (UTC), or a number in the unit of the times",
)


@options
class TimeOptions:
    """Options of times."""

    time_unit: str | None = static(
        None,
        f"what numbers of times count since 1970: {' | '.join(UNITS)} (an order only); none: told by their size",
        one_of(UNITS),
    )
    test_from: str | None = static(None, "temporal_date: date, or number, of the first test pairs", _MOMENT)
    valid_from: str | None = static(
        None, "temporal_date: of the first validation pairs; none: carved from train (valid_fraction)", _MOMENT
    )
    test_days: float | None = static(
        None, "temporal_days: days of test, counted back from the newest pair or the window's end", POSITIVE
    )
    valid_days: float | None = static(
        None, "temporal_days: days of validation before test; none: carved from train (valid_fraction)", POSITIVE
    )
    window: int = static(
        0, "temporal_days: how many times test_days the window ends before the newest pair", AT_LEAST_0
    )
    cold_items: str = static(
        "rank", "items without a training user: rank | drop (with their held-out pairs)", one_of(COLD_ITEMS)
    )

    def check_times(self, split: str | None) -> None:
        """Raises ConfigError for options of times that are missing, contradict each other or have no effect."""
        owners = {"temporal_date": ("test_from", "valid_from"), "temporal_days": ("test_days", "valid_days", "window")}
        for owner, names in owners.items():
            if split == owner and getattr(self, names[0]) is None:
                raise ConfigError(f"dataset.split = '{owner}' needs dataset.{names[0]}.")
            for name in names:
                value = getattr(self, name)
                if split != owner and value not in (None, 0):
                    raise ConfigError(
                        f"dataset.{name} = {value!r} has no effect without dataset.split = '{owner}'; leave it out."
                    )


class _Cuts(NamedTuple):
    """The first moments of validation and of test, and the first one that is left out, in the unit of the times."""

    valid: float | int
    test: float | int
    end: float | int


def cut(table: Table, split: str, options: TimeOptions) -> Table:
    """Gives every pair to the part of its time; what is newer than the window is dropped.

    Of rows of one pair, those of the earliest part count, so that what was known before is not to be found again, and
    later weights do not reach the training pair.

    Args:
        table: with the unit of its times; equal pairs may come several times.
        split: one of BY_CUT.
        options: where to cut.

    Raises:
        DataError: times are unknown, or not in days, or a part is left empty.
    """
    times = table.times
    if times is None:
        raise DataError(f"dataset.split = '{split}' needs times, which the data do not have; name dataset.time_column.")
    times = times.astype(np.int64) if times.dtype.kind in "iu" else times.astype(np.float64)
    cuts = _by_days(times, table.time_unit, options) if split == "temporal_days" else _by_date(table, times, options)
    parts = np.searchsorted(np.array(cuts, times.dtype), times, side="right").astype(np.int8)
    _refuse_empty(times, table.time_unit, parts, split, options)
    table, kept = table._replace(parts=parts), parts != _LEFT_OUT
    if not kept.all():
        table = table.where(kept).note(
            f"Left out {np.sum(~kept):,} pairs that are newer than the window, which ends at "
            f"{written(times[kept].max(), table.time_unit)}."
        )
    assert table.parts is not None and table.times is not None
    ranges = [
        f"{name} {span(table.times[table.parts == place], table.time_unit)}"
        for place, name in enumerate(("training", "validation", "test"))
        if np.any(table.parts == place)
    ]
    return _first_part_only(table.note(f"Split '{split}': {', '.join(ranges)}."))


def span(times: np.ndarray, unit: str | None) -> str:
    """The oldest and the newest of some times, in words."""
    return f"from {written(times.min(), unit)} to {written(times.max(), unit)}"


def _by_date(table: Table, times: np.ndarray, options: TimeOptions) -> _Cuts:
    assert options.test_from is not None
    test = _moment("test_from", options.test_from, table)
    valid = test if options.valid_from is None else _moment("valid_from", options.valid_from, table)
    if valid > test or (valid == test and options.valid_from is not None):
        raise DataError(
            f"dataset.valid_from = '{options.valid_from}' is not before dataset.test_from = '{options.test_from}'."
        )
    return _Cuts(valid, test, max(test, _after(times.max())))


def _moment(key: str, text: str, table: Table) -> float | int:
    """The moment as a number of the unit and type of the times."""
    assert table.times is not None
    unit, whole = table.time_unit, table.times.dtype.kind in "iu"
    number, micros = number_of(text), micros_of(text)
    if number is not None and (micros is None or unit not in PER_SECOND):  # 20200131 is a date where there are dates
        return _in_range(math.ceil(number)) if whole else float(number)
    assert micros is not None
    if unit not in PER_SECOND:
        raise DataError(
            f"dataset.{key} = '{text}' is a date, but the times, {span(table.times, None)}, are of no known unit; set "
            f"dataset.time_unit, or give a number."
        )
    scaled, rest = divmod(micros * PER_SECOND[unit], 10**6)
    return _in_range(scaled + (rest > 0)) if whole else micros / 10**6 * PER_SECOND[unit]


def _by_days(times: np.ndarray, unit: str | None, options: TimeOptions) -> _Cuts:
    assert options.test_days is not None
    if unit not in PER_SECOND:
        raise DataError(
            f"dataset.split = 'temporal_days' needs times of a known unit, but they are numbers {span(times, None)}; "
            f"set dataset.time_unit to one of {', '.join(f'{u} ({name})' for u, name in NAMES.items())}, or use the "
            f"split 'temporal_date'."
        )
    newest = times.max()
    back = np.array([0, options.test_days, options.valid_days or 0.0]).cumsum() + options.window * options.test_days
    in_unit = [days * DAY * PER_SECOND[unit] for days in back.tolist()]
    if times.dtype.kind == "f":
        exact = [newest.item() - units for units in in_unit]
    else:
        exact = [_in_range(newest.item() - round(min(units, 2.0**65))) for units in in_unit]
    end, test, valid = (_after(times.dtype.type(moment)) for moment in exact)
    return _Cuts(valid, test, end)


def _in_range(moment: int) -> int:
    """The nearest int64 number that has one after it."""
    return min(max(moment, -_FARTHEST), _FARTHEST)


def _after(moment: np.number) -> float | int:
    """The first moment after one, in the type of the times."""
    return int(moment) + 1 if moment.dtype.kind in "iu" else float(np.nextafter(moment, np.inf))


def _refuse_empty(times: np.ndarray, unit: str | None, parts: np.ndarray, split: str, options: TimeOptions) -> None:
    counts = np.bincount(parts, minlength=_LEFT_OUT)
    by_date = split == "temporal_date"
    names = ("test_from", "valid_from") if by_date else ("test_days", "valid_days")
    wanted = {"train": True, "valid": getattr(options, names[1]) is not None, "test": True}
    empty = [name for name, count in zip(PARTS, counts, strict=False) if not count and wanted[name]]
    if empty:
        raise DataError(
            f"{_given(options, (*names, *([] if by_date else ['window'])))} leaves no {empty[0]} pairs; the times are "
            f"{span(times, unit)}."
        )


def _given(options: TimeOptions, names: Sequence[str]) -> str:
    """The options that are set, as keys with their values."""
    values = {name: getattr(options, name) for name in names}
    return " with ".join(f"dataset.{name} = {value}" for name, value in values.items() if value not in (None, 0))


def _first_part_only(table: Table) -> Table:
    """Drops the rows of a pair that are of a later part than its first ones."""
    assert table.parts is not None
    keys = table.pair_keys()
    order = np.lexsort((table.parts, keys))
    starts = np.concatenate([[True], keys[order][1:] != keys[order][:-1]])
    firsts = table.parts[order][starts][np.cumsum(starts) - 1]
    kept = np.empty(table.num_pairs, bool)
    kept[order] = table.parts[order] == firsts
    if kept.all():
        return table
    return table.where(kept).note(
        f"Dropped {np.sum(~kept):,} held-out rows of pairs that an earlier part has: they were known by then."
    )
