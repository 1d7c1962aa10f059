"""What a page holds, against the model and plain NumPy; how it is packed; who makes it."""

import base64
import dataclasses
import importlib.util
import json

import numpy as np
import pytest

import cml_jax
from cml_jax.errors import ConfigError, UserError
from experiments import explore, run_figure, train
from experiments.pages import building, packing
from experiments.space import content, maps, negatives, shown, users
from experiments.space.content import Wanted
from tests.tiny import tiny_config

WANTED = Wanted(num_users=10, num_pair_users=3, k=5, neighbours=4)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train.train_and_evaluate(tiny_config(log__explore=True, sampler__similarity_cutoff=0.3), folder)
    return folder


@pytest.fixture(scope="module")
def model(workdir):
    return cml_jax.load(workdir)


@pytest.fixture(scope="module")
def wide():
    """300 items, the first ones popular."""
    rng = np.random.default_rng(0)
    rows = [(user, item) for user in range(100) for item in np.unique((300 * rng.random(9) ** 3).astype(int))]
    pairs = {name: [row[place] for row in rows] for place, name in enumerate(("user", "item"))}
    pairs = {"user": [*pairs["user"], *range(300)], "item": [*pairs["item"], *range(300)]}
    options = {"num_candidates": 30, "dim": 8, "num_steps": 2, "progress": False, "ks": (5,), "loss": "triplet"}
    return cml_jax.fit(pairs, sampler="two_stage", **options)


@pytest.fixture(scope="module")
def stage1(model):
    return negatives.draw_stage1(model)


def test_a_run_leaves_the_page_that_the_command_makes(workdir, tmp_path, monkeypatch, capsys):
    explore.FLAGS.mark_as_parsed()
    with monkeypatch.context() as patch:
        for name, value in {"workdir": str(workdir), "output": str(tmp_path / "space.html")}.items():
            patch.setattr(explore.FLAGS[name], "value", value)
        explore.main()
    assert (tmp_path / "space.html").read_bytes() == (workdir / run_figure.PAGE).read_bytes()
    assert not list(workdir.glob("*.html.*"))


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"output": "space.pdf"}, "name a file of HTML"),
        ({"output": "none/space.html"}, "in a folder that is there"),
        (
            {"output": "/proc/space.html", "workdir": "none"},
            r"/proc/space\.html: cannot be written \(",
        ),  # before loading
        ({"maps": ["tsne"]}, "there is no map 'tsne'; choose of pca, umap"),
        ({"users": ["stranger"]}, "user 'stranger' is unknown"),
    ],
)
def test_what_the_command_refuses(values, sentence, workdir, tmp_path, monkeypatch):
    explore.FLAGS.mark_as_parsed()
    monkeypatch.chdir(tmp_path)
    for name, value in ({"workdir": str(workdir), "output": "space.html"} | values).items():
        monkeypatch.setattr(explore.FLAGS[name], "value", value)
    with pytest.raises(UserError, match=sentence):
        explore.main()
    assert not list(tmp_path.iterdir())


def test_a_run_asks_for_what_is_not_installed_before_it_starts(tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "plotly" else find(name))
    with pytest.raises(ConfigError, match=r"log.explore = True needs pip install 'cml_jax\[explore\]'"):
        train.train_and_evaluate(tiny_config(log__explore=True), tmp_path)
    with pytest.raises(UserError, match=r"needs pip install 'cml_jax\[explore\]'"):
        building.check_installed()


def test_a_page_that_cannot_be_made_costs_no_result(tmp_path, monkeypatch, capsys):
    def broken(*arguments):
        raise ValueError("no page today")

    monkeypatch.setattr(content, "make", broken)
    summary = train.train_and_evaluate(tiny_config(log__explore=True, train__num_steps=10), tmp_path)
    assert summary["steps"] == 10 and (tmp_path / "summary.json").exists()
    assert "space.html could not be made (ValueError: no page today)" in capsys.readouterr().err
    assert not (tmp_path / "space.html").exists()


def test_a_sample_has_what_is_needed_and_the_popularity_of_all():
    popularity = np.random.default_rng(0).zipf(1.5, 5000).clip(max=3000)
    needed = np.array([7, 7, 4999, 30])
    found = shown.choose(popularity, needed, 1000)
    assert len(found.rows) == 1000 == len(np.unique(found.rows)) and np.isin(needed, found.rows).all()
    assert (found.rows[found.place_of[found.rows]] == found.rows).all() and (found.place_of >= 0).sum() == 1000
    for part in (0.25, 0.5, 0.75, 0.95):
        assert np.quantile(popularity[found.rows], part) == pytest.approx(np.quantile(popularity, part), rel=0.05)
    assert found.note.startswith("1,000 of 5,000 items are shown: the 3 that") and "every 5.0th" in found.note
    assert found.places(np.array([7, -1])).tolist() == [found.place_of[7], -1]
    assert shown.choose(popularity, needed, 5000).note == ""


