"""Splits at dates and by days, against what plain Python says of the same rows."""

import collections
import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cml_jax
from cml_jax.data import datasets, sources
from cml_jax.errors import ConfigError, DataError

DAY = datetime.timedelta(days=1)
START = datetime.datetime(2020, 1, 1)


def frame(rows, **more):
    users, items, days = zip(*rows, strict=True)
    times = [START + day * DAY for day in days]
    return pl.DataFrame({"user": [f"u{u}" for u in users], "item": [f"i{i}" for i in items], "time": times, **more})


def load(rows, **options):
    data = rows if isinstance(rows, pl.DataFrame) else frame(rows)
    return sources.dataset_of(data, time_column="time", **{"valid_fraction": 0.0, **options})


def pairs(dataset, part):
    found = getattr(dataset, part)
    users, items = dataset.user_ids[found.users], dataset.item_ids[found.items]
    return {(int(u[1:]), int(i[1:])) for u, i in zip(users, items, strict=True)}


def every_day(num_days=20, num_users=2):
    """Each user takes a new item a day."""
    return [(u, day, day) for day in range(num_days) for u in range(num_users)]


def days(dataset, part):
    return sorted({item for _, item in pairs(dataset, part)})


def test_dates_cut_where_they_say():
    """Day d is 1 January + d; a date is the first moment of its part."""
    found = load(every_day(), split="temporal_date", valid_from="2020-01-11", test_from="2020-01-16 00:00")
    assert days(found, "train") == list(range(10))
    assert days(found, "valid") == list(range(10, 15)) and days(found, "test") == list(range(15, 20))
    assert (
        "Split 'temporal_date': training from 2020-01-01 to 2020-01-10, validation from 2020-01-11 to 2020-01-15, test "
        "from 2020-01-16 to 2020-01-20."
    ) in found.notes
    assert any(
        note.startswith("Newest training pair 2020-01-10, oldest test pair 2020-01-16: no test pair is older")
        for note in found.notes
    )


@pytest.mark.parametrize("later", [datetime.timedelta(microseconds=1), datetime.timedelta(hours=23)])
def test_a_moment_after_the_date_is_another_part(later):
    rows = [(0, 0, 0), (0, 1, 1), (0, 2, 2)]
    data = frame(rows).with_columns(pl.col("time") + later)
    at_second = (START + DAY + later).isoformat()
    assert days(load(data, split="temporal_date", test_from=at_second), "test") == [1, 2]
    after_second = (START + DAY + later + datetime.timedelta(microseconds=1)).isoformat()
    assert days(load(data, split="temporal_date", test_from=after_second), "test") == [2]


@pytest.mark.parametrize(
    ("of_day", "options"),
    [
        (lambda t: t, {}),
        (lambda t: t.date(), {}),
        (lambda t: t.replace(tzinfo=datetime.UTC), {}),
        (lambda t: int(t.replace(tzinfo=datetime.UTC).timestamp()), {}),
        (lambda t: t.replace(tzinfo=datetime.UTC).timestamp() + 0.5, {}),
        (lambda t: int(t.replace(tzinfo=datetime.UTC).timestamp()) * 10**3, {}),
        (lambda t: int(t.replace(tzinfo=datetime.UTC).timestamp()) * 10**6, {}),
        (lambda t: int(t.replace(tzinfo=datetime.UTC).timestamp()) * 10**9, {}),
        (lambda t: (t - START).days * 86_400, {"time_unit": "s"}),
        (lambda t: str(t), {}),
        (lambda t: str(t.date()), {}),
    ],
    ids=["date-time", "date", "zone", "s", "s as float", "ms", "us", "ns", "small s", "text", "text of dates"],
)
def test_times_in_every_unit_are_split_alike(of_day, options):
    data = frame(every_day())
    data = data.with_columns(time=pl.Series([of_day(time) for time in data["time"]], strict=False))
    found = load(data, split="temporal_days", test_days=3, valid_days=2.0, **options)
    assert days(found, "test") == [17, 18, 19] and days(found, "valid") == [15, 16]
    assert days(found, "train") == list(range(15))
    if not options:
        by_date = load(data, split="temporal_date", valid_from="2020-01-16", test_from="2020-01-18T00:00:00Z")
        assert by_date.sha256() == found.sha256()


