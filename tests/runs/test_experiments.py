import importlib
import itertools
import json
import math
import os

import jax
import numpy as np
import pytest

from cml_jax import training
from cml_jax.errors import ConfigError
from cml_jax.runs import validation
from cml_jax.runs.setup import make_setup
from experiments import sweep, train
from experiments.config import to_values
from experiments.sweeps import grid, planning
from tests.tiny import ROOT, commands, last_params, read_records, tiny_config

_CONFIG_FOLDER = ROOT / "experiments" / "configs"
CONFIGS = sorted(str(path.relative_to(_CONFIG_FOLDER)) for path in _CONFIG_FOLDER.rglob("[a-z]*.py"))
GRIDS = [name for name in CONFIGS if name.startswith(("family/", "grids/", "results/"))]


FROZEN = {"sampler__name": "two_stage", "sampler__refresh_every": 0}


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
    run_files = {
        "config.json",
        "dataset.npz",
        "metrics.jsonl",
        "summary.json",
        "per_user.npz",
        "curves.png",
        "curves.pdf",
    }
    assert names == run_files | {"checkpoints"}
    summary = json.loads((folder / "summary.json").read_text())
    assert summary == json.loads(json.dumps(returned))
    assert set(summary) == {
        *("valid", "test", "intervals", "best_step", "steps", "triplets_per_second", "wall_seconds", "dataset"),
        *("versions", "device", "members", "by_popularity", "best_test", "patience"),
    }
    assert summary["dataset"]["users"] == summary["dataset"]["items"] == summary["dataset"]["test"] == 50
    assert len(summary["dataset"]["sha256"]) == 64 and summary["steps"] == 40 and summary["best_step"] in (20, 40)
    metrics = {"ndcg", "map", "recall", "precision", "hit_rate", "mrr", "mmr", "coverage", "gini"}
    assert set(summary["test"]) == set(summary["valid"]) == {f"{name}@{k}" for name in metrics for k in (1, 5)}
    for part in ("valid", "test"):
        assert set(summary["intervals"][part]) == {name for name in summary[part] if name[:4] not in ("cove", "gini")}
        for name, (low, high) in summary["intervals"][part].items():
            assert low <= summary[part][name] <= high
    assert 0 < summary["intervals"]["test"]["ndcg@5"][1] - summary["intervals"]["test"]["ndcg@5"][0] < 1
    assert json.loads((folder / "config.json").read_text())["model"]["dim"] == 8
    records = read_records(folder)
    assert [record["step"] for record in records] == [10, 20, 30, 40]
    assert [bool(record["metrics"]) for record in records] == [False, True, False, True]
    assert set(records[1]) == {"step", "pass", "loss", "no_negative", "metrics"}
    assert records[3]["pass"] == pytest.approx(40 / math.ceil(summary["dataset"]["train"] / 64))
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr()
    assert "test ndcg@5: 95 % bootstrap interval over users" in printed.out
    assert "ndcg" in printed.out and "triplets/s" in printed.out and "mmr@5" in printed.err
    best = max((r["metrics"]["ndcg@5"], -r["step"]) for r in records if r["metrics"])
    assert summary["valid"]["ndcg@5"] == pytest.approx(best[0]) and summary["best_step"] == -best[1]


