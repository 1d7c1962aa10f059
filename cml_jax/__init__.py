"""Collaborative Metric Learning with two-stage negative sampling, as pure functions in JAX."""

from cml_jax.data.datasets import load as load_dataset
from cml_jax.data.interactions import Dataset, Interactions
from cml_jax.errors import ConfigError, DataError, TrainingError, UserError
from cml_jax.evaluation import Evaluation, evaluate
from cml_jax.ranking import top_k
from cml_jax.recommender import Recommender
from cml_jax.training import embeddings, init_state, make_step, run_steps
from cml_jax.types import DeviceInteractions, HParams, Params, Spec, StepMetrics, TrainState
from cml_jax.workdir import load

__all__ = [
    "ConfigError",
    "DataError",
    "Dataset",
    "DeviceInteractions",
    "Evaluation",
    "HParams",
    "Interactions",
    "Params",
    "Recommender",
    "Spec",
    "StepMetrics",
    "TrainState",
    "TrainingError",
    "UserError",
    "embeddings",
    "evaluate",
    "init_state",
    "load",
    "load_dataset",
    "make_step",
    "run_steps",
    "top_k",
]
