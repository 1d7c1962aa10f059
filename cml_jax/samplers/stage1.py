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
    POSITIVE,
    Effect,
    FromData,
    Range,
    derived,
    options,
    static,
    traced,
)
from cml_jax.samplers.base import Candidates, SamplerOptions
from cml_jax.types import Array, DeviceInteractions, PyTree

EXPONENT_RANGE = Range(lambda v: abs(v) < 3e38, "must be a finite number")


def takes_candidates(chosen: Any) -> bool:
    """Whether the chosen loss takes candidates."""
    return chosen.loss_takes == "candidates"


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

    def candidates_of(self, batch_size: int, num_items: int) -> int:
        """C, whatever the batch."""
        del batch_size
        return self.candidates_among(num_items)

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


def _corrects(chosen: Any) -> bool:
    return chosen.make_loss().pooled is not None


@options
class LogqOptions(SamplerOptions):
    """Options of samplers whose candidates are not equally probable."""

    logq: bool = static(
        False,
        "subtract the logarithm of a candidate's probability from its logit (logQ correction)",
        effect=Effect(_corrects, "model.loss = 'softmax'", enforced=True),
    )

    def check(self, chosen: Any) -> None:
        """Raises ConfigError where the loss has no logits."""
        if self.logq and not _corrects(chosen):
            advice = "use model.loss = 'softmax'" if "cosine" in chosen.model.options.similarities else "leave it out"
            raise ConfigError(
                f"sampler.logq corrects logits, which model.loss = '{chosen.loss.name}' does not have; {advice}."
            )


@options
class PopularityOptions(CandidateOptions, LogqOptions):
    """Options of draws in proportion to a power of popularity."""

    popularity_exponent: float = traced(
        1.0, "beta: item i is drawn in proportion to popularity_i^beta; below 0, rare items more often", EXPONENT_RANGE
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
    # That with the largest weight: the most popular item, or for an exponent below 0 the rarest.
    largest, smallest = jnp.max(counts), jnp.min(jnp.where(popularity > 0, counts, jnp.inf))
    of_largest = jnp.where(jnp.asarray(exponent) < 0, smallest, largest)
    return jnp.where(popularity > 0, (counts / of_largest) ** exponent, 0.0)


def inclusion_rate(weights: Array, count: int) -> Array:
    """t for which sum_i (1 - exp(-t w_i)) = C: draws without replacement include item i with about that probability.

    The rate of successive sampling (Rosen 1972); by halving in the logarithm.

    Args:
        weights: Array[I], the largest is 1.
        count: C; where no more items have a weight, t is so large that all are certain.

    Returns:
        Scalar.
    """

    def halve(_, bounds):
        low, high = bounds
        middle = jnp.sqrt(low) * jnp.sqrt(high)
        enough = jnp.sum(-jnp.expm1(-middle * weights)) >= count
        return jnp.where(enough, low, middle), jnp.where(enough, middle, high)

    return jax.lax.fori_loop(0, 50, halve, (jnp.float32(1e-9), jnp.float32(1e30)))[1]


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


def with_log_probabilities(options: PopularityOptions, weights: Array, count: int, state: PyTree) -> PyTree:
    """The state of a sampler; where probabilities are corrected for, with the logarithm of each item's, Array[I]."""
    if not options.logq:
        return state
    return state, log_of_share(-jnp.expm1(-inclusion_rate(weights, count) * weights))


def candidate_function(
    options: PopularityOptions, data: DeviceInteractions, stage1: Callable[[PyTree], PyTree]
) -> Callable[[Array, PyTree, Array, Array], tuple[Candidates, PyTree]]:
    """The `candidates` of a `Sampler`.

    Args:
        options: of stage 1.
        data: training interactions.
        stage1: finds the state of `draw_candidates` in that of the sampler, without log-probabilities.
    """
    count = options.candidates_among(data.num_items)

    def candidates(key, state, positives, filled):
        del positives, filled
        own, log_probability = state if options.logq else (state, None)
        uniforms = jax.random.uniform(key, (2 * options.num_draws,))
        drawn = draw_candidates(key, uniforms, stage1(own), count, options.num_draws, data.num_items)
        if log_probability is not None:
            drawn = drawn._replace(log_probability=log_probability[drawn.ids])
        return drawn, state

    return candidates


def log_of_share(probability: Array) -> Array:
    """Logarithm of a probability, finite where float32 rounds it to 0: Array[...] -> Array[...]."""
    return jnp.log(jnp.maximum(probability, 1e-30))
