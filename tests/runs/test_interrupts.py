"""Ctrl-C at any moment: one sentence, no traceback, and what goes on ends as if nothing had been."""

import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.runs.test_faults import ENV, TINY, assert_same_end, beside_the_log, start, wait_for
from tests.tiny import ROOT

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="how far a process is stands in /proc")

NUM_INTERRUPTS = 20
_PATIENCE = 300  # seconds for what takes one or two on a machine with nothing else to do
LENGTH = ("--config.train.num_steps=400", "--config.eval.every_steps=100", "--config.eval.compare=('popular',)")
HARD = """
import hashlib
from cml_jax.runs import preemption
preemption.exit_on_second_interrupt()
with preemption.watch():
    print("computing", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""


def popen(arguments, **options):
    return subprocess.Popen(arguments, cwd=ROOT, env=ENV | options, stdout=-1, stderr=-1, text=True)


def has_loaded(process, library):
    """Whether a process has a library's machine code in memory."""
    return process.poll() is None and library in Path(f"/proc/{process.pid}/maps").read_text()


def heeds_ctrl_c(process):
    """Whether a process that was started with Ctrl-C ignored has a handler of its own for it."""
    status = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt"))
    return bool(caught >> (signal.SIGINT - 1) & 1)


def opened_for_writing(pipe, stack):
    """Whether somebody reads a named pipe, which then waits until the stack is closed."""
    try:
        stack.callback(os.close, os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:  # nobody yet
        return False
    return True


def start_shielded(workdir):
    """A run; Python's own start takes a while, too, so Ctrl-C is ignored until the package's first line."""
    line = shlex.join([sys.executable, "-m", "experiments.main", *TINY, f"--workdir={workdir}", *LENGTH])
    process = popen(["sh", "-c", f"trap '' INT; exec {line}"])
    wait_for(lambda: heeds_ctrl_c(process), process, _PATIENCE)
    assert not has_loaded(process, "numpy"), "libraries are imported before Ctrl-C is heeded"
    return process


def result(workdir):
    """summary.json but for times."""
    summary = json.loads((workdir / "summary.json").read_text())
    return {key: value for key, value in summary.items() if key not in ("triplets_per_second", "wall_seconds")}


@pytest.mark.slow
def test_ctrl_c_at_random_moments_ends_as_if_undisturbed(tmp_path):
    """While libraries are imported, while it compiles, trains, evaluates, scores and compares."""
    rng, places = random.Random(3), iter(())
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    undisturbed = start_shielded(whole)
    before = time.monotonic()
    assert undisturbed.communicate(timeout=_PATIENCE)[1] and undisturbed.returncode == 0
    length, interrupts = time.monotonic() - before, 0
    while interrupts < NUM_INTERRUPTS:
        place = next(places, None)
        if place is None:  # one of each twentieth, in any order
            order = [(number + rng.random()) / NUM_INTERRUPTS for number in range(NUM_INTERRUPTS)]
            places = iter(rng.sample(order, NUM_INTERRUPTS))
            continue
        process = start_shielded(cut)
        try:
            process.wait(timeout=0.05 + place * length)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            interrupts += 1
        _, errors = process.communicate(timeout=_PATIENCE)
        said = beside_the_log(errors)
        print(f"Ctrl-C {interrupts} at {place:.0%}: {said}", flush=True)
        assert process.returncode == 0, errors
        stopped = len(said) == 1 and said[0].startswith("Stopped by Ctrl-C ") and "start again" in said[0]
        scored = len(said) == 1 and said[0].endswith("which is saved; test was not scored.")
        finished = not said and (cut / "summary.json").exists()
        assert stopped or scored or finished or said == ["Stopped by Ctrl-C; start again to go on."], errors
        if finished and interrupts < NUM_INTERRUPTS:  # to be disturbed anew
            assert_same_end(cut, whole)
            assert result(cut) == result(whole)
            shutil.rmtree(cut)
    process = start_shielded(cut)
    assert (process.communicate(timeout=_PATIENCE)[1], process.returncode)[1] == 0
    assert_same_end(cut, whole)
    for folder in (".", "compared/popular/0"):
        assert result(cut / folder) == result(whole / folder)


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["experiments.main", *TINY], 0, "Stopped by Ctrl-C; start again to go on.\n"),
        (["experiments.report"], 130, "Stopped by Ctrl-C.\n"),
    ],
    ids=["main", "report"],
)
def test_ctrl_c_while_libraries_are_imported(tmp_path, arguments, status, sentence):
    process = popen([sys.executable, "-m", *arguments, f"--workdir={tmp_path / 'run'}"])
    wait_for(lambda: has_loaded(process, "numpy"), process, _PATIENCE)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=_PATIENCE) == ("", sentence) and process.returncode == status
    assert not (tmp_path / "run").exists()


def test_ctrl_c_in_a_command_that_saves_nothing(tmp_path):
    """A report that waits for a file: a pipe that nobody writes to."""
    (tmp_path / "summary.json").write_text("{}")
    os.mkfifo(tmp_path / "config.json")
    process = popen([sys.executable, "-m", "experiments.report", f"--workdir={tmp_path}"])
    with contextlib.ExitStack() as stack:
        wait_for(lambda: opened_for_writing(tmp_path / "config.json", stack), process, _PATIENCE)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=_PATIENCE) == ("", "Stopped by Ctrl-C.\n") and process.returncode == 130


def test_second_ctrl_c_stops_hard_while_a_library_computes():
    process = popen([sys.executable, "-c", HARD])
    assert process.stdout is not None and process.stdout.readline() == "computing\n"
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "the first one is noted, for when the library has done"
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 130 and process.communicate()[1] == ""


@pytest.mark.slow
def test_second_ctrl_c_stops_a_run_hard_while_it_compiles(tmp_path, monkeypatch):
    monkeypatch.setitem(ENV, "JAX_ENABLE_COMPILATION_CACHE", "false")
    process = start(tmp_path / "run", "--config.model.dim=24")
    assert process.stderr is not None
    assert any(line == "Compiling ...\n" for line in process.stderr)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
    assert process.wait(timeout=60) == 130
    assert beside_the_log(process.stderr.read()) == []
    assert not (tmp_path / "run" / "checkpoints" / "20").exists()
