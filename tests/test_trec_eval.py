"""The metrics against trec_eval, NIST's reference implementation, through its Python binding."""

import jax.numpy as jnp
import numpy as np
import pytest
import pytrec_eval

from cml_jax import evaluation, ranking
from cml_jax.data.interactions import from_pairs
from cml_jax.models.points import distance_factors

NUM_USERS, NUM_ITEMS = 60, 90


@pytest.fixture(scope="module")
def case():
    """Random points, training items to leave out, and 1 to 40 relevant items a user."""
    rng = np.random.default_rng(11)
    factors = distance_factors(
        jnp.float32(rng.normal(size=(NUM_USERS, 3))), jnp.float32(rng.normal(size=(NUM_ITEMS, 3)))
    )
    seen, relevant = [], []
    for user in range(NUM_USERS):
        items = rng.permutation(NUM_ITEMS)
        num_seen, num_relevant = rng.integers(1, 15), rng.integers(1, 41)
        seen += [(user, item) for item in items[:num_seen]]
        relevant += [(user, item) for item in items[num_seen : num_seen + num_relevant]]
    seen, relevant = (np.array(pairs) for pairs in (seen, relevant))
    as_csr = [from_pairs(pairs[:, 0], pairs[:, 1], NUM_USERS, NUM_ITEMS) for pairs in (seen, relevant)]
    return factors, *as_csr


@pytest.mark.parametrize("k", [1, 5, 20, 50])
def test_metrics_equal_trec_eval(case, k):
    factors, seen, relevant = case
    found = evaluation.evaluate(factors, seen, seen, relevant, ks=(k,))
    lists = ranking.top_k(factors, np.arange(NUM_USERS), seen, k)
    run = {
        str(u): {str(i): float(-rank) for rank, i in enumerate(row)} for u, row in enumerate(np.asarray(lists).tolist())
    }
    truth = {str(u): {str(i): 1 for i in relevant.row(u).tolist()} for u in range(NUM_USERS)}
    measures = {f"{name}.{k}" for name in ("ndcg_cut", "map_cut", "recall", "P", "success")} | {"recip_rank"}
    by_user = pytrec_eval.RelevanceEvaluator(truth, measures).evaluate(run)

    def expected(measure):
        return np.array([by_user[str(u)][measure] for u in range(NUM_USERS)])

    # trec_eval divides average precision by the number of relevant items also where that is more than k, so a perfect
    # list of k may score below 1; here, as in the paper's code, the divisor is the lesser of the two.
    num_relevant = relevant.degrees
    average_precision = expected(f"map_cut_{k}") * num_relevant / np.minimum(num_relevant, k)
    for name, values in (
        ("ndcg", expected(f"ndcg_cut_{k}")),
        ("recall", expected(f"recall_{k}")),
        ("precision", expected(f"P_{k}")),
        ("hit_rate", expected(f"success_{k}")),
        ("mrr", expected("recip_rank")),
        ("map", average_precision),
    ):
        np.testing.assert_allclose(found.per_user[f"{name}@{k}"], values, atol=1e-6, err_msg=name)
        assert 0 < values.mean() < 1
