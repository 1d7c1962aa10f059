"""The paper's popularity baseline by its text: negatives in proportion to popularity, in the unit ball, B = 256.

python -m experiments.main --config=experiments/configs/paper/popularity.py --workdir=runs/paper_popularity \
    --config.dataset.path=FOLDER_WITH_TRAIN_TRIPLETS

Data and other data sets as in paper/uniform.py; with the options given there, about 10 s on Last.fm on two CPU cores;
test NDCG@50 0.192.
"""

from experiments.config import Config
from experiments.configs.paper import uniform


def get_config() -> Config:
    """The config of the paper's popularity baseline."""
    config = uniform.get_config()
    config.sampler.name = "popularity"
    config.train.batch_size = 256
    return config
