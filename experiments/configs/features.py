"""CML with item and user features (Hsieh et al. 2017), which places items without training pairs; for any data set.

python -m experiments.main --config=experiments/configs/features.py --workdir=runs/features \
    --config.dataset.name=NAME --config.dataset.path=FILE_OR_FOLDER --config.dataset.item_features=FILE

Without a path it runs on generated data, whose test part is of such cold items alone.
"""

from experiments.config import Config, default_config


def get_config() -> Config:
    """The recommended method, with features."""
    config = default_config()
    config.dataset.name = "cold_items"
    config.model.name = "cml_features"
    return config
