"""The rows of the results' tables: strategies x constraints, and what is searched for each of them on validation.

Every row has four settings to choose from, which is the whole budget, or more where a config adds some, past the edge
of the four on which the best lay; everything else is the same for all rows, but for the dimensions and passes of
graph_128 and graph_256.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.config import Config
from experiments.configs import _drawn
from experiments.sweeps import grid

RATES = {"optimizer.learning_rate": (1e-3, 3e-3)}
_WIDE = {
    "optimizer.learning_rate": (1e-3, 2e-3),
    "model.temperature": (0.08, 0.095),
    "model.nearest_weight": (0.8,),
    "train.num_passes": (12,),
}
_SPACES = {  # strategy -> axes of four settings together; a value of several keys stands for itself
    "uniform": RATES | {"model.num_negatives": (1, 8)},
    "popularity": RATES | {"sampler.popularity_exponent": (0.5, 1.0)},
    "two_stage": RATES | {("sampler.popularity_exponent", "sampler.similarity_cutoff"): ((0.5, 0.2), (1.0, 0.1))},
    "two_stage_bias": RATES | {"sampler.similarity_cutoff": (0.1, 0.2)},
    # At the lower rate and about the cut-off that are best for biases on sparse data.
    "two_stage_graph": {
        "optimizer.learning_rate": (5e-4, 1e-3),
        "sampler.similarity_cutoff": (0.3, 0.4),
        "model.nearest_weight": (0.8,),
    },
    "softmax": RATES | {"model.temperature": (0.08, 0.12)},
    "bias": RATES | {"model.temperature": (0.08, 0.12)},
    "dpcml": RATES | {"model.temperature": (0.08, 0.12)},
    # At the rate and about the temperature that are best for biases.
    "graph": {
        "optimizer.learning_rate": (1e-3,),
        "model.temperature": (0.08, 0.095),
        "model.nearest_weight": (0.4, 0.8),
    },
    # The same with more dimensions, which learn at a higher rate as well.
    "graph_128": _WIDE,
    "graph_256": _WIDE,
    # At the rate that is best for biases on dense data.
    "degree": {
        "optimizer.learning_rate": (3e-3,),
        "model.temperature": (0.12, 0.15),
        "model.temperature_degree_exponent": (0.1, 0.2),
    },
    "bpr": RATES | {"model.l2_weight": (0.01, 0.05)},
    # Of experiments/results/baselines.py.
    "als": {"regularization": (0.1, 10.0), "alpha": (1.0, 10.0)},
    "implicit_bpr": {"learning_rate": (0.02, 0.1), "regularization": (0.003, 0.03)},
    "item_knn": {"weighting": ("cosine", "bm25"), "num_neighbours": (50, 200)},
    "ease": {"regularization": (30.0, 100.0, 300.0, 1000.0)},
    "slim": {"alpha": (0.01, 0.1), "l1_ratio": (0.01, 0.1)},
}
_CONSTRAINTS = ("none", "ball", "sphere")
_SOFTMAX = {
    "model.loss": "softmax",
    "model.decoupled": True,
    "model.negative_exponent": 1.0,
    "sampler.popularity_exponent": 0.0,
}
_DRAWN = {  # biases take care of popularity, so that candidates need not
    "model.num_negatives": 8,
    "sampler.name": "two_stage",
    "sampler.popularity_exponent": 0.0,
}
_FIXED: dict[str, dict[str, Any]] = {
    f"{sampler}-{constraint}": {"sampler.name": sampler, "model.constraint": constraint}
    for sampler in ("uniform", "popularity", "two_stage")
    for constraint in _CONSTRAINTS
} | {
    "two_stage_bias-sphere": _DRAWN | {"model.name": "cml_bias"},
    "two_stage_graph-sphere": _DRAWN | {"model.name": "cml_graph"},
    # Cosines, so the sphere is in the loss; its candidates are uniform.
    "softmax-sphere": _SOFTMAX,
    "bias-sphere": _SOFTMAX | {"model.name": "cml_bias"},
    "graph-sphere": _SOFTMAX | {"model.name": "cml_graph"},
    "graph_128-sphere": _SOFTMAX | {"model.name": "cml_graph", "model.dim": 128},
    "graph_256-sphere": _SOFTMAX | {"model.name": "cml_graph", "model.dim": 256},
    "degree-sphere": _SOFTMAX | {"model.name": "cml_bias"},
    "dpcml-sphere": _SOFTMAX | {"model.name": "dpcml"},
    "bpr-none": {"model.loss": "bpr", "model.constraint": "none", "sampler.name": "uniform"},
}
EVERY_ROW = tuple(_FIXED)
# The item graph is for sparse data, temperatures by the users' numbers of pairs for dense; DPCML has several vectors;
# biases for drawn negatives came later than the others; most published rows of LightGCN's splits have 64 dimensions.
_OF_SOME = (
    "two_stage_bias-sphere",
    "two_stage_graph-sphere",
    "graph-sphere",
    "graph_128-sphere",
    "graph_256-sphere",
    "degree-sphere",
    "dpcml-sphere",
)
ROWS = tuple(row for row in EVERY_ROW if row not in _OF_SOME)
LIBRARY_ROWS = ("als", "implicit_bpr", "item_knn", "ease", "slim")
SEEDS = (0, 1, 2, 3, 4)


def base_config() -> Config:
    """What all rows on all data sets share."""
    config = _drawn.base_config()
    config.model.dim = 128
    config.model.init_scale = 0.1
    config.optimizer.rows = "catch_up"
    config.optimizer.average_passes = 2.0
    config.sampler.num_candidates = 1000
    return config


def at_both_rates(setting: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A setting at each learning rate that is searched."""
    return [{key: rate, **setting} for key, rates in RATES.items() for rate in rates]


