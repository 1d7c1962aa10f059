"""HyperML, hyperbolic metric learning in the Poincaré ball (Vinh Tran et al. 2020); for any data set.

python -m experiments.main --config=experiments/configs/hyperml.py --workdir=runs/hyperml \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

Without a path it runs on generated data.
"""

from experiments.config import Config
from experiments.configs import _family


def get_config() -> Config:
    """The config of HyperML."""
    config = _family.base_config()
    config.model.name = "hyperml"
    config.model.constraint = "sphere"  # the default; the ball of the model is no constraint
    return config