def test_a_page_of_a_sample_is_whole_and_users_leave_room(wide):
    model, made = wide, content.make(wide, "x", WANTED._replace(max_items=120, num_users=200))
    ids = made["items"]["id"]
    assert len(ids) == 120 and made["about"]["numItems"] == 300
    assert 2 <= len(made["users"]) < 200 and made["about"]["notes"][0].startswith("120 of 300 items")
    for user in made["users"]:
        assert all((user[name] >= 0).all() for name in ("history", "heldOut", "items"))
        assert [ids[place] for place in user["items"]] == model.recommend(user["id"], 5)["item"].cast(str).to_list()
    assert (made["negatives"]["candidates"] >= 0).all() and made["items"]["neighbours"].max() < 120


def test_neighbours_are_those_of_similar_items(model):
    ids, distances = shown.neighbours(model.item_points, 4, 64.0)
    for row in (0, 5, 17):
        table = model.similar_items(model.item_ids.values[row], 4)
        assert model.item_ids.rows(table["item"]).tolist() == ids[row].tolist()
        np.testing.assert_allclose(distances[row], np.sqrt(-table["score"].to_numpy()), rtol=1e-3)


def test_a_map_has_users_where_they_are_and_says_its_spread():
    rng = np.random.default_rng(0)
    items = rng.normal(size=(50, 6)).astype(np.float32) * [5, 3, 1, 0.1, 0.1, 0.1]
    drawn = maps.draw("pca", items, items[:4])
    assert drawn.users is not None and drawn.spread is not None
    np.testing.assert_allclose(drawn.users, drawn.items[:4], atol=1e-5)
    variances = np.linalg.eigvalsh(np.cov(items.T))[::-1]
    np.testing.assert_allclose(drawn.spread, variances[:2] / variances.sum(), rtol=1e-5)
    line = maps.draw("pca", items[:, :1], items[:2, :1])
    assert line.items.shape == (50, 2) and np.ptp(line.items[:, 1]) == 0


def test_umap_keeps_groups_apart_and_is_the_same_again():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(20, 5)), rng.normal(size=(20, 5)) + 20]).astype(np.float32)
    drawn = maps.draw("umap", points, points[:1])
    assert drawn.users is None and drawn.spread is None
    centres = drawn.items[:20].mean(axis=0), drawn.items[20:].mean(axis=0)
    assert np.linalg.norm(centres[0] - centres[1]) > 3 * drawn.items[:20].std(axis=0).max()
    np.testing.assert_array_equal(maps.draw("umap", points, points[:1]).items, drawn.items)


def test_clusters_are_numbered_by_their_sizes():
    rng = np.random.default_rng(0)
    found = maps.clusters(rng.normal(size=(300, 3)).astype(np.float32))
    counts = np.bincount(found)
    assert len(counts) == maps.CLUSTERS and (np.diff(counts) <= 0).all()


def test_a_user_without_much_and_histories_in_the_order_of_popularity(model):
    (one,) = users.describe(model, np.array([3]), 4)
    popularity = model.train.popularity
    assert one.num_history == len(one.history) and (np.diff(popularity[one.history]) <= 0).all()
    assert sorted(one.held_out) == model.valid.row(3).tolist()
    points = np.asarray(model.item_points)
    for item, reasons, distances in zip(one.items, one.reasons, one.distances, strict=True):
        away = np.sort(np.linalg.norm(points[model.train.row(3)] - points[item], axis=1))
        np.testing.assert_allclose(distances, away[: users.REASONS], rtol=1e-5)
        assert np.isin(reasons, model.train.row(3)).all()


def test_shares_are_those_of_the_equations(model, stage1):
    """Tran et al. 2019, eq. 3, and the softmax, with known positives left out."""
    (user,) = users.describe(model, np.array([5]), 4)
    drawn = negatives.describe(model, stage1, user)
    items = np.asarray(model.item_points, np.float64)
    items /= np.linalg.norm(items, axis=1, keepdims=True)
    point = np.asarray(model.user_points[5], np.float64)
    known = np.isin(np.arange(len(items)), model.train.row(5))
    counts, half = model.train.popularity.astype(float), (items.shape[1] - 3) / 2
    pair = drawn.pairs[0]
    s = items @ items[pair.positive]

    def stage2(cutoff):
        clipped = np.minimum(s, min(cutoff, 1 - 1e-6))
        return np.where(clipped > 0, (1 - clipped**2) ** -half, 0.0)[stage1.ids]

    of_candidates = {
        "two_stage": stage2(0.3),
        "no_cutoff": stage2(1.0),
        "softmax": np.exp(items[stage1.ids] @ (point / np.linalg.norm(point)) / 0.12),
    }
    of_all = {"uniform": np.ones(len(items)), "popularity": counts}
    for name in negatives.METHODS:
        ids = stage1.ids if name in of_candidates else np.arange(len(items))
        shares = np.where(known[ids], 0.0, (of_candidates | of_all)[name])
        shares /= shares.sum()
        expected = {
            "top": shares.max(),
            "effective": 1 / (shares**2).sum(),
            "similarity": shares @ s[ids],
            "popularity": shares @ counts[ids],
            "held_out": shares[np.isin(ids, model.valid.row(5))].sum(),
        }
        assert pair.summaries[name] == pytest.approx(expected, rel=1e-3, abs=1e-6)
        assert pair.histograms[name].sum() == pytest.approx(1.0, abs=1e-5)
    assert model.options.sampler.options.similarity_cutoff == pytest.approx(0.3)
    positives = [counts[of.positive] for of in drawn.pairs]
    assert len(positives) == 3 and positives[0] >= positives[1] >= positives[2]


