"""Real processes on this machine that train one model together; CML_ALL=1 kills one, CML_PROCESSES says how many."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.runs.test_faults import newest, wait_for
from tests.tiny import ROOT, command, commands, read_records

RUN = [
    *("--config=experiments/configs/quickstart.py", "--config.model.dim=8", "--config.train.batch_size=64"),
    *("--config.sampler.num_candidates=30", "--config.train.report_every_steps=20", "--config.eval.every_steps=200"),
    *("--config.checkpoint.every_steps=20", "--config.eval.ks=(5,20)", "--config.eval.compare=()"),
]
NUM_PROCESSES = int(os.environ.get("CML_PROCESSES", "2"))


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def start_all(workdir, *arguments, count=NUM_PROCESSES):
    address = f"--coordinator_address=127.0.0.1:{free_port()}"
    return [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "experiments.main", *RUN, f"--workdir={workdir}", *arguments, address),
                *(f"--num_processes={count}", f"--process_id={number}"),
            ],
            cwd=ROOT,
            env=os.environ
            | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT), "XLA_FLAGS": "--xla_backend_optimization_level=0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]


def end_all(processes, seconds=120):
    """(exit status, output, errors) of each."""
    try:
        return [(*process.communicate(timeout=seconds), process.returncode) for process in processes]
    finally:
        for process in processes:
            process.kill()


@pytest.mark.slow
def test_processes_together_reach_the_metrics_of_one(tmp_path):
    steps = "--config.train.num_steps=100"
    ended = end_all(start_all(tmp_path / "many", steps))
    assert [status for *_, status in ended] == [0] * NUM_PROCESSES, ended
    assert "ndcg" in ended[0][0] and not any("ndcg" in output for output, *_ in ended[1:]), "the first one prints"
    assert command(*RUN, steps, f"--workdir={tmp_path / 'one'}").returncode == 0
    one, many = (json.loads((tmp_path / name / "summary.json").read_text())["test"] for name in ("one", "many"))
    for name, value in one.items():
        assert abs(many[name] - value) <= 0.01 * max(1.0, abs(value)), name
    losses = [[record["loss"] for record in read_records(tmp_path / name)] for name in ("one", "many")]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


@pytest.mark.skipif(not os.environ.get("CML_ALL"), reason="takes a minute: until a dead process is missed")
def test_killed_process_stops_the_others_and_all_go_on_from_the_last_checkpoint(tmp_path):
    processes = start_all(tmp_path, "--config.train.num_steps=1000000")
    wait_for(lambda: newest(tmp_path / "checkpoints") >= 40, processes[0], seconds=120)
    processes[-1].kill()
    for _, errors, status in end_all(processes[:-1]):
        # Whoever notices first: the collective that waits for it, or JAX's own watch over the processes.
        assert (status == 1 and "start all of them again" in errors) or (
            status == -signal.SIGABRT and "another task died" in errors
        ), errors[:6000]
    done = newest(tmp_path / "checkpoints")

    processes = start_all(tmp_path, "--config.train.num_steps=1000000")
    wait_for(lambda: newest(tmp_path / "checkpoints") >= done + 40, processes[0], seconds=120)
    processes[-1].send_signal(signal.SIGTERM)  # one of them is told, all of them stop
    for _, errors, status in end_all(processes):
        assert status == 0, errors[-2000:]
    steps = [record["step"] for record in read_records(tmp_path)]
    assert steps == list(range(20, newest(tmp_path / "checkpoints") + 20, 20))


BAD_FLAGS = [
    (["--num_processes=2"], "--coordinator_address, --num_processes and --process_id are needed together"),
    (["--coordinator_address=localhost:1", "--num_processes=2", "--process_id=2"], "must be below --num_processes"),
]


def test_bad_flags(tmp_path):
    started = time.monotonic()
    done = commands([[*RUN, f"--workdir={tmp_path}", *flags] for flags, _ in BAD_FLAGS])
    for ended, (_, sentence) in zip(done, BAD_FLAGS, strict=True):
        assert ended.returncode == 1 and sentence in ended.stderr and "Traceback" not in ended.stderr
    assert time.monotonic() - started < 60
