"""CRML, points drawn to embeddings of co-occurrence (Wu et al. 2020), in the unit ball; for any data set.

python -m experiments.main --config=experiments/configs/crml.py --workdir=runs/crml \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

On Last.fm test NDCG@50 0.296, validation 0.222 (one seed; CML with the same sampler and budget 0.294 on test, three
seeds, see RESULTS.md). Without a path it runs on generated data.
"""

from experiments.config import Config
from experiments.configs import _family


def get_config() -> Config:
    """The config of CRML."""
    config = _family.base_config()
    config.model.name = "crml"
    return config
