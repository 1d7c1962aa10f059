import json

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

import cml_jax
from cml_jax import UserError
from cml_jax.serving import ann, export


def points_of(model):
    return [np.asarray(table) for table in (model.user_points, model.item_points)]


def test_points_and_ids_are_the_models(trained, tmp_path):
    model = cml_jax.load(trained)
    said = export.export(model, tmp_path / "out", ann.Hnsw(m=8))
    vectors = load_file(tmp_path / "out" / "vectors.safetensors")
    about = json.loads((tmp_path / "out" / "export.json").read_text())
    for name, table, ids in zip(("users", "items"), points_of(model), (model.user_ids, model.item_ids), strict=True):
        np.testing.assert_array_equal(np.load(tmp_path / "out" / f"{name}.npy"), table)
        np.testing.assert_array_equal(vectors[name], table)
        frame = pl.read_parquet(tmp_path / "out" / f"{name}.parquet")
        assert frame["id"].to_list() == ids.values.tolist() and frame["row"].to_list() == list(range(len(ids)))
        assert about[name] == len(ids)
    assert about["constraint"] == "sphere" and about["step"] == model.step and f"Wrote {tmp_path / 'out'}" in said
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_inner_product_of_the_lengthened_points_is_the_score(trained):
    users, items = points_of(cml_jax.load(trained))
    longer = np.c_[2 * items, -(items**2).sum(axis=1)]
    products = np.c_[users, np.ones(len(users))] @ longer.T
    distances = ((users[:, None] - items[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(products - (users**2).sum(axis=1)[:, None], -distances, atol=1e-5)


def test_indexes_equal_brute_force(trained, tmp_path):
    faiss = pytest.importorskip("faiss")
    model = cml_jax.load(trained)
    how = ann.Hnsw(m=8, ef_construction=40, ef_search=64)
    assert "recall@45 1.000" in export.export(model, tmp_path / "out", how)
    users, items = points_of(model)
    distances = ((users[:, None] - items[None]) ** 2).sum(axis=2)
    for name in ("flat", "hnsw"):
        index = faiss.read_index(str(tmp_path / "out" / f"items.{name}.faiss"))
        found, rows = index.search(users, 10)
        np.testing.assert_array_equal(rows, np.argsort(distances, axis=1, kind="stable")[:, :10])
        np.testing.assert_allclose(found, np.sort(distances, axis=1)[:, :10], atol=1e-5)
    about = json.loads((tmp_path / "out" / "export.json").read_text())["hnsw"]
    assert about["recall"] == 1 and about["m"] == 8 and about["ef_search"] == 64 and about["speed_up"] > 0


def test_without_faiss_the_points_are_written_and_the_lack_is_said(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = export.export(cml_jax.load(trained), tmp_path / "out", ann.Hnsw())
    assert "install it with: pip install -e '.[ann]'" in said
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"items.npy", "vectors.safetensors", "export.json"} <= names and not any("faiss" in name for name in names)


def test_what_is_there_is_kept(trained, tmp_path):
    model = cml_jax.load(trained)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(UserError, match="is there already; name a new folder"):
        export.export(model, tmp_path / "out", ann.Hnsw())
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        export.export(model, tmp_path / "file" / "out", ann.Hnsw())
    assert {path.name for path in tmp_path.iterdir()} == {"out", "file"}
