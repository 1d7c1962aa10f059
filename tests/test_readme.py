"""The README, and the Python of all pages, which runs as it stands on tiny data."""

import ast
import doctest
import shutil
from typing import Any

import cml_jax
from tests import pages
from tests.tiny import ROOT

_EXAMPLES = {path.name: pages.read(path) for path in pages.PAGES}
_NUM_EXAMPLES = {"python.md": 28, "recommending.md": 11}
_COMMANDS = (
    "pip install -e . && python -m experiments.main --config=experiments/configs/quickstart.py "
    "--workdir=runs/quickstart",
    "pip install -e '.[test]' && pytest",
)


def python_of(page):
    return [text for language, text in page.fences if language == "python"]


def run_doctest(name, text):
    """Number of examples; fails where one of them shows something else."""
    test = doctest.DocTestParser().get_doctest(text, {}, name, name, 0)
    said = []
    results = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL).run(test, out=said.append)
    assert results.failed == 0, "".join(said)
    return results.attempted


def test_readme_is_short_and_has_the_two_commands():
    text = (ROOT / "README.md").read_bytes()
    assert len(text) <= 8000
    lines = text.decode().splitlines()
    assert tuple(line for line in lines if line.startswith("pip install -e ") and " && " in line) == _COMMANDS
    with_figure = [link for link in pages.read(ROOT / "README.md").links if link.endswith(".png")]
    assert with_figure == ["experiments/figures/ladder.png"]


def test_python_of_the_readme_runs_on_a_table(tmp_path, monkeypatch):
    import polars as pl

    monkeypatch.chdir(tmp_path)
    names = ("ann", "bob", "cid", "dee", "eve", "fay")
    pairs = [(name, f"item {i}") for u, name in enumerate(names) for i in range(30) if i % 2 == u % 2 and i % 7 != u]
    (text,) = python_of(pages.read(ROOT / "README.md"))
    found: dict[str, Any] = {"df": pl.DataFrame(pairs, schema=["user", "item"], orient="row")}
    exec(compile(text, "README.md", "exec"), found)
    assert cml_jax.load("folder").recommend("ann", k=10).equals(found["model"].recommend("ann", k=10))


def test_doctests_of_the_pages_are_all_run():
    with_examples = {name for name, page in _EXAMPLES.items() if any(">>>" in text for text in python_of(page))}
    assert with_examples == {*_NUM_EXAMPLES}


def test_python_of_the_page_on_python_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_doctest("python.md", "\n".join(python_of(_EXAMPLES["python.md"]))) == _NUM_EXAMPLES["python.md"]


def test_python_of_the_page_on_recommending_runs_on_a_workdir(short, tmp_path, monkeypatch):
    shutil.copytree(short, tmp_path / "runs" / "quickstart")
    monkeypatch.chdir(tmp_path)
    text = "\n".join(python_of(_EXAMPLES["recommending.md"]))
    assert run_doctest("recommending.md", text) == _NUM_EXAMPLES["recommending.md"]


def test_python_without_prompts_compiles():
    """What the pages show without running it: a config's file, and a run from a notebook."""
    texts = [text for page in _EXAMPLES.values() for text in python_of(page) if ">>>" not in text]
    assert len(texts) >= 3
    for text in texts:
        ast.parse(text)
