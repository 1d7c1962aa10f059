"""The recommended method on generated data, with nothing to download, beside most popular and uniform negatives.

python -m experiments.main --config=experiments/configs/quickstart.py --workdir=runs/quickstart
"""

from experiments.config import Config, default_config


def get_config() -> Config:
    """The defaults, and what they are compared with."""
    config = default_config()
    config.eval.compare = ("popular", "uniform")
    return config
