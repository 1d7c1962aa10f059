"""Most popular items, uniform negatives, two-stage sampling and the soft second stage; for any data set.

python -m experiments.sweep --config=experiments/configs/grids/methods.py --workdir=runs/methods \
    --config.dataset.path=FILE_OR_FOLDER
python -m experiments.results.baselines --config=experiments/configs/grids/methods.py --workdir=runs/methods \
    --config.dataset.path=FILE_OR_FOLDER

and python -m experiments.report --workdir=runs/methods. Without a path on generated data.
"""

from experiments.config import Config, default_config
from experiments.sweeps import grid

POINTS = (
    {"name": "uniform", "model.loss": "triplet", "sampler.name": "uniform"},
    {
        "name": "two_stage",
        "model.loss": "triplet",
        "sampler.name": "two_stage",
        "sampler.popularity_exponent": 0.5,
        "sampler.similarity_cutoff": 0.2,
    },
    {"name": "soft"},
)


def get_config() -> Config:
    """Everything but the loss and the negatives is the default; one seed."""
    return grid.make_grid(default_config(), {"seed": (0,)}, POINTS, "uniform", baselines=({"name": "popular"},))
