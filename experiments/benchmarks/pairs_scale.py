"""Time and memory of reading, splitting and moving to the device many pairs of text and of Parquet, generated first.

python -m experiments.benchmarks.pairs_scale --folder=runs/pairs_scale --pairs=100_000_000

The files have the columns user, item and time, users of 100 items on average, and items of long-tailed popularity. Each
of them is loaded in a process of its own, which reports, for every stage, seconds and the largest resident memory, of
Linux's high-water mark.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from absl import flags

from experiments import cli

_FOLDER = flags.DEFINE_string("folder", None, "Folder for the generated files.", required=True)
_PAIRS = flags.DEFINE_string("pairs", "2_000_000", "Number of pairs.")
_SPLIT = flags.DEFINE_string("split", "ratio", "The split, see dataset.split.")
_USER_ITEMS = 100  # items of a user, on average
_CHUNK = 2_000_000  # pairs that are generated at once, about
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def generate(path: Path, num_pairs: int) -> None:
    """Writes distinct pairs as text with a header, in memory that does not grow with their number."""
    rng = np.random.default_rng(0)
    num_items = max(100, num_pairs // 500)
    appeal = np.cumsum(np.arange(1, num_items + 1) ** -0.5)
    users_at_once, first, left = _CHUNK // _USER_ITEMS, 0, num_pairs
    with path.open("wb") as file:
        while left:
            degrees = 1 + rng.geometric(1 / _USER_ITEMS, users_at_once)
            users = np.repeat(np.arange(first, first + users_at_once), degrees)
            items = np.searchsorted(appeal, rng.random(len(users)) * appeal[-1])
            distinct = rng.permutation(np.unique(users * num_items + items))[:left]
            columns = {
                "user": distinct // num_items,
                "item": 7 * (distinct % num_items),  # no row numbers
                "time": 1_500_000_000 + rng.integers(0, 10**8, len(distinct)),
            }
            pl.DataFrame(columns).write_csv(file, include_header=left == num_pairs)
            first, left = first + users_at_once, left - len(distinct)


class Peak:
    """The largest memory of this process since the object was made."""

    def __init__(self) -> None:
        """Starts anew."""
        _RESET.write_text("5")  # the kernel's high-water mark becomes what is resident now

    def read(self) -> int:
        """Bytes."""
        return _memory("VmHWM")


def _memory(kind: str) -> int:
    """Bytes of this process, by a line of its status."""
    lines = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
    return 1024 * int(lines[kind].split()[0])


def measure(path: str, split: str) -> dict[str, Any]:
    """Loads a file in this process and says what each stage took, beyond what a program without data does."""
    import jax

    from cml_jax.data import datasets

    jax.device_put(np.zeros(1))  # what a program without data needs
    before = _memory("VmRSS")
    stages: dict[str, dict[str, float]] = {}

    def stage(name: str, work: Callable[[], Any]) -> Any:
        peak, started = Peak(), time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
        stages[name] = {"seconds": seconds, "peak": peak.read() - before}
        return result

    format = Path(path).suffix[1:]
    options = {"time_column": "time"} if split.startswith("temporal") else {}
    dataset = stage("read and split", lambda: datasets.load("scale", path, format, split=split, **options))
    device = stage("to the device", lambda: jax.block_until_ready(dataset.train.to_device()))
    counts = [part.num_pairs for part in (dataset.train, dataset.valid, dataset.test)]
    return {"stages": stages, "counts": counts, "types": sorted({str(leaf.dtype) for leaf in jax.tree.leaves(device)})}


def main() -> None:
    """Generates the files where they are missing, and loads each in a process of its own."""
    num_pairs, folder = int(_PAIRS.value), Path(_FOLDER.value)
    folder.mkdir(parents=True, exist_ok=True)
    text, parquet = (folder / f"pairs_{num_pairs}{suffix}" for suffix in (".csv", ".parquet"))
    if not text.is_file():
        generate(text.with_suffix(".part"), num_pairs)
        text.with_suffix(".part").replace(text)
    if not parquet.is_file():
        beside = parquet.with_suffix(".part")
        pl.scan_csv(text).sink_parquet(beside)
        beside.replace(parquet)
    for path in (text, parquet):
        code = (
            f"import json; from experiments.benchmarks import pairs_scale; "
            f"print(json.dumps(pairs_scale.measure({str(path)!r}, {_SPLIT.value!r})))"
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        found = json.loads(done.stdout.splitlines()[-1])
        counts = " / ".join(f"{count:,}" for count in found["counts"])
        size = f"{path.stat().st_size / 1e9:.2f} GB"
        print(f"{path.name}: {size}, {counts} pairs; on the device as {', '.join(found['types'])}")
        for name, stage in found["stages"].items():
            memory = f"{stage['peak'] / 2**30:.2f} GiB ({stage['peak'] / num_pairs:.0f} bytes a pair)"
            print(f"  {name}: {stage['seconds']:.1f} s, {memory}")


if __name__ == "__main__":
    cli.run(main)
