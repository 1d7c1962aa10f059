"""report.html in a browser: nothing of the data runs or is taken for more than text."""

from typing import Any

from experiments import report
from experiments.pages import building
from experiments.report_page import content, page
from experiments.reports import rows
from tests.browser import DESKTOP, opened_page
from tests.hostile import HOSTILE
from tests.reports.opened_report import BASELINE, texts
from tests.reports.reported_runs import record, write_run

_FIXED = {"colour", "dash", "symbol", "label", "dtype"}  # of our own words; labels are names of axes and metrics


def hostile(value, names, key=""):
    """The content with another text for every text of the data."""
    if isinstance(value, dict):
        fixed = {"name", "title"} & value.keys() if "panels" in value else set()  # our own names of a chart
        return {of: one if of in _FIXED | fixed else hostile(one, names, of) for of, one in value.items()}
    if isinstance(value, list):
        return [hostile(one, names, key) for one in value]
    return next(names) if isinstance(value, str) else value


def test_no_text_of_the_data_runs_or_changes_the_page(browser, folder, tmp_path):
    found = rows.collect(folder)
    clean = content.make(folder, found, report.make_sections(found, BASELINE), rows.failures(folder), "A note.")
    used = (HOSTILE[i % len(HOSTILE)] for i in range(10**6))
    building.write(page.SOURCE, hostile(clean, used), tmp_path / "hostile.html")
    building.write(page.SOURCE, clean, tmp_path / "clean.html")
    tags = "document.querySelectorAll('img, iframe, b, br, extra, script, a, foreignObject').length"
    with opened_page(browser, tmp_path / "clean.html", DESKTOP) as opened:
        expected = opened.evaluate(tags)
    with opened_page(browser, tmp_path / "hostile.html", DESKTOP) as opened:
        assert opened.text_content("#name") == HOSTILE[0]
        for plot in opened.locator(".plot").all():
            plot.focus()
            for key in ("ArrowRight", "ArrowDown", "ArrowDown"):
                opened.keyboard.press(key)
        for button in opened.locator("#section-0 thead button").all():
            button.click()
        opened.uncheck("#only-different")
        for run in range(0, len(clean["runs"]), 5):
            opened.select_option("#run-b", str(run))
        assert opened.evaluate(tags) == expected
        assert opened.evaluate("window.ran") is None
        assert opened.evaluate("document.documentElement.scrollWidth") <= DESKTOP["width"]


def test_names_of_folders_and_data_sets_are_text(browser, tmp_path):
    names = [text.replace("/", "|") for text in HOSTILE if text.strip() and "\0" not in text and len(text) < 100]
    names = [name for name in names if "\ud800" not in name]  # no file is called so
    assert len(names) > 8
    for number, name in enumerate(names):
        options: dict[str, Any] = {"sampler__name": name, "dataset__path": name, "data": "<b>data</b>"}
        records = [record(10, 0.1), record(20, 0.2)]
        write_run(tmp_path / name, ndcg=0.1 + number / 100, records=records, **options)
    report.write_report(tmp_path)
    with opened_page(browser, tmp_path / page.NAME, DESKTOP) as opened:
        assert opened.text_content("#title-0") == "<b>data</b>"
        assert sorted(texts(opened, "#section-0 .rows tbody th")) == sorted(names)
        assert opened.evaluate("document.querySelectorAll('img, iframe, b, extra').length") == 0
        assert opened.evaluate("window.ran") is None
