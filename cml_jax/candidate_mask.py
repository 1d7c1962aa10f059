"""Which candidates count for which pairs of a batch, looked up where it is needed: no array of all pairs of the two."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from cml_jax import csr
from cml_jax.types import Array, DeviceInteractions

_FEW = 8  # pairs


class CandidateMask(NamedTuple):
    """Items that all pairs of a batch are compared with, but for the known positives of each pair's user.

    After C candidates may come dislikes, n items in all; a dislike counts for its own pair alone. Arrays of b are those
    of the batch, or of a device's part of it.

    Attributes:
        data: training interactions, which hold the known positives.
        ids: Array[C] int32; candidates, ascending.
        usable: Array[n] bool; False for slots that hold no item.
        owner: Array[n - C] int32; the pair that each dislike belongs to. None where there are no dislikes.
        users: Array[b] int32.
        filled: Array[b] bool; pairs that there are.
        pair: Array[b] int32; number of each pair in the batch.
        correction: Array[n]; added to the logits of candidates, see `samplers.Candidates`. None for nothing.
    """

    data: DeviceInteractions
    ids: Array
    usable: Array
    owner: Array | None
    users: Array
    filled: Array
    pair: Array
    correction: Array | None = None

    @property
    def usable_candidates(self) -> Array:
        """Array[C] bool; candidates without the slots that hold none."""
        return self.usable[: self.ids.shape[0]]

    def by_pair(self) -> dict[str, Array]:
        """What belongs to pairs, each Array[b]."""
        return {"users": self.users, "filled": self.filled, "pair": self.pair}

    def map_pairs(self, function: Callable[[dict[str, Array]], dict[str, Array]]) -> "CandidateMask":
        """The same with a function applied to what belongs to pairs, which takes a part of it."""
        return self._replace(**function(self.by_pair()))

    def places(self) -> csr.Places:
        """Where items stand among the usable candidates, see `csr.places`; made once for all parts of a batch."""
        num_items = self.data.num_items
        return csr.places(jnp.where(self.usable_candidates, self.ids, num_items), num_items)

    def countable(self) -> Array:
        """What counts unless it is a known positive: Array[b, n] bool, or Array[1, n] where all pairs are alike."""
        own = self.usable[None, :]
        if self.owner is not None:
            num_candidates = self.ids.shape[0]
            is_own = self.owner[None, :] == self.pair[:, None]
            own &= jnp.pad(is_own, ((0, 0), (num_candidates, 0)), constant_values=True)
        return own

    def fill(self, values: Array, places: csr.Places) -> Array:
        """Array[b, n] -> the same with minus infinity where an item does not count for a pair that there is."""
        values = csr.mark_known_positives(self.data, self.users, places, values, -jnp.inf)
        if self.owner is not None:
            return jnp.where(self.countable(), values, -jnp.inf)

        def fill_columns(carry):
            return jnp.zeros_like(carry[0]), jnp.where(self.usable[None, :], carry[1], -jnp.inf)

        # Mostly all slots are usable, which saves another pass over the values. A loop, since a branch copies them.
        return jax.lax.while_loop(lambda carry: carry[0], fill_columns, (~jnp.all(self.usable), values))[1]

    def dense(self) -> Array:
        """Array[b, n] bool; whether an item counts for a pair."""
        shape = self.users.shape[0], self.usable.shape[0]
        known = jnp.zeros_like(self.users, bool, shape)
        known = csr.mark_known_positives(self.data, self.users, self.places(), known, True)
        return self.filled[:, None] & self.countable() & ~known

    def of_pairs(self) -> Array:
        """Array[b] bool; whether any item counts for a pair.

        Only users with as many positives as there are candidates need to be looked at.
        """
        num_candidates = self.ids.shape[0]
        count = jnp.sum(self.usable_candidates, dtype=jnp.int32)
        degree = self.data.indptr[self.users + 1] - self.data.indptr[self.users]
        known = csr.num_known_positives(self.data, self.users, degree >= count, self.places(), num_candidates)
        found = known < count
        if self.owner is not None:
            found |= jnp.any(self.countable()[:, num_candidates:], axis=1)
        return self.filled & found

    def of_items(self, trained: Array) -> Array:
        """Array[n] bool; whether an item counts for any of the pairs that do, Array[b] bool.

        A candidate does not where it is a known positive of all of them: it is enough to look at a few.
        """
        usable, places = self.usable_candidates, self.places()

        def look(carry):
            start, known_to_all = carry
            row = start + jnp.arange(_FEW, dtype=jnp.int32)
            counts = (row < trained.shape[0]) & trained[row]
            known = jnp.zeros_like(usable, shape=(_FEW, usable.shape[0]))
            known = csr.mark_known_positives(self.data, self.users[row], places, known, True, at_once=2 * _FEW)
            return start + _FEW, known_to_all & jnp.all(known | ~counts[:, None], axis=0)

        def unsettled(carry):
            start, known_to_all = carry
            return (start < trained.shape[0]) & jnp.any(known_to_all)

        known_to_all = jax.lax.while_loop(unsettled, look, (jnp.int32(0), usable))[1]
        counted = usable & ~known_to_all
        if self.owner is None:
            return counted
        return jnp.concatenate([counted, self.usable[self.ids.shape[0] :] & trained[self.owner]])
