"""What report.html holds, against the files of the runs and against report.md."""

import json
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex

from experiments import report
from experiments.pages.packing import script_json
from experiments.report_page import charts, content
from experiments.reports import comparison, learning_curves, numbers, rows, style
from tests.reports.reported_runs import record, write_grid, write_run


def made(folder, baseline=None):
    """The content of the page of a folder."""
    found = rows.collect(folder)
    return content.make(folder, found, report.make_sections(found, baseline), rows.failures(folder))


def column(table, head):
    return [row[table["heads"].index(head)] for row in table["rows"]]


def chart_of(section, name):
    return next(chart for chart in section["charts"] if chart["name"] == name)


def test_cells_are_those_of_report_md_and_values_those_of_results_csv(tmp_path):
    write_grid(tmp_path, seeds=(0, 1, 2))
    report.write_report(tmp_path, "uniform,batch_size=256")
    text, frame = (tmp_path / "report.md").read_text(), pl.read_csv(tmp_path / "results.csv")
    (section,) = made(tmp_path, "uniform,batch_size=256")["sections"]
    for table in (section["table"], section["comparison"]):
        for row in table["rows"]:
            cells = [f"**{cell['text']}**" if cell.get("best") else cell["text"] for cell in row if cell["text"]]
            assert f"| {' | '.join(cells)} |\n" in text
    for row in section["table"]["rows"]:
        for head, metric in (
            ("NDCG@50", "ndcg@50"),
            ("MAP@50", "map@50"),
            ("Recall@20", "recall@20"),
            ("MMR@50", "mmr@50"),
        ):
            values = frame.filter(run=row[0]["text"], metric=metric)["value"].to_numpy()
            assert len(values) == 3
            assert row[section["table"]["heads"].index(head)]["value"] == pytest.approx(values.mean(), rel=1e-12)
    assert section["about"] in text and section["comparison"]["text"] in text
    for chart in section["charts"]:
        assert chart["caption"] in text or chart["name"] == "by_popularity"


def test_differences_have_their_intervals(tmp_path):
    write_grid(tmp_path)
    found = comparison.compare(rows.collect(tmp_path), None)
    (section,) = made(tmp_path)["sections"]
    for row, difference in zip(section["comparison"]["rows"], found.differences, strict=True):
        test = difference.test
        assert row[4]["interval"] == {"low": test.low, "middle": test.difference, "high": test.high}
        assert [cell["value"] for cell in row[2:]] == pytest.approx(
            [test.difference, test.low, test.difference, test.p_value, difference.corrected]
        )


def test_curves_points_and_deciles_are_those_of_the_runs(tmp_path):
    write_grid(tmp_path)
    group = rows.collect(tmp_path)
    (section,) = made(tmp_path)["sections"]
    assert [chart["name"] for chart in section["charts"]] == ["learning", "batch_size", "bias", "by_popularity"]
    of_rows = dict(zip(rows.short_names(group), group, strict=True))
    for line in chart_of(section, "learning")["lines"]:
        curve = learning_curves.mean_curve(of_rows[line["name"]], "ndcg@50")
        assert curve is not None
        np.testing.assert_allclose(line["x"], [curve.steps, curve.passes, curve.seconds])
        np.testing.assert_allclose(line["y"], [curve.values])
    for line in chart_of(section, "batch_size")["lines"]:
        sampler = {"uniform": "uniform", "two-stage": "two_stage"}[line["name"]]
        theirs = [row for row in group if row.config["sampler.name"] == sampler]
        theirs.sort(key=lambda row: row.config["train.batch_size"])
        assert line["x"] == [[64, 256]] and line["best"] == (sampler == "two_stage")
        for values, deviations, metric in zip(line["y"], line["deviations"], ("ndcg@50", "map@50"), strict=True):
            assert values == [row.mean(metric) for row in theirs]
            assert deviations == [row.deviation(metric) for row in theirs]
    for line in chart_of(section, "bias")["lines"]:
        row = of_rows[line["name"]]
        assert (line["x"], line["y"]) == ([[row.mean("mmr@50")]], [[row.mean("ndcg@50")]])
        assert (line["xDeviations"], line["deviations"]) == ([row.deviation("mmr@50")], [[row.deviation("ndcg@50")]])
    for line in chart_of(section, "by_popularity")["lines"]:
        expected = of_rows[line["name"]].mean("ndcg@50") * np.arange(10) / 10
        np.testing.assert_allclose(line["y"], [expected])
        assert line["x"] == [list(range(1, 11))]


