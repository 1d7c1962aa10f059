import importlib
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cml_jax.errors import ConfigError, DataError, TrainingError, UserError
from experiments import config as config_lib
from experiments import train

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(path.stem for path in (ROOT / "experiments" / "configs").glob("[a-z]*.py"))


FROZEN = {"sampler__name": "two_stage", "sampler__refresh_every": 0}


def tiny_config(**overrides):
    """A run of seconds on the checkerboard; overrides are 'section__key' = value."""
    config = config_lib.default_config()
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


@pytest.mark.parametrize(
    ("overrides", "required"),
    [({"sampler__name": "uniform"}, 1.0), ({"sampler__name": "popularity"}, 1.0), (FROZEN, 0.95)],
    ids=["uniform", "popularity", "frozen two-stage"],
)
def test_checkerboard_is_learnt(overrides, required, tmp_path):
    """Uniform and popularity negatives give the perfect answer.

    Two-stage draws cannot: the held-out items are the only ones similar to a positive that are not known positives, so
    they are drawn as negatives. With live embeddings nothing else is drawn; with frozen ones it happens by chance.
    """
    config = tiny_config(
        model__dim=4,
        model__init_scale=0.3,
        optimizer__learning_rate=0.01,
        train__num_steps=200,
        train__report_every_steps=100,
        eval__every_steps=200,
        checkpoint__every_steps=200,
        **overrides,
    )
    summary = train.train_and_evaluate(config, tmp_path)
    assert summary["test"]["precision@1"] >= required


def test_workdir_holds_what_is_promised(tmp_path, capsys):
    returned = train.train_and_evaluate(tiny_config(), tmp_path / "a" / "b")
    folder = tmp_path / "a" / "b"
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "metrics.jsonl", "summary.json", "curves.png", "checkpoints"}
    summary = json.loads((folder / "summary.json").read_text())
    assert summary == json.loads(json.dumps(returned))
    assert set(summary) == {
        *("valid", "test", "best_step", "steps", "triplets_per_second", "wall_seconds", "dataset", "versions", "device")
    }
    assert summary["dataset"]["users"] == summary["dataset"]["items"] == summary["dataset"]["test"] == 50
    assert len(summary["dataset"]["sha256"]) == 64 and summary["steps"] == 40 and summary["best_step"] in (20, 40)
    metrics = {"ndcg", "map", "recall", "precision", "hit_rate", "mrr", "mmr", "coverage", "gini"}
    assert set(summary["test"]) == set(summary["valid"]) == {f"{name}@{k}" for name in metrics for k in (1, 5)}
    assert json.loads((folder / "config.json").read_text())["model"]["dim"] == 8
    records = read_records(folder)
    assert [record["step"] for record in records] == [10, 20, 30, 40]
    assert [bool(record["metrics"]) for record in records] == [False, True, False, True]
    assert set(records[1]) == {"step", "pass", "loss", "no_negative", "metrics"}
    assert records[3]["pass"] == pytest.approx(40 / math.ceil(summary["dataset"]["train"] / 64))
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr()
    assert "ndcg" in printed.out and "triplets/s" in printed.err and "mmr@5" in printed.err
    best = max((r["metrics"]["ndcg@5"], -r["step"]) for r in records if r["metrics"])
    assert summary["valid"]["ndcg@5"] == pytest.approx(best[0]) and summary["best_step"] == -best[1]


