"""Tiny runs for the tests of experiments."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import orbax.checkpoint as ocp
import pytest

from experiments.configs import _drawn

ROOT = Path(__file__).parents[1]


def tiny_config(**overrides):
    """A run of seconds on the checkerboard, two-stage where nothing else is said; overrides: 'section__key' = value."""
    config = _drawn.base_config()
    config.update_from_flattened_dict(
        {
            "dataset.name": "checkerboard",
            "model.dim": 8,
            "sampler.num_candidates": 30,
            "train.batch_size": 64,
            "train.num_steps": 40,
            "train.report_every_steps": 10,
            "eval.every_steps": 20,
            "eval.ks": (1, 5),
            "checkpoint.every_steps": 20,
        }
    )
    config.update_from_flattened_dict({key.replace("__", "."): value for key, value in overrides.items()})
    return config


def read_records(workdir):
    records = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        assert record.pop("throughput") > 0  # the one thing that differs from run to run
    return records


def last_params(workdir):
    """users and items of the newest checkpoint, and those of the best step."""
    step = max(int(path.name) for path in (workdir / "checkpoints").iterdir() if path.name.isdigit())
    saved = ocp.PyTreeCheckpointer().restore(workdir.resolve() / "checkpoints" / str(step) / "progress")
    tables = (saved["state"]["params"], saved["best"]["params"])
    return [np.asarray(params["tables"][name]) for params in tables for name in ("users", "items")]


def command(*arguments, cwd=ROOT, env=()):
    """Runs experiments.main as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "experiments.main", *arguments],
        cwd=cwd,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)} | dict(env),
        capture_output=True,
        text=True,
        timeout=300,
    )


def commands(lines, cwd=ROOT, module: str | None = "experiments.main"):
    """As `command` of each line, one after the other, in children of one process, so that imports are made but once.

    Of several modules where each line begins with one and `module` is None.
    """
    done = subprocess.run(
        [sys.executable, "-m", "tests.forked"],
        cwd=cwd,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        input=json.dumps([[*([module] if module else []), *map(str, line)] for line in lines]),
        stdout=subprocess.PIPE,
        text=True,
        timeout=600,
        check=True,
    )
    return [
        subprocess.CompletedProcess(line, *found) for line, found in zip(lines, json.loads(done.stdout), strict=True)
    ]


@contextlib.contextmanager
def small_disk(folder, kilobytes):
    """A file system of its own of the given size; the test is skipped where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "none", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a file system of its own cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


QUICKSTART = "--config=experiments/configs/quickstart.py"
