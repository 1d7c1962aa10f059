import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import Factors, Params, evaluate, init_state, make_options, run_steps
from cml_jax.data import synthetic
from cml_jax.data.interactions import from_pairs, keep_users
from cml_jax.data.splits import split
from cml_jax.data.tables import Table
from cml_jax.serving.fold_in import fold_in, history_loss, negative_weights, scores_of_row
from tests.steps import DRAWN

UNIFORM = DRAWN | {"sampler": "uniform"}
RNG = np.random.default_rng(3)
ITEMS = RNG.normal(size=(40, 5)).astype(np.float32)
POPULARITY = RNG.integers(0, 30, 40)
POPULARITY[7] = 0
LISTENERS, LISTENED = np.nonzero(np.arange(30)[:, None] < POPULARITY)  # each item by as many users as said
DATA = from_pairs(LISTENERS, LISTENED, 30, 40).to_device()
HISTORIES = from_pairs(np.array([0, 0, 0, 1, 2, 2, 2, 2, 2]), np.array([1, 8, 30, 7, 0, 1, 2, 3, 39]), 3, 40)


def numpy_loss(user, history, temperature):
    weights = np.where(POPULARITY > 0, np.maximum(POPULARITY, 1.0) ** 0.25, 0.0)
    weights = weights / weights.sum()
    distance = ((ITEMS.astype(np.float64) - user) ** 2).sum(axis=1)
    others = [n for n in range(40) if n not in history]
    losses = [
        np.log1p(sum(weights[n] * np.exp((distance[p] - distance[n]) / temperature) for n in others)) for p in history
    ]
    return np.mean(losses)


def folded_in(items, histories=HISTORIES, constraint="none", memory_budget_mb=512.0, **options):
    chosen = make_options(None, **UNIFORM | {"dim": 5, "constraint": constraint} | options)
    users = jnp.full((2, 5), jnp.nan)  # not used
    params = Params({"users": users, "items": jnp.asarray(items)})
    return fold_in(chosen, params, DATA, histories, memory_budget_mb=memory_budget_mb)


@jax.jit
def _loss_and_slope(user, items, history):
    options = make_options(None, **UNIFORM | {"dim": 5, "constraint": "none"})
    params = Params({"users": jnp.zeros((1, 5)), "items": items})
    scores = scores_of_row(options, params, DATA, options.make_model().ranking(params, DATA))
    log_weights = negative_weights(DATA.popularity)
    return jax.value_and_grad(lambda row: history_loss(scores(row, history), history, log_weights, 0.5))(user)


def loss_and_slope(user, history, items=ITEMS):
    """The loss of a user's row, whose scores are those of the model but for what cancels, and its gradient."""
    is_own = np.isin(np.arange(40), history)
    return _loss_and_slope(jnp.asarray(user, jnp.float32), jnp.asarray(items), jnp.asarray(is_own))


@pytest.mark.parametrize("user", range(3))
def test_loss_and_its_gradient_equal_numpy(user):
    history, point = HISTORIES.row(user).tolist(), RNG.normal(size=5)
    value, gradient = loss_and_slope(point, history)
    np.testing.assert_allclose(value, numpy_loss(point, history, 0.5), rtol=2e-5)
    for axis in range(5):
        shift = 1e-5 * np.eye(5)[axis]
        slope = (numpy_loss(point + shift, history, 0.5) - numpy_loss(point - shift, history, 0.5)) / 2e-5
        np.testing.assert_allclose(gradient[axis], slope, rtol=1e-3, atol=1e-4)


def test_loss_is_finite_where_no_negative_is_left():
    value, gradient = loss_and_slope(np.zeros(5), list(range(40)))
    assert value == 0 and not np.any(gradient)


@pytest.mark.parametrize("constraint", ["sphere", "ball", "none"])
def test_points_keep_the_constraint_and_are_better_than_their_surroundings(constraint):
    items = ITEMS / np.linalg.norm(ITEMS, axis=1, keepdims=True) if constraint != "none" else ITEMS
    points = folded_in(items, constraint=constraint)
    norms = np.linalg.norm(points, axis=1)
    bound = 1.0 if constraint != "none" else np.sqrt((items**2).sum(axis=1).mean())
    assert (norms <= bound + 1e-5).all() and (constraint != "sphere" or np.allclose(norms, 1, atol=1e-5))
    for user, point in enumerate(points):
        history = HISTORIES.row(user).tolist()
        around = point + 0.3 * RNG.normal(size=(50, 5))
        around *= np.minimum(1, bound / np.linalg.norm(around, axis=1))[:, None]
        if constraint == "sphere":
            around /= np.linalg.norm(around, axis=1)[:, None]
        losses = [loss_and_slope(p, history, items)[0] for p in [point, *around]]
        assert losses[0] <= min(losses[1:]) + 0.01


def test_result_is_the_same_whatever_the_chunk_and_the_order():
    histories = keep_users(HISTORIES, np.array([2, 0, 1, 2, 0]))
    together = folded_in(ITEMS, histories, "sphere")
    alone = folded_in(ITEMS, histories, "sphere", memory_budget_mb=1e-3)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_array_equal(together[0], together[3])
    np.testing.assert_array_equal(together, folded_in(ITEMS, histories, "sphere"))


def test_margin_is_the_unit_of_squared_distances():
    """Twice as long a ruler, four times the margin: the same picture; with another margin, another one."""
    points = folded_in(ITEMS)
    np.testing.assert_allclose(folded_in(2 * ITEMS, margin=4.0), 2 * points, rtol=1e-3, atol=1e-3)
    assert np.abs(folded_in(2 * ITEMS, margin=1.0) - 2 * points).max() > 0.1


@pytest.mark.slow
def test_users_left_out_of_training_reach_those_trained_in_full():
    """100 of 600 users; the bound of 85 % of their NDCG is the one that holds on Last.fm, with room."""
    pairs = synthetic.taste_clusters(synthetic.make_taste_model(600, 300, 4, 4), mean_degree=25.0)
    ids = np.arange(600), np.arange(300)
    data = split(Table(pairs.users, pairs.items, *ids), "ratio", (3, 1, 1), 0)
    others, strangers = np.arange(500), np.arange(500, 600)

    options = make_options(None, **UNIFORM | {"dim": 16, "batch_size": 256, "learning_rate": 0.01}).as_arrays()
    model = options.make_model()

    def trained(train):
        device = train.to_device()
        state, _ = run_steps(init_state(options, device, 0), device, options, num_steps=600)
        return state.params

    known_train = keep_users(data.train, others)
    full, known = trained(data.train), trained(known_train)
    histories = keep_users(data.train, strangers)
    folded = fold_in(options, known, known_train.to_device(), histories)
    tests = keep_users(data.test, strangers)

    def ndcg(users, items):
        ranking = model.ranking(Params({"users": jnp.asarray(users), "items": items}), None)
        assert isinstance(ranking, Factors)
        return evaluate(ranking, histories, histories, tests, ks=(20,)).values["ndcg@20"]

    in_full, without = ndcg(full.tables["users"][500:], full.tables["items"]), ndcg(folded, known.tables["items"])
    chance = ndcg(RNG.normal(size=(100, 16)).astype(np.float32), known.tables["items"])
    assert in_full > 2 * chance, "something must have been learnt for this to show anything"
    assert without > 0.85 * in_full