def settings(row: str) -> list[dict[str, Any]]:
    """The settings that are tried for a row: dotted key -> value."""
    return every_setting(_SPACES[row.split("-")[0]])


def every_setting(space: Mapping[Any, Sequence[Any]]) -> list[dict[str, Any]]:
    """The product of axes, each a dotted key, or several, with its values: dotted key -> value."""
    found = []
    for values in itertools.product(*space.values()):
        setting: dict[str, Any] = {}
        for keys, value in zip(space, values, strict=True):
            setting |= dict(zip(keys, value, strict=True)) if isinstance(keys, tuple) else {keys: value}
        found.append(setting)
    return found


More = Mapping[str, Sequence[Mapping[str, Any]]]  # row -> settings besides those of `settings`, numbered after them


def search(
    base: Config, rows: Sequence[str] = ROWS, more: More | None = None, library_rows: Sequence[str] = LIBRARY_ROWS
) -> Config:
    """A grid of every setting of every row, seed 0, scored on validation; test is left alone."""
    base.eval.final_split = "valid"
    numbered = {
        row: list(enumerate([*settings(row), *(more or {}).get(row, [])], start=1)) for row in (*rows, *library_rows)
    }
    points = [
        {**_FIXED[row], **setting, "name": f"{row},{number}"} for row in rows for number, setting in numbered[row]
    ]
    baselines = [{"name": "popular"}]
    baselines += [{"name": name, **setting} for name in library_rows for _, setting in numbered[name]]
    return grid.make_grid(base, {"seed": (0,)}, points, baselines=baselines)


def final(base: Config, chosen: Mapping[str, int], more: More | None = None, seeds: Sequence[int] = SEEDS) -> Config:
    """A grid of every row with the setting chosen, by its number from 1, and several seeds, scored on test.

    Args:
        base: what the rows share.
        chosen: row -> number of its setting.
        more: as for `search`.
        seeds: five by default.
    """
    more = more or {}
    points, baselines = [], [{"name": "popular"}]
    for row, number in chosen.items():
        setting = {**[*settings(row), *more.get(row, [])][number - 1], "name": row}
        if row in _FIXED:
            points.append(_FIXED[row] | setting)
        else:
            baselines.append(setting)
    return grid.make_grid(base, {"seed": tuple(seeds)}, points, baseline=points[0]["name"], baselines=baselines)
