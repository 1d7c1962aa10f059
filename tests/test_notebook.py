import itertools
import json
import re
import shutil

import pytest

from tests.tiny import ROOT

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")
NOTEBOOK = ROOT / "experiments" / "colab.ipynb"
METHODS = ("popular", "uniform", "two_stage", "soft")  # from the worst to the best


@pytest.mark.slow
def test_notebook_shows_the_order_of_the_methods(tmp_path, monkeypatch):
    """On CPU, from top to bottom in a folder of its own, with the kernel of this Python."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.delenv("XLA_FLAGS", raising=False)  # those of the tests are for programs of milliseconds
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output["data"] for cell in notebook.cells for output in cell.get("outputs", []) if "data" in output]
    assert sum("image/png" in data for data in shown) == 3
    (report,) = [data["text/markdown"] for data in shown if "text/markdown" in data]
    found = {name: re.findall(rf"^\| {name} \|[^|]*\| \**([0-9.]+)", report, re.M) for name in METHODS}
    scores = {name: float(values[0]) for name, values in found.items()}
    ordered = [scores[name] for name in METHODS]
    assert all(worse + 0.02 < better for worse, better in itertools.pairwise(ordered)), scores
    shutil.rmtree(tmp_path / "runs")


def test_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 8
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_repository_of_the_notebook_is_the_clone_that_it_is_in():
    (value,) = re.findall(r'REPOSITORY = \\"(.*?)\\"', NOTEBOOK.read_text())
    assert (NOTEBOOK.parent / value / "pyproject.toml").is_file()
