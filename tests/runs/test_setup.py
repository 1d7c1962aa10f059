"""What a run is, from its config: every key reaches what it is for, and what runs must share to be trained together."""

import math

import numpy as np
import pytest

from cml_jax import keys
from cml_jax.data import datasets
from cml_jax.errors import ConfigError
from cml_jax.runs import scoring
from cml_jax.runs.config import KEYS
from cml_jax.runs.setup import Periods, make_setup
from experiments.config import to_values
from experiments.sweeps import grid, planning
from tests import some_features
from tests.runs.options_by_key import configs_that_use, other_value
from tests.tiny import tiny_config

CHECKERBOARD = datasets.load("checkerboard")._replace(item_features=some_features.features(50, 0))
PAIRS, BATCH = 1150, 64
PASS = math.ceil(PAIRS / BATCH)
REST = {  # keys that no compiled step depends on -> where their value ends
    "seed": lambda setup: setup.seed,
    "compilation_cache_dir": lambda setup: setup.config["compilation_cache_dir"],
    "init_from": lambda setup: setup.config["init_from"],
    "init_moments": lambda setup: setup.config["init_moments"],
    "train.num_steps": lambda setup: setup.num_steps,
    "train.num_passes": lambda setup: setup.num_steps / PASS,
    "train.report_every_steps": lambda setup: setup.periods.report,
    "eval.every_steps": lambda setup: setup.periods.evaluate,
    "eval.ks": lambda setup: setup.protocol.ks,
    "eval.final_ks": lambda setup: setup.protocol.final_ks,
    "eval.select": lambda setup: setup.protocol.metric,
    "eval.enough_held_out": lambda setup: setup.protocol.enough_held_out,
    "eval.final_split": lambda setup: setup.protocol.final_split,
    "eval.memory_budget_mb": lambda setup: setup.protocol.memory_budget_mb,
    "eval.compare": lambda setup: setup.config["eval.compare"],
    "eval.max_users": lambda setup: len(setup.valid_users),
    "eval.patience": lambda setup: setup.config["eval.patience"],
    "checkpoint.every_steps": lambda setup: setup.periods.checkpoint,
    "checkpoint.keep": lambda setup: setup.config["checkpoint.keep"],
    **{key: lambda setup, key=key: setup.config[key] for key in KEYS if key.startswith("log.")},
    "sharding.num_shards": lambda setup: setup.options.num_shards,
}
DERIVED = ("num_draws", "gor", "covariance", "average", "anneals_cutoff", "anneals_exponent")  # static, from numbers
OF_DATA = [key for key in KEYS if key.startswith("dataset.")]


def setup_of(config, loaded=None):
    def load(**options):
        if loaded is not None:
            loaded.update(options)
        return CHECKERBOARD, "digest"

    return make_setup(to_values(config), load)


def test_every_key_is_covered_here():
    assert {*REST, *OF_DATA, *keys.KEYS} == {*KEYS}


@pytest.mark.parametrize("key", keys.KEYS)
def test_every_option_reaches_the_step(key):
    """Under each model, loss and sampler that use it."""
    name = next(name for name, of_key in keys.OPTION_NAMES.items() if of_key == key)
    found = 0
    for _, config in configs_that_use(key):
        value, expected = setup_of(config).options.values()[name], to_values(config)[key]
        assert value == pytest.approx(expected) if isinstance(expected, float) else value == expected
        found += 1
    assert found, "no strategy uses it"


@pytest.mark.parametrize("key", REST)
def test_every_other_key_reaches_the_run(key):
    value = other_value(key)
    if key in ("train.num_passes", "train.num_steps"):
        config = tiny_config(train__num_steps=None)
    else:
        config = tiny_config(eval__select="map@5") if key == "eval.enough_held_out" else tiny_config()
    before = REST[key](setup_of(config))
    config.update_from_flattened_dict({key: value})
    expected = {"train.num_passes": math.ceil(float(value) * PASS) / PASS if key == "train.num_passes" else None}
    assert REST[key](setup_of(config)) == expected.get(key, value) != before


@pytest.mark.parametrize("key", OF_DATA)
def test_every_key_of_the_data_reaches_the_reader(key):
    given, config = {}, tiny_config(dataset__path="somewhere")
    config.update_from_flattened_dict({key: other_value(key)})
    setup_of(config, given)
    assert given[key.removeprefix("dataset.")] == other_value(key)


