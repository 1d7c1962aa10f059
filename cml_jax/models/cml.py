"""Collaborative metric learning."""

from typing import Any, ClassVar

import jax.numpy as jnp

from cml_jax.losses.base import TAKES, WITH_OTHERS, Loss, takes_negatives, takes_others
from cml_jax.losses.covariance import covariance_penalty
from cml_jax.losses.gor import GOR_FORMS, gor_penalty
from cml_jax.models.base import Model, all_points, loss_of_points, pooled_similarities, with_rows_of_batch
from cml_jax.models.points import PointOptions, make_point_model
from cml_jax.options import FINITE_AT_LEAST_0, Effect, derived, one_of, options, static, traced
from cml_jax.registry import Strategy


def _has_gor_form(chosen: Any) -> bool:
    return chosen.similarity == "distance" and takes_negatives(chosen) and chosen.model.options.gor != "none"


@options
class CmlOptions(PointOptions):
    """Options of collaborative metric learning."""

    takes: ClassVar[tuple[str, ...]] = TAKES

    gor_weight: float = traced(0.0, "weight of the GOR term", FINITE_AT_LEAST_0, WITH_OTHERS)
    gor_form: str = static(
        "mean",
        "GOR term: mean | sum; sum is the released code's",
        one_of(GOR_FORMS),
        Effect(_has_gor_form, "model.loss = 'triplet' and model.gor_weight above 0", enforced=True),
    )
    covariance_weight: float = traced(
        0.0,
        "weight of the covariance term, with losses that take negatives",
        FINITE_AT_LEAST_0,
        Effect(takes_negatives, "a loss that takes negatives", enforced=True),
    )
    gor: str = derived("none")
    covariance: bool = derived(False)

    def resolved(self, chosen: Any, train: Any) -> dict[str, Any]:
        """The form of the GOR term, or 'none' where its weight is 0, and whether there is a covariance term."""
        del train
        return {
            "gor": self.gor_form if self.gor_weight > 0 and takes_others(chosen) else "none",
            "covariance": self.covariance_weight > 0 and takes_negatives(chosen),
        }


def make(options: CmlOptions, loss: Loss) -> Model:
    """Collaborative metric learning (Hsieh et al. 2017; Tran et al. 2019): score(u, i) = -||u - i||^2.

    With GOR of the pairs that do not match (Tran et al. 2019, eq. 5) and the covariance term of the points of the batch
    (Hsieh et al. 2017, section 3.3), where their weights are above 0.
    """

    def pair_losses(points, dense, batch):
        del dense
        own = pooled_similarities(loss, points, batch)
        return loss_of_points(loss, points["user"], points["positive"], points["others"], batch, own)

    def penalty(points, dense, batch, total):
        del dense
        value = jnp.zeros(())
        if options.gor != "none":
            pairs = points["user"], points["positive"], points["others"], batch.dense_valid()
            value += options.gor_weight * gor_penalty(options.gor, *pairs, total)
        if options.covariance:
            value += options.covariance_weight * covariance_penalty(*all_points(points, batch), total)
        return value

    return with_rows_of_batch(make_point_model(options, pair_losses, penalty=penalty), loss)


CML = Strategy("cml", CmlOptions, make)
