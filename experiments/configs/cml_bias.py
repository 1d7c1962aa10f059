"""CML with item biases: the soft second stage, with popularity in a coordinate of its own; for any data set.

python -m experiments.main --config=experiments/configs/cml_bias.py --workdir=runs/cml_bias \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

Without an exponent on the negative part, which is what else brings popular items back. Without a path it runs on
generated data.
"""

from experiments.config import Config
from experiments.configs import soft


def get_config() -> Config:
    """The config of CML with item biases."""
    config = soft.get_config()
    config.model.name = "cml_bias"
    config.model.negative_exponent = 1.0
    return config