def test_axes_are_logarithmic_where_those_of_the_figure_are(tmp_path):
    write_run(tmp_path / "a", ndcg=0.3, records=[record(step, 0.1) for step in (5, 10)])
    write_run(tmp_path / "b", ndcg=0.3, records=[record(step, 0.1) for step in (5, 100)], sampler__name="uniform")
    (section,) = made(tmp_path)["sections"]
    assert [axis["log"] for axis in chart_of(section, "learning")["axes"]] == [True] * 3
    assert not chart_of(section, "bias")["axes"][0]["log"]


def test_rows_of_one_method_look_the_same_in_all_curves(tmp_path):
    for name, ndcg in (("a", 0.1), ("b", 0.3)):  # the better one is not the first
        write_run(tmp_path / name, ndcg=ndcg, records=[record(10, 0.1), record(20, ndcg)], model__dim=int(100 * ndcg))
    (section,) = made(tmp_path)["sections"]
    looks = [
        {line["name"]: [line[key] for key in ("colour", "dash", "symbol")] for line in chart_of(section, name)["lines"]}
        for name in ("learning", "by_popularity")
    ]
    assert looks[0] == looks[1] and len({*map(tuple, looks[0].values())}) == 2


def test_of_many_rows_the_best_have_a_colour_and_the_style_of_the_figures(tmp_path):
    for dim in range(1, 16):
        write_run(tmp_path / str(dim + 100), ndcg=dim / 100, records=[record(10, 0.1), record(20, 0.2)], model__dim=dim)
    (section,) = made(tmp_path)["sections"]
    for name in ("learning", "bias", "by_popularity"):
        lines = chart_of(section, name)["lines"]
        assert sorted(int(line["name"].split()[-1]) for line in lines if not line["colour"]) == [1, 2, 3]
        assert [line["name"] for line in lines if line["best"]] == ["dim 15"]
    coloured = [line for line in chart_of(section, "learning")["lines"] if line["colour"]]
    kinds = style.line_styles(["two_stage"] * 12)
    assert [line["colour"] for line in coloured] == [to_hex(kind["color"]) for kind in kinds]
    assert [line["dash"] for line in coloured] == [charts.DASHES[kind["linestyle"]] for kind in kinds]
    assert [line["symbol"] for line in coloured] == [charts.SYMBOLS[kind["marker"]] for kind in kinds]


def test_every_style_has_a_dash_and_a_symbol_and_no_two_have_the_same():
    kinds = [*style.METHODS.values(), *style._kinds([f"new {i}" for i in range(4)]).values()]
    assert {kind.marker for kind in kinds} | set(style._MARKERS) == set(charts.SYMBOLS)
    assert len(set(charts.SYMBOLS.values())) == len(charts.SYMBOLS)
    assert {kind.line for kind in kinds} | set(style._LINES) <= set(charts.DASHES)


