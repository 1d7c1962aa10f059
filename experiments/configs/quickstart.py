"""Two-stage sampling on generated data, with nothing to download.

python -m experiments.main --config=experiments/configs/quickstart.py --workdir=runs/quickstart

Compare with --config.sampler.name=uniform and another workdir.

About 20 s on two CPU cores; test NDCG@50 0.359 (uniform 0.295, popularity 0.268; seed 0).
"""

from experiments.config import Config, default_config


def get_config() -> Config:
    """The config of the quickstart."""
    config = default_config()
    config.model.init_scale = 0.3
    config.sampler.num_candidates = 1000
    config.sampler.popularity_exponent = 0.5
    config.sampler.similarity_cutoff = 0.3
    config.train.num_passes = 20
    return config
