"""The triplet hinge of collaborative metric learning."""

from typing import Any

import jax
import jax.numpy as jnp

from cml_jax.losses.base import Loss, log_sum_of_valid
from cml_jax.options import POSITIVE, Effect, StrategyOptions, derived, one_of, options, static, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array

HINGES = ("closest", "sum", "soft_min")


def _trains_by_hinge(chosen: Any) -> bool:
    return chosen.model.options.trains_by_example


def _is_soft(chosen: Any) -> bool:
    return getattr(chosen.loss.options, "hinge", "") == "soft_min" and _trains_by_hinge(chosen)


_BY_HINGE = Effect(_trains_by_hinge, "a model that takes more of the triplet loss than its margin", enforced=True)


@options
class MarginOptions(StrategyOptions):
    """Options of losses with a margin."""

    margin: float = traced(1.0, "m of the triplet and the squared loss, in units of squared distance", POSITIVE)


@options
class TripletOptions(MarginOptions):
    """Options of the triplet hinge."""

    hinge: str = static(
        "closest", "how the triplet loss takes several negatives: closest | sum | soft_min", one_of(HINGES), _BY_HINGE
    )
    hinge_temperature: float = traced(
        0.1,
        "t of the soft minimum over negatives, in units of squared distance",
        POSITIVE,
        Effect(_is_soft, f"model.hinge = 'soft_min' and {_BY_HINGE.needed}", enforced=True),
    )
    warp: bool = static(
        False,
        "weight the triplet loss of a pair by log(1 + its rank), which its negatives estimate (WARP)",
        effect=_BY_HINGE,
    )
    num_items: int = derived(1)

    def resolved(self, chosen: Any, train: Any) -> dict[str, Any]:
        """The number of items that ranks are out of, where they count; 1 where the data are not known."""
        del chosen
        return {"num_items": 1 if train is None or not self.warp else train.num_items}


def triplet_loss(own: Array, others: Array, valid: Array, margin: Array | float) -> Array:
    """Triplet hinge on squared distances; of several negatives the one closest to the user counts.

    max(0, m + d(u, p)^2 - min_n d(u, n)^2)  (Hsieh et al. 2017, eq. 1; Tran et al. 2019, eq. 1).

    Args:
        own: scalar, -d(u, p)^2.
        others: Array[N], -d(u, n)^2.
        valid: Array[N] bool.
        margin: m, in units of squared distance.

    Returns:
        Scalar; 0 where no negative is valid.
    """
    return jnp.maximum(0.0, margin - own + jnp.max(jnp.where(valid, others, -jnp.inf)))


def sum_of_hinges(own: Array, others: Array, valid: Array, margin: Array | float) -> Array:
    """sum_n max(0, m + d(u, p)^2 - d(u, n)^2), as in Hsieh et al. 2017, eq. 1; arguments of `triplet_loss`."""
    return jnp.sum(jnp.where(valid, jnp.maximum(0.0, margin - own + others), 0.0))


def soft_min_hinge(own: Array, others: Array, valid: Array, margin: Array | float, temperature: Array | float) -> Array:
    """max(0, m + d(u, p)^2 + t log sum_n exp(-d(u, n)^2 / t)): all near negatives share the force.

    The smooth bound of the closest negative's hinge of lifted structured embedding (Oh Song et al. 2016, eq. 4), which
    it tends to as t falls.

    Args:
        own: as for `triplet_loss`.
        others: as for `triplet_loss`.
        valid: as for `triplet_loss`.
        margin: as for `triplet_loss`.
        temperature: t, in units of squared distance.
    """
    soft = temperature * log_sum_of_valid(others / temperature, valid)
    return jnp.where(jnp.any(valid), jnp.maximum(0.0, margin - own + soft), 0.0)


def log_rank(own: Array, others: Array, valid: Array, margin: Array | float, num_items: int) -> Array:
    """Weight of a pair by the rank of its positive, log(1 + I M / N)  (approximated ranking weight, Hsieh et al. 2017).

    Args:
        own: as for `triplet_loss`.
        others: as for `triplet_loss`.
        valid: as for `triplet_loss`.
        margin: of an impostor, a negative that is nearer than the positive or not farther by the margin.
        num_items: I.

    Returns:
        Scalar without a gradient; M of the N valid negatives are impostors.
    """
    impostors = jnp.sum(valid & (margin - own + others > 0))
    return jax.lax.stop_gradient(jnp.log1p(num_items * impostors / jnp.maximum(jnp.sum(valid), 1)))


def make(options: TripletOptions) -> Loss:
    """The triplet hinge with its margin."""

    def hinge(own, others, valid, margin):
        if options.hinge == "sum":
            value = sum_of_hinges(own, others, valid, margin)
        elif options.hinge == "soft_min":
            value = soft_min_hinge(own, others, valid, margin, options.hinge_temperature)
        else:
            value = triplet_loss(own, others, valid, margin)
        return value * log_rank(own, others, valid, margin, options.num_items) if options.warp else value

    def example(own, others, valid):
        return hinge(own, others, valid, options.margin)

    return Loss(example, similarity="distance", scale=options.margin, hinge=hinge)


TRIPLET = Strategy("triplet", TripletOptions, make)
