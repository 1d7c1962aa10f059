"""HLR, users moved by relations of item and user's items (Tran et al. 2021), in the unit ball; for any data set.

python -m experiments.main --config=experiments/configs/hlr.py --workdir=runs/hlr \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

With --config.model.item_attention=true it is HLR++. Without a path it runs on generated data. Items are ranked by a
function of both, so there is nothing to export.
"""

from experiments.config import Config
from experiments.configs import _family


def get_config() -> Config:
    """The config of HLR."""
    config = _family.base_config()
    config.model.name = "hlr"
    config.optimizer.learning_rate = 1e-3
    return config
