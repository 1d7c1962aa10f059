"""The figures of a report as numbers, with the styles of the PNGs in plotly's words."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_hex

from experiments.reports import charts, learning_curves, numbers, plots, style
from experiments.reports.rows import Row, axis_label, best_first, short_names, shown_metrics
from experiments.reports.sections import Section

DASHES = {"-": "solid", "--": "dash", "-.": "dashdot", ":": "dot", (0, (5, 1, 1, 1, 1, 1)): "longdashdot", "": "solid"}
SYMBOLS = {
    **{"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross", "X": "x"},
    **{"<": "triangle-left", ">": "triangle-right", "p": "pentagon", "h": "hexagon", "H": "hexagon2", "8": "octagon"},
    **{"d": "diamond-tall", "*": "diamond-wide"},
    **{(3, 0, 45): "triangle-nw", (3, 0, 225): "triangle-se", (3, 0, 315): "triangle-ne"},
    **{(3, 1, 0): "star-triangle-up", (3, 1, 180): "star-triangle-down", (4, 1, 0): "star-diamond"},
    **{
        (4, 1, 45): "star-square",
        (5, 1, 0): "star",
        (5, 1, 180): "star-open",
        (5, 0, 180): "hourglass",
        (6, 0, 0): "hexagon-open",
        (6, 1, 0): "hexagram",
        (7, 0, 0): "octagon-open",
        (8, 1, 0): "bowtie",
    },
}
_FAINT = {"colour": "", "dash": "solid", "symbol": "circle"}  # the page has a grey for light and one for dark


def describe(section: Section) -> list[dict[str, Any]]:
    """Charts of the page, those of the report's figures and NDCG by popularity of the items.

    A chart has a choice of horizontal axes and a panel a metric; of a line, `x` has values for each axis, `y` for each
    panel.
    """
    captions = {drawing.name: drawing.caption for drawing in section.drawings.values()}
    made = [_learning(section.rows), _batch_size(section.rows), _bias(section.rows), _by_popularity(section.rows)]
    return [{"caption": captions.get(chart["name"], "")} | chart for chart in made if chart is not None]


def _learning(group: Sequence[Row]) -> dict[str, Any] | None:
    found = learning_curves.curves_of(group)
    if found is None:
        return None
    methods = [style.method_of(row.config) for row in group]
    of_names = dict(zip(short_names(group), methods, strict=True))
    styles = _styles({name: of_names[name] for name in found.curves}, found.shown)
    axes = []
    for name, label in learning_curves.AXES.items():
        ends = [(getattr(curve, name)[0], getattr(curve, name)[-1]) for curve in found.curves.values()]
        axes.append({"label": label, "log": learning_curves.is_wide(ends)})
    lines = [
        _line(
            name,
            styles[name],
            [getattr(curve, axis) for axis in learning_curves.AXES],
            [curve.values],
            best=name == found.best and len(found.curves) > 1,
        )
        for name, curve in found.curves.items()
    ]
    label = f"validation {style.written(shown_metrics(group)[0], group[0].num_items)}"
    return _chart("learning", "Learning curves", axes, [_panel(label)], lines)


def _batch_size(group: Sequence[Row]) -> dict[str, Any] | None:
    found = plots.batch_sizes(group)
    if found is None:
        return None
    of_panels = list(found.panels.values())
    styles = _styles({line.name: line.method for line in of_panels[0]}, found.shown)
    lines = [
        _line(
            same[0].name,
            styles[same[0].name],
            [same[0].places],
            [line.means for line in same],
            deviations=[line.deviations for line in same],
            best=same[0].name == found.best,
        )
        for same in zip(*of_panels, strict=True)
    ]
    sizes = sorted({int(place) for line in of_panels[0] for place in line.places})
    axis = {"label": "batch size", "log": True, "ticks": sizes}
    return _chart("batch_size", "Batch size", [axis], [_panel(label) for label in found.panels], lines)


def _bias(group: Sequence[Row]) -> dict[str, Any] | None:
    if len(group) < 2:
        return None
    ndcg, _, _, mmr, _ = shown_metrics(group)
    names = dict(zip([row.label for row in group], short_names(group), strict=True))
    ordered = best_first(group)
    shown = [names[row.label] for row in ordered[: plots.drawing.MOST_LINES]]
    kinds = style.marker_styles([style.method_of(row.config) for row in ordered])
    lines = [
        _line(
            names[row.label],
            _in_plotly(kind) if names[row.label] in shown else _FAINT,
            [[row.mean(mmr)]],
            [[row.mean(ndcg)]],
            deviations=[[row.deviation(ndcg)]],
            x_deviations=[row.deviation(mmr)],
            best=place == 0,
        )
        for place, (row, kind) in enumerate(zip(ordered, kinds, strict=True))
    ]
    axis = {"label": axis_label(group, mmr), "log": False, "digits": numbers.digits(mmr)}
    return _chart("bias", "Accuracy and popularity bias", [axis], [_panel(axis_label(group, ndcg))], lines)


def _by_popularity(group: Sequence[Row]) -> dict[str, Any] | None:
    """NDCG by tenth of the training pairs' items, of the rows whose runs have it; None where none has."""
    ordered, found = best_first(group), {}
    names = dict(zip([row.label for row in group], short_names(group), strict=True))
    metric = shown_metrics(group)[0]
    for row in ordered:
        values = [summary.by_popularity.get(row.part, {}).get(metric) for summary in row.summaries]
        if all(values):
            found[names[row.label]] = np.mean(np.array(values, float), axis=0)
    if not found:
        return None
    shown = list(found)[: plots.drawing.MOST_LINES]
    # In the order of the learning curves, so that a row looks the same in both.
    methods = {names[row.label]: style.method_of(row.config) for row in group if names[row.label] in found}
    styles = _styles(methods, shown)
    lines = [
        _line(name, styles[name], [np.arange(1, len(values) + 1)], [values], best=place == 0 and len(found) > 1)
        for place, (name, values) in enumerate(found.items())
    ]
    axis = {"label": "popularity decile of the items, rarest first", "log": False, "ticks": list(range(1, 11))}
    written = style.written(metric, group[0].num_items)
    caption = (
        f"{written} of the held-out items of each tenth of the training pairs, those of the rarest items first, mean "
        f"over seeds."
    )
    if len(shown) < len(found):
        caption += f" The {len(shown)} rows of best {written} have a colour, {len(found) - len(shown)} others are grey."
    chart = _chart("by_popularity", "By popularity of the items", [axis], [_panel(axis_label(group, metric))], lines)
    return chart | {"caption": caption}


