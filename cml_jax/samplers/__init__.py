"""Samplers of negatives and candidates, one file each."""

from cml_jax.registry import Registry
from cml_jax.samplers.base import MAKE_ARGUMENTS, BatchShape, Candidates, Negatives, Sampler
from cml_jax.samplers.dynamic import DYNAMIC
from cml_jax.samplers.in_batch import IN_BATCH
from cml_jax.samplers.popularity import POPULARITY
from cml_jax.samplers.srns import SRNS
from cml_jax.samplers.two_stage import TWO_STAGE
from cml_jax.samplers.uniform import UNIFORM

SAMPLERS = Registry(
    "sampler",
    MAKE_ARGUMENTS,
    UNIFORM,
    POPULARITY,
    TWO_STAGE,
    IN_BATCH,
    DYNAMIC,
    SRNS,
)

__all__ = ["SAMPLERS", "BatchShape", "Candidates", "Negatives", "Sampler"]
