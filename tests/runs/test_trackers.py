"""Trackers: what they get, against the libraries' own local files, and that none stops or delays a run."""

import contextlib
import json
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import cml_jax
from cml_jax.errors import ConfigError, TrainingError
from cml_jax.runs import processes, trackers, tracking
from cml_jax.runs.config import KEYS, default_values
from cml_jax.runs.trackers.base import Kind
from experiments import sweep, train
from tests.tiny import read_records, tiny_config
from tests.tracked import read_event_files, read_hparams, read_mlflow, read_wandb

SUMMARY: Any = SimpleNamespace(
    best_step=20, scores={"valid": {"ndcg@5": 0.25}, "test": {"ndcg@5": 0.125, "mrr@5": 0.5}}
)
PAIRS = {"user": list("aabbccdd"), "item": list("xyyzzxxy")}
FIT: Any = {"valid_fraction": 0, "num_steps": 20, "report_every_steps": 10, "batch_size": 4, "dim": 4}


def record(step):
    metrics = {"ndcg@5": step / 100} if step % 20 == 0 else {}
    return {"step": step, "pass": step / 8, "loss": 1 / step, "throughput": 3.0, "no_negative": 0, "metrics": metrics}


def values(step):
    numbers = {"pass": step / 8, "loss": 1 / step, "throughput": 3.0, "no_negative": 0.0}
    return numbers | ({"ndcg@5": step / 100} if step % 20 == 0 else {})


class Memory:
    """A tracker that keeps what it is told, by run."""

    def __init__(self):
        self.runs, self.abouts, self.threads = {}, [], set()

    def open(self, about) -> Any:
        run_id = about.id or f"run{len(self.runs)}"
        self.abouts.append(about)
        told = self.runs.setdefault(run_id, [])
        self.threads.add(threading.current_thread())
        return SimpleNamespace(
            id=run_id,
            address=f"at {run_id}",
            report=lambda step, values: told.append((step, dict(values))),
            result=lambda step, values: told.append(("result", step, dict(values))),
            close=lambda end: told.append(end),
        )


@pytest.fixture
def memory(monkeypatch):
    kept = Memory()
    monkeypatch.setitem(trackers.TRACKERS, "wandb", Kind("json", kept.open))
    return kept


