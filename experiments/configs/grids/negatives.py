"""Number of negatives of a triplet, the closest of which counts, for uniform and two-stage, on HetRec Last.fm.

python -m experiments.sweep --config=experiments/configs/grids/negatives.py --workdir=runs/negatives \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

16 runs, about 4 minutes on two CPU cores. Test NDCG@50 of uniform rises from 0.243 with one negative to 0.307 with
sixteen, that of two-stage falls from 0.309 to 0.080; see RESULTS.md.
"""

from experiments.config import Config
from experiments.configs import two_stage
from experiments.sweeps import grid


def get_config() -> Config:
    """One to sixteen negatives x two samplers x two seeds."""
    base = two_stage.get_config()
    base.dataset.name = "lastfm"
    axes = {"sampler.name": ("uniform", "two_stage"), "model.num_negatives": (1, 2, 4, 16), "seed": (0, 1)}
    return grid.make_grid(base, axes, baseline="uniform,num_negatives=1")
