import json
import tempfile

import numpy as np

from cml_jax.runs import loop, opening, preemption
from cml_jax.runs.progress import Silent
from cml_jax.runs.setup import make_setup
from experiments.config import to_values
from tests.tiny import last_params, read_records, tiny_config


def never(failed, error):
    raise AssertionError(f"{failed.folder}: {error}")


def test_run_without_a_workdir_is_the_same_run_and_writes_nothing(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    setup, said = make_setup(to_values(tiny_config())), []
    data = setup.dataset.train.to_device()
    with opening.open_run(setup, None, data, said.append) as opened:
        loop.train_together([opened], data, preemption.Watch(alone=True), Silent(), never)
    assert opened.summary is not None
    for name, expected in zip(("users", "items"), last_params(finished)[2:], strict=True):
        np.testing.assert_array_equal(opened.best.params.tables[name], expected)
    kept = json.loads((finished / "summary.json").read_text())
    found = json.loads(json.dumps(opened.summary.to_json()))
    for key in ("valid", "test", "intervals", "best_step", "steps", "dataset"):
        assert found[key] == kept[key]
    records = [{key: value for key, value in record.items() if key != "throughput"} for record in opened.records]
    assert records == read_records(finished) and len(said) == 2
    assert list(tmp_path.iterdir()) == []
