"""What each number of CML on the item graph is worth in LightGCN's splits, on validation: one change a row.

python -m experiments.sweep --config=experiments/configs/grids/graph_levers.py:gowalla --workdir=runs/graph_levers \
    --config.dataset.path=FOLDER_WITH_TRAIN_TEST

The part names the data set, gowalla or yelp2018. A tenth of train is set aside, d = 64 but for two rows, seed 0; test
is left alone. The last rows change two numbers together. RESULTS.md has what was run of it.
"""

from collections.abc import Mapping
from typing import Any

from experiments.config import Config
from experiments.configs.results import gowalla, yelp2018
from experiments.sweeps import grid

_BASES = {"gowalla": (gowalla, 0.095), "yelp2018": (yelp2018, 0.11)}  # and the temperature T
_WEIGHT, _TIMES = "model.nearest_weight", "times T"
_ONE = {
    "as it is": {},
    "weight 0.4": {_WEIGHT: 0.4},
    "weight 0.6": {_WEIGHT: 0.6},
    "weight 1.2": {_WEIGHT: 1.2},
    "weight 1.6": {_WEIGHT: 1.6},
    "0.9 T": {_TIMES: 0.9},
    "1.1 T": {_TIMES: 1.1},
    "1.2 T": {_TIMES: 1.2},
    "1.35 T": {_TIMES: 1.35},
    "rate 5e-4": {"optimizer.learning_rate": 5e-4},
    "rate 2e-3": {"optimizer.learning_rate": 2e-3},
    "rate 3e-3": {"optimizer.learning_rate": 3e-3},
    "scale of biases 0.05": {"model.bias_scale": 0.05},
    "scale of biases 0.2": {"model.bias_scale": 0.2},
    "scale of biases 0.4": {"model.bias_scale": 0.4},
    "exponent 0.9": {"model.negative_exponent": 0.9},
    "exponent 1.1": {"model.negative_exponent": 1.1},
    "temperatures by users, exponent 0.1": {"model.temperature_degree_exponent": 0.1},
    "popularity exponent -0.2": {"sampler.popularity_exponent": -0.2},
    "popularity exponent 0.2": {"sampler.popularity_exponent": 0.2},
    "average of 1 pass": {"optimizer.average_passes": 1.0},
    "average of 4 passes": {"optimizer.average_passes": 4.0},
    "K = 10": {"model.num_nearest_items": 10},
    "K = 20": {"model.num_nearest_items": 20},
    "10 nearest users": {"model.num_nearest_users": 10},
    "C = 4000": {"sampler.num_candidates": 4000},
    "logQ, popularity exponent 0.5": {"sampler.popularity_exponent": 0.5, "sampler.logq": True},
    "coupled": {"model.decoupled": False},
    "d = 128": {"model.dim": 128},
    "d = 256": {"model.dim": 256},
}
_TWO = {
    "20 nearest users, weight 1.6": {"model.num_nearest_users": 20, "model.nearest_users_weight": 1.6},
    "1.1 T, weight 1.2": {_TIMES: 1.1, _WEIGHT: 1.2},
    "1.2 T, weight 1.2": {_TIMES: 1.2, _WEIGHT: 1.2},
    "1.2 T, weight 1.6": {_TIMES: 1.2, _WEIGHT: 1.6},
    "1.1 T, rate 2e-3": {_TIMES: 1.1, "optimizer.learning_rate": 2e-3},
    "1.1 T, scale of biases 0.2": {_TIMES: 1.1, "model.bias_scale": 0.2},
    "K = 10, weight 1.2": {"model.num_nearest_items": 10, _WEIGHT: 1.2},
    "K = 10, 1.1 T, weight 1.2": {"model.num_nearest_items": 10, _TIMES: 1.1, _WEIGHT: 1.2},
    "K = 20, weight 1.2": {"model.num_nearest_items": 20, _WEIGHT: 1.2},
}


def get_config(part: str = "gowalla") -> Config:
    """The grid of a data set."""
    if part not in _BASES:
        raise ValueError(f"'{part}' is not a part; choose one of {', '.join(_BASES)}.")
    module, temperature = _BASES[part]
    config = module.get_config("search")
    row = next(dict(point) for point in config.sweep.points if point["name"].startswith("graph-sphere"))
    del config["sweep"]
    base = row | {"optimizer.learning_rate": 1e-3, "model.temperature": temperature, _WEIGHT: 0.8}
    points = [base | _change(change, temperature) | {"name": name} for name, change in (_ONE | _TWO).items()]
    return grid.make_grid(config, {"seed": (0,)}, points, baseline="as it is")


def _change(change: Mapping[str, Any], temperature: float) -> dict[str, Any]:
    """A row's change, whose temperature is a multiple of T."""
    times = {"model.temperature": round(change[_TIMES] * temperature, 4)} if _TIMES in change else {}
    return {key: value for key, value in change.items() if key != _TIMES} | times
