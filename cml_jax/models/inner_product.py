"""Matrix factorization: users and items as factors, the items of the largest inner product first."""

from typing import Any, ClassVar

from cml_jax.errors import ConfigError
from cml_jax.geometry import to_sphere
from cml_jax.losses.base import Loss
from cml_jax.models import cml
from cml_jax.models.base import Model
from cml_jax.options import options
from cml_jax.registry import Strategy
from cml_jax.types import Factors


@options
class InnerProductOptions(cml.CmlOptions):
    """Options of matrix factorization."""

    similarities: ClassVar[tuple[str, ...]] = ("inner_product",)

    def check(self, chosen: Any) -> None:
        """Raises ConfigError where a norm constraint is set."""
        if self.constraint != "none":
            raise ConfigError(
                f"model.loss = '{chosen.loss.name}' ranks by inner products, so model.constraint = '{self.constraint}' "
                f"must be 'none'."
            )


def make(options: InnerProductOptions, loss: Loss) -> Model:
    """Matrix factorization, such as BPR-MF (Rendle et al. 2009): score(u, i) = <u, i>."""

    def ranking(params, data):
        del data
        return Factors(params.tables["users"], params.tables["items"])

    return cml.make(options, loss)._replace(
        ranking=ranking,
        # Neighbours are those of the largest cosine.
        user_points=lambda tables, dense, ids: to_sphere(tables["users"][ids]),
        item_points=lambda tables, dense, ids: to_sphere(tables["items"][ids]),
    )


INNER_PRODUCT = Strategy("inner_product", InnerProductOptions, make)
