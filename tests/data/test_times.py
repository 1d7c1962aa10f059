import datetime

import numpy as np
import pytest

from cml_jax.data import times
from cml_jax.errors import DataError
from tests.data.test_tables import make_table

MOMENT = datetime.datetime(2021, 3, 4, 5, 6, 7, tzinfo=datetime.UTC)


def timed(values, unit=None):
    return make_table([(0, i) for i in range(len(values))], times=values)._replace(time_unit=unit)


@pytest.mark.parametrize(("unit", "per_second"), times.PER_SECOND.items())
@pytest.mark.parametrize("kind", [np.int64, np.float64])
def test_unit_is_told_by_the_size_of_numbers_and_said(unit, per_second, kind):
    first, last = (kind(int(moment.timestamp()) * per_second) for moment in (MOMENT.replace(year=1976), MOMENT))
    table, (note,) = times.with_unit(timed(np.array([first, last])), None)
    assert table.time_unit == unit
    assert note.startswith(
        f"Times are taken for {times.NAMES[unit]} since 1970, from 1976-03-04 05:06:07 to 2021-03-04"
    )


@pytest.mark.parametrize(
    "values",
    [
        [0, 40],
        [1, int(MOMENT.timestamp())],
        [20210304, 20210305],
        [-5, 5],
        [1e30, 2e30],
        [20210304050607, 20210304050608],
    ],
    ids=str,
)
def test_numbers_that_are_no_plausible_times_are_an_order_only(values):
    """Among them dates written as digits, and times of which one is 0, which stands for a missing one."""
    table, (note,) = times.with_unit(timed(values), None)
    assert table.time_unit == "steps" and "dataset.time_unit = s | ms | us | ns" in note


def test_a_chosen_unit_counts_and_is_refused_for_dates_and_without_times():
    table, notes = times.with_unit(timed([0, 40]), "s")
    assert table.time_unit == "s" and notes == ()
    assert times.with_unit(timed([10**15, 10**15 + 1], "us"), None)[1] == ()
    with pytest.raises(DataError, match=r"time_unit = 's' does not fit times that are dates"):
        times.with_unit(timed([10**15, 10**15 + 1], "us"), "s")
    with pytest.raises(DataError, match=r"time_unit = 'ms' has no effect: no times are read"):
        times.with_unit(make_table([(0, 0)]), "ms")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (MOMENT.timestamp(), "s", "2021-03-04 05:06:07"),
        (MOMENT.timestamp() + 0.25, "s", "2021-03-04 05:06:07.250000"),
        (int(MOMENT.timestamp()) * 10**9, "ns", "2021-03-04 05:06:07"),
        (0, "ms", "1970-01-01"),
        (-86_400, "s", "1969-12-31"),
        (np.int64(7), "steps", "7"),
        (2.5, None, "2.5"),
        (10**17, "s", "1e+17"),
    ],
    ids=str,
)
def test_times_are_written_as_dates_where_their_unit_is_known(value, unit, text):
    assert times.written(value, unit) == text


def test_dates_are_utc_unless_they_name_a_zone():
    at = round(MOMENT.timestamp() * 10**6)
    for text in ("2021-03-04T05:06:07", "2021-03-04 05:06:07Z", "2021-03-04 07:06:07+02:00", " 2021-03-04 05:06:07 "):
        assert times.micros_of(text) == at
    assert times.micros_of("2021-03-04 05:06") == at - 7 * 10**6
    assert times.micros_of("yesterday") is None and times.micros_of("12") is None
    assert times.number_of("12") == 12 and times.number_of("1e3") == 1000.0
    assert times.number_of("nan") is None and times.number_of("inf") is None and times.number_of("x") is None
