"""Forms in which text holds times: numbers, dates of ISO 8601, and patterns of strptime; found from several values."""

import datetime
from collections.abc import Callable
from typing import NamedTuple

import polars as pl

EXACT = 2**53  # integers beyond are rounded as float64
NUMBERS, DATES = "numbers", "dates"
SENTENCE = (
    "a time: times are numbers, or dates such as 2020-01-31, 2020-01-31 10:00 or 2020-01-31T10:00:00.5+02:00; for "
    "others set dataset.time_format, a pattern of strptime"
)
_ISO = (
    r"^(\d{4})[-/](\d{1,2})(?:[-/](\d{1,2})(?:(?:[Tt]| +)(\d{1,2})(?::?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)?"
    r" *(Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?)?$"
)
_COMPACT = r"^(\d{4})(\d\d)(\d\d)[Tt]"
_INTEGER = r"^[+-]?\d+$"
_MINUTE = 60_000_000  # microseconds


class TimeForm(NamedTuple):
    """How the values of a column are read.

    Attributes:
        kind: NUMBERS or DATES.
        time: the expression of the time, null where a value is not of the form; of numbers as integers.
        finer: the expression whether digits are lost in `time`, those below a microsecond; or of integers in
            `fractional`.
        fractional: of numbers, the expression of float64, which is taken where not all are integers; else None.
        described: in words, for messages; nothing where none of the values is of a known form.
    """

    kind: str
    time: pl.Expr
    finer: pl.Expr
    fractional: pl.Expr | None = None
    described: str = NUMBERS


def form_of_text(column: pl.Expr, sample: pl.Series, pattern: str | None, decimal: str) -> TimeForm:
    """The form that most of the sample's values have.

    Args:
        column: of strings.
        sample: some of its values, without nulls.
        pattern: of strptime, or None.
        decimal: '.' or ','.
    """
    column = column.str.strip_chars()
    if pattern is not None:
        return TimeForm(
            DATES, _by_pattern(column, pattern), pl.lit(False), None, f"of dataset.time_format = {pattern!r}"
        )
    fits: dict[str, Callable[[pl.Expr], TimeForm]] = {
        "numbers": lambda c: _numbers(c, decimal),
        "local": lambda c: _iso(c, zoned=False),
        "zoned": lambda c: _iso(c, zoned=True),
    }
    name = sample.name
    values = pl.col(name).str.strip_chars()
    forms = {key: form(values) for key, form in fits.items()}
    found = {key: pl.coalesce(f.time, f.fractional) if f.fractional is not None else f.time for key, f in forms.items()}
    counts = (
        sample.to_frame().select(**{key: expr.is_not_null().sum() for key, expr in found.items()}).row(0, named=True)
    )
    most = max(counts, key=lambda key: counts[key])
    form = fits[most](column)
    return form if counts[most] else form._replace(described="")


def _numbers(column: pl.Expr, decimal: str) -> TimeForm:
    text = column
    if decimal != ".":  # a point would stand before thousands then
        text = pl.when(~column.str.contains(".", literal=True)).then(column).str.replace(decimal, ".", literal=True)
    number = text.cast(pl.Float64, strict=False)
    exact = text.str.replace(r"\.0*$", "").cast(pl.Int64, strict=False)
    whole = pl.when((number == number.floor()) & (number.abs() < 2**63)).then(number).cast(pl.Int64, strict=False)
    is_integer = text.str.contains(_INTEGER)
    time = pl.when(is_integer).then(exact).otherwise(pl.coalesce(exact, whole))
    # More digits than int64 has are refused, not rounded.
    fractional = pl.when(number.is_finite() & ~(is_integer & exact.is_null())).then(number)
    return TimeForm(NUMBERS, time, exact.abs() > EXACT, fractional)


def form_of_dates(column: pl.Expr, unit: str) -> TimeForm:
    """The form of a column of date-times, or of dates, whose unit is 'us'."""
    physical = column.cast(pl.Datetime("us")).to_physical()
    finer = column.to_physical() % 1000 != 0 if unit == "ns" else pl.lit(False)
    return TimeForm(DATES, physical, finer, None, DATES)


