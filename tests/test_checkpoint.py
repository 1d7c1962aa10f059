import dataclasses
import itertools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import checkpoint, make_options, training
from cml_jax.errors import UserError
from tests.steps import DRAWN

OPTIONS = make_options(
    **DRAWN | {"dim": 4, "batch_size": 8, "num_candidates": 6, "refresh_every": 3, "learning_rate": 0.05}
).as_arrays()


def progress_after(data, num_steps, seed=0):
    state = training.init_state(OPTIONS, data, seed)
    for _ in range(num_steps):  # one by one, for one compiled program
        state, _ = training.run_steps(state, data, OPTIONS, num_steps=1)
    return checkpoint.start(state)._replace(state=state)


def test_restored_progress_is_bit_equal_and_goes_on_alike(tmp_path, ragged):
    data = ragged.to_device()
    saved = progress_after(data, 3)
    with checkpoint.open_manager(tmp_path, keep=2) as manager:
        checkpoint.save(manager, saved, {"note": [1, None]})
        checkpoint.wait(manager)
    with checkpoint.open_manager(tmp_path, keep=2) as manager:
        restored = checkpoint.restore(manager, progress_after(data, 3, seed=9))
    assert restored.progress is not None and restored.about == {"note": [1, None]} and not restored.damaged
    jax.tree.map(np.testing.assert_array_equal, saved, restored.progress)
    steps = [
        training.run_steps(p.state, data, OPTIONS, num_steps=1)[0] for p in (restored.progress, progress_after(data, 3))
    ]
    jax.tree.map(np.testing.assert_array_equal, *steps)


def test_newest_are_kept_and_saving_twice_is_harmless(tmp_path, ragged):
    data = ragged.to_device()
    with checkpoint.open_manager(tmp_path, keep=2) as manager:
        progress = progress_after(data, 3)
        assert checkpoint.restore(manager, progress).progress is None
        for step in (1, 2, 3, 3):
            state = dataclasses.replace(progress.state, step=jnp.int32(step))
            checkpoint.save(manager, progress._replace(state=state), {})
        checkpoint.wait(manager)
        assert sorted(manager.all_steps()) == [2, 3]


def save_steps(folder, data, steps):
    with checkpoint.open_manager(folder, keep=9) as manager:
        for step in steps:
            checkpoint.save(manager, progress_after(data, step), {"step": step})
        checkpoint.wait(manager)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [truncate, flip_a_bit])
def test_whichever_file_is_damaged_nothing_wrong_is_restored(damage, tmp_path, ragged):
    """Every file of a checkpoint in turn: it does not matter, or the checkpoint before is used, with a warning."""
    data = ragged.to_device()
    save_steps(tmp_path / "good", data, [3, 6])
    files = [path.relative_to(tmp_path / "good") for path in (tmp_path / "good" / "6").rglob("*") if path.is_file()]
    num_detected = 0
    for number, file in enumerate(file for file in files if (tmp_path / "good" / file).stat().st_size):
        folder = tmp_path / f"run{number}" / "checkpoints"
        shutil.copytree(tmp_path / "good", folder)
        damage(folder / file)
        with checkpoint.open_manager(folder, keep=9) as manager:
            restored = checkpoint.restore(manager, progress_after(data, 1))
        assert restored.progress is not None
        step = int(restored.progress.state.step)
        jax.tree.map(np.testing.assert_array_equal, restored.progress, progress_after(data, step))
        if restored.damaged:
            assert step == 3 and restored.about == {"step": 3}
            assert "step 6 is damaged" in restored.damaged[0]
            assert (folder.parent / "damaged-6").is_dir() and not (folder / "6").exists()
            num_detected += 1
    assert num_detected >= 3


def test_change_of_the_values_alone_is_detected(tmp_path, ragged, monkeypatch):
    """What no storage layer can see: the numbers are not those that were saved."""
    data = ragged.to_device()
    save_steps(tmp_path / "checkpoints", data, [3, 6])
    right = checkpoint.fingerprint
    monkeypatch.setattr(
        checkpoint, "fingerprint", lambda p: [*right(p)[:-1], jnp.uint32(7)] if p.state.step == 6 else right(p)
    )
    with checkpoint.open_manager(tmp_path / "checkpoints", keep=9) as manager:
        restored = checkpoint.restore(manager, progress_after(data, 1))
    assert "its checksum is wrong" in restored.damaged[0] and restored.about == {"step": 3}


def test_all_damaged_is_one_sentence_and_nothing_is_touched(tmp_path, ragged):
    data = ragged.to_device()
    save_steps(tmp_path / "checkpoints", data, [3])
    for path in (tmp_path / "checkpoints" / "3").rglob("manifest.ocdbt"):
        path.write_bytes(b"")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    sentence = r"no checkpoint can be read \(of step 3: .+\); choose another workdir, or delete this one\."
    refused = pytest.raises(UserError, match=sentence)
    with checkpoint.open_manager(tmp_path / "checkpoints", keep=9) as manager, refused:
        checkpoint.restore(manager, progress_after(data, 1))
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_fingerprint_sees_every_word_and_no_rows_of_zeros():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(5, 3)).astype(np.float32)
    whole = checkpoint.fingerprint({"a": jnp.asarray(table), "b": jnp.arange(4)})
    assert [int(x) for x in whole] == [int(x) for x in checkpoint.fingerprint([jnp.asarray(table), jnp.arange(4)])]
    padded = jnp.asarray(np.pad(table, ((0, 2), (0, 0))))
    assert int(checkpoint.fingerprint(padded)[0]) == int(whole[0])
    assert int(checkpoint.fingerprint(jnp.asarray(table[::-1].copy()))[0]) != int(whole[0])
    for place in np.ndindex(table.shape):
        for bit in (0, 13, 31):
            changed = table.copy()
            changed.view(np.uint32)[place] ^= np.uint32(1 << bit)
            assert int(checkpoint.fingerprint(jnp.asarray(changed))[0]) != int(whole[0])


def test_fingerprint_sees_two_words_that_changed_places():
    """Every two words of a table, those on an anti-diagonal too, where row and column have the same sum."""
    table = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    fingerprint = int(checkpoint.fingerprint(jnp.asarray(table))[0])
    for a, b in itertools.combinations(np.ndindex(table.shape), 2):
        changed = table.copy()
        changed[a], changed[b] = table[b], table[a]
        assert int(checkpoint.fingerprint(jnp.asarray(changed))[0]) != fingerprint, (a, b)
