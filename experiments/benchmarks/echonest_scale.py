"""Time and memory of loading a file of the Taste Profile's size and format, which is generated first.

python -m experiments.benchmarks.echonest_scale --folder=runs/echonest_scale

The file has the full release's numbers of lines, users and songs (3 GB); --lines makes it smaller. The pairs are loaded
with a play count of 10 and more and users of 10 and more songs, as the paper does, and then all of them.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from absl import flags

from experiments import cli

_FOLDER = flags.DEFINE_string("folder", None, "Folder for the generated train_triplets.txt.", required=True)
_LINES = flags.DEFINE_integer("lines", 48_373_586, "Lines of the file.", lower_bound=1000)
_FULL = {"lines": 48_373_586, "users": 1_019_318, "songs": 384_546}  # of the release
_RECIPES = {
    "the paper's filters": {"min_rating": 10, "min_user_items": 10},
    "every pair": {"min_rating": 0, "min_user_items": 0},
}


def generate(path: Path, num_lines: int) -> None:
    """Writes users of log-normal activity, songs of long-tailed popularity, play counts that are mostly small."""
    rng = np.random.default_rng(0)
    num_users, num_songs = (max(50, _FULL[name] * num_lines // _FULL["lines"]) for name in ("users", "songs"))
    users = _random_ids(rng, num_users, "0123456789abcdef", 40)
    songs = _random_ids(rng, num_songs, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 16, prefix="SO")
    activity = rng.lognormal(3.3, 1.0, num_users)
    ends = np.round(np.cumsum(activity) / activity.sum() * num_lines).astype(np.int64)
    appeal = np.cumsum(np.arange(1, num_songs + 1) ** -0.75)
    with path.open("wb") as file:
        for first in range(0, num_users, 50_000):
            last = min(first + 50_000, num_users)
            degrees = np.diff(ends[first:last], prepend=ends[first - 1] if first else 0)
            count = int(degrees.sum())
            played = rng.geometric(0.35, count) + (rng.random(count) < 0.04) * rng.integers(5, 60, count)
            chosen = np.searchsorted(appeal, rng.random(count) * appeal[-1])
            columns = {
                "user": users.gather(np.repeat(np.arange(first, last), degrees)),
                "song": songs.gather(chosen),
                "count": played,
            }
            pl.DataFrame(columns).write_csv(file, separator="\t", include_header=False)


def _random_ids(rng: np.random.Generator, count: int, letters: str, length: int, prefix: str = "") -> pl.Series:
    drawn = np.array(list(letters))[rng.integers(0, len(letters), (count, length))]
    return pl.Series(prefix + drawn.view(f"<U{length}").ravel().astype(object))


def load(path: str, options: dict[str, Any]) -> str:
    """Loads the file in this process, and says how long it took and what this process has needed at most."""
    from cml_jax.data import datasets

    started = time.perf_counter()
    dataset = datasets.load("echonest", path, "echonest", **options)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux gives KiB
    counts = [part.num_pairs for part in (dataset.train, dataset.valid, dataset.test)]
    return f"{seconds:.1f} s, peak {peak:.2f} GiB, {len(dataset.user_ids):,} users, " + " / ".join(
        f"{n:,}" for n in counts
    )


def main() -> None:
    """Generates the file where it is missing, and loads it once a recipe, each in a process of its own."""
    folder = Path(_FOLDER.value)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"train_triplets_{_LINES.value}.txt"
    if not path.is_file():
        generate(path.with_suffix(".part"), _LINES.value)
        path.with_suffix(".part").replace(path)
    print(f"{path}: {_LINES.value:,} lines, {path.stat().st_size / 1e9:.2f} GB")
    for name, options in _RECIPES.items():
        code = (
            f"from experiments.benchmarks import echonest_scale; print(echonest_scale.load({str(path)!r}, {options}))"
        )
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        print(f"{name}: {done.stdout.strip()}")


if __name__ == "__main__":
    cli.run(main)
