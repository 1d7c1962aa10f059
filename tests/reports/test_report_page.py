"""report.html in a browser: what its tables show against the files, sorting, configs, failures and widths."""

import json
import re

import numpy as np
import polars as pl
import pytest

from experiments import report
from experiments.report_page import page
from experiments.reports import comparison, rows
from tests.browser import DESKTOP, PHONE, opened_page
from tests.reports.opened_report import BASELINE, texts
from tests.reports.reported_runs import write_run


def values(opened, table, number):
    """Numbers of a column, from 1, as the page holds them; None for none."""
    cells = opened.locator(f"{table} tbody tr > :nth-child({number})").all()
    found = [cell.get_attribute("data-value") for cell in cells]
    return [None if value is None else float(value) for value in found]


def test_the_table_has_the_numbers_of_results_csv(desktop, folder, group):
    frame = pl.read_csv(folder / "results.csv")
    assert texts(desktop, "#section-0 .rows tbody th") == [row.label for row in group]
    for number, metric in ((3, "ndcg@50"), (6, "map@50"), (7, "recall@20"), (8, "mmr@50"), (9, "coverage@50")):
        means = [frame.filter(run=row.label, metric=metric)["value"].mean() for row in group]
        assert values(desktop, "#section-0 .rows", number) == pytest.approx(means, rel=1e-12)
    lines = (folder / "report.md").read_text().splitlines()
    for line in desktop.locator("#section-0 .rows tbody tr").all():
        label, *cells = line.locator("> *").all_text_contents()
        (theirs,) = (
            line for line in lines if line.startswith(f"| {label} | 2 | ") and " to " in line and "+" not in line
        )
        assert theirs.replace("**", "") == f"| {' | '.join([label, *cells])} |"
    assert texts(desktop, "#section-0 .rows strong") == [
        cell.strip("* ")
        for line in lines[: lines.index("### Against " + BASELINE)]
        for cell in line.split("|")
        if "**" in cell
    ]


def test_tables_are_sorted_by_click_and_by_keyboard(desktop, group):
    def order():
        return texts(desktop, "#section-0 .rows tbody th")

    def sorting():
        heads = desktop.locator("#section-0 .rows thead th").all()
        return {head.text_content(): state for head in heads if (state := head.get_attribute("aria-sort")) != "none"}

    labels = [row.label for row in group]
    assert sorting() == {} and order() == labels
    desktop.click("#section-0 .rows thead button:text-is('NDCG@50')")
    assert sorting() == {"NDCG@50": "descending"}
    assert order() == [row.label for row in sorted(group, key=lambda row: -row.mean("ndcg@50"))]
    desktop.focus("#section-0 .rows thead button:text-is('MMR@50')")
    desktop.keyboard.press("Enter")
    desktop.keyboard.press("Space")
    assert sorting() == {"MMR@50": "ascending"}
    assert order() == [row.label for row in sorted(group, key=lambda row: row.mean("mmr@50"))]
    desktop.click("#section-0 .rows thead button:text-is('seeds')")  # all the same: the order of the file
    assert order() == labels
    desktop.click("#section-0 .rows thead button:text-is('run')")
    assert sorting() == {"run": "ascending"} and order() == labels  # 64 before 256
    desktop.click("#section-0 .rows thead button:text-is('run')")
    assert order() == labels[::-1]
    assert desktop.text_content("#said") == "Sorted by run, descending"


def test_rows_without_a_value_come_last_either_way(browser, tmp_path):
    for seed, ndcg in enumerate((0.2, 0.3)):
        write_run(tmp_path / "two" / str(seed), ndcg=ndcg, seed=seed, sampler__name="uniform")
    write_run(tmp_path / "one", ndcg=0.5)
    report.write_report(tmp_path)
    with opened_page(browser, tmp_path / page.NAME, DESKTOP) as opened:
        for _ in range(2):
            opened.click("#section-0 .rows thead button:text-is('over seeds')")
            assert texts(opened, "#section-0 .rows tbody th") == ["two", "one"]


def test_a_single_run_has_all_its_columns_in_sight(browser, tmp_path):
    write_run(tmp_path / "soft_stage", ndcg=0.2)
    report.write_report(tmp_path)
    with opened_page(browser, tmp_path / page.NAME, DESKTOP) as opened:
        assert opened.text_content("#about") == "1 row of 1 run"
        last = opened.locator("#section-0 .rows tbody td").last.bounding_box()
        assert last["x"] + last["width"] <= DESKTOP["width"]


