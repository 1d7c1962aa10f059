"""Signals, kills, full disks and second runs: nothing that was good is lost, and what goes on ends the same."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cml_jax.errors import UserError
from cml_jax.runs import scoring
from cml_jax.runs.preemption import Preempted
from experiments import train
from tests.tiny import ROOT, command, last_params, read_records, small_disk, tiny_config

ENV = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
TINY = [
    *("--config=experiments/configs/quickstart.py", "--config.dataset.name=checkerboard", "--config.model.dim=8"),
    *("--config.train.batch_size=64", "--config.sampler.num_candidates=30", "--config.eval.ks=(1,5)"),
    *("--config.train.report_every_steps=20", "--config.eval.every_steps=200", "--config.checkpoint.every_steps=100"),
    "--config.eval.compare=()",
]
LOG = re.compile(
    r"Generated the checkerboard\.|Follows from the data: .*|not used by .*|checkerboard: .*|(Compiling|Scoring) \.\.\."
    r"|step \d+ \(pass .*|Writing to .*|Going on from step .*|config\..* from here on\.|.* holds this run, finished\."
    r"|.*/compared/popular/\d+: test .* s"
)
STOPS = pytest.mark.parametrize(
    ("signum", "name"), [(signal.SIGTERM, "SIGTERM"), (signal.SIGINT, "Ctrl-C")], ids=["SIGTERM", "Ctrl-C"]
)


def start(workdir, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.main", *TINY, f"--workdir={workdir}", *arguments],
        cwd=ROOT,
        env=ENV,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(condition, process, seconds=300):
    """Until a condition holds or the process has ended."""
    deadline = time.monotonic() + seconds
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.01)


def beside_the_log(errors):
    """Lines of standard error that are no lines of the log."""
    return [line for line in errors.splitlines() if not LOG.fullmatch(line)]


def assert_same_end(workdir, other):
    assert read_records(workdir) == read_records(other)
    for ours, theirs in zip(last_params(workdir), last_params(other), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@STOPS
def test_signal_saves_ends_with_status_0_and_the_run_goes_on_exactly(tmp_path, signum, name):
    process = start(tmp_path / "cut", "--config.train.num_steps=1000000")
    wait_for((tmp_path / "cut" / "metrics.jsonl").exists, process)
    wait_for(lambda: len((tmp_path / "cut" / "metrics.jsonl").read_text().splitlines()) > 2, process)
    process.send_signal(signum)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    step = read_records(tmp_path / "cut")[-1]["step"]
    assert beside_the_log(errors) == [
        f"Stopped by {name} after step {step}, saved in {tmp_path / 'cut'}; start again to go on."
    ]
    steps = step + 100
    for folder in ("cut", "whole"):
        finished = start(tmp_path / folder, f"--config.train.num_steps={steps}")
        assert finished.wait(timeout=120) == 0, finished.stderr
    assert_same_end(tmp_path / "cut", tmp_path / "whole")


@STOPS
@pytest.mark.parametrize("evaluation", [1, 2, 3])
def test_signal_during_an_evaluation(finished, tmp_path, monkeypatch, evaluation, signum, name):
    """At step 20, at the last step, and of the test set at the end: the evaluation is made again, not left out."""
    whole = json.loads((finished / "summary.json").read_text())
    original, calls, before = scoring.evaluate, [], signal.getsignal(signum)
    place = f"after step {20 * evaluation}, saved in " if evaluation < 3 else "after the last step of .*test was not"

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == evaluation:
            os.kill(os.getpid(), signum)
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "evaluate", interrupted)
        with pytest.raises(Preempted, match=f"^Stopped by {name} {place}"):
            train.train_and_evaluate(tiny_config(), tmp_path / "cut")
    assert signal.getsignal(signum) is before and before in (signal.SIG_DFL, signal.default_int_handler)
    assert len(read_records(tmp_path / "cut")) == (1, 3, 4)[evaluation - 1]
    parts = json.loads(json.dumps(train.train_and_evaluate(tiny_config(), tmp_path / "cut")))
    assert_same_end(tmp_path / "cut", finished)
    assert {key: whole[key] for key in ("valid", "test", "best_step")} == {
        key: parts[key] for key in ("valid", "test", "best_step")
    }


@pytest.mark.parametrize("stops", [1, 2])
def test_best_of_a_run_stopped_during_its_only_evaluation(tmp_path, monkeypatch, stops):
    """The last checkpoint, which recommending reads, holds the best parameters, however often the run was stopped."""
    config = tiny_config()
    config.eval.every_steps = config.train.num_steps
    train.train_and_evaluate(config, tmp_path / "whole")
    for _ in range(stops):
        with monkeypatch.context() as patch:
            patch.setattr(scoring, "evaluate", lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM))
            with pytest.raises(Preempted, match=f"after step {config.train.num_steps}, saved in "):
                train.train_and_evaluate(config, tmp_path / "cut")
    train.train_and_evaluate(config, tmp_path / "cut")
    assert_same_end(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.slow
def test_killed_again_and_again_ends_as_if_undisturbed(tmp_path):
    """SIGKILL at random moments, most of them soon after a checkpoint; CML_KILLS=100 does it a hundred times."""
    rng, kills = random.Random(0), int(os.environ.get("CML_KILLS", "1"))
    arguments = [f"--config.train.num_steps={5000 if kills > 1 else 1000}", "--config.checkpoint.every_steps=20"]
    assert start(tmp_path / "whole", *arguments).wait(timeout=600) == 0
    checkpoints = tmp_path / "killed" / "checkpoints"
    for number in range(kills):
        process = start(tmp_path / "killed", *arguments)
        if number % 5 == 4:
            time.sleep(rng.random() * 4)  # while it starts or compiles
        else:
            before = newest(checkpoints)
            wait_for(lambda since=before: newest(checkpoints) > since, process)
            time.sleep(rng.random() * 0.03)
        process.kill()
        assert process.wait() == -signal.SIGKILL, "it ended before"
        print(f"kill {number + 1}, newest checkpoint {newest(checkpoints)}", flush=True)
    assert start(tmp_path / "killed", *arguments).wait(timeout=600) == 0
    assert_same_end(tmp_path / "killed", tmp_path / "whole")


def newest(checkpoints):
    """The last step saved, -1 where there is none."""
    names = [path.name for path in checkpoints.iterdir()] if checkpoints.exists() else []
    return max((int(name) for name in names if name.isdigit()), default=-1)


def test_second_run_in_a_workdir_is_refused(tmp_path):
    process = start(tmp_path, "--config.train.num_steps=1000000")
    try:
        wait_for((tmp_path / "metrics.jsonl").exists, process)
        with pytest.raises(UserError, match="is being written by another run; wait for that one, or choose"):
            train.train_and_evaluate(tiny_config(), tmp_path)
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("kilobytes", [8, 60, 200] if os.environ.get("CML_ALL") else [8, 200])
def test_full_disk_is_one_sentence_and_loses_nothing(tmp_path, kilobytes):
    """Full while the first files, the first checkpoint or the second is written; with room the run goes on."""
    with small_disk(tmp_path / "disk", kilobytes) as disk:
        arguments = [*TINY, f"--workdir={disk / 'run'}", "--config.train.num_steps=400"]
        full = command(*arguments)
        assert full.returncode == 1
        assert full.stderr.strip().splitlines()[-1].startswith("error: ") and "Traceback" not in full.stderr
        assert str(disk / "run") in full.stderr.strip().splitlines()[-1]
        assert newest(disk / "run" / "checkpoints") < 400
        subprocess.run(["mount", "-o", "remount,size=64m", str(disk)], check=True)
        again = command(*arguments)
        assert again.returncode == 0 and ("Going on from step" in again.stderr) == (kilobytes == 200)


def test_damaged_newest_checkpoint_costs_one_checkpoint(finished, tmp_path, capsys):
    train.train_and_evaluate(tiny_config(train__num_steps=30), tmp_path / "damaged")
    for path in (tmp_path / "damaged" / "checkpoints" / "30").rglob("manifest.ocdbt"):
        path.write_bytes(path.read_bytes()[:-3])
    capsys.readouterr()
    train.train_and_evaluate(tiny_config(), tmp_path / "damaged")
    log = capsys.readouterr().err
    assert "Warning: The checkpoint of step 30 is damaged" in log and "Going on from step 20" in log
    assert_same_end(tmp_path / "damaged", finished)
    assert (tmp_path / "damaged" / "damaged-30").is_dir()


def test_other_periods_are_allowed_on_resume_and_said(short, capsys):
    train.train_and_evaluate(tiny_config(eval__every_steps=10), short)
    log = capsys.readouterr().err
    assert "config.eval.every_steps was 20 and is 10 from here on." in log
    assert "config.train.num_steps was 20 and is 40 from here on." in log
    assert [record["step"] for record in read_records(short) if record["metrics"]] == [20, 30, 40]
