"""PMLAM, Gaussians with margins that are generated (Ma et al. 2020), in the unit ball; for any data set.

python -m experiments.main --config=experiments/configs/pmlam.py --workdir=runs/pmlam \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

Without a path it runs on generated data.
"""

from experiments.config import Config
from experiments.configs import _family


def get_config() -> Config:
    """The config of PMLAM."""
    config = _family.base_config()
    config.model.name = "pmlam"
    return config
