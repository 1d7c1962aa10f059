"""Files of new users and their items, for commands: their columns follow from the run, or from flags."""

import re
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from cml_jax.data.formats import format_of
from cml_jax.data.readers import NAMED_COLUMNS, TEXT_OF, describe, read
from cml_jax.data.tables import Columns, Table
from cml_jax.data.text_options import TextOptions
from cml_jax.errors import DataError, UserError
from cml_jax.options import construct, declared

_COLUMNS = ("user", "item")
_OF_TEXT = ("separator", "quote", "encoding", "comment", "bad_rows")
NAMES = (*(f"{kind}_column" for kind in _COLUMNS), "header", *_OF_TEXT)


def define_flags(given: flags.FlagValues) -> None:
    """Defines the flags that say how such a file is read: NAMES."""
    for kind in _COLUMNS:
        help = f"For --history: column of {kind}s, or its number; default: that of the run, else {kind}."
        flags.DEFINE_string(f"{kind}_column", None, help, flag_values=given)
    for option in declared(TextOptions):
        if option.name == "header":
            flags.DEFINE_boolean("header", None, f"For --history: {option.help}", flag_values=given)
        elif option.name in _OF_TEXT:
            flags.DEFINE_string(option.name, None, f"For --history: {option.help}", flag_values=given)


def read_history(path: Path, given: flags.FlagValues, of_run: Sequence[str]) -> Table:
    """The pairs of new users and items in a file.

    Args:
        path: a file of any format that can be trained on.
        given: the flags of `define_flags`.
        of_run: names of the columns of users and items in the data that the model was trained on.

    Raises:
        UserError: it is no such file, has no such columns, or cannot be read.
    """
    if not path.is_file():
        raise DataError(
            f"--history={path}: give a csv, tsv or parquet file, or another that can be trained on, with a column of "
            f"users and one of items."
        )
    try:
        values = {name: given[name].value for name in ("header", *_OF_TEXT) if given[name].value is not None}
        for option in declared(TextOptions):
            if option.name in values:
                option.check(values[option.name], f"dataset.{option.name}")
        text = construct(TextOptions, values)
        text.check_text()
        format, _ = format_of(path, named=True)
        if format in TEXT_OF:
            text.check_text_of(f"{format} data", TEXT_OF[format])
        return read(format, path, _columns(format, path, text, given, of_run), text)
    except UserError as error:
        raise type(error)(_with_flags(str(error), given)) from error


def _columns(format: str, path: Path, text: TextOptions, given: flags.FlagValues, of_run: Sequence[str]) -> Columns:
    """The columns that flags name, else those of the run, else 'user' and 'item'."""
    chosen = [given[f"{kind}_column"].value for kind in _COLUMNS]
    if format not in NAMED_COLUMNS:
        for kind, name in zip(_COLUMNS, chosen, strict=True):
            if name is not None:
                raise DataError(f"--{kind}_column has no effect on {format} data; leave it out.")
        return Columns()
    wanted = Columns(chosen[0] or of_run[0], chosen[1] or of_run[1])
    there = describe(format, path, wanted, text, num_rows=1)[0].columns
    names = []
    for kind, flag, run in zip(_COLUMNS, chosen, of_run, strict=True):
        candidates = [flag] if flag is not None else [run, kind]
        found = next((name for name in candidates if name in there), None)
        if found is None:
            raise DataError(
                f"{path}: has no column {' and no column '.join(map(repr, dict.fromkeys(candidates)))}; its columns "
                f"are {', '.join(there)[:200]!r}, name that of {kind}s by --{kind}_column."
            )
        names.append(found)
    if names[0] == names[1]:
        raise DataError(f"--user_column and --item_column are both {names[0]!r}; name two columns.")
    return Columns(names[0], names[1])


def _with_flags(sentence: str, given: flags.FlagValues) -> str:
    """The sentence with keys of a config's data set written as flags, of those that there are."""

    def flag(key: re.Match[str]) -> str:
        return f"--{key[1]}" if key[1] in given else key[0]

    return re.sub(r"(?:--)?(?:config\.)?dataset\.([a-z_]+)", flag, sentence)
