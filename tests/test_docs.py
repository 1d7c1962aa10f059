"""The pages under docs: their examples, applied to a copy of the repository and run there as they stand."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from tests.tiny import ROOT

_BLOCK = re.compile(r'^```(python|diff) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
# Names of what the page adds, and of the tests that it brings.
_ADDED = ("closest", "logistic", "biased", "points_of_items", "f1_is", "of_a_database", "other_files")


def insert(text, change):
    """The text with the lines marked + put after the line before them, which is there once."""
    lines, after = text.split("\n"), None
    for line in change.rstrip("\n").split("\n"):
        mark, content = line[:1], line[1:]
        if mark == "+":
            assert after is not None, f"nothing says where {content!r} belongs"
            after += 1
            lines.insert(after, content)
        else:
            # The first one after the place reached, so that short lines can be given with the one before.
            start = 0 if after is None else after + 1
            assert content in lines[start:], f"{content!r} is not in the file"
            after = lines.index(content, start)
    return "\n".join(lines)


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the repository in which the page's files and lines are."""
    copy = tmp_path_factory.mktemp("extended")
    for folder in ("cml_jax", "experiments", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    blocks = _BLOCK.findall((ROOT / "docs" / "extending.md").read_text())
    assert len(blocks) >= 12
    for kind, name, content in blocks:
        path = copy / name
        if kind == "python":
            assert not path.exists(), f"{name} is there already"
            path.write_text(content)
        else:
            path.write_text(insert(path.read_text(), content))
    return copy


def run(copy, *arguments):
    environment = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_examples_of_extending_pass_their_own_and_the_contract_tests(extended):
    output = run(extended, "-m", "pytest", "-n", "0", "-q", "tests", "-k", " or ".join(_ADDED))
    passed = re.search(r"(\d+) passed", output)
    assert passed is not None and int(passed[1]) >= 15


def test_examples_of_extending_are_config_keys_and_run(extended, tmp_path):
    run(
        extended,
        *("-m", "experiments.main", "--config=experiments/configs/quickstart.py", f"--workdir={tmp_path / 'run'}"),
        *("--config.dataset.name=checkerboard", "--config.model.dim=8", "--config.train.num_steps=20"),
        *("--config.sampler.name=closest", "--config.sampler.num_tries=3", "--config.model.name=biased"),
        *("--config.model.loss=triplet", "--config.eval.compare=()"),
        *("--config.train.batch_size=32", "--config.eval.ks=(1, 5)"),
    )
    assert "f1@5" in (tmp_path / "run" / "summary.json").read_text()
