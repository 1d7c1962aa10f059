"""The loss of shared candidates in blocks against plain NumPy, and which of them count."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import batches, training
from cml_jax.candidate_mask import CandidateMask
from cml_jax.data.interactions import from_pairs
from cml_jax.data.synthetic import make_interactions
from cml_jax.losses import LOSSES, Loss, blocks
from cml_jax.models.base import SIMILARITY_FUNCTIONS
from tests.oracles import losses as oracles
from tests.steps import make

RNG = np.random.default_rng(11)
# Users 0 and 3 have all candidates, user 1 some, user 2 none of them.
CANDIDATES = np.array([1, 4, 6, 7])
LISTS = {0: [0, 1, 4, 6, 7], 1: [2, 4], 2: [3], 3: [1, 4, 6, 7, 8]}
KNOWN = np.array([(user, item) for user, items in LISTS.items() for item in items])
DATA = from_pairs(KNOWN[:, 0], KNOWN[:, 1], 4, 9)
BATCHES = {
    "some": ([1, 2, 0, 1, 2], [True, True, True, True, False]),
    "all_known": ([0, 3, 3, 0], [True, True, True, False]),
    "none": ([2, 2, 2, 2, 2, 2, 2, 2, 2, 1], [True] * 10),
    "known_to_the_first": ([0] * 9 + [1], [True] * 10),
}


def mask_of(batch, usable=(True, True, True, True), disliked=False, correction=None) -> CandidateMask:
    users, filled = BATCHES[batch]
    size = len(users)
    ids, of_pairs = jnp.int32(CANDIDATES), (jnp.asarray(users), jnp.asarray(filled))
    of_pairs += (jnp.arange(size),)
    mask = CandidateMask(DATA.to_device(), ids, jnp.asarray(usable), None, *of_pairs, correction)
    if disliked:
        has = np.arange(2 * size).reshape(size, 2) % 3 > 0
        _, mask = batches.with_dislikes(
            mask.ids, mask, jnp.full((size, 2), 5), jnp.asarray(has & np.array(filled)[:, None])
        )
        assert isinstance(mask, CandidateMask)
    return mask


def dense(batch, usable=(True, True, True, True), disliked=False):
    """What counts, in plain Python."""
    users, filled = BATCHES[batch]
    rows = []
    for row, user in enumerate(users):
        row_of = [ok and item not in LISTS[user] for item, ok in zip(CANDIDATES.tolist(), usable, strict=True)]
        if disliked:
            row_of += [row == number // 2 and number % 3 > 0 for number in range(2 * len(users))]
        rows.append([filled[row] and counts for counts in row_of])
    return np.array(rows)


MASKS = [
    (batch, usable, disliked)
    for batch in BATCHES
    for usable in ((True,) * 4, (True, True, True, False), (True, False, False, False), (False,) * 4)
    for disliked in (False, True)
]


@pytest.mark.parametrize("case", MASKS, ids=str)
def test_mask_equals_plain_python(case):
    mask, expected = mask_of(*case), dense(*case)
    np.testing.assert_array_equal(mask.dense(), expected)
    trained = mask.of_pairs()
    np.testing.assert_array_equal(trained, expected.any(axis=1))
    np.testing.assert_array_equal(mask.of_items(trained), expected.any(axis=0))
    filled = np.array(BATCHES[case[0]][1])
    values = jnp.ones(expected.shape)
    np.testing.assert_array_equal(np.asarray(mask.fill(values, mask.places()) > 0)[filled], expected[filled])


def by_hand(loss, similarity, points, factors, counts, correction: Any = 0.0):
    """The sum of losses by factors of points in float64, from the loss of one pair."""
    users, positives, candidates = points
    total = 0.0
    for u, p, factor, valid in zip(users, positives, factors, counts, strict=True):
        away = {
            "inner_product": lambda u, i: i @ u,
            "distance": lambda u, i: -np.sum((u - i) ** 2, axis=-1),
        }[similarity]
        others = away(u, candidates) + correction
        total += factor * float(loss.example(away(u, p), others, jnp.asarray(valid)))
    return total


def example(own, others, valid):
    """A loss that is not of the form of a softmax."""
    above = jnp.where(valid, jnp.square(jnp.maximum(0.0, 0.4 + others - own)), 0.0)
    return jnp.sum(above) / jnp.maximum(jnp.sum(valid), 1)


SOFTMAX = LOSSES["softmax"]
LOSS_OF = {
    "decoupled": SOFTMAX.make(SOFTMAX.options(temperature=0.3, decoupled=True)),
    "coupled": SOFTMAX.make(SOFTMAX.options(temperature=0.3, decoupled=False)),
    "another": Loss(example, similarity="cosine", takes="candidates"),
}
CASES = [(name, "inner_product") for name in LOSS_OF] + [("decoupled", "distance"), ("another", "distance")]


SMALL, SIZES = [MASKS[3], MASKS[8], MASKS[10], MASKS[17]], [1, 12, 10**6]


@pytest.mark.parametrize(
    ("case", "name", "similarity", "size"),
    [(case, *CASES[number % 5], size) for number, (case, size) in enumerate(itertools.product(SMALL, SIZES))]
    + [(MASKS[0], *of_loss, 12) for of_loss in CASES],
    ids=str,
)
def test_value_and_gradient_equal_plain_python(case, name, similarity, size, monkeypatch):
    """With blocks of one pair, of a few pairs of which the last is filled up, and of all."""
    monkeypatch.setattr(blocks, "_CPU_BLOCK", size)
    mask, counts = mask_of(*case), dense(*case)
    num_pairs, num_others = counts.shape
    with jax.enable_x64(True):
        points = [RNG.normal(size=(n, 3)) * 0.7 for n in (num_pairs, num_pairs, num_others)]
        factors = RNG.uniform(0.2, 2.0, num_pairs) * np.array(BATCHES[case[0]][1])
        loss, (_, compare, all_pairs) = LOSS_OF[name], SIMILARITY_FUNCTIONS[similarity]

        def total(users, positives, candidates):
            pairs = blocks.Pairs(users, jax.vmap(compare)(users, positives), jnp.asarray(factors))
            return 3.0 * blocks.total_loss(loss, all_pairs, pairs, candidates, mask)

        value, slopes = jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2)))(*points)
        expected = 3.0 * by_hand(loss, similarity, points, factors, counts)
        np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-12)
        step = 1e-6
        for number, place in ((0, (1, 2)), (1, (0, 0)), (2, (2, 1)), (2, (num_others - 1, 0)), (0, (num_pairs - 1, 1))):
            moved = []
            for sign in (1, -1):
                there = [point.copy() for point in points]
                there[number][place] += sign * step
                moved.append(3.0 * by_hand(loss, similarity, there, factors, counts))
            np.testing.assert_allclose(slopes[number][place], (moved[0] - moved[1]) / (2 * step), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("disliked", [False, True])
@pytest.mark.parametrize("similarity", ["inner_product", "distance"])
def test_logits_are_corrected(similarity, disliked):
    """Dislikes, which are not drawn, keep theirs."""
    case = ("some", (True, True, True, False), disliked)
    log_probability, loss = np.log([0.9, 0.2, 0.5, 0.7]), LOSS_OF["coupled"]
    counts, rng = dense(*case), np.random.default_rng(5)
    with jax.enable_x64(True):
        mask = mask_of(*case, jnp.asarray(-log_probability))
        points = [rng.normal(size=(n, 3)) for n in (5, 5, counts.shape[1])]
        _, compare, all_pairs = SIMILARITY_FUNCTIONS[similarity]
        factors = np.array(BATCHES["some"][1], float)
        whole = np.pad(-log_probability, (0, counts.shape[1] - 4))

        def total(users, positives, candidates):
            pairs = blocks.Pairs(users, jax.vmap(compare)(users, positives), jnp.asarray(factors))
            return blocks.total_loss(loss, all_pairs, pairs, candidates, mask)

        expected = by_hand(loss, similarity, points, factors, counts, 0.3 * whole)
        np.testing.assert_allclose(total(*points), expected, rtol=1e-9)
        assert abs(expected - by_hand(loss, similarity, points, factors, counts)) > 0.1


def test_gradient_by_factors_is_the_loss_of_each_pair():
    """They are numbers of the data, but nothing that is differentiated is silently taken for constant."""
    mask = mask_of("some")
    users, candidates = jnp.asarray(RNG.normal(size=(5, 3))), jnp.asarray(RNG.normal(size=(4, 3)))

    def total(factors):
        pairs = blocks.Pairs(users, jnp.zeros(5), factors)
        return blocks.total_loss(LOSS_OF["decoupled"], blocks.inner_products, pairs, candidates, mask)

    factors = jnp.arange(1.0, 6.0)
    np.testing.assert_allclose(jnp.dot(jax.grad(total)(factors), factors), total(factors), rtol=1e-5)


@pytest.mark.parametrize("temperature", [0.01, 0.5])
def test_far_and_near_candidates_stay_finite(temperature):
    """A user on one candidate and opposite to the others, where exponentials leave the range of float32."""
    loss = SOFTMAX.make(SOFTMAX.options(temperature=temperature))
    line = jnp.float32([[1.0, 0.0], [-1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    users, mask = jnp.repeat(line[:1], 5, axis=0), mask_of("some", (True, True, True, False))

    def total(users, candidates):
        pairs = blocks.Pairs(users, jnp.full(5, -1.0), jnp.ones(5))
        return blocks.total_loss(loss, blocks.inner_products, pairs, candidates, mask)

    value, slopes = jax.value_and_grad(total, argnums=(0, 1))(users, line)
    assert np.isfinite(value) and value > 0
    assert all(np.isfinite(slope).all() for slope in slopes)


def options_of(**more) -> Any:
    return make(loss="softmax", sampler="uniform", batch_size=32, **more)


def test_memory_of_a_step_does_not_grow_with_pairs_times_candidates():
    """Twice the candidates, in blocks of one size, take less than the similarities of another half of the batch."""
    train = make_interactions(400, 40_000, 4_000)
    data, needed = train.to_device(), {}
    for count in (8_000, 32_000):
        options = make(loss="softmax", sampler="uniform", batch_size=512, num_candidates=count)
        state = training.init_state(options, data, 0)
        compiled = training.run_steps.lower(state, data, options, num_steps=1).compile()
        memory = compiled.memory_analysis()
        assert memory is not None
        needed[count] = memory.temp_size_in_bytes
    more = needed[32_000] - needed[8_000]
    assert more < 0.5 * 4 * 512 * 24_000, "as much as half of the similarities of the candidates that came to it"


def test_all_items_are_the_exact_softmax(ragged):
    """With every item a candidate the loss of a step is the softmax over all items that are no known positives."""
    options = options_of(num_candidates=0)
    data = ragged.to_device()
    state = training.init_state(options, data, 2)
    tables = {name: np.asarray(table, np.float64) for name, table in state.params.tables.items()}
    batch = training.draw_batch(options, options.make_model(), options.make_sampler(data), data, state)[0]
    expected = 0.0
    for user, positive, filled in zip(batch.users, batch.positives, batch.valid.filled, strict=True):
        free = ~np.isin(np.arange(11), ragged.row(int(user)))
        points = tables["users"][int(user)], tables["items"][int(positive)], tables["items"]
        expected += bool(filled) * oracles.softmax_loss(*points, free, 0.1)
    _, metrics = training.run_steps(state, data, options, num_steps=1)
    np.testing.assert_allclose(metrics.loss[0], expected / 32, rtol=1e-5)
