"""Tables split over 8 simulated devices, against the same run on one; CML_ALL=1 tries every combination."""

import dataclasses
import os
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import checkpoint, make_options, ranking, sharding, training
from cml_jax.data.synthetic import make_interactions
from cml_jax.errors import ConfigError
from cml_jax.models.points import distance_factors
from cml_jax.types import Factors
from experiments import train
from tests.steps import DRAWN
from tests.tiny import read_records, tiny_config

TRAIN = make_interactions(101, 203, 3000)  # neither number is a multiple of 8
DATA = TRAIN.to_device()
NUMBERS: dict[str, Any] = DRAWN | {
    "learning_rate": 1e-2,
    "popularity_exponent": 0.5,
    "similarity_cutoff": 0.3,
    "gor_weight": 0.5,
}
STRATEGIES: dict[str, dict[str, Any]] = {
    "uniform": {"sampler": "uniform", "num_negatives": 3},
    "popularity": {"sampler": "popularity", "gor": "sum"},
    "two_stage": {"num_candidates": 60, "num_draws": 110, "num_negatives": 2, "gor": "mean"},
    "frozen": {"num_candidates": 60, "refresh_every": 0},
    "softmax": {"num_candidates": 60, "num_draws": 110, "loss": "softmax", "gor": "mean", "average": True},
}
CONSTRAINTS = ("sphere", "ball", "none")
ROWS = ("lazy", "catch_up", "dense")
EVERY = [(strategy, constraint, "lazy") for strategy in STRATEGIES for constraint in CONSTRAINTS]
EVERY += [(strategy, "sphere", rows) for strategy in STRATEGIES for rows in ROWS[1:]]
SOME = [("uniform", "none", "dense"), ("popularity", "ball", "lazy"), ("two_stage", "sphere", "lazy")]
SOME += [("frozen", "ball", "lazy"), ("softmax", "sphere", "catch_up")]


def make(**options):
    values: dict[str, Any] = NUMBERS | {"gor": "none"} | options
    return make_options(**values).as_arrays()


def run(options, seed, num_steps=200):
    """The parameters at the end and the losses."""
    data, options = sharding.replicate((DATA, options), options.num_shards)
    state = training.init_state(options, data, seed)
    state, metrics = training.run_steps(state, data, options, num_steps=num_steps)
    params = training.evaluation_params(state, options)
    tables = [np.asarray(params.tables[name]) for name in ("users", "items")]
    return tables, np.asarray(metrics.loss), np.asarray(metrics.no_negative)


@pytest.mark.parametrize(("strategy", "constraint", "rows"), EVERY if os.environ.get("CML_ALL") else SOME)
def test_sharded_steps_equal_unsharded_ones(strategy, constraint, rows):
    """Other seeds are for a draw that falls, but for rounding, on the border between two candidates.

    It may go the other way (about one of 100,000 draws does), and what comes after it drifts apart. A mistake would
    show with every seed.
    """
    options = make(dim=12, batch_size=64, constraint=constraint, rows=rows, **STRATEGIES[strategy])
    for seed in range(3):
        whole, losses, without = run(options, seed)
        split, split_losses, split_without = run(dataclasses.replace(options, num_shards=8), seed)
        difference = max(np.abs(ours[: len(theirs)] - theirs).max() for ours, theirs in zip(split, whole, strict=True))
        print(f"{strategy:<11}{constraint:<8}{rows:<9}seed {seed}: largest difference {difference:.1e}")
        for table, num_rows in zip(split, (101, 203), strict=True):
            assert len(table) == sharding.padded(num_rows, 8) and not table[num_rows:].any()
        if difference < 1e-5:
            np.testing.assert_allclose(split_losses, losses, rtol=1e-5)
            np.testing.assert_array_equal(split_without, without)
            return
    pytest.fail("the runs differ with every seed")


BASE = {"dim": 16, "batch_size": 32, "num_candidates": 60, "num_draws": 110}


