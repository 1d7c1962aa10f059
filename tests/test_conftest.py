"""The folder of compiled programs: removed at the end where the tests made it, kept where a person has named it."""

from types import SimpleNamespace

import pytest

from tests import conftest


@pytest.mark.parametrize("own", [True, False])
def test_only_a_folder_of_our_own_is_removed(own, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
    monkeypatch.setattr(conftest, "_OWN_CACHE", str(folder) if own else None)
    conftest.pytest_sessionfinish(SimpleNamespace(config=SimpleNamespace()))
    assert folder.exists() != own


def test_workers_leave_the_folder_to_the_process_that_made_it(tmp_path, monkeypatch):
    monkeypatch.setattr(conftest, "_OWN_CACHE", str(tmp_path))
    conftest.pytest_sessionfinish(SimpleNamespace(config=SimpleNamespace(workerinput={})))
    assert tmp_path.exists()
