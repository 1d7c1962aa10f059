import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import draws, sampling
from cml_jax.types import HParams, Params, Spec
from tests import oracles
from tests.conftest import assert_law

DIM = 6
CUTOFF = 0.35
RNG = np.random.default_rng(4)
PARAMS = Params(jnp.float32(RNG.normal(size=(7, DIM))), jnp.float32(RNG.normal(size=(11, DIM)) * [[1.0]] + 0.3))
HPARAMS = HParams(learning_rate=0.1, popularity_exponent=0.7, similarity_cutoff=CUTOFF)
PAIRS = [(u, i) for u, i in [(0, 7), (0, 2), (1, 4), (2, 3), (4, 6), (5, 9), (6, 3)]]


def make_sampler(name, data, num_negatives=1, num_candidates=11, num_draws=0, hparams=HPARAMS, **options):
    spec = Spec(
        dim=DIM,
        batch_size=len(PAIRS),
        sampler=name,
        num_negatives=num_negatives,
        num_candidates=num_candidates,
        num_draws=num_draws,
        **options,
    )
    return sampling.SAMPLERS[name](spec, data, hparams)


def draw_many(sampler, rounds, users, items, params=PARAMS, seed=0):
    """negatives [rounds, B, N] and valid [rounds, B]."""
    state = sampler.init()

    @jax.jit
    def sample_all(keys):
        return jax.vmap(lambda key: sampler.sample(key, state, params, jnp.int32(users), jnp.int32(items)))(keys)

    negatives, valid = sample_all(jax.random.split(jax.random.key(seed), rounds))
    return np.asarray(negatives), np.asarray(valid)


@pytest.mark.parametrize("num_negatives", [1, 3])
@pytest.mark.parametrize("name", sampling.SAMPLERS)
class TestContract:
    def test_in_range_and_never_a_known_positive(self, name, num_negatives, ragged):
        users, items = np.array(PAIRS).T
        sampler = make_sampler(name, ragged.to_device(), num_negatives)
        negatives, valid = draw_many(sampler, 500, users, items)
        assert negatives.shape == (500, len(PAIRS), num_negatives) and negatives.dtype == np.int32
        assert valid.any()
        for b, user in enumerate(users):
            drawn = negatives[valid[:, b], b]
            assert drawn.size == 0 or (drawn.min() >= 0 and drawn.max() < ragged.num_items)
            assert not np.isin(drawn, ragged.row(user)).any()

    def test_jit_equals_eager(self, name, num_negatives, ragged):
        users, items = map(jnp.int32, np.array(PAIRS).T)
        sampler = make_sampler(name, ragged.to_device(), num_negatives)
        key, state = jax.random.key(5), sampler.init()
        with jax.disable_jit():
            eager = sampler.sample(key, state, PARAMS, users, items)
        jitted = jax.jit(sampler.sample)(key, state, PARAMS, users, items)
        jax.tree.map(np.testing.assert_array_equal, eager, jitted)

    def test_user_who_has_everything_is_invalid(self, name, num_negatives):
        from cml_jax.data.interactions import from_pairs

        users, items = np.array([0, 0, 0, 0, 1]), np.array([0, 1, 2, 3, 2])
        data = from_pairs(users, items, 2, 4).to_device()
        params = Params(jnp.ones((2, DIM)), jnp.ones((4, DIM)))
        sampler = make_sampler(name, data, num_negatives, num_candidates=4)
        negatives, valid = draw_many(sampler, 50, [0, 1], [0, 2], params=params)
        assert not valid[:, 0].any() and valid[:, 1].all()
        assert not np.any(negatives[:, 1] == 2)


def test_uniform_law(ragged):
    users, items = np.array(PAIRS).T
    negatives, _ = draw_many(make_sampler("uniform", ragged.to_device(), 2), 3000, users, items)
    for b, user in enumerate(users):
        free = ~np.isin(np.arange(11), ragged.row(user))
        assert_law(np.bincount(negatives[:, b].ravel(), minlength=11), free / free.sum())


