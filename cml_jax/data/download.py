"""Downloads of public data sets: checked by their checksum, unpacked, and kept in a cache."""

import os
import shutil
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import pooch
import requests

from cml_jax.errors import DataError


class Source(NamedTuple):
    """Where a data set comes from.

    Attributes:
        url: of a zip archive.
        checksum: of the archive, as its publisher gives it, such as 'md5:0e33...'.
        member: the one file of the archive that is needed.
        format: how it is read, a key of `readers.READERS`.
        citation: what its publisher asks users to cite.
    """

    url: str
    checksum: str
    member: str
    format: str
    citation: str


_HARPER = (
    "F. M. Harper and J. A. Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015, "
    "doi 10.1145/2827872"
)
_GROUPLENS = "https://files.grouplens.org/datasets/movielens"
SOURCES = {
    "movielens-100k": Source(
        f"{_GROUPLENS}/ml-100k.zip", "md5:0e33842e24a9c977be4e0107933c0723", "ml-100k/u.data", "movielens", _HARPER
    ),
    "movielens-1m": Source(
        f"{_GROUPLENS}/ml-1m.zip", "md5:c4d9eecfca2ab87c1945afe126590906", "ml-1m/ratings.dat", "movielens", _HARPER
    ),
    "movielens-20m": Source(
        f"{_GROUPLENS}/ml-20m.zip", "md5:cd245b17a1ae2cc31bb14903e1204af3", "ml-20m/ratings.csv", "movielens", _HARPER
    ),
}


def cache_folder() -> Path:
    """$CML_JAX_CACHE, or the operating system's folder for caches."""
    return Path(os.environ.get("CML_JAX_CACHE") or pooch.os_cache("cml_jax"))


def fetch(name: str, source: Source, cache: Path) -> Path:
    """The unpacked file of a data set; downloaded when it is not in the cache.

    Args:
        name: of the data set, for messages.
        source: where it comes from.
        cache: folder that is made where it is missing.

    Raises:
        DataError: no connection, a transfer that was cut off, an archive of another checksum or without the file, a
            file whose path leaves the cache, or a cache that cannot be written. Nothing half-written is left.
    """
    if not _stays_inside(source.member):
        raise DataError(f"{name}: the archive's file {source.member} would be written outside of {cache}.")
    unpacked = cache / source.member
    if unpacked.is_file():
        return unpacked
    archive = cache / source.url.rsplit("/", 1)[1]
    by_hand = (
        f"or put {source.member.rsplit('/', 1)[1]} of {source.url} into a folder and set dataset.format to "
        f"'{source.format}' and dataset.path to that folder"
    )
    try:
        pooch.retrieve(source.url, source.checksum, fname=archive.name, path=cache, progressbar=True)
        _unpack(archive, source.member, unpacked)
    except requests.exceptions.RequestException as error:
        reason = "the transfer was cut off" if _was_cut_off(error) else f"no answer: {_innermost(error)}"
        raise DataError(
            f"{name} could not be downloaded from {source.url} ({reason}); try again, {by_hand}."
        ) from error
    except ValueError as error:  # pooch's report of a checksum that differs
        raise DataError(
            f"{name}: what {source.url} sent does not have the checksum {source.checksum}; try again, {by_hand}."
        ) from error
    except KeyError as error:
        raise DataError(f"{archive}: has no file {source.member}; delete the archive and try again.") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: under a password
        raise DataError(
            f"{archive}: {source.member} cannot be unpacked ({error}); delete the archive and try again."
        ) from error
    except OSError as error:
        raise DataError(
            f"{name}: cannot write to {cache} ({error.strerror or error}); set CML_JAX_CACHE to another folder, "
            f"{by_hand}."
        ) from error
    return unpacked


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
