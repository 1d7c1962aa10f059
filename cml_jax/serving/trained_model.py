"""A trained model: its parameters, raw ids and data, and what follows from them."""

import dataclasses
import functools
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np

from cml_jax import batches
from cml_jax.data.features import Features
from cml_jax.data.interactions import Interactions, nothing, union
from cml_jax.models import Model
from cml_jax.serving.raw_ids import RawIds
from cml_jax.strategies import Options
from cml_jax.table_kinds import with_context
from cml_jax.types import Array, DeviceInteractions, Params, Ranking

COLUMNS = ("user", "item")


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """What was trained, on what, and what is known of it.

    Attributes:
        options: of the model.
        params: what was trained.
        user_ids: RawIds of the users.
        item_ids: RawIds of the items.
        train: what the model was trained on.
        valid: what its training step was selected on.
        step: training step of the parameters.
        notes: sentences about what had to be passed over.
        metrics: scores of the step by part, 'valid' and 'test', of the parts that there were.
        columns: names of the columns of users and items in the data that it was trained on.
        memory_budget_mb: bound on the scores held at once, in MiB, besides one more copy of the items.
        item_features: what else is known of the items, where it was read; see `with_features`.
        user_features: likewise of the users.
        dislikes: pairs that it was trained to keep apart; None where there were none.
        item_titles: ndarray[I] of str objects, empty where an item has none; None where none were read.
    """

    options: Options
    params: Params
    user_ids: RawIds
    item_ids: RawIds
    train: Interactions
    valid: Interactions
    step: int
    notes: tuple[str, ...] = ()
    metrics: Mapping[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    columns: tuple[str, str] = COLUMNS
    memory_budget_mb: float = 512.0
    item_features: Features | None = None
    user_features: Features | None = None
    dislikes: Interactions | None = None
    item_titles: np.ndarray | None = None

    @functools.cached_property
    def model(self) -> Model:
        """The model's functions."""
        return self.options.make_model()

    @functools.cached_property
    def data(self) -> DeviceInteractions:
        """The training interactions on the device, and the features that the model reads."""
        return batches.for_ranking(self.model, self)

    @functools.cached_property
    def ranking(self) -> Ranking:
        """How the model ranks items: factors, or a score function."""
        return self.model.ranking(self._with_context, self.data)

    @functools.cached_property
    def _with_context(self) -> Params:
        """What was trained, and what ranking reads of the training pairs."""
        return with_context(self.model, self.params, self.data)

    @functools.cached_property
    def item_points(self) -> Array:
        """Array[I, D]; the items in the metric space."""
        return self.model.item_points(self._with_context.tables, self.params.dense, jnp.arange(len(self.item_ids)))

    @functools.cached_property
    def user_points(self) -> Array:
        """Array[U, D]; the users in the metric space."""
        return self.model.user_points(self._with_context.tables, self.params.dense, jnp.arange(len(self.user_ids)))

    @functools.cached_property
    def _seen_or_disliked(self) -> Interactions:
        return self.seen if self.dislikes is None else union(self.seen, self.dislikes)

    def _left_out(self, seen: bool, disliked: bool) -> Interactions:
        """What is left out of the users' lists."""
        if seen:
            return self._seen_or_disliked if disliked else self.seen
        if disliked and self.dislikes is not None:
            return self.dislikes
        return nothing(len(self.user_ids), len(self.item_ids))

    @functools.cached_property
    def seen(self) -> Interactions:
        """What is left out of the users' lists: training and validation pairs."""
        return union(self.train, self.valid)
