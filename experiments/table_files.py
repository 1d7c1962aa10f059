"""Tables that come in parts, to one file, in memory that does not grow with their number."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl

from cml_jax.errors import UserError
from cml_jax.files import replacing

FORMATS = (".csv", ".jsonl", ".parquet")


def check_output(path: Path) -> None:
    """Raises UserError where the file's name ends in no format, or its folder is not there."""
    if path.suffix not in FORMATS:
        raise UserError(f"--output={path}: the name must end in one of {', '.join(FORMATS)}.")
    if path.is_dir() or not path.parent.is_dir():
        raise UserError(f"--output={path}: {'is a folder' if path.is_dir() else 'no such folder'}; name a file.")


def write_tables(tables: Iterable[pl.DataFrame], path: Path) -> None:
    """Writes tables of equal columns, one below the other; the file is there when it is whole, and not before.

    Args:
        tables: at least one.
        path: csv with a header, jsonl or parquet, by its suffix.

    Raises:
        UserError: it cannot be written.
    """
    with errors_named(path), replacing(path) as beside:
        if path.suffix == ".parquet":
            _write_parquet(tables, beside)
            return
        with beside.open("wb") as file:
            for number, table in enumerate(tables):
                if path.suffix == ".csv":
                    table.write_csv(file, include_header=number == 0)
                else:
                    table.write_ndjson(file)


def _write_parquet(tables: Iterable[pl.DataFrame], path: Path) -> None:
    """Each table to a file of its own first, because a Parquet file has its index at its end."""
    with tempfile.TemporaryDirectory(prefix=f"{path.name}.", dir=path.parent) as folder:
        parts = []
        for number, table in enumerate(tables):
            parts.append(Path(folder) / f"{number}.parquet")
            table.write_parquet(parts[-1])
        pl.scan_parquet(parts, glob=False).sink_parquet(path)


@contextlib.contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Raises what the operating system or polars raises on writing as a UserError that names the path."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise UserError(f"{path}: cannot be written ({reason}); make room or choose another place.") from error