def test_a_date_between_two_numbers_cuts_between_them():
    """Times are whole seconds, the date is half a second after that of day 10."""
    seconds = [int((START + day * DAY).replace(tzinfo=datetime.UTC).timestamp()) for _, _, day in every_day()]
    data = frame(every_day()).with_columns(time=pl.Series(seconds))
    found = load(data, split="temporal_date", test_from="2020-01-11 00:00:00.5")
    assert days(found, "test") == list(range(11, 20))


def test_numbers_cut_in_the_unit_of_the_times():
    data = frame(every_day()).with_columns(time=pl.Series([day for _, _, day in every_day()]))
    found = load(data, split="temporal_date", valid_from="9.5", test_from="12")
    assert days(found, "valid") == [10, 11] and days(found, "test") == list(range(12, 20))
    with pytest.raises(
        DataError, match=r"test_from = '2020-01-12' is a date, but the times, from 0 to 19, are of no kn"
    ):
        load(data, split="temporal_date", test_from="2020-01-12")
    with pytest.raises(
        DataError, match=r"'temporal_days' needs times of a known unit, but they are numbers from 0 to 19"
    ):
        load(data, split="temporal_days", test_days=3)


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 30)), min_size=8, max_size=60),
    test_days=st.integers(1, 9),
    valid_days=st.none() | st.integers(1, 9),
    window=st.integers(0, 3),
)
def test_days_and_windows_are_those_of_plain_python(rows, test_days, valid_days, window):
    options = {"test_days": float(test_days), "valid_days": valid_days and float(valid_days), "window": window}
    end = max(day for *_, day in rows) - window * test_days
    first = {}
    for user, item, day in rows:
        first[user, item] = min(day, first.get((user, item), day))
    bounds = {"test": (end - test_days, end), "valid": (end - test_days - (valid_days or 0), end - test_days)}
    bounds["train"] = (-99, bounds["valid"][0])
    expected = {
        name: {pair for pair, day in first.items() if low < day <= high} for name, (low, high) in bounds.items()
    }
    known = {user for user, _ in expected["train"]}
    expected = {name: {pair for pair in found if pair[0] in known} for name, found in expected.items()}
    try:
        found = load(rows, split="temporal_days", **options)
    except DataError:
        wanted = ["train", "test", *(["valid"] if valid_days else [])]
        assert not all(expected[name] for name in wanted)
        return
    assert {name: pairs(found, name) for name in expected} == expected


def test_windows_roll_back_and_what_is_newer_is_counted():
    for window in range(4):
        found = load(every_day(), split="temporal_days", test_days=3, valid_days=2, window=window)
        end = 20 - 3 * window
        assert days(found, "test") == list(range(end - 3, end)) and days(found, "valid") == [end - 5, end - 4]
        left_out = [note for note in found.notes if note.startswith("Left out")]
        date = (START + (end - 1) * DAY).date()
        expected = f"Left out {2 * 3 * window:,} pairs that are newer than the window, which ends at {date}."
        assert left_out == ([expected] if window else [])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"split": "temporal_date", "test_from": "2021-01-01"}, r"test_from = 2021-01-01 leaves no test pairs"),
        ({"split": "temporal_date", "test_from": "2019-01-01"}, r"test_from = 2019-01-01 leaves no train pairs"),
        (
            {"split": "temporal_date", "test_from": "2020-01-10", "valid_from": "2020-01-09 12:00"},
            r"test_from = 2020-01-10 with dataset\.valid_from = 2020-01-09 12:00 leaves no valid pairs",
        ),
        ({"split": "temporal_days", "test_days": 30}, r"dataset\.test_days = 30 leaves no train pairs"),
        (
            {"split": "temporal_days", "test_days": 3, "window": 9},
            r"test_days = 3 with dataset\.window = 9 leaves no train pairs",
        ),
    ],
)
def test_a_part_left_empty_is_named_with_the_range_of_the_times(options, sentence):
    with pytest.raises(DataError, match=sentence + r"; the times are from 2020-01-01 to 2020-01-20\."):
        load(every_day(), **options)


