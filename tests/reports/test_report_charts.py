"""The figures of report.html in a browser: what they draw against the files, tips, legends and colours."""

import numpy as np
from matplotlib.colors import to_hex

from experiments.reports import learning_curves, rows, style
from tests.reports.opened_report import chart, data_of, texts


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
