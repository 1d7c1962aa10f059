"""Two-stage sampling on HetRec Last.fm (1,885 users, 17,388 items), 16 passes at d = 128, B = 256, one negative.

python -m experiments.main --config=experiments/configs/lastfm.py --workdir=runs/lastfm \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST
"""

from experiments.config import Config, default_config


def get_config() -> Config:
    """The config of the Last.fm run."""
    config = default_config()
    config.dataset.name = "lastfm"
    config.model.dim = 128
    config.model.init_scale = 0.8
    config.sampler.num_candidates = 2000
    config.sampler.popularity_exponent = 1.0
    config.sampler.similarity_cutoff = 0.1
    config.train.num_passes = 16
    return config
