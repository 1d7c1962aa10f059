"""The paper's uniform baseline by its text: CML in the unit ball, B = 4096, chosen on validation, scored on test.

python -m experiments.main --config=experiments/configs/paper/uniform.py --workdir=runs/paper_uniform \
    --config.dataset.path=FOLDER_WITH_TRAIN_TRIPLETS

The data set is the Echo Nest Taste Profile's train_triplets.txt with play counts of 10 and more, users with 10 and more
such songs, and a split of 3:1:1; another name and path give another data set. 50 passes. Not run on the full
Taste Profile.

On Last.fm, with --config.dataset.name=lastfm --config.dataset.path=FOLDER --config.optimizer.learning_rate=1e-3
--config.train.num_steps=3000, about 30 s on two CPU cores; test NDCG@50 0.267.
"""

from experiments.config import Config
from experiments.configs import _echonest


def get_config() -> Config:
    """The config of the paper's uniform baseline; the other two start from it."""
    config = _echonest.base_config()
    config.sampler.name = "uniform"
    config.model.constraint = "ball"
    config.train.batch_size = 4096
    config.train.num_passes = 50
    return config
