"""Popularity negatives as the released script ran them: drawn without replacement over the batch, no norm constraint.

python -m experiments.main --config=experiments/configs/released/popularity.py --workdir=runs/released_popularity \
    --config.dataset.path=FOLDER_WITH_TRAIN_TRIPLETS

Data, score and other data sets as in released/uniform.py; with the options given there and
--config.model.constraint=sphere, which the script gave to two-stage alone, about 15 s on Last.fm on two CPU cores; test
NDCG@50 0.230.
"""

from experiments.config import Config
from experiments.configs.released import uniform


def get_config() -> Config:
    """The config of the released run with popularity negatives."""
    config = uniform.get_config()
    config.sampler.name = "popularity"
    config.sampler.without_replacement = True
    config.train.batch_size = 256
    config.train.num_steps = 200_000
    return config
