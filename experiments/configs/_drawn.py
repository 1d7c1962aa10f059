"""What the configs of drawn negatives start from, whatever the defaults are."""

from experiments.config import Config, default_config


def base_config() -> Config:
    """Two-stage sampling with the triplet loss; Adam on touched rows, nothing averaged; 16 passes of B = 256."""
    config = default_config()
    config.model.dim = 64
    config.model.init_scale = 1.0
    config.model.loss = "triplet"
    config.sampler.name = "two_stage"
    config.sampler.num_candidates = 2000
    config.optimizer.rows = "lazy"
    config.optimizer.average_passes = 0.0
    config.train.batch_size = 256
    config.train.num_passes = 16.0
    config.eval.every_steps = 500
    config.eval.ks = (20, 50)
    return config
