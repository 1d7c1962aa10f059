"""Times in every form, as text and as numbers, in files and in memory."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from cml_jax.data import readers
from cml_jax.data.options import DataOptions
from cml_jax.data.sources import dataset_of
from cml_jax.data.tables import Columns
from cml_jax.errors import ConfigError, DataError
from cml_jax.options import construct
from cml_jax.runs import config
from tests.data.test_readers import raw_pairs, write

COLUMNS = Columns(time="t")


def micros(text):
    return (datetime.datetime.fromisoformat(text) - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)


def read(tmp_path, values, **options):
    """The table of a file of one user whose items have the times."""
    lines = [f'u,i{place},"{value}"' for place, value in enumerate(values)]
    path = write(tmp_path / "t.csv", "\n".join(["user,item,t", *lines]) + "\n")
    return readers.read("csv", path, COLUMNS, construct(DataOptions, {"time_column": "t", **options}))


def times_of(table):
    assert table.times is not None
    return table.times


DATES = [
    ("2020-01-01 10:00", "2020-01-01T10:00"),
    ("2020-01-01T10:00", "2020-01-01T10:00"),
    ("2020-01-01t10", "2020-01-01T10:00"),
    ("2020-01-01", "2020-01-01T00:00"),
    ("2020-01", "2020-01-01T00:00"),
    ("2020/1/2 3:04:05", "2020-01-02T03:04:05"),
    ("20200102T030405", "2020-01-02T03:04:05"),
    (" 2020-01-01 10:00:00.5 ", "2020-01-01T10:00:00.500000"),
    ("2020-01-01 10:00:00,25", "2020-01-01T10:00:00.250000"),
    ("1969-12-31 23:59:59.000001", "1969-12-31T23:59:59.000001"),
    ("0999-12-31", "0999-12-31T00:00"),
]
ZONED = [
    ("2020-01-01T10:00Z", "2020-01-01T10:00"),
    ("2020-01-01 10:00 UTC", "2020-01-01T10:00"),
    ("2020-01-01 10:00+02:00", "2020-01-01T08:00"),
    ("2020-01-01T10:00:00.5-0130", "2020-01-01T11:30:00.500000"),
    ("2020-01-01 00:30 +01", "2019-12-31T23:30"),
]


@pytest.mark.parametrize("forms", [DATES, ZONED], ids=["local", "zoned"])
def test_dates_of_all_forms_are_read_beside_each_other(tmp_path, forms):
    table = read(tmp_path, [text for text, _ in forms])
    assert times_of(table).tolist() == [micros(moment) for _, moment in forms] and table.time_unit == "us"
    for text, moment in forms:
        assert times_of(read(tmp_path, [text, text])).tolist() == [micros(moment)] * 2


@pytest.mark.parametrize(
    "value",
    ["2020-02-30", "2020-13-01", "2020-01-01 24:00", "2020-01-01 10:60", "01/02/2020", "soon", "1,5", "nan", "inf"],
)
def test_what_is_no_time_is_named_with_the_forms_that_are(tmp_path, value):
    with pytest.raises(
        DataError, match=r"line 2: column 't' = .* is not a time: .*2020-01-31T10.*dataset\.time_format"
    ):
        read(tmp_path, [value])
    with pytest.raises(DataError, match=r"line 3: column 't' = .* is not a time like the first ones, which are dates"):
        read(tmp_path, ["2020-01-01", value, "2020-01-03"])
    skipped = read(tmp_path, ["2020-01-01", value, "2020-01-03"], bad_rows="skip")
    assert skipped.num_pairs == 2 and "1 where 't' is not a time like the first ones" in skipped.notes[0]
    assert "(line 3)" in skipped.notes[0]


def test_the_form_is_that_of_most_values_not_of_the_first(tmp_path):
    with pytest.raises(DataError, match=r"line 2: column 't' = '5' is not a time like the first ones, which are dates"):
        read(tmp_path, ["5", "2020-01-01", "2020-01-03"])
    with pytest.raises(DataError, match=r"line 2: column 't' = '2020-01-01' .*like the first ones, which are numbers"):
        read(tmp_path, ["2020-01-01", "5", "6"])


@pytest.mark.parametrize("order", [1, -1])
def test_times_with_and_without_a_zone_cannot_be_compared(tmp_path, order):
    with pytest.raises(DataError, match=r"is not a time like the first ones, which are dates with(out)? a zone"):
        read(tmp_path, ["2020-01-01T10:00Z", "2020-01-01T10:00"][::order])


PATTERNS = [
    ("%a %b %d %H:%M:%S %z %Y", "Tue Apr 01 00:00:09 +0000 2012", "2012-04-01T00:00:09"),
    ("%A, %d. %B %Y", "Thursday, 3. May 2012", "2012-05-03T00:00"),
    ("%d/%m/%Y", "31/12/2019", "2019-12-31T00:00"),
    ("%m/%d/%y %I:%M %p", "12/31/19 11:05 PM", "2019-12-31T23:05"),
    ("%d/%m/%Y %I %p", "1/2/2020 3 PM", "2020-02-01T15:00"),
    ("%d.%m.%Y %H:%M:%S.%f", "01.02.2020 10:11:12.123456", "2020-02-01T10:11:12.123456"),
    ("%Y%m%d%H%M%S", "20200201101112", "2020-02-01T10:11:12"),
    ("%Y%m%d", "20200201", "2020-02-01T00:00"),
    ("%m/%Y", "02/2020", "2020-02-01T00:00"),
    ("%Y-%j", "2020-032", "2020-02-01T00:00"),
    ("%d%b%Y:%H:%M:%S", "01FEB2020:10:11:12", "2020-02-01T10:11:12"),
]


@pytest.mark.parametrize(("pattern", "text", "moment"), PATTERNS, ids=[pattern for pattern, *_ in PATTERNS])
def test_patterns_are_those_of_strptime(tmp_path, pattern, text, moment):
    assert times_of(read(tmp_path, [text], time_format=pattern)).tolist() == [micros(moment)]
    python = datetime.datetime.strptime(text, pattern).replace(tzinfo=None)
    assert python == datetime.datetime.fromisoformat(moment)
    with pytest.raises(DataError, match=r"line 3: column 't' = 'x' is not a time of dataset\.time_format"):
        read(tmp_path, [text, "x"], time_format=pattern)


def test_a_pattern_of_numbers_is_for_columns_of_integers_too(tmp_path):
    frame = pl.DataFrame({"user": ["u", "u"], "item": ["a", "b"], "t": [20200201, 20191231]})
    frame.write_parquet(tmp_path / "t.parquet")
    options = construct(DataOptions, {"time_column": "t", "time_format": "%Y%m%d"})
    table = readers.read("parquet", tmp_path / "t.parquet", COLUMNS, options)
    assert times_of(table).tolist() == [micros("2020-02-01"), micros("2019-12-31")]
    with pytest.raises(DataError, match=r"dataset\.time_format has no effect on column 't', which is of type Date"):
        dataset_of(frame.with_columns(t=pl.Series([1, 2]).cast(pl.Date)), time_column="t", time_format="%Y")


@pytest.mark.parametrize("pattern", ["%H:%M", "day", "%", "%Q", "%d/%m"])
def test_patterns_without_a_year_are_refused(pattern):
    with pytest.raises(ConfigError, match=r"dataset\.time_format = .* is no pattern of a date"):
        config.KEYS["dataset.time_format"].check(pattern, "dataset.time_format")


NUMBERS = [
    (["1600000000", "1.5999999995e9", "-3"], [1600000000, 1599999999.5, -3]),
    (["1.6e9", "1599999999", "1600000000.0"], [1600000000, 1599999999, 1600000000]),
    (["-5", "-7.5", "+2"], [-5, -7.5, 2]),
    (["9007199254740993", "9007199254740992", "-9007199254740993"], [2**53 + 1, 2**53, -(2**53) - 1]),
]


@pytest.mark.parametrize(("texts", "numbers"), NUMBERS)
def test_numbers_keep_sign_fraction_and_digits(tmp_path, texts, numbers):
    table = read(tmp_path, texts)
    assert times_of(table).tolist() == numbers and not any("rounded" in note for note in table.notes)
    assert times_of(table).dtype == (np.int64 if all(isinstance(number, int) for number in numbers) else np.float64)


def test_digits_that_are_lost_are_counted_and_too_many_refused(tmp_path):
    table = read(tmp_path, ["9007199254740993", "0.5"])
    assert any("1 times of more than 15 digits are rounded" in note for note in table.notes)
    table = read(tmp_path, ["2020-01-01 10:00:00.1234567", "2020-01-01 10:00:00.1234560"])
    assert any("1 times of digits below a microsecond are cut off" in note for note in table.notes)
    times = pd.to_datetime([1577872800000001005, 1577872800000002000], unit="ns")
    for column in (times, times.tz_localize("UTC"), times.to_numpy(), pl.Series(times)):
        dataset = dataset_of({"user": ["u", "u"], "item": ["a", "b"], "t": column}, time_column="t", valid_fraction=0)
        assert any("data: 1 times of digits below a microsecond are cut off" in note for note in dataset.notes)
    with pytest.raises(DataError, match=r"line 3: column 't' = '9{20}' is not a time"):
        read(tmp_path, ["5", "9" * 20])


VALUES = {
    "integers": ([1577872800, 1577872741, 1577872799, 1577872860], str),
    "fractions": ([1577872800.25, 1577872800.0, 1577872800.125, 1577872800.5], lambda t: f"{t:.10e}"),
    "beyond float64": ([2**60 + 5, 2**60, 2**60 + 1, 2**60 + 9], str),
    "negative": ([-5, -20, -7, -1], str),
    "nanoseconds": (
        pd.to_datetime([1577872800000001005, 1577872800000000, 1577872800000001004, 1577872800000002000], unit="ns"),
        lambda t: t.isoformat(),
    ),
    "dates": ([datetime.datetime(2020, 1, day, 10) for day in (5, 1, 2, 7)], lambda t: t.isoformat(" ", "minutes")),
}


@pytest.mark.parametrize("kind", VALUES)
def test_text_and_typed_columns_of_files_and_in_memory_give_the_same_split(tmp_path, kind):
    values, text = VALUES[kind]
    values = list(values)
    items = ["c", "a", "b", "d"]
    as_text = [text(value) for value in values]
    frames = {
        "text": pl.DataFrame({"user": ["u"] * 4, "item": items, "t": as_text}),
        "typed": pl.DataFrame({"user": ["u"] * 4, "item": items, "t": values}),
    }
    digests = set()
    for name, frame in frames.items():
        frame.write_parquet(tmp_path / f"{name}.parquet")
        frame.write_csv(tmp_path / f"{name}.csv")
        frame.write_ndjson(tmp_path / f"{name}.jsonl")
        sources = [frame, frame.to_pandas(), *(tmp_path / f"{name}.{end}" for end in ("parquet", "csv", "jsonl"))]
        for source in sources:
            dataset = dataset_of(source, time_column="t", split="temporal_user", split_ratio=(2, 1, 1))
            if kind != "nanoseconds":
                assert [raw_pairs(dataset, part)[-1][1] for part in ("train", "valid", "test")] == ["b", "c", "d"]
            digests.add(dataset.sha256())
    assert len(digests) == 1


def test_a_pattern_of_years_alone_is_the_first_of_january():
    dataset = dataset_of(
        {"user": [1, 1], "item": [1, 2], "t": ["2005", "2004"]}, time_column="t", time_format="%Y",
        split="temporal_date", test_from="2004-06-01", valid_fraction=0.0
    )  # fmt: skip
    assert dataset.train.num_pairs == dataset.test.num_pairs == 1


def test_names_of_zones_are_read_only_where_they_mean_the_same_everywhere(tmp_path):
    options = {"time_column": "t", "time_format": "%a %b %d %H:%M:%S %Z %Y", "valid_fraction": 0.0}
    times = [f"Tue Apr 03 18:00:0{second} {zone} 2012" for second, zone in ((9, "UTC"), (8, "GMT"), (7, "UTC"))]
    data = {"user": [1, 1, 1], "item": [1, 2, 3], "t": times}
    assert dataset_of(data, split="leave_one_out", **options).test.items.tolist() == [0]
    data["t"][1] = "Tue Apr 03 18:00:08 CEST 2012"
    with pytest.raises(DataError, match=r"row 2: column 't' = 'Tue Apr 03 18:00:08 CEST 2012' is not a time of"):
        dataset_of(data, **options)
