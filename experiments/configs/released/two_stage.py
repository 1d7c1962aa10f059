"""Two-stage negatives as the released script ran them: stage 2 sees the initial embeddings alone, on the sphere.

python -m experiments.main --config=experiments/configs/released/two_stage.py --workdir=runs/released_two_stage \
    --config.dataset.path=FOLDER_WITH_TRAIN_TRIPLETS

The refresh every 100 steps did not reach the processes that draw. Where the positive is among the candidates its weight
overflows and the draw is uniform over them; a known positive is kept as a negative after ten retries. GOR was off.

Data, score and other data sets as in released/uniform.py; with the options given there, about 30 s on Last.fm on two
CPU cores; test NDCG@50 0.255.
"""

from experiments.config import Config
from experiments.configs.released import uniform


def get_config() -> Config:
    """The config of the released run with two-stage negatives."""
    config = uniform.get_config()
    config.sampler.name = "two_stage"
    config.sampler.refresh_every = 0
    config.sampler.own_positive = "uniform_draw"
    config.sampler.known_positives = "retry_then_keep"
    config.model.constraint = "sphere"
    config.train.batch_size = 256
    config.train.num_steps = 200_000
    return config
