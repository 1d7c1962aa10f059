"""Downloads of public data sets: checked by their checksum, unpacked, and kept in a cache."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import pooch
import requests

from cml_jax.data.named import SOURCES, Remote, Source
from cml_jax.errors import DataError
from cml_jax.files import home_path, replacing

__all__ = ["PINS", "SOURCES", "cache_folder", "fetch", "pinned"]

PINS = "checksums.json"
"""File of the cache with the SHA-256 of the first download of each URL of which no checksum is known."""
_AT_FOLDER = ("adjacency", "echonest", "movielens")  # formats whose path may be a folder


def cache_folder() -> Path:
    """$CML_JAX_CACHE, or the operating system's folder for caches."""
    return home_path(os.environ.get("CML_JAX_CACHE") or pooch.os_cache("cml_jax"))


def fetch(name: str, source: Source, cache: Path) -> Path:
    """The file of a data set, or the folder of its files; downloaded where they are not in the cache.

    Args:
        name: of the data set, for messages and for files that come without a folder.
        source: where it comes from.
        cache: folder that is made where it is missing.

    Raises:
        DataError: no connection, a transfer that was cut off, a file of another checksum, an archive without the file,
            a file whose path leaves the cache, or a cache that cannot be written. Nothing half-written is left.
    """
    placed = [_fetch_file(name, source, remote, cache) for remote in source.files]
    return placed[0] if len(placed) == 1 else placed[0].parent


def pinned(source: Source, cache: Path) -> list[str]:
    """Sentences about files of which no checksum is known, and what they are checked against instead."""
    pins = _read_pins(cache)
    return [
        f"No checksum of {remote.url} is known; that of its first download, {pins[remote.url]}, is kept in "
        f"{cache / PINS}, and another file will be refused."
        for remote in source.files
        if remote.checksum is None and remote.url in pins
    ]


def _fetch_file(name: str, source: Source, remote: Remote, cache: Path) -> Path:
    member = remote.member or f"{name}/{remote.download}"
    if not _stays_inside(member):
        raise DataError(f"{name}: the archive's file {member} would be written outside of {cache}.")
    target = cache / member if "/" in member else cache / name / member
    if target.is_file():
        return target
    download = target if remote.member is None else cache / remote.download
    by_hand = _by_hand(source, remote)
    known = remote.checksum or _read_pins(cache).get(remote.url)
    try:
        _download(remote.url, download, known)
        if remote.member is not None:
            _unpack(download, remote.member, target)
        if known is None:
            _pin(cache, remote.url, f"sha256:{pooch.file_hash(str(download))}")
    except requests.exceptions.RequestException as error:
        reason = "the transfer was cut off" if _was_cut_off(error) else f"no answer: {_innermost(error)}"
        raise DataError(
            f"{name} could not be downloaded from {remote.url} ({reason}); try again, {by_hand}."
        ) from error
    except ValueError as error:  # a checksum that differs
        of_first = "" if remote.checksum else f" of the first download, which {cache / PINS} keeps"
        raise DataError(
            f"{name}: what {remote.url} sent does not have the checksum {known}{of_first}; try again, {by_hand}."
        ) from error
    except KeyError as error:
        raise DataError(f"{download}: has no file {remote.member}; delete the archive and try again.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: under a password
        raise DataError(
            f"{download}: {remote.member} cannot be unpacked ({error}); delete the archive and try again."
        ) from error
    except OSError as error:
        raise DataError(
            f"{name}: cannot write to {cache} ({error.strerror or error}); set CML_JAX_CACHE to another folder, "
            f"{by_hand}."
        ) from error
    return target


def _by_hand(source: Source, remote: Remote) -> str:
    """What to do without a connection."""
    format = source.recipe["format"]
    if format not in _AT_FOLDER or len(source.recipe) > 1:
        return f"or set dataset.path to {remote.name} of {remote.url}, saved under that name"
    names = " and ".join(file.name for file in source.files)
    return (
        f"or put {names} of {remote.url} into a folder and set dataset.format to '{format}' and dataset.path to that "
        f"folder"
    )


def _download(url: str, path: Path, known: str | None) -> None:
    """Downloads a file unless it is there already; ValueError where its checksum is not the known one."""
    by_git = known is not None and known.startswith("git:")
    with _without_advice():
        pooch.retrieve(url, None if by_git else known, fname=path.name, path=path.parent, progressbar=True)
    if by_git and _git_id(path) != known:
        path.unlink()
        raise ValueError(known)


def _git_id(path: Path) -> str:
    """The object id that git gives a file of this content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return f"git:{digest.hexdigest()}"


@contextlib.contextmanager
def _without_advice() -> Iterator[None]:
    """Keeps pooch from advising its callers to write the checksum into their code."""
    logger = pooch.get_logger()

    def is_needed(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("SHA256 hash of downloaded file")

    logger.addFilter(is_needed)
    try:
        yield
    finally:
        logger.removeFilter(is_needed)


def _read_pins(cache: Path) -> dict[str, str]:
    try:
        return json.loads((cache / PINS).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"{cache / PINS}: cannot be read ({error}); it holds checksums of downloads.") from error


def _pin(cache: Path, url: str, checksum: str) -> None:
    with replacing(cache / PINS) as beside:
        beside.write_text(json.dumps({**_read_pins(cache), url: checksum}, indent=2), encoding="utf-8")


def _stays_inside(member: str) -> bool:
    """Whether a path of an archive is relative and never goes up, on any system."""
    paths = PurePosixPath(member), PureWindowsPath(member)
    return not any(path.anchor or ".." in path.parts for path in paths)


def _unpack(archive: Path, member: str, target: Path) -> None:
    """Writes one file of a zip archive beside its place and renames it, so that no half of it is ever found there.

    Other members of the archive are left alone, wherever their paths point.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(target.name + ".part")
    try:
        with zipfile.ZipFile(archive) as unzipped, unzipped.open(member) as packed, beside.open("wb") as file:
            shutil.copyfileobj(packed, file)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _was_cut_off(error: Exception) -> bool:
    return isinstance(error, requests.exceptions.ChunkedEncodingError)


def _innermost(error: BaseException) -> str:
    """The operating system's words at the bottom of a chain of errors, or the kind of the error."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return getattr(error, "strerror", None) or str(error).splitlines()[0] if str(error) else type(error).__name__
