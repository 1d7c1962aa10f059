"""Models, one file a family: how users and items are scored, and what is trained."""

from cml_jax.models.base import MAKE_ARGUMENTS, Model
from cml_jax.models.cml import CML
from cml_jax.models.cml_bias import CML_BIAS
from cml_jax.models.cml_features import CML_FEATURES
from cml_jax.models.cml_graph import CML_GRAPH
from cml_jax.models.cpe import CPE
from cml_jax.models.crml import CRML
from cml_jax.models.dpcml import DPCML
from cml_jax.models.hlr import HLR
from cml_jax.models.hyperml import HYPERML
from cml_jax.models.inner_product import INNER_PRODUCT
from cml_jax.models.lrml import LRML
from cml_jax.models.pmlam import PMLAM
from cml_jax.models.sfcml import SFCML
from cml_jax.models.simplex import SIMPLEX
from cml_jax.models.sml import SML
from cml_jax.models.transcf import TRANSCF
from cml_jax.registry import Registry

MODELS = Registry(
    "model",
    MAKE_ARGUMENTS,
    CML,
    CML_BIAS,
    CML_FEATURES,
    CML_GRAPH,
    INNER_PRODUCT,
    SML,
    DPCML,
    HYPERML,
    PMLAM,
    LRML,
    SFCML,
    CPE,
    CRML,
    TRANSCF,
    HLR,
    SIMPLEX,
)

__all__ = ["MODELS", "Model"]
