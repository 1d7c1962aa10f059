"""TensorBoard event files of a run: what stands in metrics.jsonl, under the same names."""

import contextlib
import importlib.util
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def is_installed() -> bool:
    """Whether the extra that this needs is there."""
    return importlib.util.find_spec("tensorboard") is not None


@contextlib.contextmanager
def open_events(folder: Path, records: Sequence[Record]) -> Iterator[Callable[[Record], None]]:
    """A function that writes a report's numbers to event files.

    Args:
        folder: for the files; those of an interrupted run are replaced, since some of its reports are made again.
        records: the reports so far.
    """
    from tensorboard import summary  # an extra

    shutil.rmtree(folder, ignore_errors=True)
    writer = summary.Writer(summary.DirectoryOutput(str(folder)))

    def write(record: Record) -> None:
        numbers = {name: value for name, value in record.items() if name not in ("step", "metrics")}
        for name, value in (numbers | record["metrics"]).items():
            writer.add_scalar(name, value, record["step"])
        writer.flush()

    try:
        for record in records:
            write(record)
        yield write
    finally:
        writer.close()
