"""TransCF, users moved by what neighbourhoods have in common (Park et al. 2018), in the unit ball; for any data set.

python -m experiments.main --config=experiments/configs/transcf.py --workdir=runs/transcf \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

Without a path it runs on generated data.
"""

from experiments.config import Config
from experiments.configs import _family


def get_config() -> Config:
    """The config of TransCF."""
    config = _family.base_config()
    config.model.name = "transcf"
    return config