def test_seed_decides_the_records(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        train.train_and_evaluate(tiny_config(seed=seed), tmp_path / name)
    a, b, c = (read_records(tmp_path / name) for name in "abc")
    assert a == b != c


def shrunk_config(name):
    """The config of a file for a run of seconds, and its module."""
    module = importlib.import_module(f"experiments.configs.{name.removesuffix('.py').replace('/', '.')}")
    config = module.get_config()
    assert f"--config=experiments/configs/{name}" in str(module.__doc__)
    shrunk = tiny_config()
    for key in ("dataset", "eval", "checkpoint"):
        config[key] = shrunk[key]
    if config.model.name == "cml_features":
        config.dataset.name = "cold_items"  # which has features
    config.model.dim, config.sampler.num_candidates, config.train.num_steps = 8, 30, 20
    config.train.report_every_steps = shrunk.train.report_every_steps  # so that programs are those of other tests
    config.train.batch_size = 40 if config.sampler.without_replacement else shrunk.train.batch_size
    return config


def by_kind():
    """Configs that are no grids, in two parts: the first of each model, loss and sampler, and the others."""
    first = {}
    names = sorted({*CONFIGS} - {*GRIDS})
    for name in names:
        options = validation.options_of(to_values(shrunk_config(name)))
        first.setdefault((options.model.name, options.loss.name, options.sampler.name), name)
    return [*first.values()], [name for name in names if name not in first.values()]


FIRST, OTHERS = by_kind()


@pytest.mark.parametrize("name", [*FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def test_every_config_runs_when_shrunk(name, tmp_path):
    config = shrunk_config(name)
    summary = train.train_and_evaluate(config, tmp_path)
    assert all(np.isfinite(list(summary["test"].values())))


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_config_has_a_step(name):
    """Traced and not compiled, which takes a tenth of the time."""
    found = make_setup(to_values(shrunk_config(name)))
    data = jax.eval_shape(found.dataset.train.to_device)
    state = jax.eval_shape(training.init_state, found.options, data, 0)
    after, metrics = jax.eval_shape(training.make_step(found.options), state, data)
    assert jax.tree.structure(after) == jax.tree.structure(state) and metrics.loss.shape == ()


@pytest.mark.slow
@pytest.mark.parametrize("name", GRIDS)
def test_every_grid_runs_when_shrunk(name, tmp_path):
    """The first and the last kind of run, of every kind with CML_ALL=1; all runs are checked against the data."""
    config = shrunk_config(name)
    config.sweep.axes.seed = (0,)
    points, largest = [], {"train.batch_size": 100, "sampler.num_candidates": 30}
    for point in map(dict, config.sweep.points):
        smaller = {key: min(point[key], most) for key, most in largest.items() if key in point}
        points.append(point | {"eval.every_steps": 20} | smaller)
    config.sweep.points = tuple(points)
    plan = planning.make_plan(config)
    configs = {point.folder: point.config for point in grid.points(config)}
    kinds = list({jax.tree.structure(run.setup.options): run for run in reversed(plan.runs)}.values())
    for run in (
        kinds if os.environ.get("CML_ALL") else {kinds[0].folder: kinds[0], kinds[-1].folder: kinds[-1]}.values()
    ):
        summary = train.train_and_evaluate(configs[run.folder], tmp_path / run.folder)
        assert all(np.isfinite(list(summary["test"].values())))


def test_batch_size_grid_has_two_budgets():
    from experiments.configs.grids import batch_size

    by_passes, by_steps = (batch_size.get_config(budget) for budget in ("passes", "steps"))
    assert (by_passes.train.num_steps, by_steps.train.num_steps) == (None, 4032)
    with pytest.raises(ValueError, match="'seconds' is not a budget; choose one of passes, steps"):
        batch_size.get_config("seconds")


def test_ladder_changes_one_thing_a_rung():
    from experiments.config import flatten
    from experiments.configs import ladder

    *configs, soft = [dict(flatten(ladder.get_config(rung))) for rung in ladder.CHANGES]
    for below, above in itertools.pairwise(configs):
        changed = {key for key in above if above[key] != below[key]}
        assert 1 <= len(changed) <= 3 and len({key.split(".")[0] for key in changed}) == 1
    last = configs[-1]
    assert (last["sampler.name"], last["sampler.refresh_every"], last["model.gor_weight"]) == ("two_stage", 1, 1.0)
    assert {key for key in soft if soft[key] != last[key]} == {
        *(
            "model.loss",
            "model.temperature",
            "model.negative_exponent",
            "model.gor_weight",
            "sampler.popularity_exponent",
        )
    }
    assert (soft["model.loss"], soft["model.decoupled"], soft["sampler.popularity_exponent"]) == ("softmax", True, 0.0)
    with pytest.raises(ValueError, match="'8-moon' is not a rung; choose one of 1-uniform"):
        ladder.get_config("8-moon")


@pytest.fixture(scope="module")
def command_lines(tmp_path_factory):
    """A folder in which the released config has been run on other data, and the quickstart on the checkerboard."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "data").mkdir()
    rows = [f"{u} " + " ".join(str((3 * u + 7 * j) % 40) for j in range(8)) for u in range(30)]
    (folder / "data" / "train.txt").write_text("\n".join(rows))
    for name, offset in (("valid", 8), ("test", 9)):
        (folder / "data" / f"{name}.txt").write_text("\n".join(f"{u} {(3 * u + 7 * offset) % 40}" for u in range(30)))
    released = [
        f"--config={ROOT}/experiments/configs/released/two_stage.py",
        "--config.dataset.name=mine",
        f"--config.dataset.path={folder / 'data'}",
        "--config.sampler.num_candidates=20",
        "--config.train.batch_size=40",
        "--config.train.num_steps=30",
        "--config.eval.ks=(5,)",
        f"--workdir={folder / 'run'}",
    ]
    quickstart = [
        f"--config={ROOT}/experiments/configs/quickstart.py",
        "--config.dataset.name=checkerboard",
        "--config.sampler.num_candidates=30",
        "--config.train.num_steps=20",
        "--config.eval.ks=(5,)",
    ]
    return folder, *commands([released, quickstart], cwd=folder)


def test_released_config_runs_on_other_data_by_overrides(command_lines):
    folder, done, _ = command_lines
    assert done.returncode == 0, done.stderr
    assert "valid ndcg@5: 95 %" in done.stdout and "optimistic" in done.stdout
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert summary["test"] == {} and summary["dataset"]["train"] == 240 and summary["dataset"]["valid"] == 30
    resolved = json.loads((folder / "run" / "config.json").read_text())["dataset"]
    assert (resolved["format"], resolved["min_rating"], resolved["min_user_items"]) == ("adjacency", None, 0)


def test_command_line_trains_and_prints_the_table(command_lines):
    folder, _, done = command_lines
    assert done.returncode == 0, done.stderr
    assert "valid @5" in done.stdout and "Traceback" not in done.stderr
    (workdir,) = (folder / "runs").glob("quickstart-*")  # the default workdir
    assert f"runs/{workdir.name}" in done.stderr
    assert json.loads((workdir / "summary.json").read_text())["steps"] == 20


@pytest.mark.parametrize(
    "overrides",
    [
        {"model__loss": "softmax", "model__constraint": "ball"},
        {"model__loss": "bpr", "model__constraint": "none", "model__l2_weight": 0.01, "sampler__name": "uniform"},
        {
            **{"optimizer__rows": "dense", "optimizer__name": "adagrad", "model__num_negatives": 3},
            **{"sampler__refresh_every": 7, "model__constraint": "none"},
        },
        {
            **{"sampler__name": "popularity", "sampler__popularity_cap": 4.0, "sampler__without_replacement": True},
            **{"train__batch_size": 50, "model__gor_weight": 0.1},
        },
        {
            **{"optimizer__rows": "catch_up", "sampler__own_positive": "uniform_draw"},
            **{"sampler__known_positives": "retry_then_keep", "model__loss_reduction": "sum"},
            **{"model__gor_form": "sum", "model__gor_weight": 0.01},
        },
    ],
    ids=str,
)
def test_options_run_through_the_entrypoint(overrides, tmp_path):
    summary = train.train_and_evaluate(tiny_config(train__num_steps=20, **overrides), tmp_path)
    assert all(np.isfinite(list(summary["test"].values())))


def test_best_test_score_along_the_way_stands_beside_the_chosen_one(tmp_path, capsys):
    """Nothing else changes by it, and a run that was stopped and goes on finds the same."""
    plain = train.train_and_evaluate(tiny_config(), tmp_path / "plain")
    config = tiny_config(eval__final_split="best_test", train__num_steps=20)
    train.train_and_evaluate(config, tmp_path / "run")
    config.train.num_steps = tiny_config().train.num_steps
    summary = train.train_and_evaluate(config, tmp_path / "run")
    for part in ("valid", "test"):
        assert summary[part] == plain[part]
    assert plain["best_test"] == {} and summary["best_step"] == plain["best_step"]
    records = [record for record in read_records(tmp_path / "run") if "test_metrics" in record]
    assert len(records) == 2
    values = [record["test_metrics"]["ndcg@5"] for record in records]
    best = records[int(np.argmax(values))]
    assert summary["best_test"] == {"step": best["step"], "metrics": best["test_metrics"]}
    at_best = next(record for record in records if record["step"] == summary["best_step"])
    assert at_best["test_metrics"]["ndcg@5"] == summary["test"]["ndcg@5"]
    assert f"so chosen on test: {max(values):.4f} at step {best['step']}\n" in capsys.readouterr().out


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


def test_without_validation_everything_is_trained_on_and_the_last_step_counts(tmp_path, capsys):
    rows = [f"{u} " + " ".join(str((3 * u + 7 * j) % 40) for j in range(8)) for u in range(30)]
    (tmp_path / "train.txt").write_text("\n".join(rows))
    (tmp_path / "test.txt").write_text("\n".join(f"{u} {(3 * u + 56) % 40}" for u in range(30)))
    config = tiny_config(
        dataset__name="mine", dataset__valid_fraction=0.0, train__num_steps=30, sampler__name="uniform"
    )
    config.dataset.path = str(tmp_path)
    summary = train.train_and_evaluate(config, tmp_path / "run")
    assert summary["valid"] == {} and summary["dataset"]["train"] == 240 and summary["dataset"]["valid"] == 0
    assert summary["best_step"] == 30 and 0 < summary["test"]["ndcg@5"] <= 1
    assert "No validation part: the parameters of the last step, 30." in capsys.readouterr().out
    assert all(record["metrics"] == {} for record in read_records(tmp_path / "run"))
    best = last_params(tmp_path / "run")
    np.testing.assert_array_equal(best[0], best[2])
    assert train.train_and_evaluate(config, tmp_path / "run") == json.loads(json.dumps(summary))
    sweep.run_sweep(grid.make_grid(config, {"seed": (0, 1)}), tmp_path / "sweep")
    assert json.loads((tmp_path / "sweep" / "0" / "summary.json").read_text())["test"] == summary["test"]
    config.eval.final_split = "best_test"
    summary_of_both = train.train_and_evaluate(config, tmp_path / "both")
    along = [record["test_metrics"]["ndcg@5"] for record in read_records(tmp_path / "both") if "test_metrics" in record]
    assert len(along) == 2 and along[-1] == summary_of_both["test"]["ndcg@5"] == summary["test"]["ndcg@5"]
    assert summary_of_both["best_test"]["metrics"]["ndcg@5"] == max(along)
    config.eval.final_split = "valid"
    with pytest.raises(ConfigError, match=r"final_split = 'valid' needs a validation part"):
        train.train_and_evaluate(config, tmp_path / "other")
