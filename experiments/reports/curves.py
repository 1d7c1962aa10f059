"""The figure of one run: training loss and a validation metric over steps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from cml_jax.runs.summary import Summary
from experiments.reports import style

_LINE = "0.25"  # no method's colour: the title says which one it is


def save_curves(records: Sequence[dict[str, Any]], summary: Summary, metric: str, path: Path, title: str) -> list[Path]:
    """Draws training loss and a validation metric over steps, with the selected step marked.

    Args:
        records: lines of metrics.jsonl.
        summary: of the run.
        metric: that selected the parameters, such as 'ndcg@50'.
        path: of the PNG; the PDF is beside it.
        title: what was trained on what, see `run_title`.

    Returns:
        The paths of both.
    """
    return style.save(draw_curves(records, summary, metric, title), path)


def run_title(config: Mapping[str, Any]) -> str:
    """Data set and method of a run's flat config, such as 'Last.fm, soft second stage'."""
    return f"{style.data_name(config['dataset.name'])}, {style.method_name(style.method_of(config))}"


@style.styled
def draw_curves(records: Sequence[dict[str, Any]], summary: Summary, metric: str, title: str) -> Figure:
    """The figure of `save_curves`; without a validation part it has the loss alone."""
    scored = [record for record in records if metric in record["metrics"]]
    steps, values = [record["step"] for record in scored], [record["metrics"][metric] for record in scored]
    figure = style.new_figure(style.PAGE if scored else style.COLUMN, 2.2)
    figure.suptitle(title, fontsize=8)
    panels = figure.subplots(1, 2 if scored else 1, squeeze=False).ravel()
    panels[0].plot([record["step"] for record in records], [record["loss"] for record in records], color=_LINE)
    panels[0].set(xlabel="step", ylabel="training loss")
    if scored:
        panels[1].plot(steps, values, "o-", color=_LINE)
        panels[1].set_ylim(top=1.1 * max(values) or 1.0)  # room for the mark of the best step
        panels[1].set(xlabel="step", ylabel=f"validation {style.written(metric, summary.dataset['items'])}")
    for axes in panels:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if axes is panels[0] else 0.0)
        axes.set_xlim(left=0)
    if summary.best_step in steps:
        best = values[steps.index(summary.best_step)]
        for axes in panels:
            axes.axvline(summary.best_step, color="0.5", linestyle="--", linewidth=0.8, zorder=1)
        style_of_best = {"color": _LINE, "markerfacecolor": "white", "markersize": 6, "zorder": 4, "clip_on": False}
        panels[1].plot(summary.best_step, best, "D", **style_of_best)
        late = summary.best_step > steps[-1] / 2
        panels[1].annotate(
            f"selected: {best:.3f}",
            (summary.best_step, best),
            (-6 if late else 6, -12),
            textcoords="offset points",
            ha="right" if late else "left",
            fontsize=style.SMALL,
        )
    return figure
