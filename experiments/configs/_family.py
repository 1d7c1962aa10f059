"""What the configs of the families of collaborative metric learning share."""

from experiments.config import Config
from experiments.configs import _drawn
from experiments.results import search_spaces


def base_config() -> Config:
    """The closest of eight uniform negatives, the unit ball, d = 128."""
    config = search_spaces.base_config()
    config.sampler.num_candidates = _drawn.base_config().sampler.num_candidates  # which no drawn negative needs
    config.model.constraint = "ball"
    config.model.num_negatives = 8
    config.sampler.name = "uniform"
    config.optimizer.learning_rate = 3e-3
    return config
