import subprocess
import sys

import polars as pl
import pytest

from experiments.benchmarks import pairs_scale
from tests.tiny import ROOT


def test_generated_pairs_are_distinct_and_as_many_as_asked(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs_scale, "_CHUNK", 2_000)  # several parts
    pairs_scale.generate(tmp_path / "pairs.csv", 9_001)
    frame = pl.read_csv(tmp_path / "pairs.csv")
    assert frame.columns == ["user", "item", "time"] and len(frame) == 9_001
    assert len(frame.select("user", "item").unique()) == 9_001
    popularity = frame["item"].value_counts(sort=True)["count"]
    assert popularity[0] > 2 * popularity[-1]  # a long tail


def test_a_peak_is_seen_after_it_has_passed_and_forgotten_by_the_next():
    first = pairs_scale.Peak()
    before = first.read()
    held = bytearray(200 * 2**20)
    del held
    assert first.read() - before > 190 * 2**20
    assert pairs_scale.Peak().read() < before + 100 * 2**20


@pytest.mark.slow
def test_both_formats_are_loaded_alike(tmp_path):
    command = [sys.executable, "-m", "experiments.benchmarks.pairs_scale", f"--folder={tmp_path}", "--pairs=20_000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    counts = [line.split(", ", 1)[1] for line in done.stdout.splitlines() if " pairs; " in line]
    assert len(counts) == 2 and counts[0] == counts[1] and counts[0].endswith("on the device as float32, int32")
    assert done.stdout.count("bytes a pair") == 4
