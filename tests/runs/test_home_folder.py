"""A ~ at the start of a path is the home folder, wherever a path is given."""

import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

import cml_jax
from cml_jax.data import download
from experiments import train
from tests.tiny import ROOT, tiny_config


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home folder with a data set, and another folder to be in."""
    folder = tmp_path / "home"
    folder.mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(tmp_path / "here")
    users, items = np.nonzero(np.random.default_rng(0).random((15, 12)) < 0.5)
    pl.DataFrame({"user": users, "item": items}).write_csv(folder / "pairs.csv")
    yield folder
    assert list((tmp_path / "here").iterdir()) == [], "nothing is written to a folder that is called ~"


def test_paths_in_python(home):
    model = cml_jax.fit("~/pairs.csv", workdir="~/run", num_passes=2, dim=4, progress=False)
    assert (home / "run" / "summary.json").exists()
    lists = model.recommend([3], 4)
    assert cml_jax.load("~/run").recommend([3], 4).equals(lists)
    model.save("~/saved")
    assert cml_jax.load("~/saved").recommend([3], 4).equals(lists)
    assert cml_jax.load_dataset("mine", path="~/pairs.csv").train.num_pairs > 0
    assert model.evaluate("~/pairs.csv", exclude_seen=False)


def test_paths_in_a_config(home):
    values = tiny_config(
        dataset__name=None, dataset__path="~/pairs.csv", train__batch_size=8, sampler__num_candidates=4
    )
    train.train_and_evaluate(values, "~/run")
    assert (home / "run" / "config.json").exists()


def test_paths_in_commands(home):
    (home / "ids").write_text("3\n5\n")
    (home / "short.py").write_text((ROOT / "experiments/configs/default.py").read_text())
    options = ["--config.dataset.path=~/pairs.csv", "--config.train.num_passes=2", "--config.model.dim=4"]
    commands = [
        ["main", "--config=~/short.py", "--workdir=~/run", *options],
        ["recommend", "--workdir=~/run", "--users_file=~/ids", "--deny=~/ids", "--output=~/lists.csv", "--k=20"],
        ["recommend", "--workdir=~/run", "--history=~/pairs.csv", "--allow=~/ids", "--output", "~/new.csv"],
        ["recommend", "--workdir=~/run", "--export=~/exported"],
        ["report", "--workdir=~/run"],
    ]
    env = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    for name, *flags in commands:
        command = [sys.executable, "-m", f"experiments.{name}", *flags]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
    lists = pl.read_csv(home / "lists.csv")
    assert set(lists["user"]) == {3, 5} and not {3, 5} & set(lists["item"])
    assert set(pl.read_csv(home / "new.csv")["item"]) <= {3, 5}
    assert (home / "exported" / "items.parquet").exists() and (home / "run" / "report.md").exists()


def test_the_cache_of_downloads(home, monkeypatch):
    monkeypatch.setenv("CML_JAX_CACHE", "~/cache")
    assert download.cache_folder() == home / "cache"
