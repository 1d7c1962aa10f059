import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import HParams, Params, Spec, embeddings, evaluate, init_state, run_steps
from cml_jax.data import synthetic
from cml_jax.data.interactions import from_pairs, keep_users
from cml_jax.data.splits import split
from cml_jax.data.tables import Table
from cml_jax.serving.fold_in import fold_in, history_loss, negative_weights

RNG = np.random.default_rng(3)
ITEMS = RNG.normal(size=(40, 5)).astype(np.float32)
POPULARITY = RNG.integers(0, 30, 40)
POPULARITY[7] = 0
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


def jax_loss(user, history, temperature=0.5):
    padded = jnp.asarray([*history, 40, 40], jnp.int32)
    log_weights = negative_weights(jnp.asarray(POPULARITY, jnp.float32))
    return history_loss(jnp.asarray(user, jnp.float32), jnp.asarray(ITEMS), padded, log_weights, temperature)


@pytest.mark.parametrize("user", range(3))
def test_loss_and_its_gradient_equal_numpy(user):
    history, point = HISTORIES.row(user).tolist(), RNG.normal(size=5)
    np.testing.assert_allclose(jax_loss(point, history), numpy_loss(point, history, 0.5), rtol=2e-5)
    gradient = jax.grad(jax_loss)(jnp.float32(point), history)
    for axis in range(5):
        shift = 1e-5 * np.eye(5)[axis]
        slope = (numpy_loss(point + shift, history, 0.5) - numpy_loss(point - shift, history, 0.5)) / 2e-5
        np.testing.assert_allclose(gradient[axis], slope, rtol=1e-3, atol=1e-4)


def test_loss_is_finite_where_no_negative_is_left():
    value, gradient = jax.value_and_grad(jax_loss)(jnp.zeros(5), list(range(40)))
    assert value == 0 and not np.any(gradient)


@pytest.mark.parametrize("constraint", ["sphere", "ball", "none"])
def test_points_keep_the_constraint_and_are_better_than_their_surroundings(constraint):
    items = ITEMS / np.linalg.norm(ITEMS, axis=1, keepdims=True) if constraint != "none" else ITEMS
    points = fold_in(jnp.asarray(items), HISTORIES, POPULARITY, constraint=constraint)
    norms = np.linalg.norm(points, axis=1)
    bound = 1.0 if constraint != "none" else np.sqrt((items**2).sum(axis=1).mean())
    assert (norms <= bound + 1e-5).all() and (constraint != "sphere" or np.allclose(norms, 1, atol=1e-5))
    log_weights = negative_weights(jnp.asarray(POPULARITY, jnp.float32))
    for user, point in enumerate(points):
        history = jnp.asarray(HISTORIES.row(user))
        around = point + 0.3 * RNG.normal(size=(50, 5))
        around *= np.minimum(1, bound / np.linalg.norm(around, axis=1))[:, None]
        if constraint == "sphere":
            around /= np.linalg.norm(around, axis=1)[:, None]
        losses = [history_loss(jnp.float32(p), jnp.asarray(items), history, log_weights, 0.5) for p in [point, *around]]
        assert losses[0] <= min(losses[1:]) + 0.01


def test_result_is_the_same_whatever_the_chunk_and_the_order():
    histories = keep_users(HISTORIES, np.array([2, 0, 1, 2, 0]))
    together = fold_in(jnp.asarray(ITEMS), histories, POPULARITY, constraint="sphere")
    alone = fold_in(jnp.asarray(ITEMS), histories, POPULARITY, constraint="sphere", memory_budget_mb=1e-3)
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_array_equal(together[0], together[3])
    again = fold_in(jnp.asarray(ITEMS), histories, POPULARITY, constraint="sphere")
    np.testing.assert_array_equal(together, again)


@pytest.mark.slow
def test_users_left_out_of_training_reach_those_trained_in_full():
    """100 of 600 users; the bound of 85 % of their NDCG is the one that holds on Last.fm, with room."""
    pairs = synthetic.taste_clusters(synthetic.make_taste_model(600, 300, 4, 4), mean_degree=25.0)
    ids = np.arange(600), np.arange(300)
    data = split(Table(pairs.users, pairs.items, *ids), "ratio", (3, 1, 1), 0)
    others, strangers = np.arange(500), np.arange(500, 600)

    def trained(train):
        spec = Spec(dim=16, batch_size=256, sampler="uniform")
        hparams, device = HParams(learning_rate=0.01), train.to_device()
        state, _ = run_steps(init_state(spec, device, hparams, 0), device, hparams, spec=spec, num_steps=600)
        return embeddings(state.params, "sphere", "triplet")

    full, known = trained(data.train), trained(keep_users(data.train, others))
    histories = keep_users(data.train, strangers)
    folded = fold_in(known.items, histories, keep_users(data.train, others).popularity, constraint="sphere")
    tests = keep_users(data.test, strangers)

    def ndcg(users, items):
        params = Params(jnp.asarray(users), items)
        return evaluate(params, histories, histories, tests, ks=(20,)).values["ndcg@20"]

    in_full, without = ndcg(full.users[500:], full.items), ndcg(folded, known.items)
    chance = ndcg(RNG.normal(size=(100, 16)).astype(np.float32), known.items)
    assert in_full > 2 * chance, "something must have been learnt for this to show anything"
    assert without > 0.85 * in_full
