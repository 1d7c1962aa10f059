"""Stage 1 of two-stage sampling: distinct candidates for a batch, drawn by popularity without replacement."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax import defaults, draws
from cml_jax.data.interactions import Interactions
from cml_jax.errors import ConfigError
from cml_jax.options import (
    AT_LEAST_0,
    FINITE_AT_LEAST_0,
    POSITIVE,
    Effect,
    FromData,
    derived,
    options,
    static,
    traced,
)
from cml_jax.samplers.base import Candidates, SamplerOptions
from cml_jax.types import Array, DeviceInteractions, PyTree


def takes_candidates(chosen: Any) -> bool:
    """Whether the chosen loss takes candidates."""
    return chosen.loss_takes == "candidates"


def takes_negatives(chosen: Any) -> bool:
    """Whether the chosen loss takes drawn negatives."""
    return chosen.loss_takes == "negatives"


def _draws_candidates(chosen: Any) -> bool:
    """Whether the chosen sampler draws candidates at each step."""
    return chosen.sampler.options.draws_candidates(chosen)


@options
class CandidateOptions(SamplerOptions):
    """Options of samplers that offer candidates."""

    offers_candidates: ClassVar[bool] = True

    num_candidates: int = static(
        None,
        "C, candidates of stage 1, shared by the batch; 0: all items, nothing is drawn; none: 1000, or all where fewer",
        AT_LEAST_0,
        Effect(_draws_candidates, "sampler.name = 'two_stage' or a loss that takes candidates"),
        from_data=FromData(defaults.num_candidates, without=1000),
    )
    num_draws: int = derived(0)

    def weights(self, popularity: np.ndarray) -> np.ndarray:
        """Weights of all items on the host, ndarray[I] -> ndarray[I] float64; here every item has the same."""
        return np.ones(len(popularity))

    def draws_candidates(self, chosen: Any) -> bool:
        """Whether a step draws candidates; here where the loss takes them."""
        return takes_candidates(chosen)

    def num_distinct(self, chosen: Any) -> int:
        """How many items a step draws without replacement."""
        return self.num_candidates if self.draws_candidates(chosen) else 0

    def candidates_among(self, num_items: int) -> int:
        """C where there are so many items."""
        return min(self.num_candidates or num_items, num_items)

    def resolved(self, chosen: Any, train: Interactions | None) -> dict[str, Any]:
        """The number of independent draws that hold as many distinct items, see `draws.num_draws_needed`."""
        count = self.num_distinct(chosen)
        if train is None or not count:
            return {"num_draws": 0}
        return {"num_draws": draws.num_draws_needed(self.weights(train.popularity), count)}

    def check_data(self, chosen: Any, train: Interactions) -> None:
        """Raises ConfigError where more candidates are asked for than there are items."""
        if self.draws_candidates(chosen) and self.num_candidates > train.num_items:
            raise ConfigError(
                f"sampler.num_candidates = {self.num_candidates} is above the number of items, {train.num_items}; "
                f"lower it."
            )


@options
class PopularityOptions(CandidateOptions):
    """Options of draws in proportion to a power of popularity."""

    popularity_exponent: float = traced(
        1.0, "beta: item i is drawn in proportion to popularity_i^beta", FINITE_AT_LEAST_0
    )
    popularity_cap: float = traced(float("inf"), "popularity counts above it are lowered to it; none: no cap", POSITIVE)

    def weights(self, popularity: np.ndarray) -> np.ndarray:
        """See `popularity_weights`."""
        counts = jnp.asarray(popularity, jnp.float32)
        found = popularity_weights(counts, self.popularity_exponent, self.popularity_cap)
        return np.asarray(found, np.float64)


def popularity_weights(popularity: Array, exponent: Array | float, cap: Array | float) -> Array:
    """Stage-1 weights, proportional to min(popularity, cap)^exponent; the largest is 1 (Tran et al. 2019, section 3).

    Array[I] -> Array[I]. Items without training users keep weight 0, for every exponent: there is nothing to say that
    they are negatives. Scaled before the power is taken, so that no exponent overflows.
    """
    counts = jnp.minimum(popularity, cap)
    return jnp.where(popularity > 0, (counts / jnp.max(counts)) ** exponent, 0.0)


def init_candidates(weights: Array, num_draws: int) -> PyTree:
    """State of `draw_candidates`: a weight table, or the plain weights Array[I] where the whole catalogue is ranked."""
    return draws.make_weight_table(weights) if num_draws else weights


def draw_candidates(
    key: Array, uniforms: Array, state: PyTree, num_candidates: int, num_draws: int, num_items: int
) -> Candidates:
    """Draws C distinct candidates for the batch without replacement (Tran et al. 2019, section 3).

    Args:
        key: PRNG key, consumed where the whole catalogue is ranked (num_draws = 0).
        uniforms: Array[2 num_draws] in [0, 1), used otherwise.
        state: from `init_candidates`.
        num_candidates: C, at most I, where all items that have a weight are candidates.
        num_draws: independent draws that are made to find C distinct ones, see `draws.num_draws_needed`.
        num_items: I.

    Returns:
        The candidates; slots left over hold item I - 1.
    """
    if num_candidates == num_items and not num_draws:
        drawn, taken = jnp.arange(num_items, dtype=jnp.int32), state > 0
    elif num_draws:
        drawn = draws.draw(uniforms.reshape(2, -1), state)
        taken = draws.among_first_distinct(drawn, num_candidates)
    else:
        drawn, taken = draws.gumbel_top_k(jax.random.fold_in(key, 0), state, num_candidates)
    return in_order(drawn, taken, num_candidates, num_items)


def in_order(drawn: Array, taken: Array, num_candidates: int, num_items: int) -> Candidates:
    """The candidates among draws: Array[R] int32 and Array[R] bool, of which at most C are True."""
    ids = jnp.sort(jnp.where(taken, drawn, num_items))[:num_candidates]
    ids = jnp.pad(ids, (0, num_candidates - ids.shape[0]), constant_values=num_items)
    return Candidates(jnp.minimum(ids, num_items - 1), ids < num_items)


def candidate_function(
    options: CandidateOptions, data: DeviceInteractions, stage1: Callable[[PyTree], PyTree]
) -> Callable[[Array, PyTree], tuple[Candidates, PyTree]]:
    """The `candidates` of a `Sampler`; `stage1` finds the state of `draw_candidates` in that of the sampler."""
    count = options.candidates_among(data.num_items)

    def candidates(key, state):
        uniforms = jax.random.uniform(key, (2 * options.num_draws,))
        drawn = draw_candidates(key, uniforms, stage1(state), count, options.num_draws, data.num_items)
        return drawn, state

    return candidates
