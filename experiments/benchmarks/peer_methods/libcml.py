"""LibCML's CML, by its own model, sampler and data set, from a checkout of github.com/statusrank/LibCML.

Its code is imported from there and trained as its train_example.py does: `COCML` with one vector a user, which it
calls the conventional CML, uniform negatives drawn ahead for a whole pass, a shuffling DataLoader, Adam with weight
decay 1e-5. Two things are changed from outside: moving to a GPU does nothing, and the sampler shows no progress bar.
"""

# pyright: reportMissingImports=false
# PyTorch is of the extra [peers], which the checks do without.

import contextlib
import functools
import importlib
import random
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.sparse
import torch
from torch.utils.data import DataLoader

from cml_jax.errors import UserError
from cml_jax.models.points import distance_factors
from cml_jax.types import Factors
from experiments.benchmarks.peer_methods.watch import Task, Watch

_PACKAGES = ("model", "sampler", "dataset")  # of LibCML, at the top of its checkout


def train(task: Task, settings: Mapping[str, Any], watch: Watch) -> None:
    """Trains until the watch has enough; the draws of the first pass that its data set makes at once are set-up.

    Args:
        task: data, sizes, and the checkout.
        settings: 'learning_rate', 'margin', 'num_negatives', 'batch_size'.
        watch: told of every step.

    Raises:
        UserError: the folder is no checkout of LibCML.
    """
    assert task.libcml is not None
    torch.set_num_threads(task.num_threads)
    for seed in (random.seed, np.random.seed, torch.manual_seed):  # its sampler draws from the second
        seed(task.seed)
    pairs = task.dataset.train
    matrix = scipy.sparse.csr_matrix(
        (np.ones(pairs.num_pairs), pairs.items, pairs.indptr), (pairs.num_users, pairs.num_items)
    )
    with _modules(task.libcml) as (models, datasets):
        data = datasets.SampleDataset(matrix, settings["num_negatives"], "uniform", task.seed)
        model = models.COCML(
            pairs.num_users, pairs.num_items, settings["margin"], DCRS_reg=0.0, dim=task.dim, per_user_k=1
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=settings["learning_rate"], weight_decay=1e-5)
        loader = DataLoader(data, batch_size=settings["batch_size"], shuffle=True)
        watch.ready()
        seen = 0
        while True:
            data.generate_triplets_by_sampling()
            for triplets in loader:
                loss = model(*triplets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                seen += len(triplets[0])
                watch.after(seen / len(data), functools.partial(_factors, model))


def _factors(model: Any) -> Factors:
    tables = (model.user_embeddings, model.item_embeddings)
    return distance_factors(*(jnp.array(table.weight.detach().numpy()) for table in tables))


@contextlib.contextmanager
def _modules(folder: Path) -> Iterator[tuple[Any, Any]]:
    """Its packages `model` and `dataset`, importable for as long as they are used, and on the CPU."""
    to_gpu = torch.Tensor.cuda
    sys.path.insert(0, str(folder))
    try:
        importlib.invalidate_caches()
        try:
            models, datasets = (importlib.import_module(name) for name in ("model", "dataset"))
            sampler: Any = importlib.import_module("sampler.uniform_sampler")
        except ImportError as error:
            raise UserError(f"--libcml={folder} is no checkout of LibCML that can be imported ({error}).") from error
        sampler.tqdm = lambda pairs, **_: pairs
        torch.Tensor.cuda = lambda tensor: tensor
        yield models, datasets
    finally:
        torch.Tensor.cuda = to_gpu
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.split(".")[0] in _PACKAGES]:
            del sys.modules[name]
