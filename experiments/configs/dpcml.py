"""DPCML, five points a user that are kept apart (Bao et al. 2022), in the unit ball; for any data set.

python -m experiments.main --config=experiments/configs/dpcml.py --workdir=runs/dpcml \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

On Last.fm two minutes on a busy core, test NDCG@50 0.278; on Steam-200k NDCG@3 35.0 % (three seeds; CML with the same
sampler and budget 0.294 and 33.9 %, see RESULTS.md). Without a path it runs on generated data. With
--config.model.num_negatives=1 it is DPCML1, as it is DPCML2.
"""

from experiments.config import Config
from experiments.configs import _family


def get_config() -> Config:
    """The config of DPCML."""
    config = _family.base_config()
    config.model.name = "dpcml"
    return config
