"""Packed text files: what they are packed with, by their first bytes, and the bytes that are in them."""

import bz2
import contextlib
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from cml_jax.errors import DataError

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"x\x01": "zlib",
    b"x\x9c": "zlib",
    b"x\xda": "zlib",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"\x04\x22\x4d\x18": "LZ4",
    b"\x1f\x9d": "compress",
}
_BZIP2 = b"1AY&SY", b"\x17\x72\x45\x38\x50\x90"  # behind BZh and a digit, with which a line of text may begin
_TAR = slice(257, 262), b"ustar"
_SUFFIX_OF = {"gzip": (".gz",), "bzip2": (".bz2",), "xz": (".xz",), "zstd": (".zst", ".zstd"), "zip": (".zip",)}
SUFFIXES = tuple(suffix for suffixes in _SUFFIX_OF.values() for suffix in suffixes)
# What damaged or cut-off packed files raise; RuntimeError is a zip file's under a password.
_DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, zipfile.BadZipFile, RuntimeError)


def plain_name(name: str) -> str:
    """The name of a file without the ending that says with what it is packed."""
    return next((name[: -len(end)] for end in SUFFIXES if name.lower().endswith(end)), name)


def packed_with(path: Path) -> str | None:
    """Name of what a file is packed with, None where nothing is known.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return _packing_of(file.read(16))


def _packing_of(start: bytes) -> str | None:
    if start.startswith(b"BZh") and start[4:10] in _BZIP2:
        return "bzip2"
    return next((name for magic, name in _MAGIC.items() if start.startswith(magic)), None)


@contextlib.contextmanager
def unpacked(path: Path) -> Iterator[BinaryIO]:
    """Opens the bytes that are in a file, packed or not, as a stream.

    Raises:
        DataError: it is packed with what is not read, or cannot be unpacked. What happens while the stream is open is
            named as well.
        OSError: it cannot be opened.
    """
    packing = packed_with(path)
    if packing is not None and packing not in _SUFFIX_OF:
        raise DataError(f"{path}: is packed with {packing}; unpack it, or pack it with gzip.")
    with contextlib.ExitStack() as stack:
        if packing is None:
            yield stack.enter_context(path.open("rb"))
            return
        try:
            stream = stack.enter_context(_OPEN[packing](path))
            inner = _packing_of(stream.peek(16)[:16])
            if inner in _SUFFIX_OF:
                raise DataError(f"{path}: is packed twice, with {packing} around {inner}; unpack it once.")
            yield stream
        except _DAMAGED as error:
            if isinstance(error, OSError) and error.strerror:  # the file, or the disk, not what is in it
                raise
            raise _damaged(path, packing, error) from error


def _damaged(path: Path, packing: str, error: BaseException) -> DataError:
    reason = str(error).strip().splitlines()[0][:100].rstrip(".") if str(error).strip() else type(error).__name__
    what = f"cannot be read (corrupt {packing}: {reason})"
    if packing == "gzip":
        return DataError(f"{path}: {what}.")
    return DataError(f"{path}: is packed with {packing}; unpack it, or pack it with gzip: it {what}.")


def start_of(path: Path, size: int) -> bytes:
    """The first bytes of what is in a file.

    Raises:
        DataError: it cannot be unpacked, or is an archive of several files.
        OSError: it cannot be read.
    """
    with unpacked(path) as file:
        start = file.read(size)
    place, magic = _TAR
    if start[place] == magic:
        raise DataError(f"{path}: is a tar archive; unpack it and give one of its files.")
    return start


class _Blocks(io.RawIOBase):
    """A stream of blocks of bytes."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = memoryview(next(self._blocks, b""))
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size


def _zstd_blocks(file: BinaryIO) -> Iterator[bytes]:
    """What is in all frames; EOFError where the last is cut off, which zstandard's own stream does not say."""
    frame, packed = None, b""
    while packed or (packed := file.read(2**14)):
        frame = frame or zstandard.ZstdDecompressor(max_window_size=2**31).decompressobj()
        block = frame.decompress(packed)
        packed = b""
        if frame.eof:
            packed, frame = frame.unused_data, None
        if block:
            yield block
    if frame is not None:
        raise EOFError("it is cut off")


@contextlib.contextmanager
def _zstd(path: Path) -> Iterator[BinaryIO]:
    with path.open("rb") as file:
        yield io.BufferedReader(_Blocks(_zstd_blocks(file)), 2**17)  # pyright: ignore[reportReturnType]


@contextlib.contextmanager
def _zip(path: Path) -> Iterator[BinaryIO]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
        if len(names) != 1:
            raise DataError(
                f"{path}: is a zip archive of {len(names)} files ({', '.join(names)[:100]!r}); unpack it and give one."
            )
        with archive.open(names[0]) as file:
            yield file  # pyright: ignore[reportReturnType]


_OPEN: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open, "zstd": _zstd, "zip": _zip}
