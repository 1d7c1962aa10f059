"""Adjacency lists to a table. Every error names the file and the line."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl

from cml_jax.data.tables import PARTS, Table
from cml_jax.errors import DataError


def read_adjacency(folder: Path, columns: object = None) -> Table:
    """Reads a folder in the format of the LightGCN releases: train.txt, test.txt and perhaps valid.txt.

    Each line is `user item item ...`: non-negative integer ids, separated by white space. A user may stand on several
    lines; blank lines are skipped. Lines end with LF, CR LF or CR. Where valid.txt is absent, no pair is of that part.

    Args:
        folder: where the files are.
        columns: ignored; the files have no columns to choose.

    Raises:
        DataError: a missing folder or file, an empty file, an id that is not a non-negative integer, a user without
            training items, or an item of a user in more than one file.
    """
    del columns
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; dataset.path must be a folder with train.txt and test.txt.")
    for required in ("train.txt", "test.txt"):
        if not (folder / required).is_file():
            raise DataError(f"{folder / required}: no such file; an adjacency data set needs train.txt and test.txt.")
    valid = folder / "valid.txt"
    if os.path.lexists(valid) and not valid.is_file():
        raise DataError(f"{valid}: not a file; an adjacency data set needs a text file there, or nothing.")
    present = [part for part in PARTS if (folder / f"{part}.txt").is_file()]
    frame = pl.concat([_read_adjacency_file(folder / f"{part}.txt", part) for part in present])

    _check_parts(frame, folder)
    user_ids, users = np.unique(frame["user"].to_numpy(), return_inverse=True)
    item_ids, items = np.unique(frame["item"].to_numpy(), return_inverse=True)
    parts = frame["part"].replace_strict({part: number for number, part in enumerate(PARTS)}, return_dtype=pl.Int8)
    return Table(users.astype(np.int32), items.astype(np.int32), user_ids, item_ids, parts=parts.to_numpy())


def _read_adjacency_file(path: Path, part: str) -> pl.DataFrame:
    """One row a pair: part, line (from 1), user, item."""
    try:
        # A CR alone ends a line as well: as mere white space it would hand the next line's ids to this line's user.
        text = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n").decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; write it as lines of integer ids.") from error
    tokens = (
        pl.DataFrame({"text": text.split("\n")}, schema={"text": pl.String})
        .with_row_index("line", offset=1)
        .with_columns(pl.col("text").str.extract_all(r"\S+"))
        .filter(pl.col("text").list.len() > 0)
        .select("line", user=pl.col("text").list.first(), item=pl.col("text").list.slice(1))
    )
    if tokens.is_empty():
        raise DataError(f"{path}: the file is empty; each line must be 'user item item ...'.")
    tokens = _with_ids(tokens, "user", path)
    has_items = pl.col("item").list.len() > 0
    if part == "train":
        empty = tokens.filter(~has_items).join(tokens.filter(has_items), on="user", how="anti")
        _refuse(empty, path, "user {user} has no training items; remove the user.")
    pairs = _with_ids(tokens.filter(has_items).explode("item"), "item", path)
    if pairs.is_empty():
        raise DataError(f"{path}: no line has an item; each line must be 'user item item ...'.")
    return pairs.select(pl.lit(part).alias("part"), "line", "user", "item")


def _with_ids(rows: pl.DataFrame, column: str, path: Path) -> pl.DataFrame:
    """The rows with a column of text as integers; refused where it holds anything but ids."""
    number = pl.col(column).cast(pl.Int64, strict=False)
    sentence = f"{{{column}!r}} is not an integer id; write ids as non-negative integers."
    _refuse(rows.filter(number.is_null()), path, sentence)
    _refuse(rows.filter(number < 0), path, f"{column} id {{{column}}} is negative; ids start at 0.")
    return rows.cast({column: pl.Int64})


def _refuse(rows: pl.DataFrame, path: Path, sentence: str) -> None:
    """Raises DataError for the first of the rows, if any; {column} in the sentence stands for its values."""
    if not rows.is_empty():
        first = rows.with_columns(pl.col(pl.String).str.head(60)).sort("line").row(0, named=True)
        raise DataError(f"{path}, line {first['line']}: {sentence.format(**first)}")


def _check_parts(frame: pl.DataFrame, folder: Path) -> None:
    """Every user has training items, and no pair stands in two parts."""
    train_users = frame.filter(pl.col("part") == "train").select("user").unique()
    strangers = frame.join(train_users, on="user", how="anti")
    _refuse_part(strangers, folder, "user {user} has no training items in train.txt; remove the user or add items.")
    seen: Sequence[str] = []
    for part in PARTS:
        pairs = frame.filter(pl.col("part") == part)
        for earlier in seen:
            other = frame.filter(pl.col("part") == earlier)
            both = pairs.join(other, on=["user", "item"], how="semi")
            sentence = f"item {{item}} of user {{user}} is also in {earlier}.txt; keep it in one of the two."
            _refuse_part(both, folder, sentence)
        seen = [*seen, part]


def _refuse_part(rows: pl.DataFrame, folder: Path, sentence: str) -> None:
    if not rows.is_empty():
        part = rows.row(0, named=True)["part"]
        _refuse(rows.filter(pl.col("part") == part), folder / f"{part}.txt", sentence)
