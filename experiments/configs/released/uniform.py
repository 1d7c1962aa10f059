"""Uniform negatives as the released script ran them: no norm constraint, B = 4096, summed loss, dense Adam.

python -m experiments.main --config=experiments/configs/released/uniform.py --workdir=runs/released_uniform \
    --config.dataset.path=FOLDER_WITH_TRAIN_TRIPLETS

The data set is the Echo Nest Taste Profile's train_triplets.txt (millionsongdataset.com/tasteprofile) with the paper's
filters; another name and path give another data set. As there, the score is that of the best step on validation, which
is optimistic; unlike there, on all validation users, not on the 3,000 that the step was selected by. Not run on the
full Taste Profile.

On Last.fm, with --config.dataset.name=lastfm --config.dataset.path=FOLDER --config.optimizer.learning_rate=1e-3
--config.train.num_steps=3000 --config.eval.final_split=test, about 20 s on two CPU cores; test NDCG@50 0.226.
"""

from experiments.config import Config
from experiments.configs import _echonest


def get_config() -> Config:
    """The config of the released run with uniform negatives; the other two start from it."""
    config = _echonest.base_config()
    config.sampler.name = "uniform"
    config.model.constraint = "none"
    config.model.loss_reduction = "sum"
    config.optimizer.rows = "dense"
    config.train.batch_size = 4096
    # 50 "epochs" of ceil(pairs / (2000 B)) * 2000 steps: of Echonest's 656 thousand pairs one epoch is 12 passes here,
    # and 1.6 passes at B = 256.
    config.train.num_steps = 100_000
    config.eval.final_split = "valid"
    return config
