"""What a run evaluates: which users, which pairs are left out, and how often."""

import numpy as np

from cml_jax import training
from cml_jax.data.interactions import Dataset, union
from cml_jax.evaluation import Evaluation, evaluate
from cml_jax.types import Params
from experiments.config import Config


def validation_users(dataset: Dataset, config: Config) -> np.ndarray:
    """All users with validation items, or a seeded choice of eval.max_users of them."""
    users = np.flatnonzero(dataset.valid.degrees > 0)
    limit = config.eval.max_users
    if limit is None or limit >= len(users):
        return users
    return np.sort(np.random.default_rng(config.dataset.split_seed).choice(users, limit, replace=False))


def is_possible(dataset: Dataset) -> bool:
    """Whether there is validation to select parameters on; else those of the last step are the result."""
    return dataset.valid.num_pairs > 0


def selection_metric(config: Config) -> str:
    """The metric that selects the parameters."""
    return config.eval.select or f"ndcg@{max(config.eval.ks)}"


def score(
    params: Params, dataset: Dataset, part: str, config: Config, users: np.ndarray | None = None, final: bool = False
) -> Evaluation:
    """Metrics on 'valid' with train masked, or on 'test' with train and valid masked; all there are where it is final.

    Args:
        params: the tables.
        dataset: what they were trained on.
        part: 'valid' or 'test'.
        config: model and eval are used.
        users: ndarray of users to score; all by default.
        final: with eval.final_ks, and by popularity.
    """
    seen = dataset.train if part == "valid" else union(dataset.train, dataset.valid)
    held_out = dataset.valid if part == "valid" else dataset.test
    return evaluate(
        training.embeddings(params, config.model.constraint, config.model.loss),
        dataset.train,
        seen,
        held_out,
        ks=(*config.eval.ks, *config.eval.final_ks) if final else config.eval.ks,
        users=users,
        memory_budget_mb=config.eval.memory_budget_mb,
        enough_held_out=config.eval.enough_held_out,
        by_popularity=final,
    )
