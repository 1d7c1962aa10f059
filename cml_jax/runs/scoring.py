"""What a run evaluates: which users, which pairs are left out, and by which metrics."""

from typing import NamedTuple

import numpy as np

from cml_jax.data.interactions import Dataset, union
from cml_jax.evaluation import Evaluation, evaluate
from cml_jax.runs.config import Config
from cml_jax.types import Ranking


class Protocol(NamedTuple):
    """How a run is scored.

    Attributes:
        ks: cut-offs.
        final_ks: more of them, for the final scores alone.
        metric: what selects the parameters.
        enough_held_out: see `evaluation.evaluate`.
        final_split: 'test', 'valid' or 'best_test'.
        memory_budget_mb: see `ranking.top_k`.
    """

    ks: tuple[int, ...]
    final_ks: tuple[int, ...]
    metric: str
    enough_held_out: bool
    final_split: str
    memory_budget_mb: float


def make_protocol(config: Config) -> Protocol:
    """What the section eval of a config says."""
    return Protocol(
        ks=tuple(config["eval.ks"]),
        final_ks=tuple(config["eval.final_ks"]),
        metric=config["eval.select"] or f"ndcg@{max(config['eval.ks'])}",
        enough_held_out=config["eval.enough_held_out"],
        final_split=config["eval.final_split"],
        memory_budget_mb=config["eval.memory_budget_mb"],
    )


def validation_users(dataset: Dataset, config: Config) -> np.ndarray:
    """All users with validation items, or a choice of eval.max_users of them, seeded by dataset.split_seed."""
    users = np.flatnonzero(dataset.valid.degrees > 0)
    limit = config["eval.max_users"]
    if limit is None or limit >= len(users):
        return users
    return np.sort(np.random.default_rng(config["dataset.split_seed"]).choice(users, limit, replace=False))


def has_validation(dataset: Dataset) -> bool:
    """Whether there is validation to select parameters on; else those of the last step are the result."""
    return dataset.valid.num_pairs > 0


def scores_test_along_the_way(dataset: Dataset, protocol: Protocol) -> bool:
    """Whether every evaluation scores test, too; nothing is chosen by that but `Summary.best_test`."""
    return protocol.final_split == "best_test" and dataset.test.num_pairs > 0


def score(
    ranking: Ranking,
    dataset: Dataset,
    part: str,
    protocol: Protocol,
    users: np.ndarray | None = None,
    final: bool = False,
) -> Evaluation:
    """Metrics on 'valid' with train masked, or on 'test' with train and valid masked; all there are where it is final.

    Args:
        ranking: of all users and items.
        dataset: what it was trained on.
        part: 'valid' or 'test'.
        protocol: of the run.
        users: ndarray of users to score; all by default.
        final: with the final cut-offs, and by popularity.
    """
    return evaluate(
        ranking,
        dataset.train,
        dataset.train if part == "valid" else union(dataset.train, dataset.valid),
        dataset.valid if part == "valid" else dataset.test,
        ks=(*protocol.ks, *protocol.final_ks) if final else protocol.ks,
        users=users,
        memory_budget_mb=protocol.memory_budget_mb,
        enough_held_out=protocol.enough_held_out,
        by_popularity=final,
    )


def final_scores(ranking: Ranking, dataset: Dataset, protocol: Protocol) -> dict[str, Evaluation]:
    """The scores of a summary by part: validation in full and test unless it is left alone, where they have pairs."""
    parts = ("valid",) if protocol.final_split == "valid" else ("valid", "test")
    parts = [part for part in parts if getattr(dataset, part).num_pairs]
    return {part: score(ranking, dataset, part, protocol, final=True) for part in parts}
