"""Runs that start from the model of another one's folder, by each command and from Python."""

import shutil

import numpy as np
import polars as pl
import pytest

import cml_jax
from cml_jax.errors import ConfigError
from cml_jax.fit import KEYWORDS
from cml_jax.runs import checks
from cml_jax.runs.config import KEYS
from experiments import search, sweep
from experiments.config import to_values
from experiments.sweeps import grid
from experiments.train import train_and_evaluate
from tests.tiny import last_params, read_records, tiny_config


def pairs(num_users, num_items):
    """Users of two tastes; every user and item has pairs enough to be in training."""
    rows = [(f"u{u}", i) for u in range(num_users) for i in range(u % 2, num_items, 2) if (u + 3 * i) % 7]
    return pl.DataFrame(rows, schema=["user", "item"], orient="row")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the grown data, the workdir `old` and what starts from it, `warm`."""
    folder = tmp_path_factory.mktemp("starting")
    pairs(34, 28).write_csv(folder / "new.csv")
    pairs(30, 24).write_csv(folder / "old.csv")
    train_and_evaluate(config(folder, data="old", init_from=None), folder / "old")
    train_and_evaluate(config(folder), folder / "warm")
    return folder


def config(folder, data="new", **more):
    some = {"dataset__path": str(folder / f"{data}.csv"), "dataset__split": "ratio", "train__batch_size": 32}
    some |= {"init_from": str(folder / "old")}
    return tiny_config(dataset__name=None, sampler__name="uniform", eval__ks=(1, 5), **some | more)


def assert_same_run(one, other):
    assert read_records(one) == read_records(other)
    for there, here in zip(last_params(one), last_params(other), strict=True):
        np.testing.assert_array_equal(there, here)


@pytest.fixture
def gone(place):
    """The old folder is elsewhere meanwhile."""
    (place / "old").rename(place / "elsewhere")
    yield
    (place / "elsewhere").rename(place / "old")


def test_start_is_not_one_at_random(place, tmp_path):
    train_and_evaluate(config(place, init_from=None), tmp_path / "run")
    assert read_records(place / "warm") != read_records(tmp_path / "run")
    assert not np.array_equal(last_params(place / "warm")[0], last_params(tmp_path / "run")[0])


def test_run_that_has_begun_goes_on_exactly_without_the_old_folder(place, tmp_path, monkeypatch, request, capsys):
    def interrupt(losses, first, config):
        if first >= 30:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checks, "check_loss", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train_and_evaluate(config(place), tmp_path / "cut")
    request.getfixturevalue("gone")
    capsys.readouterr()
    train_and_evaluate(config(place), tmp_path / "cut")
    said = capsys.readouterr().err
    assert "Going on from step 20" in said and "Starting from" not in said
    assert_same_run(place / "warm", tmp_path / "cut")
    finished = shutil.copytree(place / "warm", tmp_path / "finished")
    train_and_evaluate(config(place), finished)
    assert_same_run(place / "warm", finished)


def test_fit_is_the_same_as_the_command(place, tmp_path):
    values = to_values(config(place))
    different = {name: values[key] for name, key in KEYWORDS.items() if values[key] != KEYS[key].default}
    path = values["dataset.path"]
    model = cml_jax.fit(path, init=place / "old", workdir=tmp_path / "fit", progress=False, **different)
    assert_same_run(place / "warm", tmp_path / "fit")
    np.testing.assert_array_equal(
        model.params.tables["items"], cml_jax.load(place / "warm").params.tables["items"], strict=True
    )


def test_model_in_memory_is_its_folder_without_moments(place, tmp_path):
    values = to_values(config(place, init_moments=False))
    different = {name: values[key] for name, key in KEYWORDS.items() if values[key] != KEYS[key].default}
    models = [
        cml_jax.fit(values["dataset.path"], init=init, progress=False, **given)
        for init, given in ((place / "old", different), (cml_jax.load(place / "old"), different))
    ]
    for table, rows in models[0].params.tables.items():
        np.testing.assert_array_equal(rows, models[1].params.tables[table])


@pytest.mark.usefixtures("gone")
def test_folder_that_is_missing_is_said_before_anything_is_read(place, tmp_path):
    lacking = config(place, data="nowhere")
    sentence = f"init_from = '{place / 'old'}': {place / 'old'} holds no config.json; give the workdir of a run"
    for train in (
        lambda folder: train_and_evaluate(lacking, folder),
        lambda folder: sweep.run_sweep(grid.make_grid(lacking, {"seed": (0, 1)}), folder),
    ):
        with pytest.raises(ConfigError) as caught:
            train(tmp_path / "run")
        assert sentence in str(caught.value) and "\n" not in str(caught.value)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    (tmp_path / "empty.csv").touch()
    with pytest.raises(ConfigError, match=r"^init = '.*old': .* holds no config\.json"):
        cml_jax.fit(tmp_path / "empty.csv", init=place / "old", progress=False)


@pytest.mark.usefixtures("gone")
def test_search_says_so_too(place, tmp_path):
    pytest.importorskip("optuna")
    with pytest.raises(ConfigError, match=r"config\.init_from = '.*old': .* holds no config\.json"):
        search.run_search(config(place, data="nowhere"), tmp_path, {"model.margin": (0.1, 0.2)}, 2)
    assert not (tmp_path / "search.json").exists()


@pytest.mark.slow
def test_old_and_new_runs_may_be_split_over_devices(place, tmp_path, capsys):
    train_and_evaluate(config(place, data="old", init_from=None, sharding__num_shards=4), tmp_path / "old")
    for shards in (1, 4):
        new = config(place, init_from=str(tmp_path / "old"), sharding__num_shards=shards)
        train_and_evaluate(new, tmp_path / f"new{shards}")
        assert "The optimizer goes on with the moments of" in capsys.readouterr().err
    for one, several in zip(*(last_params(tmp_path / f"new{shards}") for shards in (1, 4)), strict=True):
        np.testing.assert_allclose(several[: len(one)], one, atol=1e-5)
        assert not several[len(one) :].any()


def test_moments_alone_have_no_effect(place, tmp_path):
    with pytest.raises(ConfigError, match=r"^config\.init_moments = False has an effect only with config\.init_from"):
        train_and_evaluate(config(place, init_from=None, init_moments=False), tmp_path)
    with pytest.raises(ConfigError, match="has an effect only with init;"):
        cml_jax.fit(pairs(8, 8), init_moments=False)


def test_members_of_a_sweep_are_as_if_run_alone_and_say_once_where_they_start(place, tmp_path, capsys):
    rates = {"optimizer.learning_rate": (0.001, 0.02)}
    sweep.run_sweep(grid.make_grid(config(place), rates), tmp_path)
    said = capsys.readouterr().err
    assert said.count(f"Starting from {place / 'old'}: 30 of 34 users and 24 of 28 items are known; 4 new users") == 1
    assert said.count("The optimizer goes on with the moments of") == 1
    default = KEYS["optimizer.learning_rate"].default
    assert default == 0.001
    (folder,) = tmp_path.glob("*=0.001/0")
    assert_same_run(place / "warm", folder)
    (other,) = tmp_path.glob("*=0.02/0")
    assert read_records(other) != read_records(folder)


def test_sweep_over_another_dimension_is_refused_before_anything_is_trained(place, tmp_path):
    with pytest.raises(ConfigError, match=r"^Run .*dim=6/0: config\.model\.dim = 6, and that of .*old is 8"):
        sweep.run_sweep(grid.make_grid(config(place), {"model.dim": (8, 6)}), tmp_path)
    assert not list(tmp_path.rglob("config.json"))
