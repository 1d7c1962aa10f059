"""A trained model in use: lists for known and new users, neighbours of items and users, all by raw id."""

import dataclasses
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import polars as pl

from cml_jax.data.interactions import Interactions, from_pairs, nothing
from cml_jax.errors import DataError
from cml_jax.serving import feature_columns, fold_in, new_items
from cml_jax.serving.list_tables import Remarks, allowed_items, count, joined, neighbours, table_of, warn
from cml_jax.serving.lists import ranked_lists
from cml_jax.serving.raw_ids import listed
from cml_jax.serving.trained_model import TrainedModel
from cml_jax.table_kinds import with_rows
from cml_jax.types import Ranking


@dataclasses.dataclass(frozen=True)
class Recommender(TrainedModel):
    """Points of users and items, with their raw ids and what is known of every user; made by `cml_jax.load`.

    Lists are exact, over the full catalogue, best first, of equal scores in the order of the catalogue. They are tables
    with the columns user, rank (from 1), item and score, in most models the negative squared distance; a user has fewer
    than k rows where fewer items are left. A single raw id stands for a list of one, and an id that the model
    does not know raises DataError.
    """

    def recommend(
        self,
        users: Any,
        k: int = 20,
        *,
        exclude_seen: bool = True,
        allow: Iterable[Any] | None = None,
        deny: Iterable[Any] | None = None,
        exclude_untrained: bool = False,
        exclude_disliked: bool = True,
    ) -> pl.DataFrame:
        """The k best items of each user, one user after the other; arguments as for `recommend_in_blocks`.

        Warns of rows of items that nobody was trained on, and of users for whom nothing is left.
        """
        names = self.user_ids.series(self.user_ids.rows(users := listed(users)), "user").cast(pl.String).to_list()
        blocks = self.recommend_in_blocks(
            users,
            k,
            exclude_seen=exclude_seen,
            allow=allow,
            deny=deny,
            exclude_untrained=exclude_untrained,
            exclude_disliked=exclude_disliked,
        )
        table = joined(blocks)
        warn(self._remarks(table, names))
        return table

    def recommend_in_blocks(
        self,
        users: Any = None,
        k: int = 20,
        *,
        exclude_seen: bool = True,
        allow: Iterable[Any] | None = None,
        deny: Iterable[Any] | None = None,
        exclude_untrained: bool = False,
        exclude_disliked: bool = True,
    ) -> Iterator[pl.DataFrame]:
        """Yields tables of up to 1,024 users each, so that memory does not grow with their number.

        Args:
            users: raw ids; all users by default.
            k: K.
            exclude_seen: whether items of the user's training and validation pairs are left out.
            allow: raw ids of the only items that may be listed; all by default.
            deny: raw ids of items that may not, even where they are allowed.
            exclude_untrained: whether items without a training pair are left out, whose points nobody has moved.
            exclude_disliked: whether the user's dislikes are left out, where the data had any.

        Raises:
            UserError: an id is unknown, k is no count, or no item may be listed.
        """
        rows = np.arange(len(self.user_ids)) if users is None else self.user_ids.rows(users)
        seen = self._left_out(exclude_seen, exclude_disliked)
        names, allowed = self.user_ids.series(rows, "user"), self._allowed(allow, deny, exclude_untrained)
        return self._tables(names, self.ranking, rows, seen, k, allowed)

    def fold_in(self, items: Any) -> np.ndarray:
        """The point of a new user who has these items, as a row of the users' table: ndarray[D] in most models.

        Raises:
            DataError: an item is unknown, or there is none.
        """
        return self.fold_in_all(self._history(items))[0]

    def fold_in_all(self, histories: Interactions) -> np.ndarray:
        """Points ndarray[n, D] of new users, from the items of each; see `cml_jax.serving.fold_in`.

        Raises:
            DataError: a user has no item.
        """
        if histories.num_users == 0 or histories.degrees.min() == 0:
            raise DataError("a new user has no item; give at least one that the model knows.")
        return fold_in.fold_in(self.options, self.params, self.data, histories, memory_budget_mb=self.memory_budget_mb)

    def fold_in_item(self, users: Any) -> np.ndarray:
        """The point of a new item that these users have, as a row of the items' table: ndarray[D].

        Raises:
            DataError: a user is unknown, or there is none.
        """
        return new_items.fold_in_item(self, users)

    def with_items(self, items: Mapping[Any, Any], item_features: Any = None) -> "Recommender":
        """The model with new items, folded in from their users: lists hold them, and the users' own leave them out.

        Users stay where they are. New items follow the others in the order of the catalogue. A model that learned from
        item features places new items without users by theirs.

        Args:
            items: raw id of each new item -> raw ids of its users, of which there is at least one, or none with
                features and such a model.
            item_features: of the new items, in the columns that the model knows, as for `fit`; they are missing where
                they are not given.

        Raises:
            DataError: an item is known already, a user is not, an item has none, or features cannot be read.
        """
        return new_items.with_items(self, items, item_features)

    def recommend_for(
        self,
        taste: Any,
        k: int = 20,
        *,
        allow: Iterable[Any] | None = None,
        deny: Iterable[Any] | None = None,
        exclude_untrained: bool = False,
    ) -> pl.DataFrame:
        """The k best items of someone who is no user of the model: columns rank, item and score.

        Warns as `recommend` does.

        Args:
            taste: raw ids of items, which are folded in and left out of the list; or a point, ndarray[D] of floats as
                `fold_in` returns it, of a user without items, for whom nothing is left out.
            k: K.
            allow: as for `recommend_in_blocks`.
            deny: as for `recommend_in_blocks`.
            exclude_untrained: as for `recommend_in_blocks`.

        Raises:
            UserError: an item is unknown, there is none, or the point has another shape.
        """
        if isinstance(taste, np.ndarray) and taste.dtype.kind == "f":
            shape = self.params.tables["users"].shape[1:]
            if taste.shape != shape or not np.isfinite(taste).all():
                size = " x ".join(map(str, shape))
                raise DataError(f"a point must be an array of {size} finite numbers, as fold_in returns it.")
            points, seen = taste[None], nothing(1, len(self.item_ids))
        else:
            seen = self._history(taste)
            points = self.fold_in_all(seen)
        blocks = self.recommend_points(
            ["new"], points, seen, k, allow=allow, deny=deny, exclude_untrained=exclude_untrained
        )
        table = joined(blocks)
        warn(self._remarks(table, ["new"]))
        return table.drop("user")

    def recommend_points(
        self,
        names: Sequence[str],
        points: np.ndarray,
        seen: Interactions,
        k: int = 20,
        *,
        histories: Interactions | None = None,
        allow: Iterable[Any] | None = None,
        deny: Iterable[Any] | None = None,
        exclude_untrained: bool = False,
    ) -> Iterator[pl.DataFrame]:
        """As `recommend_in_blocks`, for points, one a row and name, without the items of the rows of `seen`.

        Models that read a user's items read those of `histories`, or else those of `seen`.
        """
        column, rows = pl.Series("user", names, pl.String), jnp.asarray(points, jnp.float32)
        items = None
        if "user" in self.model.context_of:
            items = fold_in.dense(seen if histories is None else histories, np.arange(len(points)))
        ranking = self.model.ranking(with_rows(self.model, self._with_context, "user", rows, items), self.data)
        allowed = self._allowed(allow, deny, exclude_untrained)
        return self._tables(column, ranking, np.arange(len(points)), seen, k, allowed)

    def similar_items(self, item: Any, k: int = 20) -> pl.DataFrame:
        """The k items nearest to an item, without itself: columns rank, item and score.

        Warns where nobody was trained on the item, whose neighbours mean nothing then.
        """
        table = neighbours(self.item_points, self.item_ids, item, k, self.memory_budget_mb)
        (row,) = self.item_ids.rows(listed(item))
        if row in self._untrained[: self._num_unplaced]:
            warn([f"nobody was trained on item {self.item_ids.values[row]!s:.60}; its neighbours mean nothing."])
        return table

    def similar_users(self, user: Any, k: int = 20) -> pl.DataFrame:
        """The k users nearest to a user, without itself: columns rank, user and score.

        Where users have several points, their means are compared.
        """
        points = self.user_points
        points = points if points.ndim == 2 else jnp.mean(points, axis=1)
        return neighbours(points, self.user_ids, user, k, self.memory_budget_mb)

    def evaluate(
        self,
        test: Any,
        *,
        user: str | None = None,
        item: str | None = None,
        ks: Sequence[int] | None = None,
        exclude_seen: bool = True,
    ) -> dict[str, float]:
        """Metrics of the lists on held-out pairs, over the full catalogue; see `cml_jax.evaluate` for more.

        Pairs of users or items that the model does not know are left out, and so are those that it was trained on, or
        selected on, unless `exclude_seen=False`; how many is said on standard error.

        Args:
            test: held-out pairs, as data of any kind that `cml_jax.fit` takes.
            user: column of raw ids of users; by default that of the data that the model was trained on.
            item: column of raw ids of items; likewise.
            ks: cut-offs of the metrics; by default 20 and 50, or what the catalogue allows.
            exclude_seen: whether items of training and validation are left out of the lists.

        Returns:
            Metric, such as 'ndcg@20' -> value, a mean over the users with a pair.

        Raises:
            DataError: no pair is left, or the data cannot be used.
        """
        from cml_jax.serving import held_out  # which takes a Recommender

        columns = user or self.columns[0], item or self.columns[1]
        return held_out.score(self, test, columns, ks, exclude_seen=exclude_seen)

    def with_features(self, table: pl.DataFrame, *names: str) -> pl.DataFrame:
        """Lists with features of their items, or users, as more columns; see `feature_columns.joined`."""
        return feature_columns.joined(self, table, names)

    def with_titles(self, table: pl.DataFrame) -> pl.DataFrame:
        """Lists of items with a column title after that of the items, null where an item has none.

        Raises:
            UserError: the model has no titles, or the table has such a column, or none of items.
        """
        return feature_columns.titled(self, table)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the model to a new folder, from which `cml_jax.load` reads it.

        Raises:
            UserError: the folder holds something, or cannot be written.
        """
        from cml_jax.serving import saved_model  # which makes a Recommender

        saved_model.save(self, folder)

    def _history(self, items: Any) -> Interactions:
        """One row: the items' numbers."""
        rows = self.item_ids.rows(items)
        return from_pairs(np.zeros_like(rows), rows, 1, len(self.item_ids))

    @functools.cached_property
    def _untrained(self) -> np.ndarray:
        """Numbers of the items without a training pair, ascending."""
        return np.flatnonzero(self.train.popularity == 0)

    @property
    def untrained_items(self) -> pl.Series:
        """Raw ids of the items without a training pair."""
        return self.item_ids.series(self._untrained, "item")

    @property
    def _num_unplaced(self) -> int:
        by_features = self.model.of_features is not None and self.item_features is not None
        return 0 if by_features else len(self._untrained)

    @property
    def unplaced_items(self) -> pl.Series:
        """Those of `untrained_items` whose points mean nothing; none where the model places them by features."""
        return self.untrained_items[: self._num_unplaced]

    def _remarks(self, table: pl.DataFrame, users: Sequence[str]) -> list[str]:
        remarks = Remarks(self.unplaced_items, "exclude_untrained=True")
        remarks.add(table)
        return remarks.sentences(users)

    def _allowed(self, allow: Iterable[Any] | None, deny: Iterable[Any] | None, exclude_untrained: bool) -> np.ndarray:
        """Numbers of the items that may be listed, ascending."""
        return allowed_items(self.item_ids, allow, deny, self._untrained[: None if exclude_untrained else 0])

    def _tables(
        self, names: pl.Series, ranking: Ranking, rows: np.ndarray, seen: Interactions, k: int, allowed: np.ndarray
    ) -> Iterator[pl.DataFrame]:
        lists = ranked_lists(ranking, rows, seen, count(k), allowed=allowed, memory_budget_mb=self.memory_budget_mb)
        return (table_of(names[part.users], part, self.item_ids, "item") for part in lists)
