"""Compiled programs in a folder: read by the next process, whatever the command, and by nobody who did not ask."""

import os
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest

import cml_jax
from cml_jax.errors import ConfigError
from cml_jax.runs import compilation_cache
from experiments import train
from experiments.sweeps import grid
from tests.tiny import QUICKSTART, commands, tiny_config

_TINY = [
    QUICKSTART,
    "--config.dataset.name=checkerboard",
    "--config.eval.compare=()",
    "--config.eval.ks=(5,)",
    "--config.model.dim=4",
    "--config.sampler.num_candidates=20",
    "--config.train.batch_size=32",
    "--config.train.num_steps=10",
]
PAIRS = {"user": [u for u in range(20) for _ in range(6)], "item": [i % 15 for i in range(120)]}


def said(text, folder):
    """Programs read and compiled, as the log says."""
    ((read, wanted, compiled),) = re.findall(
        rf"Compilation cache {re.escape(str(folder))}: (\d+) of (\d+) programs read, (\d+) compiled\.", text
    )
    assert int(read) + int(compiled) == int(wanted)
    return int(read), int(compiled)


def setting(name):
    return getattr(jax.config, name)


def entries(folder):
    return sorted(path.name for path in Path(folder).glob("*-cache"))


def test_later_processes_compile_nothing(tmp_path):
    cache, run = tmp_path / "new" / "programs", tmp_path / "run"
    config = [*_TINY, f"--config.compilation_cache_dir={cache}"]
    lists = ["experiments.recommend", f"--workdir={run}", "--users=3", "--k=4", f"--compilation_cache_dir={cache}"]
    lines = [
        ["experiments.main", *config, f"--workdir={run}"],
        ["experiments.main", *config, f"--workdir={tmp_path / 'again'}"],
        lists,
        lists,
    ]
    done = commands(lines, module=None)
    assert [one.returncode for one in done] == [0] * 4, [one.stderr for one in done]
    main, again, listed, listed_again = (said(one.stderr, cache) for one in done)
    assert main[1] > 10 and again == (sum(main), 0)
    assert listed[1] > 0 and listed_again == (sum(listed), 0)
    assert len(entries(cache)) == main[1] + listed[1]
    assert done[0].stdout.splitlines()[:-1] == done[1].stdout.splitlines()[:-1]  # but for the time it took
    assert done[2].stdout == done[3].stdout


@pytest.mark.slow
def test_runs_of_sweeps_and_searches_compile_nothing_that_a_run_alone_has_compiled(tmp_path):
    config = [*_TINY, f"--config.compilation_cache_dir={tmp_path}"]
    lines = [
        ["experiments.main", *config],
        ["experiments.sweep", *config, "--axis=seed=1,2"],
        ["experiments.search", *config, "--num_trials=1", "--space=optimizer.learning_rate=0.01:0.1"],
    ]
    done = commands([[*line, f"--workdir={tmp_path / line[0]}"] for line in lines], module=None)
    assert [one.returncode for one in done] == [0] * 3, [one.stderr for one in done]
    _, sweep, search = (said(one.stderr, tmp_path) for one in done)
    assert sweep[0] > 10 and search[0] > 10
    assert sweep[1] == search[1] == 0


def compiled_in(folder, number):
    """Compiles a program of its own in the folder's scope."""
    lines = []
    with compilation_cache.used(folder and str(folder), lines.append):
        jax.jit(lambda x: x * number)(jnp.zeros(number))
    return lines


def test_folders_follow_one_another_and_settings_come_back(tmp_path):
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs", "jax_enable_compilation_cache")
    before = [setting(name) for name in names]
    jax.clear_caches()  # other tests of the process may have compiled some of the same
    (line,) = compiled_in(tmp_path / "a", 11)
    assert said(line, tmp_path / "a")[1] == len(entries(tmp_path / "a")) > 0
    first = entries(tmp_path / "a")
    compiled_in(tmp_path / "b", 12)
    second = entries(tmp_path / "b")
    assert second and entries(tmp_path / "a") == first
    assert compiled_in(None, 13) == []
    assert (entries(tmp_path / "a"), entries(tmp_path / "b")) == (first, second)
    assert [setting(name) for name in names] == before
    jax.clear_caches()
    (line,) = compiled_in(tmp_path / "a", 11)
    assert said(line, tmp_path / "a") == (len(first), 0)


