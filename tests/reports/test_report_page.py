"""report.html in a browser: what it shows against the files, sorting, hover, keyboard, and nothing of the data runs."""

import json
import re

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex

from experiments import report
from experiments.pages import building
from experiments.report_page import content, page
from experiments.reports import comparison, learning_curves, rows, style
from tests.browser import DESKTOP, PHONE, opened_browser, opened_page
from tests.hostile import HOSTILE
from tests.reports.reported_runs import record, write_grid, write_run

BASELINE = "uniform,batch_size=64"
_FIXED = {"colour", "dash", "symbol", "label", "dtype"}  # of our own words; labels are names of axes and metrics


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A grid of three samplers with one run that failed, and a heat map on another data set."""
    found = write_grid(tmp_path_factory.mktemp("page"), samplers=("uniform", "popularity", "two_stage"))
    failed = found / "softmax,batch_size=64" / "0"
    failed.mkdir(parents=True)
    (failed / "failed.json").write_text('{"reason": "The loss is not a number at step 3."}')
    for i, cutoff in enumerate((0.1, 0.2, 0.4)):
        for j, exponent in enumerate((0.0, 0.5)):
            options = {"sampler__similarity_cutoff": cutoff, "sampler__popularity_exponent": exponent}
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


def texts(opened, selector):
    return opened.locator(selector).all_text_contents()


def values(opened, table, number):
    """Numbers of a column, from 1, as the page holds them; None for none."""
    cells = opened.locator(f"{table} tbody tr > :nth-child({number})").all()
    found = [cell.get_attribute("data-value") for cell in cells]
    return [None if value is None else float(value) for value in found]


def chart(name, number=0):
    return f"#section-{number} [data-chart={name}]"


def data_of(opened, name):
    """What plotly draws in each panel of a chart."""
    return opened.evaluate(
        """selector => Array.from(document.querySelectorAll(selector), plot =>
        plot.data.map(({ x, y, line, error_y }) => ({ x, y, colour: line.color, bars: error_y?.array })))""",
        f"{chart(name)} .plot",
    )


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


def test_curves_are_those_of_the_runs_over_each_axis(desktop, group):
    names = rows.short_names(group)
    kinds = style.line_styles([style.method_of(row.config) for row in group])
    for place, axis in enumerate(learning_curves.AXES):
        desktop.select_option(f"{chart('learning')} select", str(place))
        (lines,) = data_of(desktop, "learning")
        assert len(lines) == len(group)
        for row, kind in zip(group, kinds, strict=True):
            curve = learning_curves.mean_curve(row, "ndcg@50")
            assert curve is not None
            (line,) = (line for line in lines if np.allclose(line["y"], curve.values))
            np.testing.assert_allclose(line["x"], getattr(curve, axis))
            assert line["colour"] == to_hex(kind["color"])
    shown = texts(desktop, f"{chart('learning')} .legend button")
    assert shown == [name + (" (best)" if name == "two-stage, batch 64" else "") for name in names]


def test_the_papers_figure_has_means_and_deviations_of_both_metrics(desktop, group):
    panels = data_of(desktop, "batch_size")
    assert len(panels) == 2
    for lines, metric in zip(panels, ("ndcg@50", "map@50"), strict=True):
        for sampler in ("uniform", "popularity", "two_stage"):
            theirs = sorted(
                (row for row in group if row.config["sampler.name"] == sampler),
                key=lambda row: row.config["train.batch_size"],
            )
            (line,) = (line for line in lines if line["colour"] == style.METHODS[sampler].colour.lower())
            assert line["x"] == [64, 256]
            np.testing.assert_allclose(line["y"], [row.mean(metric) for row in theirs])
            np.testing.assert_allclose(line["bars"], [row.deviation(metric) for row in theirs])


def test_a_tip_by_mouse_and_by_arrow_keys_and_the_legend_takes_lines_away(desktop, group):
    plot = f"{chart('bias')} .plot"
    desktop.locator(plot).scroll_into_view_if_needed()
    best = max(group, key=lambda row: row.mean("ndcg@50"))
    x, y = desktop.evaluate(
        """([selector, x, y]) => { const plot = document.querySelector(selector), box = plot.getBoundingClientRect();
        const { xaxis, yaxis } = plot._fullLayout;
        return [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)]; }""",
        [plot, best.mean("mmr@50"), best.mean("ndcg@50")],
    )
    desktop.mouse.move(x - 3, y - 3)
    desktop.mouse.move(x, y)
    desktop.wait_for_selector("#tip:not([hidden])")
    tip = desktop.text_content("#tip")
    assert tip.startswith("two-stage, batch 64test NDCG@50: 0.4020 ± 0.0028") and "test MMR@50: 40.0" in tip
    desktop.mouse.move(2, 2)
    desktop.wait_for_selector("#tip", state="hidden")

    curves = f"{chart('learning')} .plot"
    desktop.focus(curves)
    for key in ("ArrowRight", "ArrowRight", "ArrowDown"):
        desktop.keyboard.press(key)
    name, score = rows.short_names(group)[1], group[1].mean("ndcg@50")
    assert desktop.text_content("#tip").startswith(f"{name}validation NDCG@50: {score:.4f}steps: 20")
    assert desktop.text_content("#said").startswith(name)
    desktop.keyboard.press("Escape")
    assert desktop.locator("#tip").is_hidden()

    button = desktop.locator(f"{chart('learning')} .legend button").nth(1)
    button.focus()
    desktop.keyboard.press("Enter")
    assert button.get_attribute("aria-pressed") == "false"
    assert len(data_of(desktop, "learning")[0]) == len(group) - 1
    assert desktop.evaluate("document.activeElement.dataset.line") == "1"
    button.click()
    assert len(data_of(desktop, "learning")[0]) == len(group)
    assert desktop.locator(f"{chart('learning')} .legend svg path").count() == 2 * len(group)  # a line and a marker


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


def test_colours_in_the_dark_are_seen_and_every_control_has_a_name(desktop):
    def colours():
        (lines,) = data_of(desktop, "learning")
        return [line["colour"] for line in lines]

    light = colours()
    desktop.focus("#theme")
    desktop.keyboard.press("Enter")
    assert desktop.evaluate("document.documentElement.dataset.theme") == "dark"
    dark = colours()
    assert light != dark and len(set(dark)) == len(set(light))
    channels = [[int(c) for c in colour[4:-1].split(",")] for colour in dark]
    assert min(max(rgb) for rgb in channels) > 110
    unlabelled = desktop.evaluate(
        """() => Array.from(document.querySelectorAll("button, input, select, [tabindex]")).filter(one =>
        !one.textContent.trim() && !one.getAttribute("aria-label") && !one.labels?.length).length"""
    )
    assert unlabelled == 0


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_is_wider_than_the_screen(browser, folder, viewport):
    with opened_page(browser, folder / page.NAME, viewport, color_scheme="dark") as opened:
        assert opened.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        widths = opened.evaluate("Array.from(document.querySelectorAll('.plot'), plot => plot.offsetWidth)")
        assert min(widths) > 250 and max(widths) <= viewport["width"]
        drawn = opened.evaluate("Array.from(document.querySelectorAll('.plot'), plot => plot._fullLayout.width)")
        np.testing.assert_allclose(drawn, widths, atol=1)
        assert opened.evaluate("document.documentElement.dataset.theme") == "dark"


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
        options = {"sampler__name": name, "dataset__path": name, "data": "<b>data</b>"}
        records = [record(10, 0.1), record(20, 0.2)]
        write_run(tmp_path / name, ndcg=0.1 + number / 100, records=records, **options)
    report.write_report(tmp_path)
    with opened_page(browser, tmp_path / page.NAME, DESKTOP) as opened:
        assert opened.text_content("#title-0") == "<b>data</b>"
        assert sorted(texts(opened, "#section-0 .rows tbody th")) == sorted(names)
        assert opened.evaluate("document.querySelectorAll('img, iframe, b, extra').length") == 0
        assert opened.evaluate("window.ran") is None
