"""Early stopping: eval.patience evaluations in a row without a better score end a run."""

import contextlib
import io
import json
import signal

import numpy as np
import pytest
from tqdm import tqdm

from cml_jax.errors import ConfigError
from cml_jax.runs import loop, preemption, progress, run, scoring, workdir
from cml_jax.runs.preemption import Preempted
from cml_jax.runs.setup import make_setup
from experiments import sweep, train
from experiments.config import to_values
from experiments.reports import numbers
from experiments.reports.rows import collect
from experiments.sweeps import grid
from tests.tiny import last_params, read_records, tiny_config

EVERY, STEPS = 10, 300
WITHIN = {
    "train__num_steps": STEPS,
    "train__report_every_steps": EVERY // 2,
    "eval__every_steps": EVERY,
    "optimizer__learning_rate": 0.05,
}


def ends_at(values, patience):
    """Of scores at evaluations 1, 2, ...: the evaluation that ends the run, and the best one up to it."""
    best = 0
    for number, value in enumerate(values):
        if value > values[best]:
            best = number
        if number - best >= patience:
            return number + 1, best + 1
    raise AssertionError(f"patience {patience} does not end {values}")


@contextlib.contextmanager
def stopped_while_scored(monkeypatch):
    """SIGTERM comes when the first run is scored."""
    score = scoring.final_scores

    def stopped(*arguments):
        signal.raise_signal(signal.SIGTERM)
        return score(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(scoring, "final_scores", stopped)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Scores of the evaluations of a run that goes on to its last step."""
    folder = tmp_path_factory.mktemp("whole")
    summary = train.train_and_evaluate(tiny_config(**WITHIN), folder)
    assert summary["steps"] == STEPS and summary["patience"] is None
    return [record["metrics"]["ndcg@5"] for record in read_records(folder) if record["metrics"]]


@pytest.mark.parametrize("patience", [1, 4])
def test_a_run_ends_after_that_many_evaluations_without_a_better_one(patience, whole, tmp_path, capsys):
    last, best = ends_at(whole, patience)
    assert last * EVERY < STEPS
    summary = train.train_and_evaluate(tiny_config(**WITHIN, eval__patience=patience), tmp_path)
    assert (summary["steps"], summary["best_step"]) == (last * EVERY, best * EVERY)
    assert summary["patience"] == patience and summary["test"]
    assert [record["metrics"]["ndcg@5"] for record in read_records(tmp_path) if record["metrics"]] == whole[:last]
    said, why = capsys.readouterr(), f"evaluation{'s in a row' if patience > 1 else ''} without a better ndcg@5."
    assert f"\nEnded early: {patience} {why}\n" in said.out
    assert f"Ended early, after step {last * EVERY}: {patience} {why}\n" in said.err


def test_a_run_that_is_out_of_patience_at_its_last_step_ended_there(whole, tmp_path, capsys):
    last, _ = ends_at(whole, 4)
    config = tiny_config(**WITHIN | {"train__num_steps": last * EVERY}, eval__patience=4)
    summary = train.train_and_evaluate(config, tmp_path)
    said = capsys.readouterr()
    assert summary["steps"] == last * EVERY and summary["patience"] is None
    assert "Ended early" not in said.out + said.err


def test_it_is_finished_then_and_more_patience_goes_on_to_the_same_end(whole, tmp_path):
    """As a run with that patience from the start, to the bit, and no longer run is needed for what is over."""
    little = tiny_config(**WITHIN, eval__patience=1)
    first = train.train_and_evaluate(little, tmp_path / "run")
    files = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "run").iterdir()}
    little.train.num_steps = 2 * STEPS
    assert train.train_and_evaluate(little, tmp_path / "run") == json.loads(json.dumps(first))
    assert files["summary.json"] == (tmp_path / "run/summary.json").stat().st_mtime_ns
    more = tiny_config(**WITHIN, eval__patience=4)
    gone_on = train.train_and_evaluate(more, tmp_path / "run")
    at_once = train.train_and_evaluate(more, tmp_path / "at_once")
    assert gone_on["steps"] == at_once["steps"] == ends_at(whole, 4)[0] * EVERY > first["steps"]
    for key in ("valid", "test", "best_step", "patience"):
        assert gone_on[key] == at_once[key]
    for one, other in zip(last_params(tmp_path / "run"), last_params(tmp_path / "at_once"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert train.train_and_evaluate(little, tmp_path / "run") == json.loads(json.dumps(gone_on)), "with less patience"
    without = train.train_and_evaluate(tiny_config(**WITHIN), tmp_path / "run")
    assert without["steps"] == STEPS and without["patience"] is None


def test_what_went_on_since_it_ended_is_not_finished(whole, tmp_path, monkeypatch):
    little = tiny_config(**WITHIN, eval__patience=1)
    ended = train.train_and_evaluate(little, tmp_path / "run")["steps"]
    evaluate, count = run.Run.evaluate, iter(range(STEPS))

    def stopped(opened, params):
        if next(count) == 1:
            signal.raise_signal(signal.SIGTERM)
        return evaluate(opened, params)

    with monkeypatch.context() as patched:
        patched.setattr(run.Run, "evaluate", stopped)
        with pytest.raises(Preempted):
            train.train_and_evaluate(tiny_config(**WITHIN), tmp_path / "run")
    opened = workdir.Workdir(tmp_path / "run", [], writes=False)
    assert opened.newest_step() == ended + 2 * EVERY and not opened.is_finished(STEPS, 1)
    summary = train.train_and_evaluate(little, tmp_path / "run")
    assert summary["steps"] > ended and summary["steps"] % EVERY == 0


def test_a_signal_while_the_ended_run_is_scored_loses_nothing(whole, tmp_path, monkeypatch):
    config = tiny_config(**WITHIN, eval__patience=1)
    expected = train.train_and_evaluate(config, tmp_path / "whole")
    with stopped_while_scored(monkeypatch):
        sentence = f"after step {expected['steps']} of .*run, which is saved; test was not scored"
        with pytest.raises(Preempted, match=sentence):
            train.train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run/summary.json").exists()
    found = train.train_and_evaluate(config, tmp_path / "run")
    for key in ("valid", "test", "best_step", "steps", "patience"):
        assert found[key] == expected[key]
    assert read_records(tmp_path / "run") == read_records(tmp_path / "whole")


def test_a_signal_while_one_of_several_is_scored_keeps_what_the_others_did(tmp_path, monkeypatch):
    """Not only what they had at their last checkpoint."""
    config = tiny_config(**WITHIN, eval__patience=1, checkpoint__every_steps=STEPS)
    both = grid.make_grid(config, {"optimizer.learning_rate": (0.05, 1e-6)})
    sweep.run_sweep(both, tmp_path / "whole")
    expected = {
        path.parent.parent.name: json.loads(path.read_text()) for path in (tmp_path / "whole").rglob("summary.json")
    }
    first = min(summary["steps"] for summary in expected.values())
    with stopped_while_scored(monkeypatch), pytest.raises(Preempted):
        sweep.run_sweep(both, tmp_path / "cut")
    saved = {
        path.parent.parent.name: {int(step.name) for step in path.iterdir()}
        for path in (tmp_path / "cut").rglob("checkpoints")
    }
    assert saved == {label: {first} for label in expected} and len(saved) == 2
    sweep.run_sweep(both, tmp_path / "cut")
    for path in (tmp_path / "cut").rglob("summary.json"):
        found = json.loads(path.read_text())
        for key in ("valid", "test", "best_step", "steps", "patience"):
            assert found[key] == expected[path.parent.parent.name][key], (path, key)


def test_of_runs_trained_together_each_ends_by_itself(tmp_path):
    config = tiny_config(**WITHIN, eval__patience=2)
    sweep.run_sweep(grid.make_grid(config, {"optimizer.learning_rate": (0.05, 1e-6), "seed": (0, 1)}), tmp_path / "all")
    steps = set()
    for path in (tmp_path / "all").rglob("summary.json"):
        found, values = json.loads(path.read_text()), json.loads((path.parent / "config.json").read_text())
        config.seed, config.optimizer.learning_rate = values["seed"], values["optimizer"]["learning_rate"]
        alone = train.train_and_evaluate(config, tmp_path / "alone" / str(len(steps)) / path.parent.name)
        assert found["members"] == 4 and found["wall_seconds"] > 0
        for key in ("valid", "test", "best_step", "steps", "patience"):
            assert found[key] == alone[key], path
        steps.add(found["steps"])
    assert len(steps) > 1
    rows = sorted(collect(tmp_path / "all"), key=lambda row: row.label, reverse=True)
    assert [(row.label, row.seeds) for row in rows] == [("learning_rate=1e-06", [0, 1]), ("learning_rate=0.05", [0, 1])]
    done = {
        json.loads(path.read_text())["steps"] for path in (tmp_path / "all/learning_rate=0.05").rglob("summary.json")
    }
    assert numbers.steps(rows[1]) == " to ".join(map(str, sorted(done)))
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "all").rglob("summary.json")}
    grids = grid.make_grid(config, {"optimizer.learning_rate": (0.05, 1e-6), "seed": (0, 1)})
    sweep.run_sweep(grids, tmp_path / "all")
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_the_bar_is_full_where_the_rest_is_left_out():
    with tqdm(total=100, file=io.StringIO()) as bar:
        shown = progress.Bar(bar, scale=2)
        shown.advance(10, "loss 1")
        shown.leave_out(40)
        assert bar.n == bar.total == 20


def test_a_run_that_ends_early_leaves_the_rest_of_its_bar_out(whole, monkeypatch):
    steps = {"taken": 0, "left out": 0}

    class Counted(progress.Silent):
        def advance(self, num_steps, text):
            steps["taken"] += num_steps

        def leave_out(self, num_steps):
            steps["left out"] += num_steps

    monkeypatch.setattr(loop, "open_progress", lambda *_: contextlib.nullcontext(Counted()))
    with preemption.watch() as watch:
        summary, _ = loop.train_alone(
            make_setup(to_values(tiny_config(**WITHIN, eval__patience=1))), None, watch, print
        )
    assert steps == {"taken": summary.steps, "left out": STEPS - summary.steps} and summary.patience == 1


def test_patience_that_cannot_run_out_is_said():
    for every, said in ((30, True), (20, False)):
        values = to_values(tiny_config(train__num_steps=90, eval__every_steps=every, eval__patience=2))
        lines = [line for line in make_setup(values).notes if "eval.patience = 2 has no effect" in line]
        assert bool(lines) == said


def test_without_validation_there_is_nothing_to_wait_for(tmp_path):
    for patience, sentence in ((0, "patience = 0"), (3, "patience = 3 needs a validation part; raise config.dataset")):
        rows = "\n".join(f"{u} " + " ".join(str((3 * u + 7 * j) % 40) for j in range(8)) for u in range(30))
        (tmp_path / "train.txt").write_text(rows)
        (tmp_path / "test.txt").write_text("0 39")
        config = tiny_config(dataset__name="mine", dataset__valid_fraction=0.0, eval__patience=patience)
        config.dataset.path = str(tmp_path)
        with pytest.raises(ConfigError, match=sentence):
            train.train_and_evaluate(config, tmp_path / "run")
        assert not (tmp_path / "run").exists()
