"""The paper's two-stage sampling by its text: embeddings refreshed every 100 steps, no cut-off, GOR, sphere, B = 256.

python -m experiments.main --config=experiments/configs/paper/two_stage.py --workdir=runs/paper_two_stage \
    --config.dataset.path=FOLDER_WITH_TRAIN_TRIPLETS

Taken literally the method collapses, since the nearest candidates are mostly items that the user would like; what we
recommend is configs/two_stage.py. Data and other data sets as in paper/uniform.py; with the options given there,
about 30 s on Last.fm on two CPU cores; test NDCG@50 0.032.
"""

from experiments.config import Config
from experiments.configs.paper import uniform


def get_config() -> Config:
    """The config of the paper's two-stage sampling."""
    config = uniform.get_config()
    config.sampler.name = "two_stage"
    config.sampler.refresh_every = 100
    config.model.constraint = "sphere"
    config.model.gor_weight = 0.01  # the text gives none; this is the released script's
    config.train.batch_size = 256
    return config
