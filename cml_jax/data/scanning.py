"""Rows of text and Parquet files in bounded memory, through Polars' lazy engine."""

import zlib
from collections.abc import Collection
from typing import NamedTuple

import polars as pl

from cml_jax.data import time_forms
from cml_jax.data.scanned_columns import ScannedColumns
from cml_jax.data.skipped import SHOWN
from cml_jax.data.tables import (
    KEYS,
    RATING,
    WEIGHT_SENTENCE,
    WEIGHTS,
    Columns,
    refuse_negative,
    unread_ratings,
    usual_names,
)
from cml_jax.data.time_forms import TimeForm
from cml_jax.errors import DataError

_ROW, _BAD = "\0row", "\0bad"  # names that no column has
_MISSING = ("#N/A", "<NA>", "N/A", "NA", "NULL", "NaN", "NaT", "None", "\\N", "nan", "null")  # as programs write it
# What reading can raise; for some damaged Parquet files Polars panics, which is no Exception.
UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, EOFError, zlib.error)


class Rows(NamedTuple):
    """What was read of a file.

    Attributes:
        frame: columns user and item (Categorical) and, where asked for, time and weight (numbers), disliked (bool) and
            kind (Categorical).
        num_lines: rows of the file, but for those that are skipped because they cannot be read.
        num_empty: rows among them without a value in any column, which are skipped.
        times_are: 'numbers', 'dates' or None.
        notes: sentences about what was guessed, skipped or rounded.
    """

    frame: pl.DataFrame
    num_lines: int
    num_empty: int
    times_are: str | None
    notes: tuple[str, ...] = ()


