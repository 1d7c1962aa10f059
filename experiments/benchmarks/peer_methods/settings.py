"""What each method is tried with: at most four settings, of which validation chooses; published ones on Gowalla."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.configs.results import gowalla
from experiments.results import search_spaces

Settings = Mapping[str, Sequence[Mapping[str, Any]]]  # method -> what is tried

_TORCH = {"temperature": 0.08, "learning_rate": 1e-3, "batch_size": 1024, "sparse": False}
_PAIR, _SHARED = ({**_TORCH, "negatives": kind} for kind in ("pair", "shared"))
_LIBCML = {"margin": 1.0, "learning_rate": 1e-3, "num_negatives": 10, "batch_size": 256}  # its shells/best_all.sh
_RATES = (1e-3, 3e-3)


def _of_library(name: str) -> list[dict[str, Any]]:
    return [{"name": name, **setting} for setting in search_spaces.settings(name)]


def _chosen(name: str) -> list[dict[str, Any]]:
    """What the search behind Gowalla's table in RESULTS.md chose."""
    return [dict(entry) for entry in gowalla.get_config().sweep.baselines if entry["name"] == name]


def settings(data: str) -> Settings:
    """Settings of every method on a data set.

    On Gowalla, whose passes are long, those that are published or that earlier searches on validation chose, and for
    PyTorch's softmax, whose published rate of 1e-4 takes tens of passes, higher rates and SparseAdam too.

    Args:
        data: name of the data set; all but 'gowalla' are searched alike.
    """
    if data == "gowalla":
        return {
            "softmax": [{}],  # as in experiments/configs/gowalla_softmax.py
            "torch_pair": [{**_PAIR, "num_negatives": 800, "learning_rate": rate} for rate in (1e-4, *_RATES)],
            "torch_shared": [
                *({**_SHARED, "num_negatives": 1000, "learning_rate": rate} for rate in _RATES),
                *({**_SHARED, "num_negatives": 1000, "learning_rate": rate, "sparse": True} for rate in _RATES),
            ],
            "libcml": [_LIBCML],
            "als": _chosen("als"),
            "implicit_bpr": _chosen("implicit_bpr"),
            "lightfm": [{"learning_rate": 0.05, "max_sampled": 10}],  # its defaults
        }
    return {
        "softmax": search_spaces.settings("softmax-sphere"),
        "torch_pair": [
            {**_PAIR, "learning_rate": 3e-3, "num_negatives": number, "temperature": temperature}
            for number in (100, 800)
            for temperature in (0.08, 0.12)
        ],
        "torch_shared": [
            {**_SHARED, "learning_rate": rate, "num_negatives": 1000, "temperature": temperature}
            for rate in _RATES
            for temperature in (0.08, 0.12)
        ],
        "libcml": [{**_LIBCML, "learning_rate": rate, "margin": margin} for rate in _RATES for margin in (0.5, 1.0)],
        "als": _of_library("als"),
        "implicit_bpr": _of_library("implicit_bpr"),
        "lightfm": [{"learning_rate": rate, "max_sampled": most} for rate in (0.02, 0.05) for most in (10, 100)],
    }


def quick() -> Settings:
    """One setting each, for data that are generated."""
    pair = {**_PAIR, "batch_size": 512, "num_negatives": 8, "learning_rate": 0.03}
    return {
        "softmax": [{}],
        "torch_pair": [pair],
        "torch_shared": [{**pair, "negatives": "shared"}, {**pair, "negatives": "shared", "sparse": True}],
        "libcml": [{**_LIBCML, "learning_rate": 0.03, "num_negatives": 2, "batch_size": 512}],
        "als": _of_library("als")[:1],
        "implicit_bpr": _of_library("implicit_bpr")[:1],
        "lightfm": [{"learning_rate": 0.05, "max_sampled": 10}],
    }
