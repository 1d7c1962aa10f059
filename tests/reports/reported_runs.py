"""Files of finished runs with chosen numbers, as far as a report reads them."""

import json
from typing import Any

import numpy as np

from cml_jax.runs.config import to_json
from experiments.config import flatten
from experiments.configs import _drawn

SIZES = {"users": 40, "items": 90, "train": 1200, "valid": 40, "test": 40}
NAMES = ("hit_rate", "map", "mmr", "mrr", "ndcg", "precision", "recall", "coverage", "gini")


def write_run(folder, ndcg, mmr=50.0, seed=0, part="test", data="made", records=(), per_user=None, **overrides):
    """A run whose metrics at 50 and other cut-offs are those given, MAP half of NDCG; at 20, 0.8 of them.

    Overrides are 'section__key'.
    """
    config = _drawn.base_config()
    config.update_from_flattened_dict(
        {key.replace("__", "."): value for key, value in overrides.items()} | {"seed": seed, "dataset.name": data}
    )
    ks = sorted({20, 50, *(config.eval.ks or ())})
    values = {"ndcg": ndcg, "map": ndcg / 2, "recall": 1.2 * ndcg, "mmr": mmr, "coverage": 0.5}
    values = {f"{name}@{k}": (0.8 if k == 20 else 1.0) * values.get(name, 0.1) for name in NAMES for k in ks}
    intervals = {name: [0.9 * value, 1.2 * value] for name, value in values.items() if name[:4] not in ("cove", "gini")}
    final = ("valid", "test") if part == "test" else ("valid",)
    summary = {
        "valid": values,
        "test": values if part == "test" else {},
        "intervals": dict.fromkeys(final, intervals),
        "best_step": 100,
        "steps": 100,
        "triplets_per_second": 1000.0,
        "wall_seconds": 10.0 + seed,
        "members": 1,
        "dataset": SIZES | {"sha256": data * 5},
        "versions": {"jax": "0.1", "python": "3", "commit": "0123abc"},
        "by_popularity": {name: {"ndcg@50": [ndcg * i / 10 for i in range(10)]} for name in final},
        "device": "",
        "best_test": {},
        "patience": None,
    }
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(to_json(dict(flatten(config))) | {"data_sha256": data * 5}))
    (folder / "summary.json").write_text(json.dumps(summary))
    if records:
        (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    if per_user is not None:
        arrays = {"users": np.arange(len(per_user)), "ndcg@50": np.asarray(per_user, np.float32)}
        np.savez(folder / "per_user.npz", allow_pickle=False, **arrays)
    return folder


def record(step, ndcg=None, throughput=2560.0, per_pass=5):
    """A line of metrics.jsonl; without a score, one that was not evaluated."""
    return {
        "step": step,
        "pass": step / per_pass,
        "loss": 1.0,
        "throughput": throughput,
        "no_negative": 0,
        "metrics": {} if ndcg is None else {"ndcg@50": ndcg, "ndcg@20": 0.8 * ndcg},
    }


def write_grid(folder, samplers=("uniform", "two_stage"), sizes=(64, 256), seeds=(0, 1)):
    """A grid as a sweep lays it out; NDCG is 0.2, 0.3 ... by sampler, less 0.01 a size, plus 0.004 a seed."""
    users = np.random.default_rng(3).uniform(-0.1, 0.1, SIZES["users"])
    for i, sampler in enumerate(samplers):
        for j, size in enumerate(sizes):
            for seed in seeds:
                ndcg = 0.2 + 0.1 * i - 0.01 * j + 0.004 * seed
                noise = np.random.default_rng([i, j, seed]).normal(0, 0.02, len(users))
                write_run(
                    folder / f"{sampler},batch_size={size}" / str(seed),
                    ndcg=ndcg,
                    mmr=80.0 - 20 * i + j,
                    seed=seed,
                    records=[record(step, ndcg * step / 20) for step in (10, 20)],
                    per_user=ndcg + users + noise,
                    sampler__name=sampler,
                    train__batch_size=size,
                )
    return folder


def axes_of(figure) -> Any:
    """The axes of a figure; matplotlib's annotations do not know what their artists are."""
    return figure.axes
