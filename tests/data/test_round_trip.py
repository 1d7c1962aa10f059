"""Rows of any ids, signs, times and weights, written and read again: `CML_ROUND_TRIPS=10000 pytest` this file."""

import csv
import datetime
import io
import json
import os
import tempfile
from pathlib import Path

import hypothesis
import polars as pl
import pytest
from hypothesis import strategies as st

from cml_jax.data import readers
from cml_jax.data.options import DataOptions
from cml_jax.data.tables import Columns
from cml_jax.options import construct

FORMATS = ("csv", "tsv", "jsonl", "parquet")
round_trips = hypothesis.settings(
    max_examples=int(os.environ.get("CML_ROUND_TRIPS", "200")),
    derandomize="CML_ROUND_TRIPS" not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)
_EPOCH = datetime.datetime(1970, 1, 1)


def _moment(seconds):
    return _EPOCH + datetime.timedelta(seconds=seconds)


# A form writes whole minutes since 1970; what is read are these times in the unit: seconds, or microseconds of dates.
FORMS = {
    "integers": (str, None),
    "fractions": (lambda t: f"{t}.000", None),
    "exponents": (lambda t: f"{t:.15e}", None),
    "minutes": (lambda t: _moment(t).isoformat(" ", "minutes"), None),
    "UTC": (lambda t: _moment(t).isoformat() + "Z", None),
    "zone": (lambda t: _moment(t + 5400).isoformat("T", "milliseconds") + "+01:30", None),
    "pattern": (lambda t: f"{_moment(t):%A, %d/%m/}{_moment(t).year:04}{_moment(t): %H.%M}", "%A, %d/%m/%Y %H.%M"),
}
DATES = ("minutes", "UTC", "zone", "pattern")

_ODD = ["007", "+7", "-0", " a ", "\ta", "a\t", '"', '""', '""""', '"a', 'a"', "'", "a,b", "#a", "null", "NaN", "1e3"]
_ODD += ["\u00a0x\u3000", "\u2028", "\ufeff", "\x1f", "\x00", "e\u0301", "\U0001f600", "[1]", '{"a": 1}', "a;b::c|d"]
_IDS = st.sampled_from(_ODD) | st.text(st.characters(codec="utf-8"), min_size=1, max_size=6) | st.integers().map(str)
_PADDED = st.tuples(st.sampled_from(["", " ", "  "]), _IDS, st.sampled_from(["", " ", "\u3000"])).map("".join)
_TIMES = st.integers(-30_000_000, 60_000_000).map(lambda minute: minute * 60)  # of the years 1912 to 2084
_WEIGHTS = st.floats(1e-30, 1e30) | st.sampled_from([1.0, 0.1, 1e22, 5e-30])
_RATINGS = st.floats(-1e300, 1e300) | st.sampled_from([-1.0, -0.0, 0.0, 1.0, 0.1])
_FREE = st.text(st.characters(codec="utf-8"), max_size=4) | st.sampled_from(['5" x', '"', '"a\tb', ""])
_ROW = st.tuples(_PADDED, _PADDED, _RATINGS, _TIMES, _WEIGHTS, _FREE)
NAMES = ("user", "item", "r", "t", "w", "more")


def _no_line_ends(text):
    return text.replace("\n", "N").replace("\r", "R")


def _no_tabs(text):
    return text.replace("\t", "T")


def write(path, format, rows):
    """Rows of six values, of which ratings and weights are numbers and all else is text."""
    if format == "parquet":
        pl.DataFrame(rows, schema=list(NAMES), orient="row").write_parquet(path)
    elif format == "jsonl":
        path.write_text("".join(json.dumps(dict(zip(NAMES, row, strict=True))) + "\n" for row in rows))
    elif format == "csv":
        written = io.StringIO()
        csv.writer(written, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows([NAMES, *rows])
        path.write_bytes(written.getvalue().encode())
    else:
        lines = ["\t".join(map(str, row)) for row in [NAMES, *rows]]
        path.write_bytes(("\n".join(lines) + "\n").encode())


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_times_are_not_all_the_same(form):
    write_time, _ = FORMS[form]
    assert len({write_time(t) for t in (-60, 0, 60)}) == 3


@round_trips
@hypothesis.given(
    format=st.sampled_from(FORMATS),
    rows=st.lists(_ROW, min_size=1, max_size=6),
    form=st.sampled_from(list(FORMS)),
    threshold=st.none() | _RATINGS,
)
def test_rows_survive_every_format(format, rows, form, threshold):
    write_time, pattern = FORMS[form]
    factor = 10**6 if form in DATES else 1
    if format in ("csv", "tsv"):
        rows = [(*map(_no_line_ends, row[:2]), *row[2:5], _no_line_ends(row[5])) for row in rows]
    if format == "tsv":
        rows = [(*map(_no_tabs, row[:2]), *row[2:5], _no_tabs(row[5])) for row in rows]
    least = None if threshold is None else min(threshold, rows[0][2])
    rating = None if least is None else "r"
    columns = Columns(rating=rating, time="t", min_rating=least, weight="w")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"rows.{format}"
        write(path, format, [(*row[:3], write_time(row[3]), *row[4:]) for row in rows])
        table = readers.read(
            format, path, columns, construct(DataOptions, {"time_column": "t", "time_format": pattern})
        )
    assert table.times is not None and table.weights is not None
    found = [
        (str(table.user_ids[user]), str(table.item_ids[item]), int(time), weight)
        for user, item, time, weight in zip(table.users, table.items, table.times, table.weights, strict=True)
    ]
    kept = [row for row in rows if least is None or row[2] >= least]
    assert found == [(user, item, time * factor, weight) for user, item, _, time, weight, _ in kept]
