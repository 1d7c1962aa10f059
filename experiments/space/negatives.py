"""What samplers would draw as negatives of a user and a positive: exact shares, by the core's own functions."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax import csr
from cml_jax.geometry import to_sphere
from cml_jax.losses import LOSSES
from cml_jax.losses.base import log_sum_of_valid
from cml_jax.options import construct
from cml_jax.samplers import SAMPLERS, BatchShape
from cml_jax.samplers.stage1 import popularity_weights
from cml_jax.samplers.stage2 import stage2_weights
from cml_jax.serving.recommender import Recommender
from experiments.space.users import Listed

METHODS = ("uniform", "popularity", "two_stage", "no_cutoff", "softmax")
POSITIVES = 3  # of a user
MOST_CANDIDATES = 10_000
EDGES = np.linspace(-1.0, 1.0, 41)  # of the bins of s

_stage2_weights = jax.jit(stage2_weights, static_argnums=2)
_softmax_weights = jax.jit(jax.grad(log_sum_of_valid))
_known_positives = jax.jit(csr.known_positives)
_products = jax.jit(jnp.matmul)


class Stage1(NamedTuple):
    """One draw of stage 1, and the numbers that shares depend on.

    Attributes:
        options: of two-stage sampling: those of the run where its sampler has them, else the defaults.
        exponent: of the sampler by popularity: stage 1's, or 1 where that is 0, uniform.
        temperature: of the softmax: the run's, or the default.
        ids: ndarray[C]; the candidates, ascending.
        correction: ndarray[C] float32; what the run adds to the logits of a softmax; 0 where nothing.
        counts: ndarray[I]; training users of each item.
        popularity: ndarray[I] float64; weights of the sampler by popularity.
        directions: ndarray[I, D]; items as unit vectors, which stage 2 compares.
        notes: sentences about what is not as in the run.
    """

    options: Any
    exponent: float
    temperature: float
    ids: np.ndarray
    correction: np.ndarray
    counts: np.ndarray
    popularity: np.ndarray
    directions: jax.Array
    notes: tuple[str, ...]


class Pair(NamedTuple):
    """A user and a positive, with numbers of items in the catalogue.

    Attributes:
        positive: of the user's training items.
        similarity: ndarray[C] float32; s of the candidates: their inner product with the positive.
        known: ndarray[C] bool; candidates that the user is known to like, the positive among them.
        held_out: ndarray[C] bool; candidates that are validation items of the user.
        known_similarity: ndarray[h] of the items of `Listed.history`.
        held_out_similarity: ndarray of those of `Listed.held_out`.
        summaries: method -> numbers about what is drawn, see `summary`.
        histograms: method -> ndarray[bins] float32, the share of the draws in each bin of s.
    """

    positive: int
    similarity: np.ndarray
    known: np.ndarray
    held_out: np.ndarray
    known_similarity: np.ndarray
    held_out_similarity: np.ndarray
    summaries: dict[str, dict[str, float]]
    histograms: dict[str, np.ndarray]


class Drawn(NamedTuple):
    """What is shown of a user's negatives: inner products of the user with the candidates, ndarray[C], and pairs."""

    user: Listed
    cosine: np.ndarray
    pairs: list[Pair]


def draw_stage1(model: Recommender, seed: int = 0) -> Stage1:
    """Draws candidates as a step of the run would, or as one of two-stage sampling with its defaults."""
    own, num_items = model.options.sampler, len(model.item_ids)
    options = construct(SAMPLERS["two_stage"].options, dataclasses.asdict(own.options))
    if options.ends_elsewhere:
        options = model.options.replace_options(train=model.train).sampler.options.at(jnp.float32(model.step))
    notes = []
    if own.name != "two_stage":
        notes.append(f"The run draws by the sampler {own.name}; stage 1 and 2 are those of two-stage sampling.")
    if options.own_positive != "exclude" or options.known_positives != "exclude":
        notes.append("The run draws known positives as the released code does; shares here leave them out.")
    count = options.candidates_among(num_items)
    if count > MOST_CANDIDATES:
        notes.append(f"The run has {count:,} candidates; shown are {MOST_CANDIDATES:,} that stage 1 draws.")
        count = MOST_CANDIDATES
    options = dataclasses.replace(options, num_candidates=count, num_draws=0)
    sampler = SAMPLERS["two_stage"].make(options, model.data, BatchShape(1, takes="candidates"))
    nobody = jnp.zeros(1, jnp.int32)
    assert sampler.candidates is not None
    drawn, _ = sampler.candidates(jax.random.key(seed), sampler.init(), nobody, nobody == 0)
    filled = np.asarray(drawn.filled)
    corrected = np.zeros(len(filled), np.float32) if drawn.correction is None else np.asarray(drawn.correction)
    exponent = _single(options.popularity_exponent) or 1.0
    is_softmax = model.options.loss.name == "softmax"
    loss = model.options.loss.options if is_softmax else LOSSES["softmax"].options()
    if not is_softmax:
        notes.append(f"The run has no softmax; its temperature here is the default, {float(loss.temperature):g}.")
    everything = jnp.arange(num_items)
    return Stage1(
        options=options,
        exponent=exponent,
        temperature=_single(loss.temperature),
        ids=np.asarray(drawn.ids)[filled],
        correction=corrected[filled],
        counts=model.train.popularity,
        popularity=np.asarray(popularity_weights(model.data.popularity, exponent, options.popularity_cap), np.float64),
        directions=model.model.directions(model.params.tables, model.params.dense, everything),
        notes=tuple(notes),
    )


