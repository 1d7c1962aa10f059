"""SML, symmetric metric learning with adaptive margins (Li et al. 2020), in the unit ball; for any data set.

python -m experiments.main --config=experiments/configs/sml.py --workdir=runs/sml \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

On Last.fm two minutes on a busy core, test NDCG@50 0.304; on Steam-200k NDCG@3 35.7 % (three seeds; CML with the same
sampler and budget 0.294 and 33.9 %, see RESULTS.md). Without a path it runs on generated data.
"""

from experiments.config import Config
from experiments.configs import _family


def get_config() -> Config:
    """The config of SML."""
    config = _family.base_config()
    config.model.name = "sml"
    config.optimizer.learning_rate = 1e-3
    return config
