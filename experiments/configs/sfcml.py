"""SFCML, the squared loss over all items without sampling (Bao et al. 2022), on the sphere; for any data set.

python -m experiments.main --config=experiments/configs/sfcml.py --workdir=runs/sfcml \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

Without a path it runs on generated data.
"""

from experiments.config import Config
from experiments.configs import _family


def get_config() -> Config:
    """The config of SFCML."""
    config = _family.base_config()
    config.model.name = "sfcml"
    config.model.loss = "squared"
    config.model.constraint = "sphere"
    config.model.num_negatives = 1
    config.sampler.num_candidates = 0
    return config
