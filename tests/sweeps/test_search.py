"""Searches on the checkerboard, and what they try next. CML_KILLS says how often one is killed."""

import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from cml_jax.errors import ConfigError, UserError
from cml_jax.runs import scoring
from cml_jax.runs.preemption import Preempted
from experiments import cli, search
from experiments.sweeps import suggestions, trials
from experiments.sweeps.space import Interval, checked, num_settings, probes, space_of_flags
from experiments.sweeps.trials import Trial
from tests.tiny import ROOT, read_records, tiny_config

pytest.importorskip("optuna")

SPACE = {"optimizer.learning_rate": Interval(1e-4, 1e-1, log=True), "sampler.name": ("uniform", "two_stage")}
NUM_TRIALS, AT_ONCE = 7, 3
ENV = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}


def short_config(**overrides):
    return tiny_config(**{"train__num_steps": 20, "model__dim": 4, "seed": 3} | overrides)


def run(folder, num_trials=NUM_TRIALS, **overrides):
    return search.run_search(short_config(**overrides), folder, SPACE, num_trials, AT_ONCE)


@pytest.fixture(scope="module", autouse=True)
def early():
    """Suggestions follow from results after three of them, so that these searches are short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suggestions, "NUM_RANDOM", 3)
        yield


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    run(folder)
    return folder


def settings_in(folder):
    return json.loads((folder / "search.json").read_text())["settings"]


def assert_same_search(one, other):
    assert (one / "results.csv").read_text() == (other / "results.csv").read_text()
    assert (one / "search.json").read_text() == (other / "search.json").read_text()
    paths = sorted(path.relative_to(other) for path in other.glob("*/*/metrics.jsonl"))
    assert paths == sorted(path.relative_to(one) for path in one.glob("*/*/metrics.jsonl"))
    for path in paths:
        assert read_records((one / path).parent) == read_records((other / path).parent)


def test_suggestions_are_in_the_space_readable_and_a_function_of_what_is_known():
    space = {
        "optimizer.learning_rate": Interval(1.23456789e-4, 1e-2, log=True),
        "model.dim": Interval(4, 32, log=True),
        "model.margin": Interval(0.5, 1.0),
        "sampler.popularity_cap": (None, 5.0),
    }
    history = []
    for start in (0, 20):
        found = suggestions.suggest(space, 1, history, 20)
        for setting in found:
            assert 1.23456789e-4 <= setting["optimizer.learning_rate"] <= 1e-2
            assert 0.5 <= setting["model.margin"] <= 1.0 and float(f"{setting['model.margin']:.4g}") in setting.values()
            assert type(setting["model.dim"]) is int and 4 <= setting["model.dim"] <= 32
            assert setting["sampler.popularity_cap"] in (None, 5.0)
        assert len({json.dumps(setting) for setting in found}) == 20
        assert found == suggestions.suggest(space, 1, history, 20)
        assert found[:7] == suggestions.suggest(space, 1, history, 7)
        assert found != suggestions.suggest(space, 2, history, 20)
        history += [(setting, -setting["model.margin"] if i % 4 else None) for i, setting in enumerate(found, start)]
    rates = [setting["optimizer.learning_rate"] for setting, _ in history[:20]]
    assert sum(rate < 1e-3 for rate in rates) >= 4  # a tenth of them, if differences counted


def test_few_settings_are_suggested_once_each_as_long_as_there_are_others():
    space = {"sampler.name": ("uniform", "two_stage"), "model.dim": Interval(4, 6)}
    for history in ([], [({"sampler.name": "uniform", "model.dim": 4}, 1.0)]):
        found = suggestions.suggest(space, 0, history, 6)
        assert len({json.dumps(setting) for setting in found}) == 6 - len(history)


def height(setting):
    """Highest at a rate of 1e-3, a margin of 0.8 and two-stage."""
    rate, margin = np.log10(setting["optimizer.learning_rate"]) + 3, setting["model.margin"] - 0.8
    return float(-(rate**2) - 4 * margin**2 - 0.2 * (setting["sampler.name"] != "two_stage"))


def test_a_planted_optimum_is_found_better_than_at_random():
    space = SPACE | {"optimizer.learning_rate": Interval(1e-5, 1e-1, log=True), "model.margin": Interval(0.0, 2.0)}
    found, by_chance = [], []
    for seed in range(6):
        history = []
        while len(history) < 32:
            history += [(setting, height(setting)) for setting in suggestions.suggest(space, seed, history, 8)]
        found.append(max(score for _, score in history))
        by_chance.append(max(height(setting) for setting in suggestions.suggest(space, seed, [], 32)))
    assert np.mean(found) > 0.5 * np.mean(by_chance), (found, by_chance)


def test_suggestions_keep_away_from_what_failed():
    space = {"model.margin": Interval(0.0, 1.0)}
    history = [({"model.margin": m}, None if m > 0.5 else 1.0) for m in np.linspace(0.01, 0.99, 20).tolist()]
    margins = [setting["model.margin"] for setting in suggestions.suggest(space, 0, history, 20)]
    assert sum(margin < 0.55 for margin in margins) >= 15


def test_trials_are_in_the_space_scored_on_validation_alone_and_trained_together(workdir):
    settings = settings_in(workdir)
    assert len(settings) == NUM_TRIALS == len(list(workdir.glob("*/3/summary.json")))
    for number, setting in enumerate(settings):
        assert 1e-4 <= setting["optimizer.learning_rate"] <= 1e-1 and setting["sampler.name"] in SPACE["sampler.name"]
        (folder,) = workdir.glob(f"{number:03},{setting['sampler.name']},learning_rate=*/3")
        config = json.loads((folder / "config.json").read_text())
        assert config["optimizer"]["learning_rate"] == setting["optimizer.learning_rate"]
        assert config["eval"]["final_split"] == "valid"
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["test"] == {} and summary["valid"]["ndcg@5"] > 0
        batch = settings[number - number % AT_ONCE :][:AT_ONCE]
        same = [other for other in batch if other["sampler.name"] == setting["sampler.name"]]
        assert summary["members"] == len(same)
    assert any(json.loads(path.read_text())["members"] > 1 for path in workdir.glob("*/3/summary.json"))
    assert "validation scores" in (workdir / "report.md").read_text()


def test_later_trials_follow_from_the_scores(workdir):
    settings, scores = settings_in(workdir), []
    for number in range(AT_ONCE):
        (path,) = workdir.glob(f"{number:03},*/3/summary.json")
        scores.append(json.loads(path.read_text())["valid"]["ndcg@5"])
    history = list(zip(settings, scores, strict=False))
    assert settings[3:6] == suggestions.suggest(SPACE, 3, history, AT_ONCE)
    assert settings[3:6] != suggestions.suggest(SPACE, 3, [(setting, -score) for setting, score in history], AT_ONCE)


def test_stopped_and_started_again_it_is_as_if_undisturbed(workdir, tmp_path, monkeypatch):
    original, calls = scoring.evaluate, []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 8:  # each trial takes two
            os.kill(os.getpid(), signal.SIGTERM)
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(scoring, "evaluate", interrupted)
        with pytest.raises(Preempted, match="Stopped by SIGTERM"):
            run(tmp_path)
    assert len(settings_in(tmp_path)) == 2 * AT_ONCE
    run(tmp_path)
    assert_same_search(tmp_path, workdir)


def test_more_trials_later_are_those_of_a_longer_search(workdir, tmp_path, capsys):
    shutil.copytree(workdir, tmp_path / "longer")
    for path in sorted((tmp_path / "longer").glob("00[4-6],*")):  # in the middle of what was suggested at once
        shutil.rmtree(path)
    record = json.loads((tmp_path / "longer" / "search.json").read_text())
    record["settings"] = record["settings"][:4]
    (tmp_path / "longer" / "search.json").write_text(json.dumps(record))
    best = run(tmp_path / "longer")
    assert_same_search(tmp_path / "longer", workdir)
    said = capsys.readouterr()
    assert "Trials 1 to 3 of 7, 0 of them to be trained." in said.err
    assert "Trials 4 to 6 of 7, 2 of them to be trained." in said.err
    scores = [trial.score or 0.0 for trial in best]
    assert scores == sorted(scores, reverse=True) and len(scores) == NUM_TRIALS
    assert f"{best[0].number:>5}  {scores[0]:>14.4f}  learning_rate=" in said.out
    with pytest.raises(ConfigError, match=r"holds 7 trials, more than the 6 asked for; raise --num_trials or"):
        run(tmp_path / "longer", num_trials=6)


def test_another_search_is_kept_out_of_a_folder(workdir, tmp_path):
    shutil.copytree(workdir, tmp_path / "other")
    with pytest.raises(ConfigError, match="holds a search with seed = 3, not 4; choose another workdir"):
        run(tmp_path / "other", seed=4)
    with pytest.raises(ConfigError, match=r"holds a search with space = .*'low': 0\.0001.* not .*'low': 0\.001"):
        space = SPACE | {"optimizer.learning_rate": Interval(1e-3, 1e-1, log=True)}
        search.run_search(short_config(), tmp_path / "other", space, NUM_TRIALS)
    with pytest.raises(ConfigError, match="holds a search with at_once = 3, not 2"):
        search.run_search(short_config(), tmp_path / "other", SPACE, NUM_TRIALS, at_once=2)
    with pytest.raises(ConfigError, match=r"holds a run with config\.model\.margin = 1\.0, not 0\.5"):
        run(tmp_path / "other", model__margin=0.5)
    assert_same_search(tmp_path / "other", workdir)
    (tmp_path / "other" / "search.json").write_text('{"space": {}, "seed": 3, "at_once": 3, "settings": [5]}')
    with pytest.raises(UserError, match=r"search\.json: not the record of a search; choose another workdir"):
        run(tmp_path / "other")


def test_trials_that_diverge_or_cannot_be_trained_are_named_and_the_rest_go_on(tmp_path, capsys):
    """Without replacement is for losses that take negatives, which softmax does not."""
    config = short_config(
        model__constraint="none", model__gor_weight=0.1, sampler__name="popularity", train__batch_size=32, seed=0
    )
    space = {
        "optimizer.learning_rate": (1e-2, 1e30),
        "model.loss": ("triplet", "softmax"),
        "sampler.without_replacement": (False, True),
    }
    best = search.run_search(config, tmp_path, space, 8, at_once=8)
    said = capsys.readouterr().err
    settings = settings_in(tmp_path)
    unusable = [s for s in settings if s["model.loss"] == "softmax" and s["sampler.without_replacement"]]
    lost = [s for s in settings if s["optimizer.learning_rate"] == 1e30 and s not in unusable]
    assert unusable and lost and best
    assert not any(trial.setting in unusable + lost for trial in best)
    failed = {trials.folder_of(settings.index(s), s, 0) for s in unusable + lost}
    assert f"{len(failed)} trials failed: " in said
    for folder in failed:
        assert f"{folder} failed: " in said and folder in (tmp_path / "report.md").read_text()
    assert len(list(tmp_path.glob("*/0/summary.json"))) == len({json.dumps(s) for s in settings}) - len(failed)
    again = search.run_search(config, tmp_path, space, 8)
    assert again == best


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], r"^--space is needed, KEY=LOW:HIGH, LOW:HIGH:log or VALUE,VALUE, such as"),
        (["model.dims=4,8"], r"^--space: config\.model\.dims is not a config key; did you mean config\.model\.dim\?"),
        (["model.dim=4,8", "model.dim=4:8"], r"^--space names config\.model\.dim twice"),
        (["model.dim"], r"^--space of config\.model\.dim must be LOW:HIGH, .*, not ''"),
        (["model.dim=8"], r"config\.model\.dim must be LOW:HIGH, LOW:HIGH:log or VALUE,VALUE, not '8'"),
        (["model.dim=4:8:lin"], "not '4:8:lin'"),
        (["model.dim=4:x"], "not '4:x'"),
        (["model.dim=4:8:log:log"], "not '4:8:log:log'"),
        (["model.dim=8:4"], r"config\.model\.dim must be LOW:HIGH with LOW below HIGH, not 8:4"),
        (["model.margin=1:1"], "with LOW below HIGH"),
        (["model.dim=4:8.5"], r"config\.model\.dim: = 8\.5 must be of type int"),
        (["model.dim=0:8"], r"config\.model\.dim: = 0 must be"),
        (["optimizer.learning_rate=0.1:-1"], r"config\.optimizer\.learning_rate: = -1 must be a finite number above 0"),
        (["model.gor_weight=0:1:log"], r"config\.model\.gor_weight: log needs a LOW above 0, not 0\."),
        (["model.loss=0:1"], r"config\.model\.loss must be VALUE,VALUE, not 0:1, since it is no number"),
        (["model.dim=4,4"], r"config\.model\.dim must be two or more different values, not \(4, 4\)"),
        (["sampler.name=unifrom,two_stage"], r"config\.sampler\.name: = 'unifrom' is unknown; choose one of"),
        (["seed=0,1"], r"^--space: config\.seed is no setting that trials can be compared by"),
        (["eval.select=map@5,ndcg@5"], r"config\.eval\.select is no setting"),
        (["train.report_every_steps=5,10"], r"config\.train\.report_every_steps is no setting"),
        (["train.num_passes=1:2"], r"config\.train\.num_passes has no effect beside config\.train\.num_steps"),
        (
            ["model.temperature=0.1:0.2"],
            r"config\.model\.temperature has an effect only with .*softmax.*; leave it out",
        ),
        (["model.dim=4,8,16"], r"^--num_trials=4 is above the number of settings of --space, 3; lower it, or"),
        (["train.batch_size=64:99999999"], r"^With config\.train\.batch_size = 99999999: .* above the number of"),
    ],
)
def test_wrong_spaces_are_one_sentence_before_any_work(tmp_path, arguments, sentence):
    with pytest.raises(ConfigError, match=sentence) as error:
        search.run_search(short_config(), tmp_path / "search", space_of_flags(arguments), 4)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"num_trials": 0}, "--num_trials=0 must be above 0"),
        ({"num_trials": 2, "at_once": -1}, "--at_once=-1 must be above 0"),
        ({"num_trials": 2, "memory_budget_mb": float("nan")}, "--memory_budget_mb=nan must be above 0"),
    ],
)
def test_wrong_numbers_are_one_sentence(tmp_path, options, sentence):
    with pytest.raises(ConfigError, match=sentence):
        search.run_search(short_config(), tmp_path, SPACE, **options)


def test_keys_in_a_flags_value_stay_as_they_were_typed(monkeypatch):
    monkeypatch.setattr(cli.flags, "FLAGS", {"config": None})
    assert cli.with_flags("--space=model.dim=4,8, or model.dim") == "--space=model.dim=4,8, or --config.model.dim"


def test_a_value_that_no_flag_can_give_is_refused():
    space = {"optimizer.rows": (None, "dense")}
    search._check_flags(space, {}, {"optimizer.rows": None})
    with pytest.raises(ConfigError, match=r"config\.optimizer\.rows has none, which the config excludes by 'lazy'"):
        search._check_flags(space, {}, {"optimizer.rows": "lazy"})
    assert trials.as_flags({"optimizer.rows": None, "model.dim": 8}) == ["--config.model.dim=8"]


def test_without_optuna_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(suggestions.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^experiments\.search needs pip install -e '\.\[optuna\]'\.$"):
        run(tmp_path)


def test_numbers_take_the_type_of_their_key_and_settings_are_counted():
    space = checked(space_of_flags(["model.margin=1:2", "optimizer.learning_rate=1,0.5", "model.dim=4:8:log"]))
    assert space == {
        "model.margin": Interval(1.0, 2.0),
        "optimizer.learning_rate": (1.0, 0.5),
        "model.dim": Interval(4, 8, log=True),
    }
    assert repr(space["optimizer.learning_rate"]) == "(1.0, 0.5)"
    assert num_settings(space) is None
    assert num_settings({"model.dim": Interval(4, 8), "sampler.name": ("uniform", "two_stage")}) == 10
    assert probes({"model.dim": Interval(4, 8), "sampler.name": ("a", "b", "c")}) == [
        {"model.dim": dim, "sampler.name": name} for dim, name in ((4, "a"), (8, "a"), (4, "b"), (4, "c"))
    ]


def test_the_table_fits_and_is_aligned():
    key_values = {f"model.an_option_with_a_name_{i}": 10.0 ** (-i) for i in range(5)}
    found = [
        Trial(7, {"sampler.name": "two_stage", "optimizer.learning_rate": 0.01} | key_values, "a", 0.25),
        Trial(12, {"sampler.name": "uniform", "optimizer.learning_rate": 0.00123} | key_values, "b", 0.125),
    ]
    lines = trials.table(found, "ndcg@20").splitlines()
    assert max(map(len, lines)) <= 120 and len(lines) == 5
    assert lines[0].split() == ["trial", "valid", "ndcg@20", "setting"]
    assert lines[1].startswith("    7          0.2500  sampler=two_stage  learning_rate=0.01     an_option")
    assert lines[3].startswith("   12          0.1250  sampler=uniform    learning_rate=0.00123  an_option")
    assert lines[2].index("an_option") == lines[0].index("setting")


def test_the_best_come_first_and_a_setting_suggested_again_once():
    found = [Trial(0, {"a": 1}, "x", 0.5), Trial(1, {"a": 2}, "y", None), Trial(2, {"a": 1}, "x", 0.5)]
    assert trials.best_first([*found, Trial(3, {"a": 3}, "z", 0.75)]) == [Trial(3, {"a": 3}, "z", 0.75), found[0]]


COMMAND = [
    *("--config=experiments/configs/quickstart.py", "--config.dataset.name=checkerboard", "--config.model.dim=8"),
    *("--config.train.batch_size=64", "--config.train.num_steps=300", "--config.eval.ks=(1,5)"),
    *("--config.train.report_every_steps=20", "--config.eval.every_steps=100", "--config.sampler.num_candidates=30"),
    *("--space=optimizer.learning_rate=1e-4:1e-1:log", "--space=optimizer.rows=none,dense", "--at_once=2"),
]


def start(folder, *arguments):
    command = [sys.executable, "-m", "experiments.search", *COMMAND, "--num_trials=6", f"--workdir={folder}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, *arguments], cwd=ROOT, env=ENV, **pipes)


@pytest.mark.slow
def test_the_command_says_how_to_train_the_best_and_kills_change_nothing(tmp_path):
    rng, kills = random.Random(1), int(os.environ.get("CML_KILLS", "1"))
    before = time.monotonic()
    whole = start(tmp_path / "whole")
    said, errors = whole.communicate(timeout=900)
    assert whole.returncode == 0, errors
    seconds = time.monotonic() - before
    for _ in range(kills):
        process = start(tmp_path / "killed")
        try:
            process.communicate(timeout=seconds * rng.uniform(0.3, 0.9))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
    again = start(tmp_path / "killed")
    _, errors = again.communicate(timeout=900)
    assert again.returncode == 0, errors
    assert_same_search(tmp_path / "killed", tmp_path / "whole")
    line = said.splitlines()[-1]
    arguments = shlex.split(line)[3:]
    assert line.startswith(
        "python -m experiments.main --config=experiments/configs/quickstart.py --config.dataset.name="
    )
    assert arguments[-1] == f"--workdir={tmp_path / 'whole'}-best"
    done = subprocess.run(
        [sys.executable, "-m", "experiments.main", *arguments], cwd=ROOT, env=ENV, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "whole-best" / "summary.json").read_text())
    best = max(
        json.loads(path.read_text())["valid"]["ndcg@5"] for path in (tmp_path / "whole").glob("*/*/summary.json")
    )
    assert summary["valid"]["ndcg@5"] == best and summary["test"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--config.optimizer.learning_rate=0.1"], "--config.optimizer.learning_rate is given beside a --space of it"),
        (
            ["--config.eval.final_split=test"],
            "--config.eval.final_split is 'valid' in a search, which leaves test alone",
        ),
    ],
)
def test_flags_that_contradict_a_search_are_one_sentence(tmp_path, arguments, sentence):
    process = start(tmp_path / "none", *arguments)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 1 and errors.startswith(f"error: {sentence}") and errors.count("\n") == 1
    assert not (tmp_path / "none").exists()