def test_the_heat_map_has_the_means_and_the_best_cell(tmp_path):
    for i, cutoff in enumerate((0.1, 0.2)):
        for j, exponent in enumerate((0.0, 0.5)):
            if (i, j) != (1, 1):
                options: dict[str, Any] = {
                    "sampler__similarity_cutoff": cutoff,
                    "sampler__popularity_exponent": exponent,
                }
                write_run(tmp_path / f"{i}{j}", ndcg=0.2 + 0.1 * i + 0.05 * j, **options)
    (section,) = made(tmp_path)["sections"]
    (table,) = section["heatMap"]["tables"]
    assert (table["exponents"], table["cutoffs"]) == (["0", "0.5"], ["0.1", "0.2"])
    assert [[cell["text"] for cell in row] for row in table["rows"]] == [["0.200", "0.300"], ["0.250", "none"]]
    assert [[cell.get("best") for cell in row] for row in table["rows"]] == [[False, True], [False, None]]
    dark, light = table["rows"][0]
    assert dark["white"] and not light["white"] and dark["colour"] != light["colour"]


def test_every_run_has_its_whole_config_and_those_that_failed_too(tmp_path):
    write_grid(tmp_path, sizes=(64,))
    failed = write_run(tmp_path / "broken", ndcg=0.1, model__dim=7)
    (failed / "summary.json").unlink()
    (failed / "failed.json").write_text('{"reason": "The loss is\\nnot a number."}')
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "failed.json").write_text('{"reason": "No data."}')
    page = made(tmp_path)
    assert page["failures"] == [
        {"folder": "broken", "reason": "The loss is not a number."},
        {"folder": "empty", "reason": "No data."},
    ]
    folders = [run["folder"] for run in page["runs"]]
    assert folders == [
        *(f"{s},batch_size=64/{seed}" for s in ("two_stage", "uniform") for seed in (0, 1)),
        "broken",
        "empty",
    ]
    for number, folder in enumerate(folders):
        expected = rows.read_config(tmp_path / folder) if folder != "empty" else {}
        ours = {key["name"]: key["values"][key["of"][number]] for key in page["keys"] if key["of"][number] >= 0}
        assert ours == {name: json.dumps(value) for name, value in expected.items()}
    facts = dict(page["runs"][1]["facts"])
    assert facts["seed"] == "1" and facts["test NDCG@50"] == "0.3040" and facts["row"] == "two_stage,batch_size=64"
    assert dict(page["runs"][-1]["facts"]) == {"failed": "No data."}


def test_a_run_in_the_folder_itself_is_called_by_its_name(tmp_path):
    write_run(tmp_path / "alone", ndcg=0.2)
    assert [run["folder"] for run in made(tmp_path / "alone")["runs"]] == ["alone"]


def test_what_is_not_a_number_is_none_and_has_a_place_in_json(tmp_path):
    write_run(tmp_path / "a", ndcg=0.2)
    write_run(tmp_path / "b", ndcg=0.3, sampler__name="uniform")
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    summary["by_popularity"]["test"]["ndcg@50"] = [None, *[0.5] * 9]
    summary["test"]["coverage@50"] = math.nan
    (tmp_path / "a" / "summary.json").write_text(json.dumps(summary))
    page = made(tmp_path)
    (section,) = page["sections"]
    assert chart_of(section, "by_popularity")["lines"][1]["y"][0][:2] == [None, 0.5]
    assert [cell["value"] for cell in column(section["table"], "Coverage@50")] == [None, 0.5]
    assert [cell["value"] for cell in column(section["table"], "over seeds")] == [None, None]
    json.loads(script_json(page))


def test_numbers_of_a_row(tmp_path):
    for seed, ndcg in enumerate((0.2, 0.3)):
        write_run(tmp_path / "a" / str(seed), ndcg=ndcg, seed=seed)
    (row,) = rows.collect(tmp_path)
    assert numbers.over_users(row, "ndcg@50") == pytest.approx((0.9 * 0.25, 1.2 * 0.25))
    assert numbers.over_seeds(row, "ndcg@50") == pytest.approx((0.25 - 12.7062 * 0.05, 0.25 + 12.7062 * 0.05), rel=1e-4)
    assert numbers.seconds(row) == 10.5
    assert numbers.mean_and_deviation(row, "mmr@50") == "50.0 ± 0.0"
    assert numbers.best_values([row], ["ndcg@50", "mmr@50"]) == {"ndcg@50": pytest.approx(0.25)}
