"""The site that is built of the pages."""

import html
import re
import subprocess
import sys

import pytest

import cml_jax
from experiments.config import KEYS
from tests.tiny import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built without a warning."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_public_names_are_on_the_page_of_the_api():
    named = re.findall(r"^::: cml_jax\.(?:\w+\.)*(\w+)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted({*cml_jax.__all__} - {"__version__"})


@pytest.mark.slow
def test_site_is_built_without_a_warning_and_holds_all_names_and_keys(site):
    api = (site / "api" / "index.html").read_text()
    for name in {*cml_jax.__all__} - {"__version__"}:
        assert re.search(rf'id="cml_jax\.(\w+\.)*{name}"', api), name
    assert "<blockquote>" not in api  # of 'Example:', where Griffe reads 'Examples:' as code
    keys = html.unescape((site / "keys" / "index.html").read_text())
    for key, option in KEYS.items():
        assert f"<code>{key}</code>" in keys, key
        assert option.help in keys, key


@pytest.mark.slow
def test_links_of_the_site_lead_to_its_files(site):
    wrong, count = [], 0
    for page in site.rglob("*.html"):
        if page.name == "404.html":
            continue
        text = page.read_text()
        for target in re.findall(r'(?:href|src)="?([^"> ]+)', text):
            if re.match(r"[a-z]+:|//|#", target):
                continue
            count += 1
            path, _, anchor = target.partition("#")
            place = (page.parent / path.split("?")[0]).resolve()
            file = place / "index.html" if place.is_dir() else place
            if not file.is_file() or (anchor and f'id="{anchor}"' not in file.read_text()):
                wrong.append(f"{page.relative_to(site)}: {target}")
    assert not wrong, "\n".join(wrong[:20])
    assert count > 200
