"""The package: what it imports and depends on, its version, and that CI, hooks and documents say the same."""

import ast
import doctest
import functools
import importlib
import importlib.metadata
import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import cml_jax
from tests import transcript
from tests.tiny import ROOT

_PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
_PROJECT = _PYPROJECT["project"]
_COMMANDS_ALONE = "# What experiments.main imports and the library does not"
_OWN = {"cml_jax", "experiments", "tests"}

_IMPORTERS = """
import builtins, importlib, json, pkgutil, sys

importers, plain = {}, builtins.__import__

def noted(name, namespace=None, *rest, **keywords):
    importers.setdefault(name.partition(".")[0], set()).add((namespace or {}).get("__name__", ""))
    return plain(name, namespace, *rest, **keywords)

builtins.__import__ = noted
import cml_jax
for module in pkgutil.walk_packages(cml_jax.__path__, "cml_jax."):
    importlib.import_module(module.name)
loaded = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps([loaded, {name: sorted(who) for name, who in importers.items()}]))
"""


@functools.cache
def imported(folder, in_functions=True, but=""):
    """Names of third-party packages that the files of a folder import, in functions too or only at their head."""
    names = set()
    for path in sorted({*(ROOT / folder).rglob("*.py")} - {ROOT / but}):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree) if in_functions else tree.body:
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                names.add(node.module.partition(".")[0])
    return names - _OWN - set(sys.stdlib_module_names)


def distributions(names):
    """Names of the distributions that packages come from; of an extra that is not installed the package's own."""
    owners = importlib.metadata.packages_distributions()
    return {canonicalize_name(owner) for name in names for owner in owners.get(name, [name])}


def required(requirements):
    return {canonicalize_name(Requirement(line).name) for line in requirements} - {"cml-jax"}


def test_library_imports_none_of_the_commands_packages():
    """absl is loaded by orbax and optax in any case; the library must not be who asks for it."""
    done = subprocess.run([sys.executable, "-c", _IMPORTERS], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    loaded, importers = json.loads(done.stdout)
    assert {"cml_jax", "jax", "polars"} <= set(loaded)
    assert not {"experiments", "matplotlib", "ml_collections", "pandas", "pyarrow"} & set(loaded)
    assert any(who.startswith("cml_jax.") for who in importers["jax"])
    assert not [who for who in importers.get("absl", []) if who.partition(".")[0] == "cml_jax"]


def test_what_takes_a_second_to_import_waits_until_it_is_used():
    code = "import sys, experiments.train; print(*{'jax', 'scipy.stats', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["jax"], done.stderr


def test_functions_of_the_library_import_none_of_them_but_for_the_one_that_draws():
    drawing = "cml_jax/serving/item_map.py"
    assert "matplotlib" in imported("cml_jax")
    assert not {"absl", "matplotlib", "ml_collections"} & imported("cml_jax", but=drawing)


def test_every_dependency_is_imported_by_the_library_or_stands_with_its_reason():
    dependencies = required(_PROJECT["dependencies"])
    extras = set.union(*(required(lines) for lines in _PROJECT["optional-dependencies"].values()))
    of_library = distributions(imported("cml_jax", in_functions=False)) | {"jaxlib"}  # the other half of jax
    assert "jax" in of_library <= dependencies
    assert distributions(imported("cml_jax") | imported("experiments")) <= dependencies | extras

    text = (ROOT / "pyproject.toml").read_text()
    commands_alone = text[text.index(_COMMANDS_ALONE) :].partition("\n]\n")[0].splitlines()[1:]
    assert all(re.search(r'", +# \w', line) for line in commands_alone), "a reason stands beside each"
    assert {re.findall("[a-z-]+", line)[0] for line in commands_alone} == dependencies - of_library


def test_version_is_one():
    version = _PROJECT["version"]
    assert cml_jax.__version__ == version, "install again: pip install -e ."
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert len(headings) == 1 or headings[1] == version


def test_hooks_are_the_checks_of_ci():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    checks = [hook["entry"] for hook in hooks]
    assert len(checks) == 3
    assert "\n".join(checks) in (ROOT / ".ci" / "run").read_text()
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    assert all(check in contributing for check in checks)


def test_workflow_runs_the_scripts_with_actions_pinned_to_commits():
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    jobs = yaml.safe_load(text)["jobs"]
    runs = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert runs == {
        "all": [".ci/run"],
        "wheel": [".ci/wheel ${{ matrix.dependencies }}"],
        "docs": ["pip install -e '.[docs]'", "mkdocs build --strict"],
    }
    uses = re.findall(r"uses: (.*)", text)
    assert uses and all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line) for line in uses)


@pytest.mark.parametrize("name", ["run", "wheel"])
def test_scripts_of_ci_are_executable(name):
    assert (ROOT / ".ci" / name).stat().st_mode & 0o111 == 0o111


def test_transcript_prints_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = []
    assert transcript.__doc__ is not None
    lines = doctest.DocTestParser().get_doctest(transcript.__doc__, {}, "transcript", "transcript.py", 0)
    assert 0 < len(lines.examples) == transcript.NUM_LINES <= 8
    assert all(example.source.count("\n") == 1 for example in lines.examples)
    results = doctest.DocTestRunner().run(lines, out=said.append)
    assert results.failed == 0 and results.attempted == transcript.NUM_LINES, "".join(said)
