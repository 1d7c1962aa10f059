"""SimpleX, users as their own row and the mean of their items (Mao et al. 2021), by cosine; for any data set.

python -m experiments.main --config=experiments/configs/simplex.py --workdir=runs/simplex \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

With the softmax over candidates; --config.model.loss=ccl is the paper's loss. Without a path it runs on generated data.
"""

from experiments.config import Config
from experiments.configs import soft


def get_config() -> Config:
    """The config of SimpleX."""
    config = soft.get_config()
    config.model.name = "simplex"
    config.model.num_neighbours = 20
    return config
