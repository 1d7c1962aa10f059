import json

import numpy as np
import pytest

from cml_jax.errors import ConfigError
from cml_jax.runs import events
from experiments import train
from tests.tiny import tiny_config

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def read(folder):
    """{(tag, step): value}; each is there once."""
    found = accumulator.EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    values = {}
    for tag in found.Tags()["tensors"]:
        for event in found.Tensors(tag):
            assert (tag, event.step) not in values
            values[tag, event.step] = float(np.asarray(event.tensor_proto.float_val[0]))
    return values


def assert_same_numbers(workdir):
    expected = {}
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        step, metrics = record.pop("step"), record.pop("metrics")
        expected |= {(name, step): value for name, value in (record | metrics).items()}
    found = read(workdir / "tensorboard")
    assert set(found) == set(expected) and ("ndcg@5", 20) in found and ("loss", 10) in found
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-6)


@pytest.mark.slow
def test_event_files_say_what_metrics_say_also_of_a_run_that_went_on(tmp_path):
    train.train_and_evaluate(tiny_config(log__tensorboard=True), tmp_path)
    assert_same_numbers(tmp_path)
    longer = train.train_and_evaluate(tiny_config(log__tensorboard=True, train__num_steps=60), tmp_path)
    assert longer["steps"] == 60
    assert_same_numbers(tmp_path)


def test_without_the_extra_the_key_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "is_installed", lambda: False)
    with pytest.raises(ConfigError, match=r"config\.log\.tensorboard = True needs pip install -e '\.\[tensorboard\]'"):
        train.train_and_evaluate(tiny_config(log__tensorboard=True), tmp_path)
