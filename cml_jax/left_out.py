"""Items that are left out of ranked lists: flat lists of a chunk of users, masked in pieces of a fixed size.

Nothing here is as long as the longest list times the number of users, so one user with most of the catalogue costs
memory for that list alone.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax.data.interactions import Interactions
from cml_jax.types import Array

_PIECE = 8192  # pairs masked at once; bounds the memory of `mask`


class LeftOut(NamedTuple):
    """Lists of c users, one after the other.

    Attributes:
        items: Array[T] int32; filled up at the end, which belongs to nobody. Ids beyond the last item mean none.
        ends: Array[c] int32, ascending; where each list ends.
    """

    items: Array
    ends: Array

    def grouped(self, size: int) -> tuple[Array, Array]:
        """Starts Array[c / size] and ends Array[c / size, size] of the lists of users in groups of equal size."""
        ends = self.ends.reshape(-1, size)
        return jnp.concatenate([jnp.zeros(1, ends.dtype), ends[:-1, -1]]), ends


def left_out(
    seen: Interactions, users: np.ndarray, size: int, length: int, numbers: np.ndarray | None = None
) -> LeftOut:
    """The lists of users, ndarray[n] of rows of `seen`, of which there are at most `size`.

    Args:
        seen: what is left out.
        users: n <= size; those that are missing have empty lists, to keep the shape.
        size: c.
        length: T, at least the sum of the users' degrees.
        numbers: ndarray[I] int32, another number for each item, -1 for items that need not be left out.
    """
    flat = np.zeros(length, np.int32)
    ends, end = np.zeros(size, np.int32), 0
    for place, user in enumerate(users.tolist()):
        own = seen.row(user)
        if numbers is not None:
            own = numbers[own]
            own = own[own >= 0]
        flat[end : end + len(own)] = own
        end += len(own)
        ends[place] = end
    ends[len(users) :] = end
    return LeftOut(jnp.asarray(flat), jnp.asarray(ends))


def mask(scores: Array, items: Array, start: Array, ends: Array) -> Array:
    """Scores Array[c, I], -infinity where an item is left out: lists of `items` from `start` on, ends Array[c]."""
    num_rows, piece = scores.shape[0], min(_PIECE, items.shape[0])

    def mask_piece(carry):
        first, scores = carry
        place = first + jnp.arange(piece)
        row = jnp.searchsorted(ends, place, side="right", method="scan_unrolled").astype(jnp.int32)
        item = items[jnp.minimum(place, items.shape[0] - 1)]  # the row of a place after the last end is out of bounds
        return first + piece, scores.at[row, item].set(-jnp.inf, mode="drop")

    return jax.lax.while_loop(lambda carry: carry[0] < ends[num_rows - 1], mask_piece, (start, scores))[1]
