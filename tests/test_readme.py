import doctest
import re

from tests.tiny import ROOT


def test_python_of_the_readme_runs_on_a_workdir(tmp_path, monkeypatch):
    """On a tiny run, so ids and shapes are what counts."""
    from experiments import train
    from tests.tiny import tiny_config

    train.train_and_evaluate(tiny_config(train__num_steps=20), tmp_path / "runs" / "quickstart")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(>>>.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 1
    test = doctest.DocTestParser().get_doctest(blocks[0], {}, "README.md", "README.md", 0)
    said = []
    results = doctest.DocTestRunner().run(test, out=said.append)
    assert results.failed == 0 and results.attempted == 9, "".join(said)
