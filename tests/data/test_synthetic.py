import numpy as np

from cml_jax.data import synthetic
from cml_jax.data.interactions import union
from tests.oracles import samplers as oracles


def test_synthetic_is_long_tailed_clustered_and_seeded():
    model = synthetic.make_taste_model(num_users=300, num_items=2000, num_genres=4, styles_per_genre=5)
    interactions = synthetic.taste_clusters(model, mean_degree=20)
    assert 17 < interactions.degrees.mean() < 23 and interactions.degrees.min() >= 5
    popularity = np.sort(interactions.popularity)[::-1]
    assert popularity[:200].sum() > 3 * popularity[-1000:].sum(), "a tenth of the items far outweighs the lower half"
    favourite = model.affinity.argmax(axis=1)
    own_style = model.style[interactions.items] == favourite[interactions.users]
    assert 0.4 < own_style.mean() < 0.95, "against 1 in 20 by chance"
    np.testing.assert_array_equal(interactions.items, synthetic.taste_clusters(model, mean_degree=20).items)


def test_synthetic_draws_follow_the_models_weights():
    """Over many users of one taste, items are included as numpy's draws without replacement include them."""
    num_users = 20_000
    model = synthetic.TasteModel(np.ones((num_users, 1)), np.zeros(10, int), np.arange(1, 11) ** -0.7, np.zeros(1, int))
    included = synthetic.taste_clusters(model, mean_degree=1).popularity
    assert included.sum() == 5 * num_users, "the fewest and the most items a user can have are both 5 of 10 here"
    expected = oracles.inclusion_frequencies(model.appeal, 5, num_users, seed=1)
    share = (expected + included) / (2 * num_users)
    deviation = np.sqrt(2 * num_users * share * (1 - share))
    assert np.all(np.abs(expected - included) < 5 * deviation)  # false alarm below 1e-5


def test_checkerboard_leaves_one_right_answer():
    dataset = synthetic.make_checkerboard(12)
    seen = union(dataset.train, dataset.valid)
    for user in range(12):
        parity = {item for item in range(12) if (item - user) % 2 == 0}
        assert parity - set(seen.row(user).tolist()) == set(dataset.test.row(user).tolist()) == {user}