def test_differences_are_drawn_on_one_scale(desktop, group):
    found = comparison.compare(group, BASELINE)
    tests = [difference.test for difference in found.differences]
    table = "#section-0 .differences"
    assert texts(desktop, f"{table} tbody th") == [difference.row.label for difference in found.differences]
    assert values(desktop, table, 3) == pytest.approx([test.difference for test in tests])
    assert values(desktop, table, 7) == pytest.approx([difference.corrected for difference in found.differences])
    end = max(abs(value) for test in tests for value in (test.low, test.high))
    places = [float(dot.get_attribute("cx")) for dot in desktop.locator(f"{table} svg circle").all()]
    np.testing.assert_allclose(places, [70 * test.difference / end for test in tests], atol=0.01)
    bars = [path.get_attribute("d") for path in desktop.locator(f"{table} svg path:nth-of-type(2)").all()]
    ends = [[float(x) for x in re.findall(r"-?[\d.]+", bar)[0:3:2]] for bar in bars]  # M low , 0 H high
    np.testing.assert_allclose(ends, [[70 * test.low / end, 70 * test.high / end] for test in tests], atol=0.01)


def test_the_heat_map_has_its_cells(desktop):
    assert texts(desktop, "#section-1 .heat thead th") == ["exponent \\ cut-off", "0.1", "0.2", "0.4"]
    cells = [texts(line, "td") for line in desktop.locator("#section-1 .heat tbody tr").all()]
    assert cells == [["0.200", "0.220", "0.240"], ["0.167", "0.187", "0.207"]]
    assert texts(desktop, "#section-1 .heat td.best") == ["0.240"]


def test_two_configs_are_compared(desktop, folder):
    runs = [option.text_content() for option in desktop.locator("#run-a option").all()]
    a, b = runs.index("popularity,batch_size=64/0"), runs.index("two_stage,batch_size=256/1")
    configs = [rows.read_config(folder / runs[run]) for run in (a, b)]
    different = {key for key in configs[0] | configs[1] if configs[0].get(key) != configs[1].get(key)}
    assert different == {"seed", "sampler.name", "train.batch_size"}
    desktop.select_option("#run-a", str(a))
    desktop.select_option("#run-b", str(b))

    def shown():
        lines = desktop.locator("#config-table tbody tr").all()
        return {line.get_attribute("data-key"): texts(line, "td") for line in lines}

    expected = {key: [json.dumps(config[key]) for config in configs] for key in configs[0]}
    assert shown() == {key: expected[key] for key in expected if key in different}
    assert desktop.text_content("#config-count") == f"3 of {len(expected)} keys differ; 3 are shown."
    assert texts(desktop, "#facts h3") == [runs[a], runs[b]]
    desktop.click("#swap")
    assert shown()["seed"] == ["1", "0"]
    desktop.uncheck("#only-different")
    assert shown() == {key: pair[::-1] for key, pair in expected.items()}
    assert desktop.locator("#config-table .mark").count() == 3
    desktop.fill("#key-filter", "SAMPLER.")
    assert set(shown()) == {key for key in expected if "sampler." in key}
    desktop.fill("#key-filter", "")
    desktop.select_option("#run-b", "-1")
    assert shown() == {key: pair[1:] for key, pair in expected.items()}
    assert desktop.locator("#config-table .mark").count() == 0


def test_failures_are_named_and_links_lead_to_the_parts(desktop):
    assert texts(desktop, "#failures tbody tr > *") == [
        "softmax,batch_size=64/0",
        "The loss is not a number at step 3.",
    ]
    assert desktop.text_content("#about") == "12 rows of 18 runs, 1 failed"
    assert texts(desktop, "#parts a") == ["made", "other", "Runs and their configs", "Runs that failed"]
    desktop.click("#parts a >> nth=2")
    top = desktop.evaluate("document.getElementById('configs').getBoundingClientRect().top")
    assert top < DESKTOP["height"] / 2 and desktop.evaluate("scrollY") > 500


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_is_wider_than_the_screen(browser, folder, viewport):
    with opened_page(browser, folder / page.NAME, viewport, color_scheme="dark") as opened:
        assert opened.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        widths = opened.evaluate("Array.from(document.querySelectorAll('.plot'), plot => plot.offsetWidth)")
        assert min(widths) > 250 and max(widths) <= viewport["width"]
        drawn = opened.evaluate("Array.from(document.querySelectorAll('.plot'), plot => plot._fullLayout.width)")
        np.testing.assert_allclose(drawn, widths, atol=1)
        assert opened.evaluate("document.documentElement.dataset.theme") == "dark"
