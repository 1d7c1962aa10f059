"""Bayesian personalised ranking, which metric learning is compared with."""

import functools

import jax
import jax.numpy as jnp

from cml_jax.losses.base import Loss, mean_of_valid
from cml_jax.options import FINITE_AT_LEAST_0, Effect, StrategyOptions, options, static, traced
from cml_jax.registry import Strategy
from cml_jax.types import Array


@options
class BprOptions(StrategyOptions):
    """Options of BPR."""

    l2_weight: float = traced(
        0.0,
        "weight of the squared norms of the rows looked up, in the bpr loss",
        FINITE_AT_LEAST_0,
        Effect(enforced=True),
    )
    hardest: bool = static(False, "of several negatives the bpr loss takes the one with the highest score alone")


def bpr_loss(own: Array, others: Array, valid: Array, hardest: bool = False) -> Array:
    """Bayesian personalised ranking of inner products (Rendle et al. 2009, BPR-OPT).

    mean_n -log sigma(<u, p> - <u, n>), or the term of the negative with the highest score alone, as in dynamic negative
    sampling (Zhang et al. 2013).

    Args:
        own: scalar, <u, p>.
        others: Array[N], <u, n>.
        valid: Array[N] bool.
        hardest: whether it is that term.

    Returns:
        Scalar; 0 where no negative is valid.
    """
    values = jax.nn.softplus(others - own)
    if hardest:
        return jnp.max(jnp.where(valid, values, 0.0))  # it grows with the score
    return mean_of_valid(values, valid)


def squared_norms(user: Array, positive: Array, others: Array, valid: Array, l2_weight: Array | float) -> Array:
    """L2 term of BPR-OPT: w / 2 (||u||^2 + ||p||^2 + mean_n ||n||^2), n over the valid negatives.

    Args:
        user: Array[D].
        positive: Array[D].
        others: Array[N, D], negatives.
        valid: Array[N] bool.
        l2_weight: w.

    Returns:
        Scalar.
    """
    norms = jnp.sum(jnp.square(others), axis=1)
    sizes = jnp.dot(user, user) + jnp.dot(positive, positive) + mean_of_valid(norms, valid)
    return 0.5 * l2_weight * sizes


def make(options: BprOptions) -> Loss:
    """BPR with its L2 term."""

    def penalty(user, positive, others, valid):
        return squared_norms(user, positive, others, valid, options.l2_weight)

    example = functools.partial(bpr_loss, hardest=options.hardest)
    return Loss(example, similarity="inner_product", penalty=penalty)


BPR = Strategy("bpr", BprOptions, make)