@pytest.fixture
def local(monkeypatch, tmp_path):
    """The libraries' local files, below tmp_path."""
    monkeypatch.setattr(tracking, "WAIT_SECONDS", 600.0)  # not what is tested
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("WANDB_DIR", "WANDB_API_KEY", "WANDB_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "wandb-config"))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    yield tmp_path
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # its settings are those of the first test's environment


def config_of(*names, **changed):
    return default_values() | {f"log.{name}": True for name in names} | changed


def follow(config, workdir, kept=(), new=(), *, ends: Any = True, sweep=None, said: Any = None):
    """A run that has the reports of some steps and makes those of others."""
    workdir.mkdir(parents=True, exist_ok=True)
    lines = [] if said is None else said
    with (
        tracking.open_trackers(lines.append, sweep) as opened,
        opened.follow(config, workdir, [record(step) for step in kept]) as run,
    ):
        for step in new:
            run.report(record(step))
        if isinstance(ends, BaseException):
            raise ends
        if ends:
            run.result(SUMMARY)
    assert said is not None or not [line for line in lines if line.startswith("Warning")]


RESULT = ("result", 20, {"valid/ndcg@5": 0.25, "test/ndcg@5": 0.125, "test/mrr@5": 0.5})


def test_reports_and_result_come_in_order_from_one_other_thread(memory, tmp_path):
    said = []
    follow(config_of("wandb"), tmp_path / "run", new=(10, 20), said=said)
    assert memory.runs == {"run0": [(10, values(10)), (20, values(20)), RESULT, "finished"]}
    assert len(memory.threads) == 1 and threading.current_thread() not in memory.threads
    assert said == ["log.wandb: at run0"]
    (about,) = memory.abouts
    assert about.config == config_of("wandb") and about.project == "cml_jax"
    assert (about.name, about.group, about.folder) == ("run", None, tmp_path / "run")


def test_resumed_run_goes_on_and_no_report_comes_twice(memory, tmp_path):
    follow(config_of("wandb"), tmp_path, new=(10, 20, 30), ends=False)
    follow(config_of("wandb"), tmp_path, kept=(10, 20), new=(30, 40))
    steps = [told[0] for told in memory.runs["run0"] if isinstance(told, tuple)]
    assert steps == [10, 20, 30, 40, "result"] and len(memory.runs) == 1
    assert memory.abouts[1].id == "run0"


def test_tracker_of_a_running_run_gets_the_reports_so_far(memory, tmp_path):
    follow(config_of(), tmp_path, new=(10, 20))
    assert not memory.runs
    follow(config_of("wandb"), tmp_path, kept=(10, 20), new=(30,))
    assert [told[0] for told in memory.runs["run0"][:3]] == [10, 20, 30]


def test_another_project_has_a_run_of_its_own(memory, tmp_path):
    follow(config_of("wandb"), tmp_path, new=(10,))
    follow(config_of("wandb", **{"log.project": "other"}), tmp_path, kept=(10,), new=(20,))
    assert [about.id for about in memory.abouts] == [None, None] and memory.abouts[1].project == "other"
    assert [told[0] for told in memory.runs["run1"][:2]] == [10, 20]


def test_runs_of_a_sweep_are_named_by_their_folders(memory, tmp_path):
    grid = tmp_path / "grid"
    for name in ("dim=4/0", "dim=8/0"):
        follow(config_of("wandb"), grid / name, new=(10,), sweep=grid)
    assert [(about.name, about.group) for about in memory.abouts] == [("dim=4/0", "grid"), ("dim=8/0", "grid")]
    assert len(memory.runs) == 2


@pytest.mark.parametrize(
    ("raised", "end"), [(False, "failed"), (TrainingError("loss"), "failed"), (KeyboardInterrupt(), "stopped")]
)
def test_how_a_run_without_a_result_ended(raised, end, memory, tmp_path):
    with contextlib.suppress(TrainingError, KeyboardInterrupt):
        follow(config_of("wandb"), tmp_path, ends=raised)
    assert memory.runs["run0"] == [end]


def test_a_run_with_a_result_is_finished_though_others_of_its_sweep_are_stopped(memory, tmp_path):
    with contextlib.suppress(KeyboardInterrupt), tracking.open_trackers([].append, None) as opened:  # noqa: SIM117
        with opened.follow(config_of("wandb"), tmp_path, []) as run:
            run.result(SUMMARY)
            raise KeyboardInterrupt
    assert memory.runs["run0"] == [RESULT, "finished"]


def fails_to_open(about) -> Any:
    raise OSError(f"no server\nfor {about.name}.")


def fails_to_report(about) -> Any:
    def report(step, values):
        raise SystemExit(f"no room for step {step}")

    return SimpleNamespace(id="1", address=None, report=report, result=None, close=None)


@pytest.mark.parametrize(
    ("open_tracker", "reason"), [(fails_to_open, "no server"), (fails_to_report, "no room for step 10")]
)
def test_tracker_that_fails_is_given_up_with_one_line(open_tracker, reason, memory, monkeypatch, tmp_path):
    monkeypatch.setitem(trackers.TRACKERS, "mlflow", Kind("json", open_tracker))
    said = []
    follow(config_of("wandb", "mlflow"), tmp_path, new=(10, 20), said=said)
    assert sorted(said) == [f"Warning: log.mlflow: {reason}; going on without it.", "log.wandb: at run0"]
    assert memory.runs["run0"][-1] == "finished", "the other one got all"


def test_runs_of_a_sweep_give_a_tracker_up_together(monkeypatch, tmp_path):
    tried, said = [], []

    def fails(about) -> Any:
        tried.append(about)
        raise OSError

    monkeypatch.setitem(trackers.TRACKERS, "mlflow", Kind("json", fails))
    with tracking.open_trackers(said.append, tmp_path) as opened:
        for name in "ab":
            with opened.follow(config_of("mlflow"), tmp_path / name, []) as run:
                run.report(record(10))
    assert len(tried) == len(said) == 1


def test_package_that_cannot_be_imported_is_given_up(monkeypatch, tmp_path):
    (tmp_path / "half_installed.py").write_text("import nowhere_at_all\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(trackers.TRACKERS, "mlflow", Kind("half_installed", lambda about: pytest.fail("opened")))
    said = []
    follow(config_of("mlflow"), tmp_path, new=(10,), said=said)
    assert said == ["Warning: log.mlflow: No module named 'nowhere_at_all'; going on without it."]


def test_tracker_that_does_not_answer_delays_nothing_but_the_end(monkeypatch, tmp_path):
    monkeypatch.setattr(tracking, "WAIT_SECONDS", 0.5)
    answers, said = threading.Event(), []

    def answers_late(about) -> Any:
        answers.wait(60)
        raise OSError

    monkeypatch.setitem(trackers.TRACKERS, "mlflow", Kind("json", answers_late))
    with tracking.open_trackers(said.append) as opened:
        before = time.perf_counter()
        with opened.follow(config_of("mlflow"), tmp_path, []) as run:
            run.report(record(10))
            run.result(SUMMARY)
        assert time.perf_counter() - before < 0.4
    assert said == ["Warning: log.mlflow: no answer within 0.5 s; the last reports may be missing."]
    answers.set()
    for thread in threading.enumerate():
        if thread.name == "log.mlflow":
            thread.join(60)
    assert len(said) == 1


def test_fit_without_a_workdir_reports_and_keeps_nothing(memory, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    model = cml_jax.fit(PAIRS, **FIT, wandb=True, project="mine", progress=False)
    assert [told[0] for told in memory.runs["run0"][:2]] == [10, 20]
    assert memory.runs["run0"][-2:] == [("result", 20, {}), "finished"] and model.metrics == {}
    (about,) = memory.abouts
    assert (about.project, about.name, about.folder) == ("mine", None, None)
    assert about.config["train.num_steps"] == 20 and about.config["dataset.name"] == "data"
    assert not list(tmp_path.iterdir())


def test_fit_goes_on_where_a_tracker_fails(monkeypatch, capsys):
    monkeypatch.setitem(trackers.TRACKERS, "wandb", Kind("json", fails_to_open))
    assert len(cml_jax.fit(PAIRS, **FIT, wandb=True).recommend("a", k=1)) == 1
    assert capsys.readouterr().err.count("Warning: log.wandb: no server; going on without it.\n") == 1


def test_event_files_need_a_workdir():
    with pytest.raises(ConfigError, match=r"^tensorboard = True writes into a workdir; give one, or leave it out\.$"):
        cml_jax.fit(None, tensorboard=True)


def test_only_the_first_process_reports(memory, monkeypatch, tmp_path):
    monkeypatch.setattr(processes, "is_first", lambda: False)
    cml_jax.fit(PAIRS, **FIT, wandb=True, progress=False)
    assert not memory.abouts


@pytest.mark.parametrize("name", trackers.TRACKERS)
def test_without_the_extra_the_key_is_refused(name, tmp_path, monkeypatch):
    monkeypatch.setitem(trackers.TRACKERS, name, trackers.TRACKERS[name]._replace(package="nowhere_at_all"))
    with pytest.raises(ConfigError, match=rf"config\.log\.{name} = True needs pip install 'cml_jax\[{name}\]'; or"):
        train.train_and_evaluate(tiny_config(**{f"log__{name}": True}), tmp_path)
    assert f"log.{name}" in KEYS


@pytest.mark.slow  # its service takes 20 seconds to start where there is no network
def test_wandb_files(local):
    pytest.importorskip("wandb")
    first = config_of("wandb", **{"train.num_steps": 20})
    follow(first, local / "grid" / "a", new=(10, 20), ends=False, sweep=local / "grid")
    follow(first | {"train.num_steps": 30}, local / "grid" / "a", kept=(10,), new=(20, 30), sweep=local / "grid")
    one, two = read_wandb(local / "grid" / "a" / "wandb")
    assert one["history"] == {10: values(10), 20: values(20)}
    assert two["history"] == {30: values(30)}
    assert one["id"] == two["id"] == json.loads((local / "grid" / "a" / "trackers.json").read_text())["wandb"]["id"]
    assert (one["name"], one["group"], one["project"]) == ("a", "grid", "cml_jax")
    assert one["config"]["train"]["num_steps"] == 20 and two["config"]["train"]["num_steps"] == 30
    assert one["config"]["seed"] == 0 and one["exit"] == 1 and two["exit"] == 0
    assert RESULT[2].items() <= two["summary"].items() and two["summary"]["best_step"] == 20


def test_wandb_asks_nobody_to_log_in(local, monkeypatch):
    pytest.importorskip("wandb").teardown()
    monkeypatch.setenv("WANDB_MODE", "online")
    said = []
    follow(config_of("wandb"), local, new=(10,), said=said)
    assert said == [
        "Warning: log.wandb: nobody is logged in; run `wandb login`, or set WANDB_MODE=offline; going on without it."
    ]


@pytest.mark.slow  # its database, which is made anew
def test_mlflow_runs(local):
    pytest.importorskip("mlflow")
    first = config_of("mlflow", **{"train.num_steps": 20, "log.project": "mine"})
    with pytest.raises(KeyboardInterrupt):
        follow(first, local / "grid" / "a", new=(10, 20), ends=KeyboardInterrupt(), sweep=local / "grid")
    (stopped,) = read_mlflow("mine")
    assert stopped["status"] == "KILLED"
    follow(first | {"train.num_steps": 30}, local / "grid" / "a", kept=(10,), new=(20, 30), sweep=local / "grid")
    follow(first, local / "grid" / "b", new=(10,), ends=False, sweep=local / "grid")
    b, a = sorted(read_mlflow("mine"), key=lambda run: run["status"])
    assert (a["status"], b["status"]) == ("FINISHED", "FAILED")
    assert [(run["name"], run["tags"]["sweep"]) for run in (a, b)] == [("a", "grid"), ("b", "grid")]
    assert a["params"]["train.num_steps"] == "20" and a["tags"]["train.num_steps"] == "30", "a parameter stays"
    assert a["params"].keys() == {key for key, value in first.items() if value is not None}
    expected = {(name, step): value for step in (10, 20, 30) for name, value in values(step).items()}
    expected |= {(name, 20): value for name, value in RESULT[2].items()}
    assert {(name.replace("_at_", "@"), step): value for (name, step), value in a["metrics"].items()} == expected


def test_event_files_have_hyperparameters(tmp_path):
    pytest.importorskip("tensorboard")
    for name, dim in (("a", 4), ("b", 8)):
        config = config_of("tensorboard", **{"model.dim": dim})
        follow(config, tmp_path / name, new=(10, 20), ends=False, sweep=tmp_path)
    with pytest.raises(KeyboardInterrupt):
        follow(config_of("tensorboard"), tmp_path / "c", ends=KeyboardInterrupt(), sweep=tmp_path)
    follow(config_of("tensorboard", **{"model.dim": 4}), tmp_path / "a", kept=(10, 20), new=(30,), sweep=tmp_path)
    expected = {(name, step): value for step in (10, 20, 30) for name, value in values(step).items()}
    expected |= {(name, 20): value for name, value in RESULT[2].items()}
    assert read_event_files(tmp_path / "a" / "tensorboard") == pytest.approx(expected)
    groups = read_hparams(tmp_path)
    assert [(group["name"], group["status"]) for group in groups] == [("a", 1), ("b", 2), ("c", 0)]
    assert [group["hparams"]["model.dim"] for group in groups[:2]] == [4.0, 8.0]
    assert groups[0]["hparams"]["eval.final_ks"] == "()" and groups[0]["hparams"]["log.tensorboard"] is True
    assert "dataset.path" not in groups[0]["hparams"]
    assert groups[0]["metrics"]["test/ndcg@5"] == 0.125


def assert_same_numbers(workdir, found):
    expected = {}
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        step, metrics = record.pop("step"), record.pop("metrics")
        expected |= {(name, step): value for name, value in (record | metrics).items()}
    summary = json.loads((workdir / "summary.json").read_text())
    final = {(f"{part}/{name}", summary["best_step"]) for part in ("valid", "test") for name in summary[part]}
    assert ("ndcg@5", 20) in found and set(found) == set(expected) | final
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-6)
    assert found["test/ndcg@5", summary["best_step"]] == pytest.approx(summary["test"]["ndcg@5"])


@pytest.mark.slow
def test_event_files_say_what_metrics_say_also_of_a_run_that_went_on(tmp_path):
    pytest.importorskip("tensorboard")
    train.train_and_evaluate(tiny_config(log__tensorboard=True), tmp_path)
    assert_same_numbers(tmp_path, read_event_files(tmp_path / "tensorboard"))
    longer = train.train_and_evaluate(tiny_config(log__tensorboard=True, train__num_steps=60), tmp_path)
    assert longer["steps"] == 60
    assert_same_numbers(tmp_path, read_event_files(tmp_path / "tensorboard"))


@pytest.mark.slow
def test_every_run_of_a_sweep_is_a_run_at_every_tracker(local):
    for name in trackers.TRACKERS:
        pytest.importorskip(trackers.TRACKERS[name].package)
    config = tiny_config(**{f"log__{name}": True for name in trackers.TRACKERS})
    folder = local / "grid"
    sweep.run_sweep(sweep.grid.make_grid(config, {}), folder, {"model.dim": (4, 8)})
    found = sorted(path.parent for path in folder.glob("**/summary.json"))
    assert len(found) == 2
    runs = {run["name"]: run for run in read_mlflow("cml_jax")}
    names = [path.relative_to(folder).as_posix() for path in found]
    assert sorted(runs) == names and [group["name"] for group in read_hparams(folder)] == names
    for path, name in zip(found, names, strict=True):
        assert_same_numbers(path, read_event_files(path / "tensorboard"))
        assert_same_numbers(path, {(n.replace("_at_", "@"), s): v for (n, s), v in runs[name]["metrics"].items()})
        (at_wandb,) = read_wandb(path / "wandb")
        assert (at_wandb["name"], at_wandb["group"], at_wandb["exit"]) == (name, "grid", 0)
        assert [*at_wandb["history"]] == [record["step"] for record in read_records(path)]
        assert runs[name]["tags"]["sweep"] == "grid" and runs[name]["status"] == "FINISHED"
    assert np.unique([run["params"]["model.dim"] for run in runs.values()]).tolist() == ["4", "8"]
