"""CML on the item graph: the soft second stage with item biases, an item moved towards the items nearest to it.

python -m experiments.main --config=experiments/configs/cml_graph.py --workdir=runs/cml_graph \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER

For sparse data, where an item has few pairs of its own, such as Gowalla's; on denser data it is no gain. Without a path
it runs on generated data.
"""

from experiments.config import Config
from experiments.configs import cml_bias


def get_config() -> Config:
    """The config of CML on the item graph."""
    config = cml_bias.get_config()
    config.model.name = "cml_graph"
    return config
