"""Uniform negatives as the released script ran them: no norm constraint, B = 4096, summed loss, dense Adam.

python -m experiments.main --config=experiments/configs/released/uniform.py --workdir=runs/released_uniform \
    --config.dataset.path=FOLDER_WITH_TRAIN_TRIPLETS

The data set is the Echo Nest Taste Profile's train_triplets.txt (millionsongdataset.com/tasteprofile); any other can be
set with --config.dataset.*, and with it --config.train.num_steps. The score is that of the best validation, as there,
which is optimistic; --config.eval.final_split=test scores the same step on test.

On Last.fm (see RESULTS.md) 3,000 steps take about 20 s on two CPU cores; test NDCG@50 0.226.
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
