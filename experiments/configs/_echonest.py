"""What the paper's text and its released code have in common: the data set and the model's size."""

from experiments.config import Config
from experiments.configs import _drawn


def base_config() -> Config:
    """Echonest by its recipe (see cml_jax/data/datasets.py), split 3:1:1; d = 128, Adam at 1e-4."""
    config = _drawn.base_config()
    config.dataset.name = "echonest"
    config.sampler.num_candidates = 2000
    config.sampler.popularity_exponent = 1.0
    config.sampler.similarity_cutoff = 1.0
    config.model.dim = 128
    config.optimizer.learning_rate = 1e-4
    config.eval.every_steps = 2000
    config.eval.max_users = 3000
    config.checkpoint.every_steps = 2000
    return config