@pytest.mark.parametrize("cap", [np.inf, 2.0])
def test_popularity_law(ragged, cap):
    users, items = np.array(PAIRS).T
    hparams = HPARAMS._replace(popularity_cap=cap)
    sampler = make_sampler("popularity", ragged.to_device(), 2, hparams=hparams)
    negatives, valid = draw_many(sampler, 3000, users, items)
    assert valid.all()
    weights = np.minimum(ragged.popularity, cap) ** 0.7 * (ragged.popularity > 0)
    for b, user in enumerate(users):
        allowed = weights * ~np.isin(np.arange(11), ragged.row(user))
        assert_law(np.bincount(negatives[:, b].ravel(), minlength=11), allowed / allowed.sum())


@pytest.mark.parametrize("cutoff", [CUTOFF, 1.0])
def test_two_stage_law_given_all_items_as_candidates(ragged, cutoff):
    """With C = the items that can be drawn, stage 1 is certain and stage 2 alone decides."""
    users, items = np.array(PAIRS).T
    hparams = HPARAMS._replace(similarity_cutoff=cutoff)
    sampler = make_sampler("two_stage", ragged.to_device(), 2, hparams=hparams)
    negatives, valid = draw_many(sampler, 4000, users, items)
    points = oracles.to_sphere(np.asarray(PARAMS.items, np.float64))
    num_checked = 0
    for b, (user, item) in enumerate(PAIRS):
        usable = (ragged.popularity > 0) & ~np.isin(np.arange(11), ragged.row(user))
        law = oracles.stage2_probabilities(points @ points[item], usable, DIM, cutoff)
        assert valid[:, b].all() == (law.sum() > 0)
        if law.sum() > 0 and law[law > 0].min() > 1e-3:
            assert_law(np.bincount(negatives[:, b].ravel(), minlength=11), law)
            num_checked += np.count_nonzero(law) > 1
    assert num_checked >= 3


@pytest.mark.slow
def test_two_stage_law_over_both_stages(ragged):
    """C = 1 of independent candidates: the negative is the candidate, wherever that is usable."""
    sampler = make_sampler("two_stage", ragged.to_device(), 1, num_candidates=1, num_draws=64)
    negatives, valid = draw_many(sampler, 6000, [5], [9])
    points = oracles.to_sphere(np.asarray(PARAMS.items, np.float64))
    usable = (points @ points[9] > 0) & ~np.isin(np.arange(11), ragged.row(5))
    law = np.where(usable, ragged.popularity**0.7, 0.0) * (ragged.popularity > 0)
    share_usable = law.sum() / (ragged.popularity[ragged.popularity > 0] ** 0.7).sum()
    assert_law([valid.sum(), (~valid).sum()], [share_usable, 1 - share_usable])
    assert_law(np.bincount(negatives[valid].ravel(), minlength=11), law / law.sum())


def test_two_stage_redraws_and_the_masked_draw_have_one_law(ragged, monkeypatch):
    """With no redraws allowed, every hit goes to the fully masked weights; the law must not change."""
    monkeypatch.setattr(sampling, "_TWO_STAGE_REDRAWS", 1)
    test_two_stage_law_given_all_items_as_candidates(ragged, CUTOFF)


@pytest.mark.parametrize("options", [{}, {"own_positive": "uniform_draw", "known_positives": "retry_then_keep"}])
def test_second_stage_in_chunks_draws_the_same(ragged, options, monkeypatch):
    users, items = np.tile(np.array(PAIRS).T, 4)
    sampler = make_sampler("two_stage", ragged.to_device(), 3, num_candidates=6, num_draws=40, **options)
    monkeypatch.setattr(sampling, "_CHUNK", 10**9)
    whole = draw_many(sampler, 50, users, items)
    monkeypatch.setattr(sampling, "_CHUNK", 7)
    in_chunks = draw_many(sampler, 50, users, items)
    np.testing.assert_array_equal(in_chunks[1], whole[1])
    np.testing.assert_array_equal(in_chunks[0][whole[1]], whole[0][whole[1]])
    assert whole[1].any() and np.any(whole[0][:, :7] != whole[0][:, 7:14])


def test_released_fall_back_is_uniform_where_the_positive_is_a_candidate(ragged):
    """C = all items, so every positive is a candidate and the draw is uniform over the others."""
    users, items = np.array(PAIRS).T
    negatives, valid = draw_many(
        make_sampler("two_stage", ragged.to_device(), 2, own_positive="uniform_draw"), 3000, users, items
    )
    assert valid.all()
    for b, user in enumerate(users):
        free = (ragged.popularity > 0) & ~np.isin(np.arange(11), ragged.row(user))
        assert_law(np.bincount(negatives[:, b].ravel(), minlength=11), free / free.sum())


