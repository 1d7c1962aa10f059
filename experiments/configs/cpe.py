"""CPE, margins drawn to one number and independent dimensions (Bao et al. 2019), in the unit ball; for any data set.

python -m experiments.main --config=experiments/configs/cpe.py --workdir=runs/cpe \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

Without a path it runs on generated data.
"""

from experiments.config import Config
from experiments.configs import _family


def get_config() -> Config:
    """The config of CPE."""
    config = _family.base_config()
    config.model.name = "cpe"
    return config
