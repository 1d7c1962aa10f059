"""A headless browser for tests of pages; they are skipped where the machine has none."""

import contextlib
import shutil
from collections.abc import Iterator

import pytest

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# WebGL by the processor, and no sandbox, which root does not get.
_ARGUMENTS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}


@contextlib.contextmanager
def opened_browser():
    """A browser that is on the machine."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip(f"there is no browser; install one of {', '.join(NAMES)}.")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=_ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def opened_page(browser, path, viewport, **options) -> Iterator:
    """A page that has made itself; at its end it must have asked for no other file, and said and raised no error."""
    page, wrong = browser.new_page(viewport=viewport, **options), []
    page.set_default_timeout(120_000)  # a busy machine
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda request: wrong.append(request.url) if request.url != path.as_uri() else None)
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]", state="attached")
    yield page
    page.close()
    assert wrong == []
