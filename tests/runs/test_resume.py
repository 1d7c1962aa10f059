import dataclasses
import functools
import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

import cml_jax
from cml_jax import checkpoint
from cml_jax.errors import ConfigError, DataError, UserError
from cml_jax.runs import checks, programs, setup, workdir
from cml_jax.runs.config import KEYS
from cml_jax.types import StepMetrics
from experiments import train
from experiments.config import to_values
from tests.runs.options_by_key import other_value
from tests.tiny import last_params, read_records, tiny_config


def test_longer_run_in_the_same_workdir_goes_on_exactly(finished, short):
    whole = json.loads((finished / "summary.json").read_text())
    parts = json.loads(json.dumps(train.train_and_evaluate(tiny_config(), short)))
    assert read_records(finished) == read_records(short)
    assert {key: whole[key] for key in ("valid", "test", "best_step")} == {
        key: parts[key] for key in ("valid", "test", "best_step")
    }


def test_run_cut_short_goes_on_from_its_last_checkpoint(finished, tmp_path, monkeypatch):
    def interrupt(losses, first, config):
        if first >= 30:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checks, "check_loss", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train.train_and_evaluate(tiny_config(), tmp_path / "cut")
    with (tmp_path / "cut" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 30, "pa')  # half a line, as a killed process leaves it
    train.train_and_evaluate(tiny_config(), tmp_path / "cut")
    assert read_records(finished) == read_records(tmp_path / "cut")


def test_finished_run_is_reported_again_without_training(finished, capsys):
    first = json.loads((finished / "summary.json").read_text())
    records = (finished / "metrics.jsonl").read_bytes()
    assert json.loads(json.dumps(train.train_and_evaluate(tiny_config(), finished))) == first
    assert (finished / "metrics.jsonl").read_bytes() == records
    assert "ndcg" in capsys.readouterr().out


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_workdir_of_another_run_is_refused(short):
    before = files(short)
    with pytest.raises(ConfigError, match=r"holds a run with config\.sampler\.name = 'two_stage', not 'uniform'"):
        train.train_and_evaluate(tiny_config(sampler__name="uniform"), short)
    with pytest.raises(ConfigError, match=r"has done 20 steps, more than the 10 asked for"):
        train.train_and_evaluate(tiny_config(train__num_steps=10), short)
    assert before == files(short)


def test_run_with_a_schedule_goes_on_but_cannot_be_made_longer(tmp_path, monkeypatch):
    overrides = {"optimizer__schedule": "linear", "optimizer__rows": "catch_up", "sampler__name": "uniform"}
    config = tiny_config(**overrides)
    train.train_and_evaluate(config, tmp_path / "whole")
    train.train_and_evaluate(tiny_config(train__num_steps=20, **overrides), tmp_path / "short")
    with pytest.raises(ConfigError, match=r"holds a run with config\.train\.num_steps = 20, not"):
        train.train_and_evaluate(config, tmp_path / "short")

    def interrupt(losses, first, config):
        if first >= 30:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checks, "check_loss", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train.train_and_evaluate(config, tmp_path / "cut")
    train.train_and_evaluate(config, tmp_path / "cut")
    assert read_records(tmp_path / "whole") == read_records(tmp_path / "cut")


def test_workdir_of_other_data_is_refused(tmp_path):
    folder = adjacency_folder(tmp_path / "data")
    overrides = {"dataset__path": str(folder), "train__batch_size": 2, "sampler__name": "uniform", "eval__ks": (1,)}
    train.train_and_evaluate(tiny_config(train__num_steps=10, **overrides), tmp_path / "run")
    (folder / "test.txt").write_text("0 4\n1 4\n")
    with pytest.raises(DataError, match="holds a run on other data"):
        train.train_and_evaluate(tiny_config(train__num_steps=10, **overrides), tmp_path / "run")


def adjacency_folder(folder):
    folder.mkdir()
    (folder / "train.txt").write_text("0 0 1\n1 1 2\n2 0 3\n")
    (folder / "valid.txt").write_text("0 2\n1 3\n")
    (folder / "test.txt").write_text("0 3\n1 4\n")
    return folder


def damage_config(folder):
    (folder / "config.json").write_text('{"half": ')


def damage_records(folder):
    path = folder / "metrics.jsonl"
    path.write_bytes(b"nonsense\xff\n" + path.read_bytes())


def damage_checkpoint(folder):
    for path in (folder / "checkpoints" / "20").rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")


def remove_config(folder):
    (folder / "config.json").unlink()


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (damage_config, r"config\.json: cannot be read as JSON"),
        (remove_config, r"holds checkpoints but no config\.json"),
        (damage_records, r"metrics\.jsonl, line 1: not a report"),
        (lambda folder: (folder / "summary.json").write_text("[]"), r"summary\.json: is not an object in JSON"),
        (damage_checkpoint, r"checkpoints: no checkpoint can be read \(of step 20: "),
    ],
)
def test_damaged_workdir_is_refused_in_one_sentence(damage, sentence, short):
    damage(short)
    with pytest.raises(UserError, match=sentence) as caught:
        train.train_and_evaluate(tiny_config(train__num_steps=40 if damage is damage_records else 20), short)
    assert "\n" not in str(caught.value)


def test_workdir_without_checkpoints_starts_anew_whatever_the_config(short, capsys):
    shutil.rmtree(short / "checkpoints")
    config = tiny_config(train__num_steps=10, sampler__name="uniform", sampler__similarity_cutoff=0.2)
    train.train_and_evaluate(config, short)
    assert [record["step"] for record in read_records(short)] == [10]
    log = capsys.readouterr().err.splitlines()
    assert "not used by sampler 'uniform': similarity_cutoff" in log


