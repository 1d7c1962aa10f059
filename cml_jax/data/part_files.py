"""Which files a path stands for, and which part of the data each of them is."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cml_jax.data.tables import PARTS
from cml_jax.errors import DataError


def files_of(path: Path, suffix: str) -> list[Path]:
    """The file itself, or a folder's train, valid and test files; valid may be missing and is then left out."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError(f"{path}: no such file or folder; dataset.path must be a .{suffix} file or a folder of them.")
    files = [path / f"{part}.{suffix}" for part in PARTS]
    for file in files:
        if not file.is_file() and (file.stem != "valid" or os.path.lexists(file)):
            raise DataError(f"{file}: no such file; a folder needs train.{suffix} and test.{suffix}, or give one file.")
    return [file for file in files if file.is_file()]


def parts_of(files: Sequence[Path], sizes: Sequence[int]) -> np.ndarray | None:
    """Place in PARTS of each row, by the names of the files; None for fewer than two files."""
    if len(files) < 2:
        return None
    return np.repeat(np.array([PARTS.index(file.stem) for file in files], np.int8), sizes)
