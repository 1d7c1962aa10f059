"""A report of made-up runs, opened in a browser."""

from typing import Any

import pytest

from experiments import report
from experiments.report_page import page
from experiments.reports import rows
from tests.browser import DESKTOP, opened_browser, opened_page
from tests.reports.opened_report import BASELINE
from tests.reports.reported_runs import write_grid, write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A grid of three samplers with one run that failed, and a heat map on another data set."""
    found = write_grid(tmp_path_factory.mktemp("page"), samplers=("uniform", "popularity", "two_stage"))
    failed = found / "softmax,batch_size=64" / "0"
    failed.mkdir(parents=True)
    (failed / "failed.json").write_text('{"reason": "The loss is not a number at step 3."}')
    for i, cutoff in enumerate((0.1, 0.2, 0.4)):
        for j, exponent in enumerate((0.0, 0.5)):
            options: dict[str, Any] = {"sampler__similarity_cutoff": cutoff, "sampler__popularity_exponent": exponent}
            write_run(found / "cutoffs" / f"{cutoff},{exponent}", ndcg=0.2 + i / 50 - j / 30, data="other", **options)
    report.write_report(found, BASELINE)
    return found


@pytest.fixture(scope="module")
def group(folder):
    return [row for row in rows.collect(folder) if row.data[0] == "made"]


@pytest.fixture(scope="module")
def browser():
    with opened_browser() as found:
        yield found


@pytest.fixture
def desktop(browser, folder):
    with opened_page(browser, folder / page.NAME, DESKTOP) as opened:
        yield opened
