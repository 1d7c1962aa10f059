"""What is left out of the lists, and what a popularity is, against brute force."""

import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax.data.interactions import Dataset, from_pairs
from cml_jax.models.points import distance_factors
from cml_jax.runs import scoring
from experiments.config import to_values
from tests.oracles import lists as oracles
from tests.tiny import tiny_config

RNG = np.random.default_rng(4)
U, I, D = 17, 23, 5  # noqa: E741
ROWS = [RNG.permutation(I) for _ in range(U)]  # nearly all items of a user are in one of the parts


def part(start, stop):
    return from_pairs(np.repeat(np.arange(U), stop - start), np.concatenate([r[start:stop] for r in ROWS]), U, I)


DATASET = Dataset(part(0, 5), part(5, 12), part(12, 20), np.arange(U), np.arange(I))
USERS, ITEMS = (RNG.normal(size=(n, D)).astype(np.float32) for n in (U, I))
RANKING = distance_factors(jnp.asarray(USERS), jnp.asarray(ITEMS))
PROTOCOL = scoring.make_protocol(to_values(tiny_config(eval__ks=(3, 6), eval__final_ks=(2,))))


def by_hand(held_out, seen, users, k):
    """Means of the metrics of brute-force lists; popularity is that in training, whatever is seen."""
    lists = oracles.top_k(USERS.astype(float), ITEMS.astype(float), seen, k)
    scores = [oracles.user_metrics(lists[u], held_out.row(u), DATASET.train.popularity) for u in users]
    return {f"{name}@{k}": np.mean([score[name] for score in scores]) for name in scores[0]}


@pytest.mark.parametrize("users", [None, np.array([2, 3, 11])], ids=["all", "some"])
@pytest.mark.parametrize("name", ["valid", "test"])
def test_only_what_came_before_is_left_out_of_the_lists(name, users):
    """Validation: training items. Test: those and validation items. Never the items of test."""
    seen = [{*DATASET.train.row(u).tolist()} for u in range(U)]
    if name == "test":
        seen = [own | {*DATASET.valid.row(u).tolist()} for u, own in enumerate(seen)]
    found = scoring.score(RANKING, DATASET, name, PROTOCOL, users)
    whom = range(U) if users is None else users
    assert found.users.tolist() == list(whom)
    for k in PROTOCOL.ks:
        for metric, value in by_hand(getattr(DATASET, name), seen, whom, k).items():
            assert found.values[metric] == pytest.approx(value, rel=1e-5), metric
    assert not any(metric.endswith("@2") for metric in found.values)


def test_final_scores_are_those_of_each_part_with_more_cut_offs():
    final = scoring.final_scores(RANKING, DATASET, PROTOCOL)
    assert list(final) == ["valid", "test"]
    for name, found in final.items():
        assert scoring.score(RANKING, DATASET, name, PROTOCOL).values.items() <= found.values.items()
        assert "ndcg@2" in found.values and len(found.by_popularity["ndcg@6"]) == 10
