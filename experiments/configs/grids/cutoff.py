"""Similarity cut-off x popularity exponent of the candidates, two-stage, on HetRec Last.fm: a heat map.

python -m experiments.sweep --config=experiments/configs/grids/cutoff.py --workdir=runs/cutoff \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

30 runs, about 7 minutes on two CPU cores. Test NDCG@50 is best, 0.309, at exponent 0.5 with cut-off 0.2, and collapses
without a cut-off at every exponent (0.053 to 0.129); see RESULTS.md.
"""

from experiments.config import Config
from experiments.configs import two_stage
from experiments.sweeps import grid


def get_config() -> Config:
    """Five cut-offs (1 is none) x three exponents (0 is uniform) x two seeds."""
    base = two_stage.get_config()
    base.dataset.name = "lastfm"
    axes = {
        "sampler.similarity_cutoff": (0.05, 0.1, 0.2, 0.3, 1.0),
        "sampler.popularity_exponent": (0.0, 0.5, 1.0),
        "seed": (0, 1),
    }
    return grid.make_grid(base, axes, baseline="popularity_exponent=1,similarity_cutoff=1")
