"""A sampled softmax in plain PyTorch: matrix factorisation, cosines, a temperature, Adam.

It stands for the published code of the softmax loss: BSL (Wu et al., ICDE 2024, github.com/junkangwu/BSL), which on
Gowalla trains d = 64, B = 1,024, T = 0.08 with 800 uniform negatives drawn for each pair, known positives among them,
at a rate of 1e-4; SimpleX (Mao et al., CIKM 2021) draws up to 1,000 for each pair in the same way. Their
regularisation (1e-9) and dropout are left out. Two things are made faster than there: the item table is normalised once
a step, instead of every row gathered from it, and Adam is the fused one. With 'shared' negatives one set of candidates
is drawn for the whole batch, so that the logits are a product of two matrices.
"""

# pyright: reportMissingImports=false
# PyTorch is of the extra [peers], which the checks do without.

import functools
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import torch
from torch import Tensor, nn
from torch.nn import functional

from cml_jax.types import Factors
from experiments.benchmarks.peer_methods.watch import Task, Watch

torch.optim.Adam([torch.zeros(1)])  # the first one imports for seconds


class CosineFactors(nn.Module):
    """Tables of users and items, whose cosines are the scores."""

    def __init__(self, num_users: int, num_items: int, dim: int, sparse: bool) -> None:
        """Fresh tables; with `sparse` only the rows that were looked up have a gradient."""
        super().__init__()
        self.users = nn.Embedding(num_users, dim, sparse=sparse)
        self.items = nn.Embedding(num_items, dim, sparse=sparse)
        for table in (self.users, self.items):
            nn.init.xavier_uniform_(table.weight)

    def forward(self, users: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines of users [B] with their positives, [B], and with negatives [B, N], or shared ones [N], [B, N]."""
        user = functional.normalize(self.users(users), dim=-1)
        if self.items.sparse:  # a gradient of the normalised table would be dense
            positive, negative = (functional.normalize(self.items(ids), dim=-1) for ids in (positives, negatives))
        else:
            table = functional.normalize(self.items.weight, dim=-1)
            positive, negative = functional.embedding(positives, table), functional.embedding(negatives, table)
        product = user @ negative.T if negatives.ndim == 1 else torch.bmm(negative, user.unsqueeze(-1)).squeeze(-1)
        return (user * positive).sum(-1), product

    def factors(self) -> Factors:
        """How it ranks."""
        tables = (functional.normalize(table.weight.detach(), dim=-1).numpy() for table in (self.users, self.items))
        return Factors(*map(jnp.array, tables))  # copies: training goes on in place


def train(task: Task, settings: Mapping[str, Any], watch: Watch) -> None:
    """Trains until the watch has enough.

    Args:
        task: data and sizes.
        settings: 'negatives' of each 'pair' or 'shared', 'num_negatives', 'batch_size', 'temperature', 'learning_rate'
            and 'sparse', for SparseAdam in the place of Adam.
        watch: told of every step.
    """
    torch.set_num_threads(task.num_threads)
    torch.manual_seed(task.seed)
    pairs = task.dataset.train
    users, items = torch.from_numpy(pairs.users).long(), torch.from_numpy(pairs.items).long()
    model = CosineFactors(pairs.num_users, pairs.num_items, task.dim, settings["sparse"])
    rate, batch_size = settings["learning_rate"], settings["batch_size"]
    if settings["sparse"]:
        optimizer = torch.optim.SparseAdam(list(model.parameters()), lr=rate)
    else:
        optimizer = torch.optim.Adam(model.parameters(), lr=rate, fused=True)
    watch.ready()
    seen = 0
    while True:
        for batch in torch.randperm(len(users)).split(batch_size):
            of_each = (len(batch),) if settings["negatives"] == "pair" else ()
            negatives = torch.randint(pairs.num_items, (*of_each, settings["num_negatives"]))
            positive, negative = model(users[batch], items[batch], negatives)
            loss = (torch.logsumexp(negative / settings["temperature"], 1) - positive / settings["temperature"]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(batch)
            watch.after(seen / len(users), functools.partial(CosineFactors.factors, model))
