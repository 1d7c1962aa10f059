"""Which files a path stands for, and which part of the data each of them is."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cml_jax.data.packing import SUFFIXES
from cml_jax.data.tables import PARTS
from cml_jax.errors import DataError

_OTHER_PARTS = ("validation", "val", "dev", "eval", "training", "testing")


def files_of(path: Path, suffix: str, others: tuple[str, ...] = ()) -> list[Path]:
    """The file itself, or a folder's train, valid and test files; valid may be missing and is then left out.

    Args:
        path: the file or folder.
        suffix: how the names of a folder's files end, behind which they may be packed.
        others: further endings that do as well.

    Raises:
        DataError: there is no such file, or two that could be meant.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        refuse_pipe(path)
        raise DataError(f"{path}: no such file or folder; dataset.path must be a .{suffix} file or a folder of them.")
    files = []
    for part in PARTS:
        plain = path / f"{part}.{suffix}"
        found = [file for end in (suffix, *others) for file in packed_files(path, f"{part}.{end}")]
        file = one_of_them(path, found)
        if file is None and (part != "valid" or os.path.lexists(plain)):
            raise DataError(
                f"{plain}: no such file; a folder needs train.{suffix} and test.{suffix}, or give one file."
            )
        files += [file] if file is not None else []
    return files


def refuse_pipe(path: Path) -> None:
    """Raises DataError for what is there but neither a file nor a folder; files are read more than once."""
    if path.exists():
        raise DataError(f"{path}: is a pipe or a device, which cannot be read twice; save it as a file and give that.")


def unread_note(folder: Path, suffixes: Sequence[str]) -> tuple[str, ...]:
    """Sentence about files of a folder that are called as parts of other names are, and are not read."""
    if not folder.is_dir():
        return ()
    names = [f"{part}.{suffix}" for part in _OTHER_PARTS for suffix in suffixes]
    found = [file.name for name in names for file in packed_files(folder, name)]
    if not found:
        return ()
    return (f"Warning: {folder}: not read is {' and '.join(found)}; parts are called {', '.join(PARTS)}.",)


def packed_files(folder: Path, name: str) -> list[Path]:
    """The files of a folder that have a name, or the name and an ending that says with what they are packed."""
    return [file for end in ("", *SUFFIXES) if (file := folder / f"{name}{end}").is_file()]


def one_of_them(folder: Path, files: Sequence[Path]) -> Path | None:
    """The one file, or None; refused where there are several."""
    if len(files) > 1:
        raise DataError(f"{folder}: holds {' and '.join(file.name for file in files)}; keep one of them.")
    return files[0] if files else None


def part_of(file: Path) -> str:
    """The part that a file's name says."""
    return file.name.partition(".")[0]


def parts_of(files: Sequence[Path], sizes: Sequence[int]) -> np.ndarray | None:
    """Place in PARTS of each row, by the names of the files; None for fewer than two files."""
    if len(files) < 2:
        return None
    return np.repeat(np.array([PARTS.index(part_of(file)) for file in files], np.int8), sizes)
