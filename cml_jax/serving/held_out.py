"""Scores of a model in use on held-out pairs."""

import sys
from collections.abc import Sequence
from typing import Any

from cml_jax import defaults
from cml_jax.data.interactions import difference, nothing
from cml_jax.data.sources import known_pairs
from cml_jax.errors import DataError
from cml_jax.evaluation import evaluate
from cml_jax.serving.list_tables import count
from cml_jax.serving.recommender import Recommender
from cml_jax.serving.trained_model import COLUMNS


def score(
    model: Recommender, test: Any, columns: tuple[str, str], ks: Sequence[int] | None, *, exclude_seen: bool
) -> dict[str, float]:
    """Metrics on held-out pairs; see `Recommender.evaluate`.

    Args:
        model: the model.
        test: held-out pairs.
        columns: names of the columns of users and items.
        ks: cut-offs; by default those of a run.
        exclude_seen: whether items of training and validation are left out of the lists.
    """
    named = {f"{kind}_column": None if name == kind else name for kind, name in zip(COLUMNS, columns, strict=True)}
    pairs, notes = known_pairs(test, model.user_ids.values, model.item_ids.values, label="test", **named)
    seen = model.seen if exclude_seen else nothing(len(model.user_ids), len(model.item_ids))
    pairs, dropped = difference(pairs, seen)
    if dropped:
        notes = (*notes, f"test: dropped {dropped:,} pairs that the model was trained or selected on.")
    for note in notes:
        print(note, file=sys.stderr)
    if pairs.num_pairs == 0:
        raise DataError("test: no pair is left; give pairs that the model was not trained on.")
    cutoffs = defaults.cutoffs(model.train) if ks is None else tuple(count(k) for k in ks)
    memory = model.memory_budget_mb
    return evaluate(model.ranking, model.train, seen, pairs, ks=cutoffs, memory_budget_mb=memory).values
