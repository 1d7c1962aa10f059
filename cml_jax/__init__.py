"""Collaborative Metric Learning with two-stage negative sampling, as pure functions in JAX."""

from importlib.metadata import version

from cml_jax.data.datasets import load as load_dataset
from cml_jax.data.interactions import Dataset, Interactions
from cml_jax.errors import ConfigError, DataError, TrainingError, UserError
from cml_jax.evaluation import Evaluation, evaluate
from cml_jax.fit import fit
from cml_jax.ranking import top_k
from cml_jax.runs.preemption import Preempted
from cml_jax.serving.recommender import Recommender
from cml_jax.serving.saved_model import load
from cml_jax.strategies import Options, make_options
from cml_jax.training import evaluation_params, init_state, make_step, run_steps
from cml_jax.types import DeviceInteractions, Factors, Params, Score, StepMetrics, TrainState

__all__ = [
    "ConfigError",
    "DataError",
    "Dataset",
    "DeviceInteractions",
    "Evaluation",
    "Factors",
    "Interactions",
    "Options",
    "Params",
    "Preempted",
    "Recommender",
    "Score",
    "StepMetrics",
    "TrainState",
    "TrainingError",
    "UserError",
    "__version__",
    "evaluate",
    "evaluation_params",
    "fit",
    "init_state",
    "load",
    "load_dataset",
    "make_options",
    "make_step",
    "run_steps",
    "top_k",
]

__version__ = version("cml_jax")