@pytest.mark.parametrize("num_draws", [0, 8])
def test_released_fall_back_leaves_other_rows_alone(ragged, num_draws):
    """C = 1: where the candidate is not the positive, it is drawn as without the option, or where its weight is 0."""
    data = ragged.to_device()
    options = {"num_candidates": 1, "num_draws": num_draws}
    plain = make_sampler("two_stage", data, **options)
    fallen_back = make_sampler("two_stage", data, own_positive="uniform_draw", **options)
    first, first_valid = draw_many(plain, 400, [5, 5], [9, 6])
    second, second_valid = draw_many(fallen_back, 400, [5, 5], [9, 6])
    np.testing.assert_array_equal(first[first_valid], second[first_valid])
    only_second = second_valid & ~first_valid
    assert only_second.any(), "candidates of no similarity are drawn"
    assert not np.isin(second[second_valid], ragged.row(5)).any()


@pytest.mark.parametrize("own_positive", sampling.OWN_POSITIVE)
def test_released_retries_keep_the_known_positive(ragged, own_positive):
    """User 0 has 8 of 10 items, so that ten retries often end on a known positive."""
    params = PARAMS._replace(items=PARAMS.items + 2.0)  # every similarity is positive
    sampler = make_sampler(
        "two_stage", ragged.to_device(), 1, known_positives="retry_then_keep", own_positive=own_positive
    )
    negatives, valid = draw_many(sampler, 20_000, [0, 0], [7, 2], params=params)
    assert valid.all()
    points = oracles.to_sphere(np.asarray(params.items, np.float64))
    is_positive = np.isin(np.arange(11), ragged.row(0))
    for b, item in enumerate([7, 2]):
        usable = (ragged.popularity > 0) & (np.arange(11) != item)
        weights = oracles.stage2_probabilities(points @ points[item], usable, DIM, CUTOFF)
        if own_positive == "uniform_draw":
            weights = (ragged.popularity > 0).astype(float)
        law = oracles.retried_law(weights, is_positive, 10)
        assert law[is_positive].sum() > 0.05
        assert_law(np.bincount(negatives[:, b].ravel(), minlength=11), law)


@pytest.mark.parametrize("num_draws", [0, 60])
def test_popularity_without_replacement_over_the_batch(ragged, num_draws):
    """Six users with one item each, item 4 or 3: the negatives differ but where a known positive was redrawn."""
    users, items = [1] * 3 + [6] * 3, [4] * 3 + [3] * 3
    sampler = make_sampler("popularity", ragged.to_device(), 1, num_draws=num_draws, without_replacement=True)
    negatives, valid = draw_many(sampler, 20_000, users, items)
    assert valid.all()
    num_distinct = np.array([len(set(row)) for row in negatives[:, :, 0]])
    assert num_distinct.min() >= 4 and (num_distinct == 6).mean() > 0.7
    weights = ragged.popularity**0.7 * (ragged.popularity > 0)
    first = np.where(np.arange(11) == 4, 0, weights)
    assert_law(np.bincount(negatives[:, 0, 0], minlength=11), first / first.sum())
    # How often each item is among the six: numpy's own draws without replacement, redrawn alike.
    rng = np.random.default_rng(0)
    law, expected = weights / weights.sum(), np.zeros(11)
    for _ in range(20_000):
        drawn = rng.choice(11, 6, replace=False, p=law)
        for b, own in enumerate(items):
            while drawn[b] == own:
                drawn[b] = rng.choice(11, p=law)
        expected += np.bincount(drawn, minlength=11)
    share = (np.bincount(negatives.ravel(), minlength=11) - expected) / np.sqrt(np.maximum(2 * expected, 1))
    assert np.abs(share).max() < 5  # false alarm below 1e-5


def test_slots_left_over_are_last_and_marked(ragged):
    data = ragged.to_device()
    spec = Spec(dim=DIM, batch_size=1, num_candidates=8, num_draws=3)
    state = sampling.make_candidate_state(spec, data, HPARAMS)
    candidates, filled = draw_candidates(jax.random.key(1), state, spec)
    count = int(filled.sum())
    assert 1 <= count <= 3 and filled[:count].all() and np.all(np.diff(candidates[:count]) > 0)