def test_held_out_pairs_of_strangers_alone_are_refused():
    """User 1 comes in the last days only, which is all there is in test or validation."""
    rows = [(0, day, day) for day in range(5)] + [(1, 0, 8), (1, 1, 9)]
    with pytest.raises(DataError, match="leaves no test pairs of users with training pairs"):
        load(rows, split="temporal_days", test_days=2)
    with pytest.raises(DataError, match="no validation pair is of a user with training pairs"):
        load([*rows, (0, 9, 9)], split="temporal_days", test_days=1, valid_days=1)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"split": "temporal_date"}, "'temporal_date' needs dataset.test_from"),
        ({"split": "temporal_days"}, "'temporal_days' needs dataset.test_days"),
        ({"split": "temporal_date", "test_from": "spring"}, "'spring' is no moment; write a date"),
        ({"split": "temporal_user", "test_from": "2020-01-01"}, "test_from = '2020-01-01' has no effect without"),
        ({"split": "temporal_date", "test_from": "1", "window": 2}, "window = 2 has no effect without"),
        ({"split": "temporal_days", "test_days": 1, "valid_from": "1"}, "valid_from = '1' has no effect without"),
        ({"valid_days": 3.0}, "valid_days = 3.0 has no effect without dataset.split = 'temporal_days'"),
        ({"split": "temporal_days", "test_days": 1, "split_ratio": (8, 1, 1)}, "split_ratio has no effect"),
    ],
)
def test_options_of_time_that_do_not_go_together_are_refused(options, sentence):
    sentence = sentence.replace("dataset.", "")  # as keywords of `fit` they have no section
    with pytest.raises(ConfigError, match=sentence):
        cml_jax.fit(frame(every_day()), time="time", num_steps=1, progress=False, **options)


def test_validation_that_is_not_before_test_is_refused_and_times_are_needed():
    for valid_from in ("2020-01-10", "2020-01-11"):
        with pytest.raises(DataError, match=r"valid_from = '.*' is not before dataset\.test_from = '2020-01-10'"):
            load(every_day(), split="temporal_date", test_from="2020-01-10", valid_from=valid_from)
    with pytest.raises(DataError, match=r"needs times, which the data do not have; name dataset\.time_column"):
        sources.dataset_of(frame(every_day()).drop("time"), split="temporal_days", test_days=2.0)


def test_a_pair_known_before_is_no_test_pair_and_later_weights_do_not_reach_training():
    rows = [(0, 0, 0), (0, 0, 3), (0, 0, 19), (0, 1, 18), (0, 1, 19), (1, 2, 1), (1, 0, 19)]
    data = frame(rows, weight=[1.0, 2.0, 100.0, 5.0, 7.0, 4.0, 1.0])
    found = load(data, split="temporal_days", test_days=2, weight_column="weight")
    assert pairs(found, "test") == {(0, 1), (1, 0)} and pairs(found, "train") == {(0, 0), (1, 2)}
    assert found.train.weights is not None and found.train.weights.tolist() == [3.0, 4.0]
    assert "Dropped 1 held-out rows of pairs that an earlier part has: they were known by then." in found.notes
    assert found.overlap is not None and [part.known.pairs for part in found.overlap.parts] == [0]


@pytest.mark.parametrize("rule", ["once", "k_core"])
def test_filters_count_what_was_known_at_the_time(rule):
    """Plain Python drops users and items by training pairs alone; test pairs do not save any."""
    rng = np.random.default_rng(5)
    rows = sorted({(int(u), int(i)) for u, i in zip(rng.integers(0, 30, 300), rng.zipf(1.5, 300) % 40, strict=True)})
    rows = [(*pair, int(day)) for pair, day in zip(rows, rng.integers(0, 20, len(rows)), strict=True)]
    found = load(
        rows, split="temporal_days", test_days=5, min_user_items=3, min_item_users=3, filter=rule, valid_fraction=0.0
    )
    kept = list(rows)
    while True:
        before = len(kept)
        for column in (1, 0):
            degrees = collections.Counter(row[column] for row in kept if row[2] < 15)
            kept = [row for row in kept if degrees[row[column]] >= 3]
        if rule == "once" or len(kept) == before:
            break
    known = {user for user, _, day in kept if day < 15}
    assert pairs(found, "train") == {row[:2] for row in kept if row[2] < 15}
    assert pairs(found, "test") == {row[:2] for row in kept if row[2] >= 15 and row[0] in known}
    assert any("users an item in training" in note for note in found.notes)


def test_one_user_of_an_item_is_one_in_training():
    rows = [*every_day(10), (0, 0, 9), (1, 50, 9), (0, 8, 3), (1, 9, 3)]
    found = load(rows, split="temporal_days", test_days=1, min_item_users=1)
    assert "i50" not in found.item_ids.tolist() and pairs(found, "test") == {(0, 9)}


