"""The recommended method, the soft second stage, with the defaults as they are; for any data set.

python -m experiments.main --config=experiments/configs/default.py --workdir=runs/mine \
    --config.dataset.path=FILE_OR_FOLDER

What follows from the data is said in the log. Without a path it runs on generated data. On Last.fm about half a minute
on two CPU cores, test NDCG@50 0.339 (seed 0).
"""

from experiments.config import Config, default_config


def get_config() -> Config:
    """Every key at its default."""
    return default_config()