def test_a_user_without_training_items_is_shown_without_negatives(wide):
    start, end = wide.train.indptr[:2]
    rest = wide.train._replace(
        indptr=np.maximum(wide.train.indptr - end, 0), items=np.delete(wide.train.items, np.s_[start:end])
    )
    found = content.make(dataclasses.replace(wide, train=rest), "x", WANTED._replace(users=(0,), num_users=4))
    assert found["users"][0]["id"] == "0" and not len(found["users"][0]["history"])
    assert [of["user"] for of in found["negatives"]["users"]] == [1, 2, 3]


def test_candidates_are_distinct_trained_items_and_more_often_popular(wide):
    counts, ids = wide.train.popularity, [negatives.draw_stage1(wide, seed).ids for seed in range(10)]
    assert all(len(np.unique(drawn)) == len(drawn) == 30 and (counts[drawn] > 0).all() for drawn in ids)
    assert counts[np.concatenate(ids)].mean() > 2 * counts.mean()


def test_what_is_not_as_in_the_run_is_said(stage1):
    assert stage1.notes == ("The run has no softmax; its temperature here is the default, 0.12.",)
    pairs = {"user": [1, 1, 2, 2, 3, 3], "item": [1, 2, 2, 3, 3, 4]}
    quick = {"valid_fraction": 0, "num_steps": 1, "progress": False}
    soft = cml_jax.fit(pairs, loss="softmax", sampler="uniform", temperature=0.5, **quick)
    found = negatives.draw_stage1(soft)
    assert found.temperature == 0.5 and "draws by the sampler uniform" in found.notes[0] and len(found.notes) == 1
    flat = cml_jax.fit(pairs, loss="softmax", sampler="two_stage", popularity_exponent=0.0, logq=True, **quick)
    found = negatives.draw_stage1(flat)
    assert found.exponent == 1.0 and float(found.options.popularity_exponent) == 0.0
    assert found.correction == pytest.approx(0.0, abs=1e-5)  # every candidate is certain
    moved = cml_jax.fit(
        pairs, loss="triplet", sampler="two_stage", similarity_cutoff=0.2, similarity_cutoff_end=0.6, **quick,
        anneal_passes=2.0, batch_size=6,
    )  # fmt: skip
    assert float(negatives.draw_stage1(moved).options.similarity_cutoff) == pytest.approx(0.4)  # one step of two


def test_features_have_colours_for_the_most_frequent_values(model):
    from cml_jax.data.features import Feature

    words = np.array([f"w{i}" for i in range(10)], object)
    codes = np.array([*np.repeat(np.arange(10), np.arange(10, 0, -1)), -1], np.int32)
    found = content._groups(Feature("f", "categorical", codes, words), np.arange(len(codes)))
    assert found["groups"] == [f"w{i}" for i in range(content.GROUPS)]
    assert found["codes"].tolist() == [min(code, content.GROUPS) if code >= 0 else content.GROUPS + 1 for code in codes]
    sets = Feature("f", "multi_hot", np.array([3, 1], np.int32), words, np.array([0, 0, 2]))
    found = content._groups(sets, np.arange(2))
    assert found["groups"] == ["w3"] and found["codes"].tolist() == [content.GROUPS + 1, 0]


def test_packed_text_ends_no_script_and_arrays_come_back():
    value = {
        "text": "</script><!-- & \u2028 \ud800 é",
        "array": np.array([[1.5, np.nan]], np.float32),
        "list": [1, None],
    }
    text = packing.script_json(value)
    assert text.isascii() and not set("<>&") & set(text)
    read = json.loads(text)
    assert read["text"] == value["text"] and read["list"] == [1, None] and read["array"]["dtype"] == "float32"
    np.testing.assert_array_equal(np.frombuffer(base64.b64decode(read["array"]["base64"]), "<f4"), [1.5, np.nan])
    with pytest.raises(ValueError, match="not JSON compliant"):
        packing.script_json({"number": float("nan")})


def test_a_page_needs_three_items(tmp_path):
    few = cml_jax.fit({"user": [1, 1, 2], "item": [1, 2, 2]}, valid_fraction=0, num_steps=1, progress=False)
    with pytest.raises(UserError, match="the model has 2 items, of which there is no map"):
        content.make(few, "few", WANTED)
