"""Two-stage sampling on Gowalla, LightGCN's split (29,858 users, 40,981 items), at d = 64, B = 512.

python -m experiments.main --config=experiments/configs/gowalla.py --workdir=runs/gowalla \
    --config.dataset.path=FOLDER_WITH_TRAIN_TEST

Two and a half minutes on two CPU cores; test Recall@20 0.146, NDCG@20 0.113 (seed 0; a tenth of train is set aside for
validation, because the split brings none).
"""

from experiments.config import Config
from experiments.configs import _drawn


def get_config() -> Config:
    """The config of the Gowalla run."""
    config = _drawn.base_config()
    config.dataset.name = "gowalla"
    config.model.dim = 64
    config.model.init_scale = 0.1
    config.model.num_negatives = 10
    config.sampler.num_candidates = 1000
    config.sampler.popularity_exponent = 0.0
    config.sampler.similarity_cutoff = 0.2
    config.train.batch_size = 512
    config.train.num_passes = 20
    config.eval.every_steps = 4000
    config.eval.max_users = 5000
    config.checkpoint.every_steps = 4000
    return config
