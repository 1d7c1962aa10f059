"""What each lever of the soft second stage is worth on Gowalla, LightGCN's split, on validation: one change a row.

python -m experiments.sweep --config=experiments/configs/grids/gowalla_levers.py --workdir=runs/gowalla_levers \
    --config.dataset.path=FOLDER_WITH_TRAIN_TEST

A tenth of train is set aside, 12 passes, d = 64, B = 1,024, seed 0; test is left alone. About an hour on one core;
RESULTS.md has the table.
"""

from experiments.config import Config
from experiments.configs.results import gowalla
from experiments.sweeps import grid

_CHANGES = {
    "as it is": {},
    "coupled": {"model.decoupled": False},
    "lazy": {"optimizer.rows": "lazy"},
    "not averaged": {"optimizer.average_passes": 0.0},
    "linear schedule": {"optimizer.average_passes": 0.0, "optimizer.schedule": "linear"},
    "temperature 0.1": {"model.temperature": 0.1},
    "temperature 0.12": {"model.temperature": 0.12},
    "rate 1e-3": {"optimizer.learning_rate": 1e-3},
    "GOR 3": {"model.gor_weight": 3.0},
    "exponent 0.2": {"sampler.popularity_exponent": 0.2},
    "B = 512": {"train.batch_size": 512},
    "C = 500": {"sampler.num_candidates": 500},
    "C = 2000": {"sampler.num_candidates": 2000},
}


def get_config() -> Config:
    """The chosen soft second stage, and each change of it."""
    config = gowalla.get_config("search")
    base = next(dict(point) for point in config.sweep.points if point["name"] == "softmax-sphere,3")
    del config["sweep"]
    config.train.num_passes = 12
    points = [base | change | {"name": name} for name, change in _CHANGES.items()]
    return grid.make_grid(config, {"seed": (0,)}, points, baseline="as it is")
