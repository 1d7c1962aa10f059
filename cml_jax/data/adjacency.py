"""Adjacency lists to a table. Every error names the file and the line."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from cml_jax.data import encodings, packing
from cml_jax.data.part_files import one_of_them, packed_files
from cml_jax.data.tables import PARTS, Table
from cml_jax.data.text_options import PLAIN, TextOptions
from cml_jax.errors import DataError

ENOUGH = 5  # lines of which each can hardly begin with the number of the others by chance


def read_adjacency(path: Path, columns: object = None, text: TextOptions = PLAIN) -> Table:
    """Reads files in the format of the LightGCN releases: train.txt, test.txt and perhaps valid.txt; or one file.

    Each line is `user item item ...`: non-negative integer ids, separated by white space. A user may stand on several
    lines; blank lines are skipped. Lines end with LF, CR LF or CR. Where valid.txt is absent, no pair is of that part.
    Without ids of users, a user's raw id is the number of the line, from 1, blank ones counted.

    Args:
        path: the folder, or a file of pairs that are yet to be split; packed or not.
        columns: ignored; the files have no columns to choose.
        text: encoding, comment, and first_number, by which a line is `user item item ...`, `count item item ...` or
            `item item ...`.

    Raises:
        DataError: a missing folder or file, an empty file, an id that is not a non-negative integer, a user without
            training items, an item of a user in more than one file, or a count that is not that of the items.
    """
    del columns
    if path.is_file():
        frame, notes = _read_adjacency_file(path, "train", text)
        frame = frame.drop("part")
    else:
        files = _files(path)
        read = [_read_adjacency_file(file, part, text) for part, file in files.items()]
        frame, notes = pl.concat([frame for frame, _ in read]), [note for _, several in read for note in several]
        _check_parts(frame, files)
    user_ids, users = np.unique(frame["user"].to_numpy(), return_inverse=True)
    item_ids, items = np.unique(frame["item"].to_numpy(), return_inverse=True)
    table = Table(users.astype(np.int32), items.astype(np.int32), user_ids, item_ids, notes=tuple(notes))
    if "part" not in frame.columns:
        return table
    parts = frame["part"].replace_strict({part: number for number, part in enumerate(PARTS)}, return_dtype=pl.Int8)
    return table._replace(parts=parts.to_numpy())


def _files(folder: Path) -> dict[str, Path]:
    """The file of each part that is there."""
    if not folder.is_dir():
        raise DataError(
            f"{folder}: no such folder or file; dataset.path must be a folder with train.txt and test.txt, or a file."
        )
    files = {}
    for part in PARTS:
        plain = folder / f"{part}.txt"
        file = one_of_them(folder, packed_files(folder, plain.name))
        if file is not None:
            files[part] = file
        elif part != "valid":
            raise DataError(f"{plain}: no such file; an adjacency data set needs train.txt and test.txt.")
        elif os.path.lexists(plain):
            raise DataError(f"{plain}: not a file; an adjacency data set needs a text file there, or nothing.")
    return files


def _read_adjacency_file(path: Path, part: str, options: TextOptions) -> tuple[pl.DataFrame, list[str]]:
    """One row a pair: part, line (from 1), user, item; and notes."""
    lines, notes = _lines(path, options)
    tokens = (
        pl.DataFrame({"text": lines}, schema={"text": pl.String})
        .with_row_index("line", offset=1)
        .with_columns(pl.col("text").str.extract_all(r"\S+"))
        .filter(pl.col("text").list.len() > 0)
    )
    if tokens.is_empty():
        raise DataError(f"{path}: the file is empty; each line must be 'user item item ...'.")
    first, rest = pl.col("text").list.first(), pl.col("text").list.slice(1)
    is_count = first.cast(pl.Int64, strict=False) == rest.list.len()
    if options.first_number in ("count", "none"):
        if options.first_number == "count":
            wrong = tokens.filter(~is_count.fill_null(False)).select("line", first=first, found=rest.list.len())
            _refuse(wrong, path, "begins with {first}, but has {found} items; correct it or set dataset.first_number.")
        items = rest if options.first_number == "count" else pl.col("text")
        tokens = tokens.select("line", user=pl.col("line").cast(pl.Int64), item=items)
        notes.append(f"{path}: users are the numbers of lines, since first_number is '{options.first_number}'.")
    else:
        if options.first_number is None and len(tokens) >= ENOUGH and tokens.select(is_count.all()).item():
            notes.append(
                f"Warning: {path}: the first number of each of the {len(tokens):,} lines is the number of the others, "
                f"as in files without ids of users; if it is no user, set dataset.first_number=count."
            )
        tokens = _with_ids(tokens.select("line", user=first, item=rest), "user", path)
    has_items = pl.col("item").list.len() > 0
    if part == "train" and options.first_number != "count":
        empty = tokens.filter(~has_items).join(tokens.filter(has_items), on="user", how="anti")
        _refuse(empty, path, "user {user} has no training items; remove the user.")
    pairs = _with_ids(tokens.filter(has_items).explode("item"), "item", path)
    if pairs.is_empty():
        raise DataError(f"{path}: no line has an item; each line must be 'user item item ...'.")
    return pairs.select(pl.lit(part).alias("part"), "line", "user", "item"), notes


def _lines(path: Path, options: TextOptions) -> tuple[list[str], list[str]]:
    """The lines of a file, comments being blank ones; and notes."""
    try:
        with packing.unpacked(path) as file:
            content = file.read()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    try:
        encoding = options.encoding or encodings.by_first_bytes(content[:4096]) or "utf-8-sig"
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}, line {line}: not {error.encoding.upper()} text; write it as lines of integer ids, or set "
            f"dataset.encoding."
        ) from error
    # A CR alone ends a line as well: as white space it would hand the next line's ids to this line's user.
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if options.comment is None:
        return lines, []
    is_comment = [line.startswith(options.comment) for line in lines]
    lines = ["" if comment else line for line, comment in zip(lines, is_comment, strict=True)]
    return lines, [f"{path}: skipped {sum(is_comment):,} lines of comment."]


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


def _check_parts(frame: pl.DataFrame, files: Mapping[str, Path]) -> None:
    """Every user has training items, and no pair stands in two parts."""
    train_users = frame.filter(pl.col("part") == "train").select("user").unique()
    strangers = frame.join(train_users, on="user", how="anti")
    _refuse_part(strangers, files, "user {user} has no training items in train.txt; remove the user or add items.")
    seen: Sequence[str] = []
    for part in PARTS:
        pairs = frame.filter(pl.col("part") == part)
        for earlier in seen:
            other = frame.filter(pl.col("part") == earlier)
            both = pairs.join(other, on=["user", "item"], how="semi")
            sentence = f"item {{item}} of user {{user}} is also in {earlier}.txt; keep it in one of the two."
            _refuse_part(both, files, sentence)
        seen = [*seen, part]


def _refuse_part(rows: pl.DataFrame, files: Mapping[str, Path], sentence: str) -> None:
    if not rows.is_empty():
        part = rows.row(0, named=True)["part"]
        _refuse(rows.filter(pl.col("part") == part), files[part], sentence)
