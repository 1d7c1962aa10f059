"""LRML, users moved by a relation from 20 memory slots (Tay et al. 2018), in the unit ball; for any data set.

python -m experiments.main --config=experiments/configs/lrml.py --workdir=runs/lrml \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

On Last.fm two minutes on a busy core, test NDCG@50 0.260; on Steam-200k NDCG@3 20.2 % (three seeds; CML with the same
sampler and budget 0.294 and 33.9 %, see RESULTS.md). Without a path it runs on generated data. Items are ranked by a
function of both, so there is nothing to export.
"""

from experiments.config import Config
from experiments.configs import _family


def get_config() -> Config:
    """The config of LRML."""
    config = _family.base_config()
    config.model.name = "lrml"
    config.optimizer.learning_rate = 1e-3
    return config
