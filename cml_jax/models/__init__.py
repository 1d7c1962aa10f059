"""Models, one file a family: how users and items are scored, and what is trained."""

from cml_jax.models.base import MAKE_ARGUMENTS, Model
from cml_jax.models.cml import CML
from cml_jax.models.inner_product import INNER_PRODUCT
from cml_jax.registry import Registry

MODELS = Registry("model", MAKE_ARGUMENTS, CML, INNER_PRODUCT)

__all__ = ["MODELS", "Model"]