def test_seed_decides_the_records(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train.train_and_evaluate(tiny_config(seed=seed), tmp_path / name)
    a, b, c = (read_records(tmp_path / name) for name in "abc")
    assert a == b != c


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_runs_when_shrunk(name, tmp_path):
    config = importlib.import_module(f"experiments.configs.{name}").get_config()
    assert f"--config=experiments/configs/{name}.py" in (ROOT / "experiments" / "configs" / f"{name}.py").read_text()
    shrunk = tiny_config()
    for key in ("dataset", "eval", "checkpoint"):
        config[key] = shrunk[key]
    config.model.dim, config.sampler.num_candidates, config.train.batch_size = 8, 30, 64
    config.train.num_steps = 20
    summary = train.train_and_evaluate(config, tmp_path)
    assert all(np.isfinite(list(summary["test"].values())))


@pytest.mark.parametrize(
    "overrides",
    [
        {"model__loss": "softmax", "model__constraint": "ball"},
        {"optimizer__rows": "dense", "optimizer__name": "adagrad", "model__num_negatives": 3},
        {"sampler__name": "popularity", "sampler__popularity_cap": 4.0, "model__gor_weight": 0.1},
        {"sampler__refresh_every": 7, "model__constraint": "none"},
    ],
    ids=str,
)
def test_options_run_through_the_entrypoint(overrides, tmp_path):
    summary = train.train_and_evaluate(tiny_config(train__num_steps=20, **overrides), tmp_path)
    assert all(np.isfinite(list(summary["test"].values())))


def test_longer_run_in_the_same_workdir_goes_on_exactly(tmp_path):
    whole = train.train_and_evaluate(tiny_config(), tmp_path / "whole")
    train.train_and_evaluate(tiny_config(train__num_steps=20), tmp_path / "parts")
    parts = train.train_and_evaluate(tiny_config(), tmp_path / "parts")
    assert read_records(tmp_path / "whole") == read_records(tmp_path / "parts")
    assert {key: whole[key] for key in ("valid", "test", "best_step")} == {
        key: parts[key] for key in ("valid", "test", "best_step")
    }


def test_run_cut_short_goes_on_from_its_last_checkpoint(tmp_path, monkeypatch):
    train.train_and_evaluate(tiny_config(), tmp_path / "whole")

    def interrupt(losses, first, config):
        if first >= 30:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "_stop_at_bad_loss", interrupt)
        with pytest.raises(KeyboardInterrupt):
            train.train_and_evaluate(tiny_config(), tmp_path / "cut")
    with (tmp_path / "cut" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 30, "pa')  # half a line, as a killed process leaves it
    train.train_and_evaluate(tiny_config(), tmp_path / "cut")
    assert read_records(tmp_path / "whole") == read_records(tmp_path / "cut")


def test_finished_run_is_reported_again_without_training(tmp_path, capsys):
    first = train.train_and_evaluate(tiny_config(), tmp_path)
    records = (tmp_path / "metrics.jsonl").read_bytes()
    capsys.readouterr()
    assert train.train_and_evaluate(tiny_config(), tmp_path) == json.loads(json.dumps(first))
    assert (tmp_path / "metrics.jsonl").read_bytes() == records
    assert "ndcg" in capsys.readouterr().out


def test_workdir_of_another_run_is_refused(tmp_path):
    train.train_and_evaluate(tiny_config(train__num_steps=20), tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=r"holds a run with config\.sampler\.name = 'two_stage', not 'uniform'"):
        train.train_and_evaluate(tiny_config(sampler__name="uniform"), tmp_path)
    with pytest.raises(ConfigError, match=r"has done 20 steps, more than the 10 asked for"):
        train.train_and_evaluate(tiny_config(train__num_steps=10), tmp_path)
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_workdir_of_other_data_is_refused(tmp_path):
    folder = adjacency_folder(tmp_path / "data")
    overrides = {"dataset__path": str(folder), "train__batch_size": 2, "sampler__num_candidates": 2, "eval__ks": (1,)}
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


def finished_run(folder):
    train.train_and_evaluate(tiny_config(train__num_steps=20), folder)
    return folder


def damage_config(folder):
    (folder / "config.json").write_text('{"half": ')


def damage_records(folder):
    path = folder / "metrics.jsonl"
    path.write_text("nonsense\n" + path.read_text())


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
        (lambda folder: (folder / "summary.json").write_text("[]"), r"summary\.json: cannot be read as JSON"),
        (damage_checkpoint, r"checkpoints/20: the checkpoint cannot be read"),
    ],
)
def test_damaged_workdir_is_refused_in_one_sentence(damage, sentence, tmp_path):
    damage(finished_run(tmp_path))
    with pytest.raises(UserError, match=sentence):
        train.train_and_evaluate(tiny_config(train__num_steps=40 if damage is damage_records else 20), tmp_path)


def test_workdir_without_checkpoints_starts_anew_whatever_the_config(tmp_path):
    shutil.rmtree(finished_run(tmp_path) / "checkpoints")
    train.train_and_evaluate(tiny_config(train__num_steps=10, sampler__name="uniform"), tmp_path)
    assert [record["step"] for record in read_records(tmp_path)] == [10]


def test_final_split_valid_leaves_test_alone_and_says_so(tmp_path, capsys):
    summary = train.train_and_evaluate(tiny_config(eval__final_split="valid"), tmp_path)
    assert summary["test"] == {} and summary["valid"]
    assert "optimistic" in capsys.readouterr().out