def test_two_stage_sees_the_embeddings_it_is_given(ragged):
    sampler = make_sampler("two_stage", ragged.to_device())
    other = PARAMS._replace(items=PARAMS.items[::-1])
    first, _ = draw_many(sampler, 300, [4], [6])
    second, _ = draw_many(sampler, 300, [4], [6], params=other)
    assert set(first.ravel()) != set(second.ravel())


@pytest.mark.parametrize(("exponent", "cap"), [(60.0, np.inf), (2.0, 1e-30), (9.0, np.inf)])
def test_popularity_weights_survive_what_overflows_float32(exponent, cap):
    popularity = np.append(np.arange(20_000), 0)
    weights = np.asarray(sampling.popularity_weights(jnp.float32(popularity), exponent, cap), np.float64)
    counts = np.minimum(popularity, cap)
    np.testing.assert_allclose(weights, (counts / counts.max()) ** exponent, rtol=1e-4, atol=1e-37)
    assert weights[0] == weights[-1] == 0


def test_stage2_weights_survive_what_overflows_float32():
    """At D = 128 and s = 0.99 the weight 1 / q is about 10^106."""
    similarity = jnp.float32([[0.99, 0.98, 0.5, -0.2, 1.0]])
    usable = jnp.array([[True, True, True, True, False]])
    weights = sampling.stage2_weights(similarity, usable, 128, 1.0)
    expected = ((1 - 0.98**2) / (1 - 0.99**2)) ** -62.5
    np.testing.assert_allclose(weights[0], [1.0, expected, 0.0, 0.0, 0.0], rtol=1e-2, atol=1e-20)


def test_stage2_weights_equal_oracle():
    similarity = RNG.uniform(-0.5, 0.9, size=40)
    usable = RNG.random(40) < 0.7
    weights = np.asarray(sampling.stage2_weights(jnp.float32(similarity), jnp.asarray(usable), 20, 0.6), np.float64)
    expected = oracles.stage2_probabilities(similarity, usable, 20, 0.6)
    np.testing.assert_allclose(weights / weights.sum(), expected, rtol=1e-5)
    assert weights.max() == 1.0


@pytest.mark.parametrize("batch_size", [1, 4, 9, 22])
def test_positives_sees_every_pair_once_a_pass(ragged, batch_size):
    data = ragged.to_device()
    per_pass = sampling.steps_per_pass(data.num_pairs, batch_size)
    every_pair = sorted(zip(ragged.users.tolist(), ragged.items.tolist(), strict=True))
    orders = []
    for first in (0, per_pass):
        batches = [
            sampling.positives(jax.random.key(8), jnp.int32(first + s), data, batch_size) for s in range(per_pass)
        ]
        pairs = [
            pair
            for users, items, valid in batches
            for pair in zip(users[valid].tolist(), items[valid].tolist(), strict=True)
        ]
        assert sorted(pairs) == every_pair
        orders.append(pairs)
    assert orders[0] != orders[1], "each pass has an order of its own"


def draw_candidates(key, state, spec):
    return sampling.draw_candidates(key, jax.random.uniform(key, (2 * spec.num_draws,)), state, spec, 11)


def test_candidates_are_distinct_and_of_stage_ones_law(ragged):
    data = ragged.to_device()
    spec = Spec(dim=DIM, batch_size=1, num_candidates=4, num_draws=300)
    state = sampling.make_candidate_state(spec, data, HPARAMS)
    keys = jax.random.split(jax.random.key(9), 5000)
    candidates, filled = jax.vmap(lambda key: draw_candidates(key, state, spec))(keys)
    assert filled.all()
    assert np.all(np.diff(candidates, axis=1) > 0), "ascending, so distinct"
    weights = np.where(ragged.popularity > 0, ragged.popularity**0.7, 0.0)
    included = np.bincount(np.asarray(candidates).ravel(), minlength=11)
    expected = oracles.inclusion_frequencies(weights, 4, 5000, seed=2)
    share = (included + expected) / 10_000
    assert np.all(np.abs(included - expected) <= 5 * np.sqrt(10_000 * share * (1 - share)) + 1e-9)  # below 1e-5
    assert draws.num_draws_needed(weights, 4) == 0, "so small a catalogue is ranked as a whole by default"
