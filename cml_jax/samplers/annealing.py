"""Annealing of two-stage sampling: its cut-off and exponent move from one value to another in the course of a run."""

import dataclasses
import math
from typing import Any

import jax.numpy as jnp

from cml_jax.losses.base import takes_negatives
from cml_jax.options import POSITIVE, Effect, derived, options, traced
from cml_jax.samplers.stage1 import EXPONENT_RANGE
from cml_jax.samplers.stage2 import CUTOFF_RANGE, Stage2Options
from cml_jax.types import Array

TABLE_EVERY = 64  # steps from one table of stage-1 weights to the next; each costs a pass over the catalogue
_ENFORCED = Effect(takes_negatives, "a loss that takes negatives", enforced=True)


def _anneals(chosen: Any) -> bool:
    return takes_negatives(chosen) and chosen.sampler.options.ends_elsewhere


@options
class AnnealingOptions(Stage2Options):
    """Options of the end of annealing."""

    similarity_cutoff_end: float = traced(
        math.inf, "similarity_cutoff after anneal_passes; none: it stays", CUTOFF_RANGE, _ENFORCED
    )
    popularity_exponent_end: float = traced(
        math.inf, "popularity_exponent after anneal_passes; none: it stays", EXPONENT_RANGE, _ENFORCED
    )
    anneal_passes: float = traced(
        8.0,
        "passes over which cut-off and exponent move to their ends, linearly",
        POSITIVE,
        Effect(_anneals, "sampler.similarity_cutoff_end or sampler.popularity_exponent_end"),
    )
    anneals_cutoff: bool = derived(False)
    anneals_exponent: bool = derived(False)
    anneal_steps: float = derived(1.0, traced=True)

    @property
    def ends_elsewhere(self) -> bool:
        """Whether anything moves."""
        return self.anneals_cutoff or self.anneals_exponent

    def resolved(self, chosen: Any, train: Any) -> dict[str, Any]:
        """What moves, over how many steps, and draws that are enough at the start and at the end."""
        found = super().resolved(chosen, train)
        found |= {
            "anneals_cutoff": self.similarity_cutoff_end < math.inf,
            "anneals_exponent": self.popularity_exponent_end < math.inf,
        }
        if train is not None:
            found["anneal_steps"] = self.anneal_passes * train.num_pairs / chosen.batch_size
        if found["anneals_exponent"]:
            at_end = dataclasses.replace(self, popularity_exponent=self.popularity_exponent_end)
            needed = found["num_draws"], super(AnnealingOptions, at_end).resolved(chosen, train)["num_draws"]
            found["num_draws"] = max(needed) if min(needed) else 0
        return found

    def at(self, step: Array) -> "AnnealingOptions":
        """The options as they are at a step."""
        share = jnp.minimum(step / self.anneal_steps, 1.0)

        def between(start, end):
            return start + share * (end - start)

        moved = {}
        if self.anneals_cutoff:
            moved["similarity_cutoff"] = between(self.similarity_cutoff, self.similarity_cutoff_end)
        if self.anneals_exponent:
            moved["popularity_exponent"] = between(self.popularity_exponent, self.popularity_exponent_end)
        return dataclasses.replace(self, **moved)
