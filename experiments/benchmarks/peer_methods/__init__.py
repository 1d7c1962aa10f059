"""The methods that experiments.benchmarks.peers runs side by side: a name, what it needs, and how it is trained."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.benchmarks.peer_methods.watch import Task, Watch

_PACKAGE = "experiments.benchmarks.peer_methods"
_EXTRA = "pip install -e '.[peers]'"


class Method(NamedTuple):
    """A method of the comparison.

    Attributes:
        label: in the table and the figure.
        style: key of `reports.style.METHODS`; a method without a style of its own gets the next free one.
        module: of this package, whose function `train` runs it; it is imported where it is used.
        needs: packages that it imports.
        install: the command that installs them.
        folder: what has to be given besides, '' for nothing.
    """

    label: str
    style: str
    module: str
    needs: Sequence[str] = ()
    install: str = _EXTRA
    folder: str = ""


METHODS: Mapping[str, Method] = {
    "softmax": Method("cml_jax: softmax, shared candidates", "softmax", "ours"),
    "torch_pair": Method("PyTorch: softmax, negatives of each pair", "torch_pair", "torch_softmax", ("torch",)),
    "torch_shared": Method("PyTorch: softmax, shared candidates", "torch_shared", "torch_softmax", ("torch",)),
    "libcml": Method("LibCML: CML", "libcml", "libcml", ("torch", "scipy"), folder="libcml"),
    "als": Method("implicit: ALS", "als", "implicit_models", ("implicit", "threadpoolctl")),
    "implicit_bpr": Method("implicit: BPR", "implicit_bpr", "implicit_models", ("implicit", "threadpoolctl")),
    "lightfm": Method("LightFM: WARP", "lightfm", "lightfm_warp", ("lightfm",)),
}


def why_left_out(name: str, libcml: Path | None) -> str | None:
    """One sentence about what a method lacks here, or None where it can be run.

    Args:
        name: key of METHODS.
        libcml: a checkout of LibCML, or None.
    """
    method = METHODS[name]
    for package in method.needs:
        try:
            importlib.import_module(package)
        except (ImportError, OSError) as error:  # OSError: a shared library of the package is missing
            return f"{method.label} is left out, since {package} cannot be imported ({error}): {method.install}."
    if method.folder and libcml is None:
        return f"{method.label} is left out, since --libcml=FOLDER names no checkout of github.com/statusrank/LibCML."
    return None


def trainer(name: str) -> Callable[[Task, Mapping[str, Any], Watch], None]:
    """The function that trains a method until the watch raises `Enough`."""
    return importlib.import_module(f"{_PACKAGE}.{METHODS[name].module}").train
