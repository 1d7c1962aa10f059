"""What a loss is: a function of one pair's similarities, vmapped by the model."""

from collections.abc import Callable
from typing import NamedTuple

from cml_jax.types import Array

SIMILARITIES = ("distance", "cosine", "inner_product")
MAKE_ARGUMENTS = ("options",)


class Loss(NamedTuple):
    """A loss of one pair of a user and a positive item against other items.

    Attributes:
        example: (own, others[n], valid[n]) -> scalar; `own` is the similarity of user and positive, `others` that of
            user and each other item, larger is nearer. Others that are not valid do not count; where none is, the value
            is 0.
        similarity: what a similarity is: 'distance' for -||u - i||^2, 'cosine' or 'inner_product'.
        takes: 'negatives', drawn for each pair, or 'candidates', which all pairs of the batch share.
        penalty: (user[D], positive[D], others[n, D], valid[n]) -> scalar, added to the pair's loss; None for none.
        hinge: `example` with a margin of its own for each pair as the last argument; None where the loss has no margin.
        scale: unit of squared distance that the loss works in, such as its margin; it sets fold-in's temperature.
    """

    example: Callable[[Array, Array, Array], Array]
    similarity: str
    takes: str = "negatives"
    penalty: Callable[[Array, Array, Array, Array], Array] | None = None
    scale: Array | float = 1.0
    hinge: Callable[[Array, Array, Array, Array], Array] | None = None
