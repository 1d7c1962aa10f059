import subprocess
import sys

import pytest

from tests.tiny import ROOT


@pytest.mark.slow
def test_generated_file_has_the_format_and_is_loaded_both_ways(tmp_path):
    command = [sys.executable, "-m", "experiments.benchmarks.echonest_scale", f"--folder={tmp_path}", "--lines=100000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "train_triplets_100000.txt").read_text().splitlines()
    assert len(lines) == 100_000
    user, song, count = lines[0].split("\t")
    assert len(user) == 40 and len(song) == 18 and song.startswith("SO") and int(count) >= 1
    assert "the paper's filters: " in done.stdout and done.stdout.count("GiB") == 2
