"""Soft second stage on Gowalla, LightGCN's split: every one of 1,000 uniform candidates weighted at once; d = 64.

python -m experiments.main --config=experiments/configs/gowalla_softmax.py --workdir=runs/gowalla_softmax \
    --config.dataset.path=FOLDER_WITH_TRAIN_TEST

The settings of the row in experiments/configs/results/gowalla.py. A tenth of train is set aside for validation; with
--config.dataset.valid_fraction=0 it is trained on all of train, as published rows are, and the last step is scored:
four minutes on one CPU core; test Recall@20 0.171, NDCG@20 0.134 (mean of five seeds), see RESULTS.md.
"""

from experiments.config import Config
from experiments.configs import soft


def get_config() -> Config:
    """The config of the Gowalla run with the softmax loss."""
    config = soft.get_config()
    config.dataset.name = "gowalla"
    config.model.dim = 64
    config.model.temperature = 0.08
    config.model.negative_exponent = 1.0
    config.optimizer.learning_rate = 3e-3
    config.train.batch_size = 1024
    config.train.num_passes = 20
    config.eval.ks = (20, 50)
    config.eval.select = "ndcg@20"
    config.eval.every_steps = 4 * 711
    config.checkpoint.every_steps = 10_000
    return config
