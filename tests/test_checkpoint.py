import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from cml_jax import checkpoint, training
from cml_jax.types import HParams, Spec

SPEC = Spec(dim=4, batch_size=8, num_candidates=6, refresh_every=3)
HPARAMS = HParams(learning_rate=0.05)


def progress_after(data, num_steps, seed=0):
    state = training.init_state(SPEC, data, HPARAMS, seed)
    state, _ = training.run_steps(state, data, HPARAMS, spec=SPEC, num_steps=num_steps)
    return checkpoint.start(state)._replace(state=state)


def test_restored_progress_is_bit_equal_and_goes_on_alike(tmp_path, ragged):
    data = ragged.to_device()
    saved = progress_after(data, 3)
    with checkpoint.open_manager(tmp_path, keep=2) as manager:
        checkpoint.save(manager, saved)
    with checkpoint.open_manager(tmp_path, keep=2) as manager:
        restored = checkpoint.restore(manager, progress_after(data, 3, seed=9))
    assert restored is not None
    jax.tree.map(np.testing.assert_array_equal, saved, restored)
    steps = [
        training.run_steps(p.state, data, HPARAMS, spec=SPEC, num_steps=3)[0]
        for p in (restored, progress_after(data, 3))
    ]
    jax.tree.map(np.testing.assert_array_equal, *steps)


def test_newest_are_kept_and_saving_twice_is_harmless(tmp_path, ragged):
    data = ragged.to_device()
    with checkpoint.open_manager(tmp_path, keep=2) as manager:
        progress = progress_after(data, 3)
        assert checkpoint.restore(manager, progress) is None
        for step in (1, 2, 3, 3):
            state = dataclasses.replace(progress.state, step=jnp.int32(step))
            checkpoint.save(manager, progress._replace(state=state))
        manager.wait_until_finished()
        assert sorted(manager.all_steps()) == [2, 3]
