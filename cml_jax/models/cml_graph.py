"""CML on the item graph: an item is its own row and the mean of the items nearest to it."""

from typing import Any

import jax.numpy as jnp

from cml_jax.data.interactions import Interactions
from cml_jax.errors import ConfigError
from cml_jax.geometry import to_sphere
from cml_jax.losses.base import Loss
from cml_jax.models import cml_bias
from cml_jax.models.base import Model
from cml_jax.options import AT_LEAST_1, FINITE_AT_LEAST_0, options, static, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array


@options
class CmlGraphOptions(cml_bias.CmlBiasOptions):
    """Options of CML on the item graph."""

    num_nearest_items: int = static(5, "K of cml_graph: nearest items, whose mean is added to an item", AT_LEAST_1)
    nearest_weight: float = traced(0.5, "a of cml_graph: weight of the mean of the nearest items", FINITE_AT_LEAST_0)

    def check_data(self, chosen: Any, train: Interactions) -> None:
        """Raises ConfigError where more nearest items are asked for than there are items."""
        if self.num_nearest_items > train.num_items:
            raise ConfigError(
                f"model.num_nearest_items = {self.num_nearest_items} is above the number of items, {train.num_items}; "
                f"lower it."
            )


def make(options: CmlGraphOptions, loss: Loss) -> Model:
    """CML with item biases on the item graph: score(u, i) = cos(u, v_i + a / K sum_j v_j) + s b_i, j the K nearest.

    All v are unit vectors; the nearest items are those of `data.nearest.nearest_items`, by the users they share. An
    item thus learns from the pairs of its neighbours, as by a layer of graph convolution (LightGCN, He et al., SIGIR
    2020) over the strongest edges of the item-item graph (UltraGCN, Mao et al., CIKM 2021). Ranking takes two vectors,
    as without the graph. The second stage of samplers compares the v alone. New items are not placed without training.
    """
    plain = cml_bias.make(options, loss)

    def combined(own: Array, means: Array) -> Array:
        return to_sphere(own) + options.nearest_weight * means

    def lookups(batch, data):
        found = plain.lookups(batch, data)
        for role in ("positive", "others"):
            of = found[role]
            ids = data.nearest_items[of.ids]
            found[f"near_{role}"] = of._replace(ids=ids, counted=jnp.broadcast_to(of.counted[..., None], ids.shape))
        return found

    def pair_losses(points, dense, batch):
        means = {role: jnp.mean(to_sphere(points[f"near_{role}"]), axis=-2) for role in ("positive", "others")}
        return plain.loss(points | {role: combined(points[role], of) for role, of in means.items()}, dense, batch)

    def context(params, data):
        items = to_sphere(options.embed(params.tables["items"]))
        total = sum(items[nearest] for nearest in data.nearest_items.T)  # one at a time, since all take K times as much
        more = len(items) - data.num_items  # rows that fill up tables which devices share
        return {"item_neighbourhoods": jnp.pad(total / options.num_nearest_items, ((0, more), (0, 0)))}

    def ranking(params, data):
        known = params.tables
        if "item_neighbourhoods" not in known:
            known = known | context(params, data)
        items = combined(options.embed(known["items"]), known["item_neighbourhoods"])
        return plain.ranking(params._replace(tables=known | {"items": items}), data)

    return plain._replace(
        lookups=lookups,
        loss=pair_losses,
        ranking=ranking,
        context=context,
        num_nearest_items=options.num_nearest_items,
    )


CML_GRAPH = Strategy("cml_graph", CmlGraphOptions, make)