def test_max_users_limits_the_users_scored_in_training_alone(tmp_path):
    few = train.train_and_evaluate(tiny_config(eval__max_users=3, train__num_steps=20), tmp_path / "few")
    everyone = train.train_and_evaluate(tiny_config(train__num_steps=20), tmp_path / "all")
    in_training = read_records(tmp_path / "few")[-1]["metrics"]["recall@5"]
    assert in_training * 3 == pytest.approx(round(in_training * 3)), "a mean over three users of one item each"
    assert few["test"] == everyone["test"] and few["valid"] == everyone["valid"]


def test_loss_that_is_not_a_number_stops_the_run_at_its_step(tmp_path):
    config = tiny_config(model__constraint="none", optimizer__learning_rate=1e30)
    with pytest.raises(TrainingError, match=r"The loss is (nan|inf) at step \d+; lower config\.optimizer") as caught:
        train.train_and_evaluate(config, tmp_path)
    step = int(str(caught.value).split("step ")[1].split(";")[0])
    assert 1 < step <= 10, "the first update is what breaks it"
    assert not (tmp_path / "summary.json").exists() and read_records(tmp_path) == []


def test_run_without_any_valid_negative_stops(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.txt").write_text("0 0 1\n1 0 1\n")
    (folder / "valid.txt").write_text("0 2\n")
    (folder / "test.txt").write_text("1 2\n")
    config = tiny_config(
        dataset__path=str(folder), train__batch_size=3, sampler__num_candidates=2, eval__ks=(1,), train__num_steps=4
    )
    with pytest.raises(TrainingError, match="No pair of steps 1 to 4 has a valid negative; raise"):
        train.train_and_evaluate(config, tmp_path / "run")


def test_embeddings_that_are_not_finite_stop_the_run_where_the_loss_hides_it(tmp_path):
    config = tiny_config(model__constraint="none", optimizer__learning_rate=1e30, train__num_steps=1)
    with pytest.raises(TrainingError, match="squared norm of an embedding is not finite after step 1; lower"):
        train.train_and_evaluate(config, tmp_path)


BAD_CONFIGS = [
    ({"dataset__path": "nowhere"}, r"nowhere: no such folder"),
    ({"dataset__name": "lastfm"}, r"dataset\.path is not set"),
    ({"dataset__path": ".", "dataset__format": "xml"}, r"dataset\.format = 'xml' is unknown"),
    ({"sampler__name": "warp"}, r"config\.sampler\.name = 'warp' is unknown; choose one of popularity, two_stage"),
    ({"model__loss": "bpr"}, r"config\.model\.loss = 'bpr' is unknown"),
    ({"model__constraint": "cube"}, r"config\.model\.constraint = 'cube' is unknown"),
    ({"optimizer__name": "lbfgs"}, r"config\.optimizer\.name = 'lbfgs' is unknown"),
    ({"optimizer__rows": "sparse"}, r"config\.optimizer\.rows = 'sparse' is unknown"),
    ({"optimizer__learning_rate": -0.1}, r"config\.optimizer\.learning_rate = -0\.1 must be"),
    ({"optimizer__learning_rate": math.nan}, r"config\.optimizer\.learning_rate = nan must be"),
    ({"model__margin": 0.0}, r"config\.model\.margin = 0\.0 must be a finite number above 0"),
    ({"model__margin": -1.0}, r"config\.model\.margin = -1\.0 must be a finite number above 0"),
    ({"model__dim": 0}, r"config\.model\.dim = 0 must be 1 or more"),
    ({"model__num_negatives": 0}, r"config\.model\.num_negatives = 0 must be 1 or more"),
    ({"sampler__similarity_cutoff": 1.5}, r"config\.sampler\.similarity_cutoff = 1\.5 must be above 0 and at most 1"),
    ({"sampler__popularity_exponent": -1.0}, r"config\.sampler\.popularity_exponent = -1\.0 must be"),
    ({"sampler__num_candidates": 51}, r"config\.sampler\.num_candidates = 51 is above the number of items, 50"),
    ({"train__batch_size": 100_000}, r"config\.train\.batch_size = 100000 is above the number of training pairs, 1150"),
    ({"eval__ks": ()}, r"config\.eval\.ks = \(\) must be"),
    ({"eval__ks": (5, True)}, r"config\.eval\.ks = \(5, True\) must be"),
    ({"train__num_steps": 2**31}, r"config\.train\.num_steps = 2147483648 must be"),
    ({"train__num_steps": None, "train__num_passes": 1e20}, r"config\.train\.num_passes = 1e\+20 is 2\^31 steps"),
    ({"eval__ks": (5, 0)}, r"config\.eval\.ks = \(5, 0\) must be"),
    ({"eval__ks": (51,)}, r"config\.eval\.ks has 51, which is above the number of items, 50"),
    ({"eval__final_split": "train"}, r"config\.eval\.final_split = 'train' is unknown"),
    ({"seed": -1}, r"config\.seed = -1 must be"),
    ({"model__loss": "softmax", "sampler__name": "uniform"}, r"config\.model\.loss = 'softmax' weights the candidates"),
]


@pytest.mark.parametrize(("overrides", "sentence"), BAD_CONFIGS, ids=[str(overrides) for overrides, _ in BAD_CONFIGS])
def test_bad_value_is_refused_before_anything_is_written(overrides, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence) as caught:
        train.train_and_evaluate(tiny_config(**overrides), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_wrong_type_unknown_and_missing_keys_are_named(tmp_path):
    config = tiny_config().unlock()
    config.train.batch_sise = 3
    with pytest.raises(
        ConfigError, match=r"config\.train\.batch_sise is not a config key; did you mean config\.train\."
    ):
        train.train_and_evaluate(config, tmp_path / "run")
    del config.train["batch_sise"], config.model["dim"]
    with pytest.raises(ConfigError, match=r"config\.model\.dim is missing"):
        train.train_and_evaluate(config, tmp_path / "run")
    with config.ignore_type():
        config.model.dim = "many"
    with pytest.raises(ConfigError, match=r"config\.model\.dim = 'many' must be of type int"):
        train.train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def command(*arguments, cwd=ROOT):
    """Runs experiments.main as a person would."""
    return subprocess.run(
        [sys.executable, "-m", "experiments.main", *arguments],
        cwd=cwd,
        env=os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )


QUICKSTART = "--config=experiments/configs/quickstart.py"


def test_command_line_trains_and_prints_the_table(tmp_path):
    done = command(
        f"--config={ROOT}/experiments/configs/quickstart.py",
        "--config.dataset.name=checkerboard",
        "--config.sampler.num_candidates=30",
        "--config.train.num_steps=20",
        "--config.eval.ks=(5,)",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "valid @5" in done.stdout and "Traceback" not in done.stderr
    (workdir,) = (tmp_path / "runs").glob("quickstart-*")  # the default workdir
    assert f"runs/{workdir.name}" in done.stderr
    assert json.loads((workdir / "summary.json").read_text())["steps"] == 20


BAD_COMMANDS = [
    (["--config=nowhere.py"], "--config=nowhere.py: no such file"),
    ([QUICKSTART, "--config.sampler.nam=uniform"], "config.sampler.nam is not a config key; did you mean"),
    ([QUICKSTART, "--config.nothing.like=1"], "config.nothing.like is not a config key"),
    ([QUICKSTART, "--config.train.batch_size=many"], "--config.train.batch_size=many"),
    ([QUICKSTART, "--config.model.margin=0"], "config.model.margin = 0.0 must be a finite number above 0"),
    ([QUICKSTART, "--nonsense"], "nonsense"),
    ([QUICKSTART, "--config.train.batch_size="], "--config"),
    ([QUICKSTART + ":argument"], "get_config() takes 0 positional arguments"),
    (["--config=tests/oracles.py"], "get_config"),
    (["--config=README.md"], "SyntaxError"),
    ([QUICKSTART, "extra"], "'extra' is not a flag"),
]


@pytest.mark.parametrize(("arguments", "sentence"), BAD_COMMANDS, ids=[" ".join(a) for a, _ in BAD_COMMANDS])
def test_bad_command_line_prints_one_sentence_and_exits_with_1(arguments, sentence, tmp_path):
    done = command(*arguments, f"--workdir={tmp_path / 'run'}")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and sentence in done.stderr and len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_missing_config_is_named():
    done = command()
    assert done.returncode == 1 and done.stderr.startswith("error: ") and "--config" in done.stderr


def test_unwritable_workdir_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the workdir"):
        train.train_and_evaluate(tiny_config(), tmp_path / "file" / "run")
