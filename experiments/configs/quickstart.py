"""Two-stage sampling on generated data, with nothing to download.

python -m experiments.main --config=experiments/configs/quickstart.py --workdir=runs/quickstart
"""

from ml_collections import ConfigDict

from experiments.config import default_config


def get_config() -> ConfigDict:
    """The config of the quickstart."""
    config = default_config()
    config.sampler.num_candidates = 1000
    return config
