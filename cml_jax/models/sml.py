"""Symmetric metric learning with adaptive margins (SML)."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from cml_jax.errors import ConfigError
from cml_jax.geometry import CONSTRAINTS, Constraint, identity
from cml_jax.losses.base import Loss
from cml_jax.models.base import Model, distances, lacks_margin, users_positives_others
from cml_jax.models.points import PointOptions, init_points, make_point_model
from cml_jax.options import FINITE_AT_LEAST_0, POSITIVE, options, traced
from cml_jax.registry import Strategy
from cml_jax.types import Lookup

_LEAST_MARGIN = 1e-3  # margins are above 0
_MARGINS = ("user_margins", "item_margins")


@options
class SmlOptions(PointOptions):
    """Options of SML."""

    similarities: ClassVar[tuple[str, ...]] = ("distance",)

    item_centred_weight: float = traced(
        0.1, "lambda of SML: weight of the hinge that keeps negatives away from the positive", FINITE_AT_LEAST_0
    )
    margin_weight: float = traced(0.1, "gamma of SML: weight of the term that enlarges margins", FINITE_AT_LEAST_0)
    margin_limit: float = traced(1.0, "l of SML: upper bound of a learned margin", POSITIVE)

    @classmethod
    def objection(cls, loss: Loss) -> str:
        """Objects to losses that are more than a hinge, or take no margin of their own for each pair."""
        return "learns margins, which {loss} does not have" if lacks_margin(loss) else ""

    def check(self, chosen: Any) -> None:
        """Raises ConfigError where margins would start above their limit."""
        if chosen.make_loss().scale > self.margin_limit:
            raise ConfigError(
                f"model.margin = {chosen.make_loss().scale:g}, at which margins start, is above model.margin_limit = "
                f"{self.margin_limit:g}; lower it, or raise the limit."
            )


def make(options: SmlOptions, loss: Loss) -> Model:
    """Symmetric metric learning (Li et al., AAAI 2020): margins of users and items are learned, and items repel too.

    For a pair (u, p) with negatives n, of which the closest counts,

        [m_u + d(u, p)^2 - d(u, n)^2]_+ + lambda [m_p + d(p, u)^2 - d(p, n)^2]_+ - gamma (m_u + m_p),  0 < m <= l,

    where the last term is the paper's mean over all margins, taken over the pairs of the batch. Margins start at that
    of the triplet loss. Items are ranked by distance.
    """
    hinge = loss.hinge
    assert hinge is not None
    constraint = CONSTRAINTS[options.constraint]

    def init(key, data):
        params = init_points(options, key, data)
        first = jnp.clip(jnp.float32(loss.scale), _LEAST_MARGIN, options.margin_limit)
        margins = [jnp.full(count, first) for count in (data.num_users, data.num_items)]
        return params._replace(tables=params.tables | dict(zip(_MARGINS, margins, strict=True)))

    def lookups(batch, data):
        del data
        return users_positives_others(batch) | {
            "user_margin": Lookup("user_margins", batch.users, batch.trained),
            "item_margin": Lookup("item_margins", batch.positives, batch.trained),
        }

    def pair_losses(points, dense, batch):
        del dense
        roles = ("user", "positive", "others", "user_margin", "item_margin")
        users, positives, negatives, user_margins, item_margins = (points[role] for role in roles)

        def example(user, positive, negatives, valid, user_margin, item_margin):
            own = distances(user, positive)
            user_centred = hinge(own, distances(user, negatives), valid, user_margin)
            item_centred = hinge(own, distances(positive, negatives), valid, item_margin)
            enlarging = options.margin_weight * (user_margin + item_margin)
            return user_centred + options.item_centred_weight * item_centred - enlarging

        return jax.vmap(example)(users, positives, negatives, batch.valid, user_margins, item_margins)

    def within_bounds(margins):
        return jnp.clip(margins, _LEAST_MARGIN, options.margin_limit)

    of_points = dict.fromkeys(("users", "items"), constraint)
    of_margins = dict.fromkeys(_MARGINS, Constraint(embed=identity, project=within_bounds))
    return make_point_model(options, pair_losses, init=init, lookups=lookups, constraints=of_points | of_margins)


SML = Strategy("sml", SmlOptions, make)