class ScannedRows(ScannedColumns):
    """Rows of named columns that are read by column, in memory unless a subclass says where they stand."""

    def read(self, wanted: Columns) -> Rows:
        """Reads the rows that are likes or dislikes by their rating, all where ratings do not decide.

        Rows are filtered while the file streams by, and raw ids become numbers of a dictionary at once, so memory
        holds the kept rows at some 16 bytes each, and every id once.

        Raises:
            DataError: a column that is not there, an id that is missing, or a rating, time or weight that is not one.
        """
        wanted, guessed = usual_names(wanted, self._dtypes)
        names: dict[str, str | None] = dict(zip(KEYS, wanted.names(), strict=True))
        for key, name in names.items():
            if name is not None and name not in self._dtypes:
                raise DataError(f"{self.label}: has no column '{name}' ({self._option(key)}); {self._columns()}.")
            if f"{name}_duplicated_0" in self._dtypes:
                raise DataError(f"{self.label}: has two columns '{name}' ({self._option(key)}); rename one of them.")
        columns = {"user": self._id("user", wanted.user), "item": self._id("item", wanted.item)}
        if wanted.rating is not None:
            columns["rating"] = self._number("rating", wanted.rating)
        if wanted.weight is not None:
            weight = self._number("weight", wanted.weight)
            columns["weight"] = pl.when(weight.is_between(*WEIGHTS)).then(weight)
        if wanted.dislike_rating is not None:
            columns["disliked"] = wanted.is_dislike(columns["rating"])
            if wanted.weight is not None:  # that of a dislike has no meaning
                columns["weight"] = pl.when(columns["disliked"]).then(1.0).otherwise(columns["weight"])
        if wanted.kind is not None:
            columns["kind"] = self._id("kind", wanted.kind)
        for name in self._blank:
            names[name] = name
            columns[name] = pl.col(name).is_null().replace(False, None)
        try:
            form = None
            if wanted.time is not None:
                form = self._time(wanted.time)
                columns["time"] = form.time
            is_empty = self._is_empty_row()
            counts = self._counts(form, is_empty, wanted)
            self._check_whole(counts["lines"])
            notes = [f"{self.label}: {', '.join(guessed)}."] if guessed else []
            notes += self._notes(counts)
            if form is not None and form.fractional is not None and counts["fractional"]:
                columns["time"] = form.fractional
            notes += self._negative_ratings(wanted)
            # Rows that cannot be used stay in, to be found and named below.
            usable = pl.all_horizontal(expression.is_not_null() for expression in columns.values())
            kept = ~usable | self._by_rating(wanted, columns)
            frame = self._rows.filter(~is_empty & kept).select(**columns).collect(engine="streaming")
            if frame.select(pl.any_horizontal(pl.all().is_null().any())).item():
                bad = ~is_empty & ~usable
                frame = frame.drop_nulls()
                if self._skipped is None or frame.is_empty():
                    self._refuse_first(names, columns, bad, form)
                else:
                    counts["lines"] -= self._skip(names, columns, bad, form)
        except UNREADABLE as error:
            raise self._unreadable(error) from error
        elsewhere = self._num_blanked + counts.get("headers", 0)
        if self._skipped is not None and self._skipped.total:
            notes.append(self._skipped.sentence(self.label))
        return Rows(
            frame.drop("rating", *self._blank, strict=False),
            counts["lines"] - elsewhere,
            counts["empty"] - elsewhere,
            form and form.kind,
            tuple(notes),
        )

    def _counts(self, form: TimeForm | None, is_empty: pl.Expr, wanted: Columns) -> dict[str, int]:
        """Numbers of rows: all, empty ones, and those of which a note is made."""
        counted = {"lines": pl.len(), "empty": is_empty.sum(), **self._counted(wanted)}
        if form is not None:
            counted["finer"] = form.finer.sum()
            if form.fractional is not None:
                counted["fractional"] = (form.time.is_null() & form.fractional.is_not_null()).sum()
        return self._rows.select(**counted).collect(engine="streaming").row(0, named=True)

    def _notes(self, counts: dict[str, int]) -> list[str]:
        """Sentences about what was guessed or rounded."""
        notes = [
            f"{self.label}: {count:,} ids of column '{key.removeprefix('missing ')}' are words such as NA or null, "
            f"which are read as ids; if they stand for missing ones, leave these rows out."
            for key, count in counts.items()
            if key.startswith("missing ") and count
        ]
        if counts.get("finer") and counts.get("fractional", True):
            rounded = "rounded to 53 bits, since others have a fraction" if "fractional" in counts else "cut off"
            digits = "more than 15 digits are" if "fractional" in counts else "digits below a microsecond are"
            notes.append(f"{self.label}: {counts['finer']:,} times of {digits} {rounded}.")
        return notes

    def _counted(self, wanted: Columns) -> dict[str, pl.Expr]:
        """Further numbers that `_notes` needs."""
        names = [name for name in (wanted.user, wanted.item) if self._dtypes[name] == pl.String]
        return {f"missing {name}": pl.col(name).is_in(_MISSING).sum() for name in names}

    def _negative_ratings(self, wanted: Columns) -> list[str]:
        """Sentences about negative numbers that no option reads; DataError where they are ratings."""
        if wanted.rating is not None and wanted.by_rating:
            return []
        names = [wanted.rating] if wanted.rating is not None else self._unread_ratings(wanted)
        counted = {name: self._is_negative(name).sum() for name in names if self._may_be_negative(name)}
        counts = self._rows.select(**counted).collect(engine="streaming").row(0, named=True) if counted else {}
        notes = []
        for name, count in counts.items():
            if name == wanted.rating or name.strip().lower() == RATING:
                refuse_negative(self.label, count, name)
            elif count:
                notes.append(
                    f"{self.label}: {count:,} rows have a negative number in column '{name}', which is not read, so "
                    f"they are likes as all others; if it is a rating, set {self._option('rating')} and "
                    f"dataset.min_rating."
                )
        return notes

    def _unread_ratings(self, wanted: Columns) -> list[str]:
        """Columns that may hold ratings and that no option names."""
        return unread_ratings(self._dtypes, wanted.names())

    def _by_rating(self, wanted: Columns, columns: dict[str, pl.Expr]) -> pl.Expr:
        """Whether rows are likes or dislikes; all are where there are no ratings, or they do not decide."""
        if "rating" not in columns or not wanted.by_rating:
            return pl.lit(True)
        like = wanted.is_like(columns["rating"])
        return like | columns["disliked"] if wanted.dislike_rating is not None else like

    def _kinds(self, form: TimeForm | None) -> dict[str, str]:
        """What the values of each column must be, in words."""
        number = "a finite number"
        time = "a time"
        if form is not None:
            time = f"a time like the first ones, which are {form.described}" if form.described else time_forms.SENTENCE
            time = f"a time {form.described}" if self._text.time_format is not None else time
        return {
            "user": "a user id", "item": "an item id", "rating": number, "time": time, "weight": WEIGHT_SENTENCE
        }  # fmt: skip

    def _tested(
        self, names: dict[str, str | None], columns: dict[str, pl.Expr], bad: pl.Expr
    ) -> tuple[pl.LazyFrame, list[str]]:
        """Row numbers of bad rows, with the value of each column as text and whether it is good; and the columns' keys.

        The conditions are evaluated with the rows around, for which reading was decided, not on the bad rows alone.
        """
        keys = [key for key in columns if names.get(key) is not None]
        raw = {f"raw {key}": pl.col(str(names[key])).cast(pl.String) for key in keys}
        good = {f"good {key}": columns[key].is_not_null() for key in keys}
        table = self._rows.with_columns(bad.alias(_BAD)).with_row_index(_ROW)
        return table.select(_ROW, _BAD, **raw, **good).filter(_BAD), keys

    def _refuse_first(
        self, names: dict[str, str | None], columns: dict[str, pl.Expr], bad: pl.Expr, form: TimeForm | None
    ) -> None:
        """Raises DataError for the first row that cannot be used."""
        rows, keys = self._tested(names, columns, bad)
        first = rows.head(1).collect().row(0, named=True)
        key = next(key for key in keys if not first[f"good {key}"])
        value = first[f"raw {key}"]
        what = "is empty" if not value else f"= {value[:60]!r} is not {self._kinds(form).get(key, 'empty')}"
        advice = "correct or remove it"
        if key in ("rating", "weight") and value and self._text.decimal == "." and value.count(",") == 1:
            advice += ", or set dataset.decimal if the comma stands before a fraction"
        if value and self._text.decimal == "," and "." in value:
            advice += "; with dataset.decimal = ',' no point stands in a number"
        raise DataError(f"{self.label}, {self._place(first[_ROW])}: column '{names[key]}' {what}; {advice}.")

    def _skip(
        self, names: dict[str, str | None], columns: dict[str, pl.Expr], bad: pl.Expr, form: TimeForm | None
    ) -> int:
        """Takes rows that cannot be used to account, each for its first column that is not good; their number."""
        rows, keys = self._tested(names, columns, bad)
        kinds, reasons = self._kinds(form), {}
        code = pl.lit(None, pl.Int32)
        for place, key in reversed(list(enumerate(keys))):
            is_empty = pl.col(f"raw {key}").is_null() | (pl.col(f"raw {key}") == "")
            of_key = pl.when(is_empty).then(2 * place).otherwise(2 * place + 1)
            code = pl.when(~pl.col(f"good {key}")).then(of_key).otherwise(code)
            what = kinds.get(key, "empty").partition(":")[0]
            reasons |= {2 * place: f"'{names[key]}' is empty", 2 * place + 1: f"'{names[key]}' is not {what}"}
        grouped = (
            rows.group_by(code.alias("code"))
            .agg(pl.len().alias("count"), pl.col(_ROW).bottom_k(SHOWN).sort().alias("first"))
            .sort("code")
            .collect(engine="streaming")
        )
        assert self._skipped is not None
        for code_, count, first in grouped.iter_rows():
            self._skipped.add_all(reasons[code_], count, self._places(first))
        return int(grouped["count"].sum())

    def _is_empty_row(self) -> pl.Expr:
        """Whether a row is left out because there is nothing in it."""
        return pl.lit(False)

    def _check_whole(self, num_rows: int) -> None:
        """Raises DataError where fewer rows were read than there are."""

    def _places(self, rows: Collection[int]) -> list[str]:
        """Where rows, counted from 0, stand."""
        return [f"row {row + 1}" for row in rows]

    def _place(self, row: int) -> str:
        """Where a row, counted from 0, stands."""
        return self._places([row])[0]

    def _unreadable(self, error: BaseException) -> DataError:
        """The sentence for an error of Polars."""
        return DataError(f"{self.label}: cannot be read ({reason_of(error)}).")


def reason_of(error: BaseException) -> str:
    """The first line of an error's message, else its type."""
    return str(error).strip().splitlines()[0][:150] if str(error).strip() else type(error).__name__