def test_popularity_and_seen_items_are_of_the_past():
    """Item 9 is popular in test alone; the lists leave out training items and no test item."""
    rows = [(u, i, 0) for u in range(6) for i in range(3) if u != i] + [(u, 9, 9) for u in range(6)]
    found = load(rows, split="temporal_days", test_days=1)
    popularity = dict(zip(found.item_ids.tolist(), found.train.popularity.tolist(), strict=True))
    assert popularity == {"i0": 5, "i1": 5, "i2": 5, "i9": 0}
    model = cml_jax.fit(
        frame(rows),
        time="time",
        split="temporal_days",
        test_days=1,
        valid_fraction=0,
        num_steps=2,
        progress=False,
        dim=4,
    )
    assert set(model.recommend("u0", k=4)["item"]) == {"i0", "i9"}


def test_cold_items_are_ranked_or_dropped_with_a_count():
    rows = [*every_day(10), (0, 50, 9), (1, 51, 8)]
    ranked = load(rows, split="temporal_days", test_days=1, valid_days=1)
    assert ranked.train.num_items == 12
    assert any("items have no training user" in note and "they are ranked" in note for note in ranked.notes)
    with pytest.raises(DataError, match=r"cold_items = 'drop' leaves no (valid|test) pairs; set it to 'rank'"):
        load(rows, split="temporal_days", test_days=1, valid_days=1, cold_items="drop")
    known = [*rows, (0, 0, 0), (1, 1, 0), (0, 8, 0), (0, 9, 0)]
    dropped = load(known, split="temporal_days", test_days=1, valid_days=1, cold_items="drop")
    assert dropped.item_ids.tolist() == [f"i{i}" for i in range(10)]
    assert pairs(dropped, "test") == {(1, 9)} and pairs(dropped, "valid") == {(1, 8)}
    assert "Dropped 2 items without a training user (1 validation and 1 test pairs)." in dropped.notes
    assert not any("they are ranked" in note for note in dropped.notes)


def test_cold_items_of_other_splits_are_dropped_too():
    """Items of one user alone are cold wherever the only pair is held out, or carved for validation."""
    rows = [(u, i, 0) for u in range(8) for i in range(10)] + [(u, 100 + u, 1) for u in range(8)]
    data = frame(rows).drop("time")
    for options in ({"split": "ratio"}, {"split": "all", "valid_fraction": 0.3}):
        found = sources.dataset_of(data, cold_items="drop", **options)
        assert found.train.popularity.min() > 0
        assert len(found.item_ids) == found.train.num_items == found.valid.num_items == found.test.num_items < 18


def test_generated_data_refuse_options_of_time():
    for options in ({"cold_items": "drop"}, {"time_unit": "s"}, {"split": "temporal_days", "test_days": 1.0}):
        with pytest.raises(ConfigError, match="is generated with its split"):
            datasets.load("checkerboard", **options)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize(
    ("options", "empty"),
    [
        ({"split": "temporal_days", "test_days": 1e9}, "train"),
        ({"split": "temporal_days", "test_days": 5.0, "window": 10**12}, "train"),
        ({"split": "temporal_days", "test_days": 5.0, "valid_days": 1e37}, "train"),
        ({"split": "temporal_date", "test_from": "0001-01-01"}, "train"),
        ({"split": "temporal_date", "test_from": "9999-12-31"}, "test"),
        ({"split": "temporal_date", "test_from": "1e300"}, "test"),
    ],
)
def test_cuts_beyond_all_integers_leave_a_part_empty(unit, options, empty):
    """Of nanoseconds, int64 holds the years 1678 to 2262 alone."""
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    data = frame(every_day()).with_columns(time=pl.col("time").dt.epoch("s") * per_second)
    with pytest.raises(DataError, match=rf"leaves no {empty} pairs; the times are from 2020-01-01 to 2020-01-20"):
        load(data, **options)


def test_integers_near_the_largest_are_cut_exactly():
    times = [2**63 - 9, 2**63 - 7, 2**63 - 5, 2**63 - 3]
    data = pl.DataFrame({"user": ["u0"] * 4, "item": ["i0", "i1", "i2", "i3"], "time": times})
    found = load(data, split="temporal_date", test_from=str(2**63 - 5), time_unit="steps")
    assert days(found, "train") == [0, 1] and days(found, "test") == [2, 3]
