import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.benchmarks import growth


def test_generated_pairs_are_distinct_and_ascending():
    pairs = growth.make_pairs(3_000, 1_234)
    assert pairs.num_pairs == 3_000 and pairs.num_users == 30 and pairs.num_items == 1_234
    rows = pairs.items.reshape(30, 100)
    assert np.all(np.diff(rows, axis=1) > 0) and rows.min() >= 0 and rows.max() < 1_234
    assert len({tuple(row) for row in rows.tolist()}) == 30


@pytest.mark.slow
def test_quick_run_writes_table_and_figure(tmp_path):
    command = [sys.executable, "-m", "experiments.benchmarks.growth", "--quick", f"--output={tmp_path}"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = json.loads((tmp_path / "growth.json").read_text())["rows"]
    assert {(row["axis"], row["size"]) for row in rows} == {
        (axis, size) for axis, sizes in growth.QUICK_SIZES.items() for size in sizes
    }
    assert {row["method"] for row in rows} == {*growth.METHODS} and all(row["ms"]["median"] > 0 for row in rows)
    assert (tmp_path / "growth.md").read_text() == printed and "| 4,000 |" in printed
    assert all((tmp_path / f"growth.{ending}").stat().st_size > 1000 for ending in ("png", "pdf"))