@pytest.mark.parametrize("passes", [0.25, 1.0, 3.0])
def test_window_of_the_average_is_counted_in_steps(passes):
    options = setup_of(tiny_config(optimizer__average_passes=passes)).options.optimizer
    assert options.average and options.average_steps == pytest.approx(passes * PAIRS / BATCH)
    assert not setup_of(tiny_config()).options.optimizer.average


def test_schedule_ends_with_the_run():
    def decay(**overrides):
        return float(setup_of(tiny_config(**overrides)).options.optimizer.decay_steps)

    assert decay(optimizer__schedule="linear") == 40
    by_passes = {"train__num_steps": None, "train__num_passes": 2.5, "optimizer__schedule": "linear"}
    assert decay(**by_passes) == 45 == math.ceil(2.5 * PASS)
    assert decay() == math.inf


def test_weight_of_gor_switches_its_form_on():
    forms = [
        setup_of(tiny_config(**overrides)).options.values()["gor"]
        for overrides in ({}, {"model__gor_weight": 0.5}, {"model__gor_weight": 0.5, "model__gor_form": "sum"})
    ]
    assert forms == ["none", "mean", "sum"]


def test_weight_of_the_covariance_switches_it_on():
    found = [
        setup_of(tiny_config(**more)).options.values()["covariance"] for more in ({}, {"model__covariance_weight": 2.0})
    ]
    assert found == [False, True]


@pytest.mark.parametrize("key", keys.KEYS)
def test_runs_that_differ_in_what_is_compiled_do_not_share_a_program(key):
    """And those that differ in a number do, but for what follows from it."""
    for base, changed in configs_that_use(key):
        one, other = setup_of(base), setup_of(changed)
        derived = [{name: setup.options.values().get(name) for name in DERIVED} for setup in (one, other)]
        assert (one.program == other.program) == (KEYS[key].traced and derived[0] == derived[1])


def test_runs_of_one_program_share_data_steps_and_periods():
    one = setup_of(tiny_config())
    assert one.program == setup_of(tiny_config(seed=7, optimizer__learning_rate=0.3)).program
    assert one.program != one._replace(data_sha256="another").program
    assert one.program != one._replace(num_steps=41).program
    for name in Periods._fields:
        assert one.program != one._replace(periods=one.periods._replace(**{name: 5})).program


def test_a_sweep_groups_by_data_and_by_each_period(tmp_path):
    """The data have the same sizes."""
    for name, last in (("a", 4), ("b", 3)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "train.txt").write_text("0 0 1\n1 1 2 4\n2 0 1\n")
        (tmp_path / name / "valid.txt").write_text("0 2\n1 3\n")
        (tmp_path / name / "test.txt").write_text(f"0 3\n2 {last}\n")
    base = tiny_config(dataset__path=str(tmp_path / "a"), train__batch_size=2, sampler__name="uniform", eval__ks=(1,))
    points = [
        {"name": "as it is"},
        {"name": "data", "dataset.path": str(tmp_path / "b")},
        {"name": "report", "train.report_every_steps": 5},
        {"name": "evaluate", "eval.every_steps": 10},
        {"name": "checkpoint", "checkpoint.every_steps": 10},
        {"name": "steps", "train.num_steps": 20},
    ]
    plan = planning.make_plan(grid.make_grid(base, {"seed": (0, 1)}, points))
    groups = planning.grouped(plan.runs, 4096.0)
    assert [[run.folder for run in group] for group in groups] == [
        [f"{point['name']}/{seed}" for seed in (0, 1)] for point in points
    ]


def test_validation_users_depend_on_the_seed_of_the_split_alone():
    def chosen(**overrides):
        return scoring.validation_users(CHECKERBOARD, to_values(tiny_config(eval__max_users=10, **overrides))).tolist()

    assert len(set(chosen())) == 10
    for seed in (1, 2, 3):
        assert chosen(seed=seed) == chosen() != chosen(dataset__split_seed=seed)
        assert chosen(dataset__split_seed=seed, seed=5) == chosen(dataset__split_seed=seed)


