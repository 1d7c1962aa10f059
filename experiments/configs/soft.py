"""The soft second stage, the most accurate of all here: every candidate of stage 1 weighted at once; for any data set.

python -m experiments.main --config=experiments/configs/soft.py --workdir=runs/soft \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

Without a path it runs on generated data. Temperature and exponent follow from the density of the data, by rules that
were fitted to validation on four data sets; they are what to tune first. On Last.fm half a minute on two CPU cores,
test NDCG@50 0.337 (seed 0).
"""

from experiments.config import Config
from experiments.configs import _drawn


def get_config() -> Config:
    """Softmax over uniform candidates, without the positive in the sum; averaged tables."""
    config = _drawn.base_config()
    config.model.dim = 128
    config.model.init_scale = 0.1
    config.model.loss = "softmax"
    config.model.decoupled = True
    config.sampler.num_candidates = 1000
    config.sampler.popularity_exponent = 0.0
    config.optimizer.rows = "catch_up"
    config.optimizer.average_passes = 2.0
    return config
