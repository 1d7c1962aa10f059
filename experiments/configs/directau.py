"""Alignment and uniformity of the batch, without negatives (DirectAU, Wang et al. 2022); for any data set.

python -m experiments.main --config=experiments/configs/directau.py --workdir=runs/directau \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

Without a path it runs on generated data. The weight of uniformity is the one to tune; its authors try 0.01 to 10. On
Last.fm, where many items are rare and nothing pushes them away, 0.1 is better than 0.3 and 1, and the best step is an
early one: validation NDCG@50 0.179, test 0.238, two minutes on two busy CPU cores.
"""

from experiments.config import Config, default_config


def get_config() -> Config:
    """DirectAU on the sphere; all else is as by default."""
    config = default_config()
    config.model.loss = "directau"
    config.model.uniformity_weight = 0.1
    return config
