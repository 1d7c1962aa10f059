import importlib.util
import json

import numpy as np
import pytest

from cml_jax.data import datasets
from cml_jax.data.interactions import from_pairs
from cml_jax.errors import ConfigError, UserError
from cml_jax.ranking import top_k
from cml_jax.types import Factors
from experiments import report, train
from experiments.results import baselines, item_models
from experiments.sweeps import grid
from tests.tiny import tiny_config

needs_implicit = pytest.mark.skipif(importlib.util.find_spec("implicit") is None, reason="implicit is not installed")
needs_irspack = pytest.mark.skipif(importlib.util.find_spec("irspack") is None, reason="irspack is not installed")
FITTED = [{"name": "als", "regularization": 0.1}, {"name": "implicit_bpr", "learning_rate": 0.1, "iterations": 60}]


def config_with(*entries, seeds=(0, 1)):
    return grid.make_grid(tiny_config(), {"seed": seeds}, baselines=entries)


def test_most_popular_items_are_listed_by_their_counts():
    rng = np.random.default_rng(5)
    users, items = rng.integers(0, 30, 200), (40 * rng.random(200) ** 3).astype(int)
    train_part = from_pairs(users, items, 30, 40)
    assert np.unique(train_part.popularity).size > 6
    factors = baselines.fit("popular", {}, train_part, 8, 0)
    nothing = from_pairs(np.zeros(0, int), np.zeros(0, int), 30, 40)
    listed = top_k(factors, np.arange(3), nothing, 40)
    expected = np.argsort(-train_part.popularity, kind="stable")
    np.testing.assert_array_equal(listed, np.tile(expected, (3, 1)))


@needs_implicit
@pytest.mark.parametrize("entry", FITTED, ids=lambda entry: entry["name"])
def test_library_models_learn_the_checkerboard_and_repeat(entry, tmp_path):
    baselines.run_all(config_with(entry), tmp_path / "a")
    baselines.run_all(config_with(entry, seeds=(0,)), tmp_path / "b")
    summaries = [
        json.loads((tmp_path / where / entry["name"] / seed / "summary.json").read_text())
        for where, seed in (("a", "0"), ("b", "0"), ("a", "1"))
    ]
    assert summaries[0]["test"]["precision@1"] > 0.9, "chance is 0.02"
    assert summaries[0]["test"] == summaries[1]["test"]
    assert summaries[0]["versions"]["implicit"]
    assert json.loads((tmp_path / "a" / entry["name"] / "1" / "config.json").read_text())["baseline"] == {
        "dim": 8,
        **baselines._DEFAULTS[entry["name"]],
        **entry,
    }


@needs_implicit
def test_the_seed_reaches_the_library():
    train_part = datasets.load(**tiny_config().dataset).train
    for name in ("als", "implicit_bpr"):
        same, again, other = (baselines.fit(name, {"iterations": 2}, train_part, 4, seed) for seed in (3, 3, 4))
        assert isinstance(same, Factors) and isinstance(again, Factors) and isinstance(other, Factors)
        np.testing.assert_array_equal(same.queries, again.queries)
        assert not np.array_equal(same.queries, other.queries)


def test_a_report_has_baselines_beside_trained_runs(tmp_path):
    train.train_and_evaluate(tiny_config(sampler__name="uniform"), tmp_path / "uniform" / "0")
    baselines.run_all(config_with({"name": "popular"}), tmp_path)
    report.write_report(tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "| popular | 1 |" in text and "### Against uniform" in text
    assert not (tmp_path / "popular" / "1").exists(), "nothing in it depends on a seed"


@pytest.mark.parametrize(
    ("entries", "sentence"),
    [
        ([], "baselines is empty"),
        ([{"name": "als2"}], "'als2' is unknown; choose one of popular, als, implicit_bpr, item_knn, ease, slim"),
        ([{"name": "als", "learning_rate": 0.1}], "'learning_rate' is not an option of 'als'"),
        ([{"name": "als", "alpha": "much"}], "alpha = 'much' of 'als' must be a number above 0"),
        (
            [{"name": "item_knn", "weighting": "idf"}],
            "weighting = 'idf' of 'item_knn' is unknown; choose one of",
        ),
        ([{"name": "popular", "alpha": 1.0}], "'alpha' is not an option of 'popular', which has: none"),
    ],
)
def test_entries_that_cannot_be_used_are_refused_before_any_work(entries, sentence, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        baselines.run_all(config_with(*entries), tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_the_library_the_error_says_what_to_install(monkeypatch, tmp_path):
    real = importlib.import_module

    def missing(name, package=None):
        if name.partition(".")[0] in ("implicit", "irspack"):
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", missing)
    for name in ("als", "ease"):
        with pytest.raises(UserError, match=rf"'{name}' needs pip install -e '\.\[baselines\]'"):
            baselines.run_all(config_with({"name": name}), tmp_path)


@needs_implicit
def test_a_baseline_that_diverges_is_named_with_its_options(tmp_path):
    entry = {"name": "implicit_bpr", "learning_rate": 1e8, "iterations": 3}
    with pytest.raises(UserError, match=r"'implicit_bpr' with .*100000000.* has no finite factors"):
        baselines.run_all(config_with(entry), tmp_path)
    assert not list(tmp_path.rglob("summary.json"))


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param({"name": "item_knn", "num_neighbours": 10}, marks=needs_implicit),
        pytest.param({"name": "ease", "regularization": 10.0}, marks=needs_irspack),
        pytest.param({"name": "slim", "alpha": 0.01}, marks=needs_irspack),
    ],
    ids=lambda entry: entry["name"],
)
def test_models_of_item_weights_learn_the_checkerboard_once_and_have_no_dimension(entry, tmp_path):
    baselines.run_all(config_with(entry), tmp_path)
    assert [path.name for path in (tmp_path / entry["name"]).iterdir()] == ["0"], "nothing depends on a seed"
    folder = tmp_path / entry["name"] / "0"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["test"]["precision@1"] > 0.9, "chance is 0.02"
    assert summary["versions"][item_models.LIBRARIES[entry["name"]]]
    kept = json.loads((folder / "config.json").read_text())["baseline"]
    assert kept == {**baselines._DEFAULTS[entry["name"]], **entry}
