import json
import shutil

import pytest

from cml_jax.errors import ConfigError, DataError, UserError
from experiments import train
from experiments.runs import checks
from tests.tiny import read_records, tiny_config


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


def test_workdir_without_checkpoints_starts_anew_whatever_the_config(short):
    shutil.rmtree(short / "checkpoints")
    train.train_and_evaluate(tiny_config(train__num_steps=10, sampler__name="uniform"), short)
    assert [record["step"] for record in read_records(short)] == [10]
