"""Units of times: what numbers count, and numbers as dates."""

import datetime

import numpy as np

from cml_jax.data.tables import Table
from cml_jax.errors import DataError

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
STEPS = "steps"  # numbers that only order the pairs
UNITS = (*PER_SECOND, STEPS)
DAY = 86_400  # seconds
_EPOCH = datetime.datetime(1970, 1, 1)
# Numbers are taken for times since 1970 only if every one of them lies in these years, in seconds.
_PLAUSIBLE = tuple((datetime.datetime(year, 1, 1) - _EPOCH).total_seconds() for year in (1975, 2100))


def with_unit(table: Table, chosen: str | None) -> tuple[Table, tuple[str, ...]]:
    """The table with the unit of its times, which are dates, of a chosen unit, or told by their size.

    Args:
        table: of which `time_unit` is None where the times are numbers.
        chosen: one of UNITS, or None.

    Returns:
        The table, and sentences about what was guessed.

    Raises:
        DataError: a unit is chosen for data without times, or for dates.
    """
    if table.times is None or table.num_pairs == 0:
        if chosen is not None and table.times is None:
            raise DataError(f"dataset.time_unit = '{chosen}' has no effect: no times are read; leave it out.")
        return table, ()
    if table.time_unit is not None:
        if chosen not in (None, table.time_unit):
            raise DataError(f"dataset.time_unit = '{chosen}' does not fit times that are dates; leave it out.")
        return table, ()
    if chosen is not None:
        return table._replace(time_unit=chosen), ()
    first, last = table.times.min(), table.times.max()
    unit = _told(float(first), float(last))
    table = table._replace(time_unit=unit)
    if unit == STEPS:
        sentence = (
            f"Times from {first:g} to {last:g} are taken for an order only; if they count from 1970, say the unit by "
            f"dataset.time_unit = {' | '.join(PER_SECOND)}."
        )
    else:
        sentence = (
            f"Times are taken for {NAMES[unit]} since 1970, from {written(first, unit)} to {written(last, unit)}; if "
            f"they are not, set dataset.time_unit."
        )
    return table, (sentence,)


def _told(first: float, last: float) -> str:
    """The unit by which all numbers from first to last lie in plausible years, of which there is at most one."""
    for unit, per_second in PER_SECOND.items():
        if _PLAUSIBLE[0] <= first / per_second and last / per_second <= _PLAUSIBLE[1]:
            return unit
    return STEPS


def written(time: float | np.integer | np.floating, unit: str | None) -> str:
    """A time as a date in UTC where its unit is known and the year has four digits, else as a number."""
    number: float | int = time.item() if isinstance(time, np.integer | np.floating) else time
    if unit in PER_SECOND:
        micros = number * (10**6 // PER_SECOND[unit]) if PER_SECOND[unit] <= 10**6 else number // 10**3
        try:
            moment = _EPOCH + datetime.timedelta(microseconds=round(micros))
        except OverflowError:
            return f"{number:.15g}"
        return str(moment.date()) if moment.time() == datetime.time() else str(moment)
    return f"{number:.15g}" if isinstance(number, float) else str(number)


def micros_of(date: str) -> int | None:
    """Microseconds since 1970 of a date of ISO 8601, in UTC unless it names a zone; None for other text."""
    try:
        moment = datetime.datetime.fromisoformat(date.strip())
    except ValueError:
        return None
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    return (moment - _EPOCH) // datetime.timedelta(microseconds=1)


def number_of(text: str) -> float | int | None:
    """The finite number that text stands for, or None."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None