def heat_map(section: Section) -> dict[str, Any] | None:
    """Cells of the heat map as tables: texts with a background; None where there is no such figure."""
    tables, _ = plots.heat_tables(section.rows)
    if not tables:
        return None
    colours, scale = charts.heat_colours(list(tables.values()))

    def cell(value: float) -> dict[str, Any]:
        if not np.isfinite(value):
            return {"text": "none"}
        colour = colours(scale(value))
        return {
            "text": f"{value:.3f}",
            "value": float(value),
            "colour": to_hex(colour),
            "white": bool(charts.is_dark(colour)),
            "best": bool(value == scale.vmax),
        }

    caption = next(drawing.caption for drawing in section.drawings.values() if drawing.name == "heatmap")
    return {
        "caption": caption,
        "tables": [
            {
                "name": name,
                "cutoffs": [f"{cutoff:g}" for cutoff in table.cutoffs],
                "exponents": [f"{exponent:g}" for exponent in table.exponents],
                "rows": [[cell(value) for value in row] for row in table.values.tolist()],
            }
            for name, table in tables.items()
        ],
    }


def _styles(methods: dict[str, str], shown: Sequence[str]) -> dict[str, dict[str, str]]:
    """Style of every line by its name; those that are not shown are grey."""
    coloured = style.line_styles([methods[name] for name in methods if name in shown])
    of_shown = dict(zip([name for name in methods if name in shown], coloured, strict=True))
    return {name: _in_plotly(of_shown[name]) if name in of_shown else _FAINT for name in methods}


def _in_plotly(kind: dict[str, Any]) -> dict[str, str]:
    return {
        "colour": to_hex(kind["color"]),
        "dash": DASHES[kind["linestyle"]],
        "symbol": SYMBOLS[kind["marker"]],
    }


def _panel(label: str) -> dict[str, Any]:
    return {"label": label, "digits": 4}


def _chart(name: str, title: str, axes: list[Any], panels: list[Any], lines: list[Any]) -> dict[str, Any]:
    return {"name": name, "title": title, "axes": axes, "panels": panels, "lines": lines}


def _line(
    name: str,
    kind: dict[str, str],
    x: Sequence[Any],
    y: Sequence[Any],
    deviations: Sequence[Any] = (),
    x_deviations: Sequence[float] = (),
    best: bool = False,
) -> dict[str, Any]:
    return kind | {
        "name": name,
        "best": best,
        "x": [_plain(values) for values in x],
        "y": [_plain(values) for values in y],
        "deviations": [_plain(values) for values in deviations],
        "xDeviations": _plain(x_deviations),
    }


def _plain(values: Sequence[float] | np.ndarray) -> list[float | None]:
    """Numbers that JSON has, None for the others."""
    return [float(value) if np.isfinite(value) else None for value in values]
