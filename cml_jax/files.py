"""Files and folders that are whole or not there."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from cml_jax.errors import UserError


def home_path(path: str | os.PathLike[str]) -> Path:
    """The path that a person gave; a ~ at its start is the home folder."""
    return Path(os.path.expanduser(path))


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place beside `path` to write to; renamed to it at the end, removed where anything fails.

    Args:
        path: the final place; what is there stays until the end.
    """
    beside = path.with_name(f"{path.name}.part")
    try:
        yield beside
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def new_folder(folder: Path, errors: tuple[type[Exception], ...] = ()) -> Iterator[Path]:
    """A folder beside `folder` to write to; renamed to it at the end, removed where anything fails.

    Args:
        folder: the final place; it is not there yet, or empty.
        errors: of libraries, for what the operating system's errors stand for too, such as a full disk.

    Raises:
        UserError: the folder holds something, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already; name a new folder.")
    beside = folder.with_name(f"{folder.name}.part")
    try:
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        yield beside
        os.replace(beside, folder)
    except BaseException as error:
        shutil.rmtree(beside, ignore_errors=True)
        if isinstance(error, (OSError, *errors)):
            reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
            raise UserError(f"{folder}: cannot be written ({reason}); make room or name another folder.") from error
        raise