def test_no_collective_moves_a_table_and_devices_hold_their_part_alone():
    """At 8,000 users and 4,000 items; a lookup moves (B + C) D numbers, and so may everything else."""
    train_set = make_interactions(8000, 4000, 20000)
    data, options = sharding.replicate((train_set.to_device(), make(num_shards=8, **BASE)), 8)
    state = training.init_state(options, data, 0)
    for name, table in state.params.tables.items():
        for array in (table, state.opt_state[name][0].mu):
            assert {shard.data.shape for shard in array.addressable_shards} == {(len(table) // 8, 16)}
    compiled = training.run_steps.lower(state, data, options, num_steps=10).compile()
    collectives = re.findall(
        r"= (.+?) (all-reduce|all-gather|all-to-all|collective-permute|reduce-scatter)\(", compiled.as_text() or ""
    )
    largest = (BASE["num_candidates"] + 3 * BASE["batch_size"]) * BASE["dim"]
    sizes = []
    for shapes, kind in collectives:
        for shape in re.findall(r"\[([\d,]*)\]", shapes):
            sizes.append(int(np.prod([int(n) for n in shape.split(",") if n])))
            assert sizes[-1] <= largest, (kind, shapes)
    assert len(sizes) >= 4 and max(sizes) >= BASE["num_candidates"] * BASE["dim"]


@pytest.mark.parametrize(("num_items", "k"), [(203, 30), (2500, 50), (5, 5)])
def test_ranking_of_parts_equals_ranking_of_the_whole(num_items, k):
    """Small whole numbers, so that many scores are equal, and lists that end in -1."""
    seen = make_interactions(101, num_items, 900)
    rng = np.random.default_rng(0)
    tables = [rng.integers(-2, 3, (n, 4)).astype(np.float32) for n in (101, num_items)]
    users = np.arange(100, -1, -3)
    whole = distance_factors(*map(jnp.asarray, tables))
    expected = ranking.top_k(whole, users, seen, k)
    for num_shards in (2, 8):
        np.testing.assert_array_equal(ranking.top_k(split_factors(whole, num_shards), users, seen, k), expected)


def split_factors(whole, num_shards):
    by_row = sharding.shardings(jax.sharding.PartitionSpec(sharding.AXIS), num_shards)
    filled = [np.pad(x, ((0, sharding.padded(len(x), num_shards) - len(x)), (0, 0))) for x in whole[:2]]
    return Factors(*(jax.device_put(table, by_row) for table in filled))


def test_a_second_ranking_of_parts_is_not_traced_again(monkeypatch):
    traces, rank_by_parts = [], ranking._rank_by_parts

    def counted(*arguments, **sizes):
        traces.append(sizes)
        return rank_by_parts(*arguments, **sizes)

    monkeypatch.setattr(ranking, "_rank_by_parts", counted)
    tables = [jnp.asarray(np.random.default_rng(0).normal(size=(n, 4)), jnp.float32) for n in (17, 29)]
    factors = split_factors(distance_factors(*tables), 2)
    for _ in range(2):
        ranking.top_k(factors, np.arange(17), make_interactions(17, 29, 60), 3)
    assert len(traces) == 1


def test_checkpoint_of_8_shards_goes_on_with_3_and_1(tmp_path):
    def progress(num_shards, num_steps):
        options = make(**BASE | {"batch_size": 24, "sampler": "uniform", "num_shards": num_shards})
        data, options = sharding.replicate((DATA, options), num_shards)
        state = training.init_state(options, data, 5)
        if num_steps:
            state, _ = training.run_steps(state, data, options, num_steps=num_steps)
        return checkpoint.start(state)

    saved = progress(8, 10)
    with checkpoint.open_manager(tmp_path / "checkpoints", keep=1) as manager:
        checkpoint.save(manager, saved, {})
        checkpoint.wait(manager)
        for num_shards in (3, 1):
            restored = checkpoint.restore(manager, progress(num_shards, 0))
            assert not restored.damaged and restored.progress is not None
            tables = restored.progress.state.params.tables
            for name, theirs in saved.state.params.tables.items():
                ours = tables[name]
                assert len(ours.sharding.device_set) == num_shards
                rows = min(len(ours), len(theirs))
                np.testing.assert_array_equal(np.asarray(ours)[:rows], np.asarray(theirs)[:rows])
                assert not np.asarray(ours)[rows:].any() and not np.asarray(theirs)[rows:].any()


@pytest.mark.slow
def test_run_on_8_shards_gives_the_metrics_of_one_and_goes_on_with_2(tmp_path):
    config = {"dataset__name": "synthetic", "eval__ks": (5, 20), "model__init_scale": 0.5}
    one = train.train_and_evaluate(tiny_config(**config), tmp_path / "one")
    train.train_and_evaluate(tiny_config(train__num_steps=20, sharding__num_shards=8, **config), tmp_path / "many")
    many = train.train_and_evaluate(tiny_config(sharding__num_shards=2, **config), tmp_path / "many")
    for name, value in one["test"].items():
        assert abs(many["test"][name] - value) <= 2e-3 * max(1.0, abs(value)), name
    for ours, theirs in zip(read_records(tmp_path / "many"), read_records(tmp_path / "one"), strict=True):
        np.testing.assert_allclose(ours["loss"], theirs["loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("num_shards", "sentence"),
    [
        (9, r"config\.sharding\.num_shards = 9 is above the number of devices, 8"),
        (0, r"config\.sharding\.num_shards = 0 must be 1 or more"),
        (6, r"config\.train\.batch_size = 64 must be a multiple of the number of shards, 6"),
    ],
)
def test_bad_numbers_of_shards(num_shards, sentence, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        train.train_and_evaluate(tiny_config(sharding__num_shards=num_shards), tmp_path)