def _iso(column: pl.Expr, *, zoned: bool) -> TimeForm:
    groups = column.str.replace(_COMPACT, "${1}-${2}-${3}T").str.extract_groups(_ISO)

    def part(number: int) -> pl.Expr:
        return groups.struct.field(str(number))

    def integer(number: int) -> pl.Expr:
        return part(number).cast(pl.Int64, strict=False).fill_null(0)

    date = pl.concat_str(part(1), part(2), part(3).fill_null("1"), separator="-").str.to_date("%Y-%m-%d", strict=False)
    fraction, zone = part(7).fill_null(""), part(8)
    micros = fraction.str.slice(0, 6).str.pad_end(6, "0").cast(pl.Int64)
    offset_text = zone.str.replace(r"^[A-Za-z]+$", "+00").str.replace(":", "", literal=True)
    offset = offset_text.str.slice(1, 2).cast(pl.Int64) * 60
    offset = offset + offset_text.str.slice(3, 2).replace("", "0").cast(pl.Int64)
    offset = pl.when(offset_text.str.starts_with("-")).then(-offset).otherwise(offset).fill_null(0)
    seconds = integer(4) * 3600 + integer(5) * 60 + integer(6)
    time = date.cast(pl.Datetime("us")).to_physical() + seconds * 1_000_000 + micros - offset * _MINUTE
    possible = (integer(4) < 24) & (integer(5) < 60) & (integer(6) <= 60) & (zone.is_not_null() == zoned)
    finer = fraction.str.slice(6).str.contains("[1-9]")
    described = "dates with a zone" if zoned else "dates without a zone"
    return TimeForm(DATES, pl.when(possible).then(time), finer, None, described)


def _by_pattern(column: pl.Expr, pattern: str) -> pl.Expr:
    """Microseconds of text by a pattern; names of days of the week, which dates do not need, are left out."""
    if "%a" in pattern or "%A" in pattern:
        column = column.str.replace(r"(?i)\b(?:mon|tues?|wed(?:nes)?|thu(?:rs?)?|fri|sat(?:ur)?|sun)(?:day)?\b", "")
        pattern = pattern.replace("%A", "").replace("%a", "")
    if "%Z" in pattern:  # of names of zones only these are the same everywhere and at all times
        column = column.str.replace(r"\b(?:UTC|GMT|Z)\b", "")
        pattern = pattern.replace("%Z", "")
    has = set(_directives(pattern))
    if not has & set("mbBhdjeDFxcs+vUWV"):
        column, pattern = column + " 1", pattern + " %m"
    if not has & set("djeDFxcs+v"):
        column, pattern = column + " 1", pattern + " %d"
    if has & set("HIklp") and not has & set("MTRcsXr+"):
        column, pattern = column + " 00", pattern + " %M"
    pattern = pattern.replace(".%f", "%.f").replace("%f", "%6f").replace("%z", "%#z")
    parsed = column.str.strip_chars().str.to_datetime(pattern.strip(), strict=False, time_unit="us")
    return parsed.to_physical()


def _directives(pattern: str) -> list[str]:
    """The letters behind signs of per cent."""
    return [letter for sign, letter in _pairs(pattern) if sign]


def _pairs(pattern: str) -> list[tuple[bool, str]]:
    found, place = [], 0
    while place < len(pattern):
        is_directive = pattern[place] == "%" and place + 1 < len(pattern)
        found.append((is_directive, pattern[place + is_directive]))
        place += 1 + is_directive
    return found


def is_pattern(pattern: str) -> bool:
    """Whether a pattern of strptime reads what strftime writes by it, and so knows the year."""
    moment = datetime.datetime(2004, 11, 23, 22, 54, 59, tzinfo=datetime.UTC)
    try:
        written = moment.strftime(pattern)
        read = datetime.datetime.strptime(written, pattern)
        frame = pl.DataFrame({"t": [written]}).select(_by_pattern(pl.col("t"), pattern))
    except (ValueError, pl.exceptions.PolarsError):
        return False
    return read.year == moment.year and frame.item() is not None