def _single(value: Any) -> float:
    """A number in the precision that steps compute in, whether it was an array or not."""
    return float(np.float32(value))


def describe(model: Recommender, stage1: Stage1, user: Listed) -> Drawn:
    """Shares of a user's negatives, for POSITIVES training items: the most, the least and a middling popular one."""
    points = to_sphere(model.user_points[user.row])
    logits = to_sphere(model.item_points[stage1.ids]) @ jnp.atleast_2d(points).T
    cosine = np.asarray(jnp.max(logits, axis=1), np.float32)  # of several points of a user the nearest counts
    places = np.unique(np.linspace(0, len(user.history) - 1, POSITIVES).round().astype(int))
    pairs = [_pair(model, stage1, user, int(user.history[place]), cosine) for place in places]
    return Drawn(user, cosine, pairs)


def _pair(model: Recommender, stage1: Stage1, user: Listed, positive: int, cosine: np.ndarray) -> Pair:
    everything = np.asarray(_products(stage1.directions, stage1.directions[positive]), np.float32)
    ids, similarity = stage1.ids, everything[stage1.ids]
    known = np.asarray(_known_positives(model.data, jnp.array([user.row]), jnp.asarray(ids, jnp.int32)))[0]
    free = np.ones(len(everything), bool)
    free[model.train.row(user.row)] = False
    all_held_out = model.valid.row(user.row)
    weights = {
        "uniform": free.astype(np.float64),
        "popularity": np.where(free, stage1.popularity, 0.0),
        **stage2_shares(stage1, similarity, ~known),
        "softmax": softmax_shares(stage1, cosine, ~known),
    }
    summaries, histograms = {}, {}
    for name in METHODS:
        over = np.arange(len(everything)) if len(weights[name]) == len(everything) else ids
        of_each = weights[name] / max(weights[name].sum(), np.finfo(float).tiny)
        held_out = np.isin(over, all_held_out)
        summaries[name] = summary(of_each, everything[over], held_out, stage1.counts[over])
        inside = np.clip(everything[over], EDGES[0], EDGES[-1])
        histograms[name] = np.histogram(inside, EDGES, weights=of_each)[0].astype(np.float32)
    return Pair(
        positive=positive,
        similarity=similarity,
        known=known,
        held_out=np.isin(ids, all_held_out),
        known_similarity=everything[user.history],
        held_out_similarity=everything[user.held_out],
        summaries=summaries,
        histograms=histograms,
    )


def stage2_shares(
    stage1: Stage1, similarity: np.ndarray, usable: np.ndarray, cutoff: float | None = None
) -> dict[str, np.ndarray]:
    """Shares of the draws of stage 2, ndarray[C] float64, at a cut-off, by default the run's, and without one."""
    found = {}
    for name, bound in (("two_stage", cutoff or float(stage1.options.similarity_cutoff)), ("no_cutoff", 1.0)):
        weights = _stage2_weights(similarity, usable, stage1.directions.shape[1], bound)
        exact = np.asarray(weights, np.float64)
        found[name] = exact / max(exact.sum(), np.finfo(float).tiny)
    return found


def softmax_shares(stage1: Stage1, cosine: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Weights of the candidates in the gradient of a softmax, ndarray[C] float64."""
    logits = cosine / np.float32(stage1.temperature) + stage1.correction
    weights = np.asarray(_softmax_weights(logits, usable), np.float64)
    return np.where(usable.any(), weights, 0.0)


def summary(
    shares: np.ndarray, similarity: np.ndarray, held_out: np.ndarray, popularity: np.ndarray
) -> dict[str, float]:
    """What is drawn, in numbers.

    Args:
        shares: ndarray[n], of sum 1, or all 0 where nothing can be drawn.
        similarity: ndarray[n]; s.
        held_out: ndarray[n] bool.
        popularity: ndarray[n]; training users.

    Returns:
        top: the largest share; effective: 1 / sum of squares, the number of items that as many equal shares would be
        of; similarity, popularity: means over the draws; held_out: share of the held-out positives.
    """
    squares = float(np.sum(shares**2))
    return {
        "top": float(shares.max(initial=0.0)),
        "effective": 1.0 / squares if squares > 0 else 0.0,
        "similarity": float(np.sum(shares * similarity)),
        "popularity": float(np.sum(shares * popularity)),
        "held_out": float(shares[held_out].sum()),
    }
