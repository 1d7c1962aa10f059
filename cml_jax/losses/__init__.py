"""Losses, one file each: functions of one pair's similarities, vmapped by the model."""

from cml_jax.losses.base import MAKE_ARGUMENTS, SIMILARITIES, TAKES, Loss
from cml_jax.losses.bpr import BPR
from cml_jax.losses.ccl import CCL
from cml_jax.losses.debiased import DEBIASED
from cml_jax.losses.directau import DIRECTAU
from cml_jax.losses.psl import PSL
from cml_jax.losses.softmax import SOFTMAX
from cml_jax.losses.squared import SQUARED
from cml_jax.losses.triplet import TRIPLET
from cml_jax.registry import Registry

LOSSES = Registry(
    "loss",
    MAKE_ARGUMENTS,
    TRIPLET,
    SOFTMAX,
    BPR,
    CCL,
    PSL,
    DEBIASED,
    SQUARED,
    DIRECTAU,
)

__all__ = ["LOSSES", "SIMILARITIES", "TAKES", "Loss"]
