"""Every model from its config to lists: trained, gone on with, loaded, recommended with, exported or refused."""

import numpy as np
import pytest

import cml_jax
from cml_jax.data.interactions import keep_users
from cml_jax.models import MODELS
from cml_jax.serving import ann, export
from cml_jax.types import Score
from experiments import train
from tests.oracles import models as oracles
from tests.tiny import last_params, read_records, tiny_config

SLOW = ("cml", "inner_product", "sml")  # what they train is tried elsewhere; of the others one has dense parameters


def config_of(name, num_steps):
    case = dict(oracles.MODEL_CASES[name][0])
    more = {"average_passes": 1.0, "rows": "catch_up"}
    case.setdefault("margin", 0.8)
    own = {f"model__{key}": value for key, value in case.items()} | {"model__name": name}
    own |= {"dataset__name": "cold_items"} if name == "cml_features" else {}
    return tiny_config(
        train__num_steps=num_steps,
        eval__ks=(3,),
        sampler__name="uniform",
        **own,
        **{f"optimizer__{key}": value for key, value in more.items()},
    )


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in MODELS]
)
def run(request, tmp_path_factory):
    """Name and workdir of a run that stopped at step 20 and went on to step 40."""
    folder = tmp_path_factory.mktemp(request.param)
    train.train_and_evaluate(config_of(request.param, 20), folder / "parts")
    train.train_and_evaluate(config_of(request.param, 40), folder / "parts")
    return request.param, folder


def test_goes_on_to_the_bit(run):
    name, folder = run
    train.train_and_evaluate(config_of(name, 40), folder / "whole")
    for ours, theirs in zip(last_params(folder / "parts"), last_params(folder / "whole"), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert read_records(folder / "parts") == read_records(folder / "whole")


def test_lists_are_those_of_the_oracle_s_scores(run):
    name, folder = run
    model = cml_jax.load(folder / "parts")
    tables = {key: np.asarray(rows, np.float64) for key, rows in model.params.tables.items()}
    dense = {key: np.asarray(rows, np.float64) for key, rows in dict(model.params.dense).items()}
    known = {"train": model.train, "item_features": model.item_features}
    scores = oracles.MODEL_SCORES[name](tables, dense, model.options.values() | known)
    lists = model.recommend(model.user_ids.values.tolist(), 3)
    for user, row in enumerate(scores):
        own = np.where(np.isin(np.arange(len(row)), model.seen.row(user)), -np.inf, row)
        found = lists.filter(lists["user"] == model.user_ids.values[user])
        chosen = [model.item_ids.values.tolist().index(item) for item in found["item"]]
        np.testing.assert_allclose(own[chosen], np.sort(own)[::-1][: len(chosen)], atol=1e-4)
        np.testing.assert_allclose(found["score"], own[chosen], atol=1e-4)


def test_new_users_get_lists_without_their_items(run):
    _, folder = run
    model = cml_jax.load(folder / "parts")
    history = model.item_ids.values[model.train.row(0)][:4].tolist()
    point = model.fold_in(history)
    assert point.shape == model.params.tables["users"].shape[1:] and np.isfinite(point).all()
    found = model.recommend_for(history, 3)
    assert len(found) == 3 and not set(found["item"]) & set(history)
    assert len(model.similar_items(history[0], 3)) == 3 and len(model.similar_users(0, 3)) == 3


def test_a_new_user_with_row_and_items_of_a_known_one_gets_the_same_list(run):
    _, folder = run
    model = cml_jax.load(folder / "parts")
    rows, train, seen = np.arange(3), *(keep_users(part, np.arange(3)) for part in (model.train, model.seen))
    found = model.recommend_points(
        ["0", "1", "2"], np.asarray(model.params.tables["users"])[rows], seen, 3, histories=train
    )
    expected = model.recommend(model.user_ids.values[rows].tolist(), 3)
    (found,) = found
    assert found["item"].to_list() == expected["item"].to_list()
    np.testing.assert_allclose(found["score"], expected["score"], atol=1e-5)


def test_is_exported_or_refused_in_one_sentence(run, tmp_path):
    name, folder = run
    model = cml_jax.load(folder / "parts")
    if isinstance(model.ranking, Score):
        sentence = f"The model '{name}' has no vectors .*; recommend from its workdir"
        with pytest.raises(cml_jax.UserError, match=sentence):
            export.export(model, tmp_path / "out", ann.Hnsw())
        assert not (tmp_path / "out").exists()
        return
    export.export(model, tmp_path / "out", ann.Hnsw())
    users, items = (np.load(tmp_path / "out" / f"{kind}.npy").astype(np.float64) for kind in ("users", "items"))
    vectors = users[:, None] if users.ndim == 2 else users  # [U, V, D]
    products = vectors @ items.T
    apart = (vectors**2).sum(axis=2)[..., None] - 2 * products + (items**2).sum(axis=1)
    scores = products if model.ranking.offsets is None else -apart
    best = np.argmax(scores.max(axis=1), axis=1)
    found = model.recommend(model.user_ids.values.tolist(), 1, exclude_seen=False)
    assert np.mean(model.item_ids.values[best] == found["item"].to_numpy()) > 0.9  # but for ties