def test_validation_carved_from_training_depends_on_the_seed_of_the_split_alone(tmp_path):
    rng = np.random.default_rng(0)
    rows = [rng.permutation(40) for _ in range(30)]
    (tmp_path / "train.txt").write_text("\n".join(f"{u} " + " ".join(map(str, r[:20])) for u, r in enumerate(rows)))
    (tmp_path / "test.txt").write_text("\n".join(f"{u} {r[20]}" for u, r in enumerate(rows)))

    def setup(**overrides):
        return make_setup(to_values(tiny_config(dataset__path=str(tmp_path), **overrides)))

    one = setup()
    assert one.dataset.valid.num_pairs == 60 and one.dataset.train.num_pairs == 540
    assert setup(seed=4).data_sha256 == one.data_sha256
    others = [setup(dataset__split_seed=seed) for seed in (1, 2)]
    assert len({one.data_sha256, *(other.data_sha256 for other in others)}) == 3
    assert setup(dataset__split_seed=2, seed=9).data_sha256 == others[1].data_sha256
    np.testing.assert_array_equal(others[0].dataset.test.items, one.dataset.test.items)


def test_options_without_effect_are_named_in_one_line_a_strategy():
    def notes(**overrides):
        return setup_of(tiny_config(**overrides)).notes[len(CHECKERBOARD.notes) :]

    assert notes() == ()
    assert notes(sampler__name="uniform", sampler__similarity_cutoff=0.2) == (
        "not used by loss 'triplet': num_candidates",
        "not used by sampler 'uniform': similarity_cutoff",
    )
    softmax = {"model__loss": "softmax", "model__temperature": 0.1, "model__negative_exponent": 1.0}
    assert notes(sampler__similarity_cutoff=0.2, sampler__refresh_every=3, model__margin=2.0, **softmax) == (
        "not used by loss 'softmax': margin, similarity_cutoff, refresh_every",
    )
    assert notes(model__loss="directau", model__gor_weight=0.2, sampler__popularity_exponent=0.5) == (
        "not used by loss 'directau': gor_weight, sampler.name, num_candidates, popularity_exponent",
    )


def held_out(folder, valid, test):
    """12 users of 3 training items each, and the held-out items of each as said, of 20."""
    folder.mkdir()
    parts = {"train": [3] * 12, "valid": valid, "test": test}
    first = [0] * 12
    for name, counts in parts.items():
        rows = [f"{u} " + " ".join(str((u + first[u] + j) % 20) for j in range(n)) for u, n in enumerate(counts) if n]
        (folder / f"{name}.txt").write_text("\n".join(rows) + "\n")
        first = [start + count for start, count in zip(first, counts, strict=True)]
    return str(folder)


def test_with_enough_held_out_the_metric_that_selects_must_have_users_everywhere(tmp_path):
    one_of_them = held_out(tmp_path / "one", [1] * 11 + [5], [5] * 12)
    nobody_in_test = held_out(tmp_path / "test", [5] * 12, [1] * 12)
    overrides = {
        "eval__enough_held_out": True,
        "eval__ks": (1, 5),
        "train__batch_size": 4,
        "sampler__num_candidates": 9,
    }

    def refused(sentence, **more):
        with pytest.raises(ConfigError, match=sentence) as caught:
            make_setup(to_values(tiny_config(**overrides, **more)))
        assert "\n" not in str(caught.value)

    make_setup(to_values(tiny_config(dataset__path=one_of_them, **overrides)))
    left_out = next(
        seed
        for seed in range(9)
        if 11 not in np.random.default_rng(seed).choice(np.arange(12), 2, replace=False).tolist()
    )
    few = {"dataset__path": one_of_them, "eval__max_users": 2, "dataset__split_seed": left_out}
    refused(r"leaves nobody for ndcg@5, .* none of the 2 validation users that eval\.max_users leaves has more", **few)
    refused(
        r"leaves nobody for ndcg@5, .* none of the test users has more than 1 held-out", dataset__path=nobody_in_test
    )
    for fine in ({"eval__select": "ndcg@1"}, {"eval__select": "mrr@5"}):  # of lists of any length, mrr is defined
        make_setup(to_values(tiny_config(**overrides, **few, **fine)))
        make_setup(to_values(tiny_config(dataset__path=nobody_in_test, **overrides, **fine)))
    make_setup(to_values(tiny_config(dataset__path=nobody_in_test, eval__final_split="valid", **overrides)))
