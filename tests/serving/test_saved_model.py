import json
import shutil

import numpy as np
import pytest

import cml_jax
from cml_jax import UserError
from cml_jax.serving import best_params
from tests.tiny import last_params


def snapshot(folder):
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in [folder, *folder.rglob("*")]}


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "moved" / "run")
    return tmp_path / "moved" / "run"


def newest(folder):
    return max((folder / "checkpoints").iterdir(), key=lambda path: int(path.name))


def test_moved_workdir_without_its_data_set_gives_the_same_lists(trained, copy):
    assert not (trained.parent / "data.csv").exists()
    model, moved = cml_jax.load(trained), cml_jax.load(str(copy))
    users = model.user_ids.values.tolist()
    assert model.recommend(users, 9).equals(moved.recommend(users, 9))
    assert len(users) == 30 and users[3].endswith("ü")


def test_points_are_the_best_ones_on_the_sphere(trained):
    model = cml_jax.load(trained)
    for found, table in zip((model.user_points, model.item_points), last_params(trained)[2:], strict=True):
        np.testing.assert_allclose(found, table / np.linalg.norm(table, axis=1, keepdims=True), atol=1e-6)
    assert model.step in (20, 40) and model.notes == ()


def test_nothing_is_changed_even_where_it_may_not_be_written_or_is_damaged(copy):
    (newest(copy) / "about" / "metadata").write_text("{}")
    for path in [*copy.rglob("*"), copy]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = snapshot(copy)
    model = cml_jax.load(copy)
    assert model.recommend("user, 3 ü").height == 20
    assert snapshot(copy) == before
    (note,) = model.notes
    assert "The checkpoint of step 40 is damaged" in note and "an older one is used" in note
    for path in [copy, *copy.rglob("*")]:
        path.chmod(0o755)


def test_changed_numbers_show_in_the_checksum(copy):
    about = newest(copy) / "about" / "metadata"
    saved = json.loads(about.read_text())
    saved["fingerprint"][-3] ^= 1  # that of the best items
    about.write_text(json.dumps(saved))
    assert "checksum is wrong" in cml_jax.load(copy).notes[0]


def test_what_is_missing_or_damaged_is_named(copy, tmp_path):
    def refused(sentence, where=copy):
        with pytest.raises(UserError, match=sentence) as caught:
            cml_jax.load(where)
        assert "\n" not in str(caught.value)

    refused(r"nowhere/config\.json: no such file; give the workdir of a run, which holds one", tmp_path / "nowhere")
    refused(r"config\.json: no such file", copy / "dataset.npz")
    text = (copy / "config.json").read_text()
    for wrong in ("{", "[]", "{}", text.replace("sphere", "cube"), text.replace('"margin": 1.0', '"margin": "1"')):
        (copy / "config.json").write_text(wrong)
        refused(r"config\.json: ")
    (copy / "config.json").write_text(text.replace('"data_sha256": "', '"data_sha256": "0'))
    refused(r"dataset\.npz: of other data than")
    (copy / "config.json").write_text(text)
    (copy / "dataset.npz").rename(copy / "elsewhere")
    refused(r"dataset\.npz: no such file; .* start the run again")
    (copy / "elsewhere").rename(copy / "dataset.npz")
    for step in (20, 40):
        (copy / "checkpoints" / str(step) / "about" / "metadata").unlink()
    refused(r"checkpoints: no checkpoint can be read \(of step 40: ")
    shutil.rmtree(copy / "checkpoints")
    refused(r"checkpoints: no checkpoint; train")


def test_parameters_that_were_never_evaluated_are_refused(copy, monkeypatch):
    read = best_params._read
    monkeypatch.setattr(best_params, "_read", lambda *where: read(*where)._replace(value=np.float32(-1)))
    with pytest.raises(UserError, match="nothing was evaluated up to step 40"):
        cml_jax.load(copy)


@pytest.mark.parametrize("budget", [0.0, -1.0, float("nan"), float("inf")])
def test_budget_must_be_a_number_above_zero(budget, trained):
    with pytest.raises(UserError, match="memory_budget_mb"):
        cml_jax.load(trained, budget)


def test_saved_model_is_loaded_as_it_was(trained, tmp_path):
    """Lists, neighbours, new users and every option; and a second save does not touch what is there."""
    model = cml_jax.load(trained)
    model.save(tmp_path / "saved")
    loaded = cml_jax.load(tmp_path / "saved")
    users, items = model.user_ids.values.tolist(), model.item_ids.values.tolist()
    assert loaded.recommend(users, 9).equals(model.recommend(users, 9))
    assert loaded.similar_items(items[3], 5).equals(model.similar_items(items[3], 5))
    np.testing.assert_array_equal(loaded.fold_in(items[:4]), model.fold_in(items[:4]))
    assert loaded.options == model.options and loaded.step == model.step
    before = snapshot(tmp_path / "saved")
    with pytest.raises(UserError, match="saved: is there already; name a new folder"):
        model.save(tmp_path / "saved")
    assert snapshot(tmp_path / "saved") == before