def test_it_is_on_where_the_environment_has_switched_it_off(tmp_path):
    jax.config.update("jax_enable_compilation_cache", False)
    try:
        compiled_in(tmp_path, 14)
        assert entries(tmp_path) and not setting("jax_enable_compilation_cache")
    finally:
        jax.config.update("jax_enable_compilation_cache", True)


def test_settings_come_back_after_an_error_and_the_home_folder_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    before, lines = setting("jax_compilation_cache_dir"), []
    with pytest.raises(ZeroDivisionError), compilation_cache.used("~/programs", lines.append):
        assert setting("jax_compilation_cache_dir") == str(tmp_path / "programs")
        raise ZeroDivisionError
    assert setting("jax_compilation_cache_dir") == before and len(lines) == 1


def fit(**options: Any):
    return cml_jax.fit(PAIRS, dim=4, num_steps=3, batch_size=16, num_candidates=6, ks=(3,), **options)


def test_fit_takes_it_as_a_keyword(tmp_path, capsys):
    models = []
    for _ in range(2):
        jax.clear_caches()
        models.append(fit(compilation_cache_dir=str(tmp_path)))
    lines = capsys.readouterr().err.splitlines()
    counts = [said(line, tmp_path) for line in lines if line.startswith("Compilation cache")]
    assert counts[0][1] == len(entries(tmp_path)) > 10
    assert counts[1] == (sum(counts[0]), 0)
    assert models[0].metrics == models[1].metrics


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("", "compilation_cache_dir = '' must not be empty."),
        (3, "compilation_cache_dir = 3 must be of type str."),
        ("FILE", "compilation_cache_dir = 'FILE': FILE is not a folder; name another folder, or leave it out."),
        ("FILE/a/b", "compilation_cache_dir = 'FILE/a/b': FILE is not a folder; name another folder, or leave it out."),
    ],
)
def test_what_is_no_folder_is_refused_in_one_sentence(value, sentence, tmp_path):
    (tmp_path / "FILE").write_text("")
    in_place = {"FILE": str(tmp_path / "FILE")}
    for name, path in in_place.items():
        value = value.replace(name, path) if isinstance(value, str) else value
        sentence = sentence.replace(name, path)
    with pytest.raises(ConfigError) as caught:
        fit(compilation_cache_dir=value, progress=False)
    assert str(caught.value) == sentence


def test_a_folder_that_may_not_be_written_is_refused_before_data_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    config = tiny_config(compilation_cache_dir=str(tmp_path / "a"), dataset__path="/nowhere")
    sentence = rf"^config.compilation_cache_dir = '{tmp_path}/a': {tmp_path} may not be written; name another folder"
    with pytest.raises(ConfigError, match=sentence):
        train.train_and_evaluate(config, tmp_path / "run")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", fails)
    before = setting("jax_compilation_cache_dir")
    sentence = r"^--cache = '.*': cannot be written \(No space left on device\); name another folder"
    with (
        pytest.raises(ConfigError, match=sentence),
        compilation_cache.used(str(tmp_path / "a"), lambda line: None, "--cache"),
    ):
        pass
    assert setting("jax_compilation_cache_dir") == before


def test_it_is_no_axis_of_a_sweep():
    for axes in ({"compilation_cache_dir": ("a", "b")}, {}):
        config = grid.make_grid(tiny_config(), axes)
        if not axes:
            config.sweep.points = ({"compilation_cache_dir": "a"},)
        with pytest.raises(ConfigError, match=r"config\.compilation_cache_dir is one for all runs"):
            grid.points(config)
