"""Values that follow from the data: found, said, kept in config.json, and no excuse for values given by hand."""

import json

import numpy as np
import pytest

from cml_jax.data.interactions import Dataset, from_pairs
from cml_jax.errors import ConfigError
from cml_jax.runs.config import KEYS, default_values
from cml_jax.runs.setup import make_setup
from experiments import train
from experiments.config import default_config

USERS, ITEMS = 24, 30


def setup_of(**given):
    """A run with the defaults on 24 users of 5 of 30 items; `given` is 'section__key' = value."""
    users = np.repeat(np.arange(USERS), 5)
    items = (users + 7 * np.tile(np.arange(5), USERS)) % ITEMS
    train = from_pairs(users, items, USERS, ITEMS)
    valid, test = (from_pairs(np.arange(USERS), (np.arange(USERS) + n) % ITEMS, USERS, ITEMS) for n in (1, 2))
    dataset = Dataset(train, valid, test, np.arange(USERS), np.arange(ITEMS))
    values = default_values() | {key.replace("__", "."): value for key, value in given.items()}
    return make_setup(values, lambda **options: (dataset, "digest"))


def said_of(setup):
    """The line about what follows from the data; nothing where there is none."""
    lines = [line for line in setup.notes if line.startswith("Follows from the data: ")]
    assert len(lines) <= 1
    return "".join(lines)


def test_defaults_are_found_from_the_data_and_said_and_lowered_to_the_catalogue():
    setup = setup_of()
    expected = {"sampler.num_candidates": ITEMS, "train.batch_size": 8, "eval.ks": (20, ITEMS)}
    passes = setup.config["train.num_passes"]
    assert {key: setup.config[key] for key in expected} == expected and 16 <= passes < 2**10
    assert setup.num_steps == passes * 120 / 8 and setup.protocol.ks == (20, ITEMS)
    assert setup.options.batch_size == 8 and setup.options.values()["num_candidates"] == ITEMS
    said = said_of(setup)
    for key, value in (expected | {"train.num_passes": f"{passes:g}"}).items():
        assert f"{key} = {value}" in said


def test_what_was_given_by_hand_does_not_follow_from_the_data():
    given = {"train__batch_size": 10, "train__num_steps": 7, "sampler__num_candidates": 9}
    setup = setup_of(**given)
    assert (setup.options.batch_size, setup.num_steps, setup.config["train.num_passes"]) == (10, 7, None)
    assert setup.options.values()["num_candidates"] == 9
    assert f"eval.ks = (20, {ITEMS})" in said_of(setup)
    for key in (*given, "train__num_passes"):
        assert key.replace("__", ".") not in said_of(setup)
    everything = {key.replace(".", "__"): setup.config[key] for key, option in KEYS.items() if option.from_data}
    assert said_of(setup_of(**everything, train__num_steps=7)) == ""


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"sampler__num_candidates": 31}, r"config\.sampler\.num_candidates = 31 is above the number of items, 30"),
        ({"eval__ks": (20, 50)}, r"config\.eval\.ks has 50, which is above the number of items, 30"),
        ({"train__batch_size": 121}, r"config\.train\.batch_size = 121 is above the number of training pairs, 120"),
    ],
)
def test_what_was_given_by_hand_is_refused_where_the_data_do_not_allow_it(given, sentence):
    with pytest.raises(ConfigError, match=sentence):
        setup_of(**given)


def test_config_json_and_the_log_have_what_follows_from_the_data(tmp_path, capsys):
    config = default_config()
    config.dataset.name = "checkerboard"
    config.train.num_steps, config.model.dim = 4, 8
    train.train_and_evaluate(config, tmp_path)
    kept = json.loads((tmp_path / "config.json").read_text())
    assert (kept["sampler"]["num_candidates"], kept["eval"]["ks"], kept["train"]["batch_size"]) == (50, [20, 50], 32)
    assert kept["train"]["num_passes"] is None and kept["eval"]["every_steps"] == 100
    (said,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Follows from the data: ")]
    for part in ("sampler.num_candidates = 50", "train.batch_size = 32", "eval.ks = (20, 50)"):
        assert part in said
    assert "num_passes" not in said