FREE = {
    *("train.num_steps", "train.num_passes", "train.report_every_steps", "eval.every_steps", "eval.memory_budget_mb"),
    *(
        "eval.compare",
        "eval.patience",
        "checkpoint.every_steps",
        "checkpoint.keep",
        "compilation_cache_dir",
        "dataset.path",
        "sharding.num_shards",
    ),
    *("dataset.item_features", "dataset.user_features"),
    *("dataset.item_titles", "dataset.item_title_column", "dataset.item_title_id"),
    *("log.tensorboard", "log.wandb", "log.mlflow", "log.explore", "log.project"),
}


@functools.cache
def _resolved():
    return setup.make_setup(to_values(tiny_config(train__num_steps=20))).config


def reopened(folder, **overrides):
    """What is said of a workdir that is opened with another config."""
    sha256 = json.loads((folder / "config.json").read_text())["data_sha256"]
    with workdir.open_workdir(folder, {**_resolved(), **overrides}, sha256) as opened:
        return opened.changes


@pytest.mark.parametrize("key", KEYS)
def test_every_key_that_is_not_free_is_refused_on_resume(key, _short):
    before = _resolved()[key]
    value = other_value(key, before)
    assert reopened(_short) == [] and value != before
    there, now = (list(v) if isinstance(v, tuple) else v for v in (before, value))
    if key in FREE:
        assert reopened(_short, **{key: value}) == [f"config.{key} was {there!r} and is {now!r} from here on."]
        return
    with pytest.raises(ConfigError) as caught:
        reopened(_short, **{key: value})
    assert f"holds a run with config.{key} = {there!r}, not {now!r}; choose another workdir" in str(caught.value)


def without_format(folder):
    about = folder / "checkpoints" / "20" / "about" / "metadata"
    saved = json.loads(about.read_text())
    assert saved.pop("format") == checkpoint.FORMAT
    about.write_text(json.dumps(saved))


def without_the_models_name(folder):
    without_format(folder)
    saved = json.loads((folder / "config.json").read_text())
    del saved["model"]["name"]
    (folder / "config.json").write_text(json.dumps(saved))


@pytest.mark.parametrize("age", [without_format, without_the_models_name])
def test_workdir_of_an_older_version_is_refused_and_left_as_it_is(age, short):
    age(short)
    before = files(short)
    sentence = (
        "checkpoint of format 1, which another version of cml_jax wrote" if age is without_format else "model.name"
    )
    for steps in (20, 40):
        with pytest.raises(UserError, match=sentence) as caught:
            train.train_and_evaluate(tiny_config(train__num_steps=steps), short)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="checkpoint of format 1, which another version of cml_jax wrote"):
        cml_jax.load(short)
    assert files(short) == before


def without_key(folder, section, name):
    saved = json.loads((folder / "config.json").read_text())
    del saved[section][name]
    (folder / "config.json").write_text(json.dumps(saved))


def test_run_of_a_version_without_an_option_goes_on_with_its_default_alone(finished, short):
    without_key(short, "model", "warp")
    without_key(short, "model", "margin")
    without_key(short, "checkpoint", "keep")
    with pytest.raises(ConfigError, match=r"holds a run of a version without config\.model\.margin, which is 0\.5 now"):
        train.train_and_evaluate(tiny_config(model__margin=0.5), short)
    train.train_and_evaluate(tiny_config(checkpoint__keep=1), short)
    for ours, theirs in zip(last_params(short), last_params(finished), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def counting(run, data, progress):
    """In the place of `programs._compiled`: the loss of a step is its number, and nothing is trained."""

    def advance(state, options, num_steps):
        losses = jnp.asarray(int(state.step) + np.arange(1.0, num_steps + 1))
        state = dataclasses.replace(state, step=state.step + num_steps)
        return state, StepMetrics(losses, jnp.zeros(num_steps, jnp.int32)), 1.0

    return advance


def test_periods_of_which_none_divides_another_are_counted_from_the_start(tmp_path, monkeypatch):
    """Reports of 15 steps, evaluations of 20, checkpoints of 25, whether a run is cut or not."""
    monkeypatch.setattr(programs, "_compiled", counting)
    periods = {"train__report_every_steps": 15, "eval__every_steps": 20, "checkpoint__every_steps": 25}
    config = tiny_config(checkpoint__keep=9, train__num_steps=70, **periods)
    train.train_and_evaluate(config, tmp_path / "whole")
    records = read_records(tmp_path / "whole")
    steps = [15, 20, 25, 30, 40, 45, 50, 60, 70]
    assert [record["step"] for record in records] == steps
    assert [record["step"] for record in records if record["metrics"]] == [20, 40, 60, 70]
    spans = zip([0, *steps], steps, strict=False)
    assert [record["loss"] for record in records] == [(first + 1 + last) / 2 for first, last in spans]

    def saved(folder):
        return sorted(int(path.name) for path in (folder / "checkpoints").iterdir())

    assert saved(tmp_path / "whole") == [25, 50, 70]
    for step in ("50", "70"):
        shutil.rmtree(tmp_path / "whole" / "checkpoints" / step)
    train.train_and_evaluate(config, tmp_path / "whole")
    assert read_records(tmp_path / "whole") == records and saved(tmp_path / "whole") == [25, 50, 70]
