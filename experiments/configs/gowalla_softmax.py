"""Soft second stage on Gowalla, LightGCN's split: every one of 2,000 uniform candidates weighted at once; d = 64.

python -m experiments.main --config=experiments/configs/gowalla_softmax.py --workdir=runs/gowalla_softmax \
    --config.dataset.path=FOLDER_WITH_TRAIN_TEST

With --config.dataset.valid_fraction=0 it is trained on all of train, as published rows are; the last step is scored.
Six minutes on two CPU cores; test Recall@20 0.169, NDCG@20 0.133 (seed 0), see RESULTS.md.
"""

from experiments.config import Config
from experiments.configs import gowalla


def get_config() -> Config:
    """The config of the Gowalla run with the softmax loss."""
    config = gowalla.get_config()
    config.model.loss = "softmax"
    config.model.num_negatives = 1
    config.model.temperature = 0.1
    config.sampler.num_candidates = 2000
    config.train.batch_size = 1024
    config.train.num_passes = 32
    config.eval.every_steps = 2100
    config.eval.max_users = None
    return config
