"""A sweep that is narrowed to some of its runs."""

import json

import pytest

from cml_jax.errors import ConfigError
from experiments import sweep
from experiments.sweeps import grid, planning
from tests.tiny import tiny_config

AXES = {"sampler.name": ("uniform", "two_stage"), "train.batch_size": (32, 64), "seed": (0, 1)}


def chosen(*only):
    return [point.folder for point in grid.narrowed(grid.points(grid.make_grid(tiny_config(), AXES)), only)]


def test_labels_patterns_and_folders_choose_runs_in_the_grids_order():
    everything = chosen()
    assert len(everything) == 8
    assert chosen("uniform,batch_size=64") == ["uniform,batch_size=64/0", "uniform,batch_size=64/1"]
    assert chosen("two_stage*", "uniform*") == everything
    assert chosen("*=32/1") == ["uniform,batch_size=32/1", "two_stage,batch_size=32/1"]
    assert chosen("two_stage,batch_size=64/0", "uniform,batch_size=32") == [
        *("uniform,batch_size=32/0", "uniform,batch_size=32/1", "two_stage,batch_size=64/0")
    ]


def test_seeds_alone_are_chosen_by_their_folder():
    points = grid.points(grid.make_grid(tiny_config(), {"seed": (4, 5)}))
    assert [point.folder for point in grid.narrowed(points, ["5"])] == ["5"]
    with pytest.raises(ConfigError, match=r"^--only=6: no run of this grid has such a label; choose some of 4, 5\.$"):
        grid.narrowed(points, ["6"])


def test_a_label_with_brackets_stands_for_itself():
    points = [grid.Point("name=[a]/0", None), grid.Point("name=a/0", None)]
    assert [point.folder for point in grid.narrowed(points, ["name=[a]"])] == ["name=[a]/0", "name=a/0"]


@pytest.mark.parametrize(
    ("pattern", "sentence"),
    [
        ("unifrom,batch_size=32", r"--only=unifrom,batch_size=32: .*; did you mean uniform,batch_size=32 or .*\?$"),
        ("x", r"--only=x: .*; choose some of uniform,batch_size=32, uniform,batch_size=64, two_stage,batch_size=32, "),
        ("Uniform*", r"--only=Uniform\*: no run of this grid has such a label"),
    ],
)
def test_unknown_labels_are_one_sentence_with_close_ones(tmp_path, pattern, sentence):
    config = grid.make_grid(tiny_config(), AXES)
    with pytest.raises(ConfigError, match=sentence):
        sweep.run_sweep(config, tmp_path / "grid", only=["uniform*", pattern])
    assert not list((tmp_path / "grid").iterdir())


def test_only_what_is_chosen_is_checked_planned_and_timed(capsys):
    config = grid.make_grid(tiny_config(), {"train.batch_size": (64, 10**8), "seed": (0, 1)})
    with pytest.raises(ConfigError, match="is above the number of training pairs"):
        planning.make_plan(config)
    plan = planning.make_plan(config, only=["batch_size=64"])
    assert [run.folder for run in plan.runs] == ["batch_size=64/0", "batch_size=64/1"]
    planning.show_plan(plan, 4096.0)
    assert "2 runs in 1 groups" in capsys.readouterr().out


def test_runs_of_earlier_calls_stay_listed_and_in_the_report(tmp_path):
    axes = {"sampler.name": ("uniform", "two_stage", "popularity"), "seed": (0, 1)}
    config = grid.make_grid(tiny_config(train__num_steps=20, model__dim=4), axes, baseline="popularity")
    sweep.run_sweep(config, tmp_path, only=["uniform/1"])
    assert {path.parent.name for path in tmp_path.glob("*/*")} == {"uniform"}
    assert json.loads((tmp_path / "sweep.json").read_text()) == {"baseline": None, "runs": ["uniform/1"]}
    sweep.run_sweep(config, tmp_path, only=["pop*/0"])
    listed = {"baseline": "popularity", "runs": ["uniform/1", "popularity/0"]}
    assert json.loads((tmp_path / "sweep.json").read_text()) == listed
    report = (tmp_path / "report.md").read_text()
    assert "### Against popularity" in report and "| uniform |" in report
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/*")) == ["popularity/0", "uniform/1"]
    sweep.run_sweep(config, tmp_path)
    folders = [f"{name}/{seed}" for name in axes["sampler.name"] for seed in (0, 1)]
    assert json.loads((tmp_path / "sweep.json").read_text())["runs"] == folders
