"""The table and the figure of experiments.benchmarks.peers, from its results alone."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from cml_jax.runs.workdir import write_atomically
from experiments.benchmarks.peer_methods import METHODS
from experiments.reports import drawing, style

OURS = "softmax"
_SHARES = (0.8, 0.9, 0.95, 0.99)  # of the best score of all: targets whose seconds are listed
_OF_ITS_OWN = 0.99  # of a method's own best score, at which it is compared with ours
_SHORT = {"learning_rate": "rate", "temperature": "T", "num_negatives": "N", "batch_size": "B"}
_LEAST_SECONDS = 0.1  # where the figure's axis begins at the earliest


class Curve(NamedTuple):
    """The trial of a method that reached the best score.

    Attributes:
        method: key of METHODS.
        setting: that was chosen.
        setup: seconds until the first step.
        passes: ndarray[n] over the training pairs.
        seconds: ndarray[n] of set-up and training.
        values: ndarray[n], the metric.
        ended: why it ended.
    """

    method: str
    setting: Mapping[str, Any]
    setup: float
    passes: np.ndarray
    seconds: np.ndarray
    values: np.ndarray
    ended: str

    @property
    def best(self) -> float:
        """The largest value."""
        return float(self.values.max())

    @property
    def seconds_per_pass(self) -> float:
        """Without set-up."""
        return float((self.seconds[-1] - self.setup) / self.passes[-1])

    def reach(self, target: float) -> float | None:
        """Seconds until a value is reached, between two scores by a straight line; None where it is not."""
        reached = np.flatnonzero(self.values >= target)
        if len(reached) == 0:
            return None
        i = reached[0]
        if i == 0:
            return float(self.seconds[0])
        (a, b), (low, high) = self.seconds[i - 1 : i + 1], self.values[i - 1 : i + 1]
        return float(a + (b - a) * (target - low) / (high - low))


def curves(results: Mapping[str, Any]) -> list[Curve]:
    """The chosen trial of every method that was scored at all, best first."""
    found = []
    for method, trials in results["methods"].items():
        scored = [trial for trial in trials if trial["points"]]
        if scored:
            best = max(scored, key=lambda trial: max(point[2] for point in trial["points"]))
            passes, seconds, values = np.array(best["points"], float).T
            found.append(Curve(method, best["setting"], best["setup_seconds"], passes, seconds, values, best["ended"]))
    return sorted(found, key=lambda curve: -curve.best)


def written(setting: Mapping[str, Any]) -> str:
    """A setting in a few words."""
    words = [_word(key.split(".")[-1], value) for key, value in setting.items()]
    return ", ".join(filter(None, words)) or "as its config"


def _word(name: str, value: Any) -> str:
    if name == "sparse":
        return "SparseAdam" if value else "Adam"
    return "" if name in ("name", "negatives") else f"{_SHORT.get(name, name.replace('_', ' '))} {value:g}"


def as_markdown(results: Mapping[str, Any]) -> str:
    """The table, a row a method, with a sentence on each that was left out."""
    found = curves(results)
    metric = style.written(results["metric"])
    sizes = results["sizes"]
    lines = [
        f"{style.data_name(results['data'])}: {sizes['users']:,} users, {sizes['items']:,} items, {sizes['train']:,} "
        f"pairs, d = {results['dim']}; {results.get('device')}, {results.get('threads')} threads for every method.",
        "",
    ]
    if found:
        targets = [share * found[0].best for share in _SHARES]
        ours = next((curve for curve in found if curve.method == OURS), None)
        names = [
            "method",
            "setting",
            "s before the first step",
            "s a pass",
            f"best {metric}",
            "passes",
            "s to 99 % of it",
        ]
        names += ["ours to the same", "times", *(f"s to {target:.4f}" for target in targets)]
        lines += [f"| {' | '.join(names)} |", "|" + "---|" * len(names)]
        lines += [f"| {' | '.join(_cells(curve, ours, targets))} |" for curve in found]
        lines += [
            "",
            f"Seconds of set-up and training, without evaluation. Validation {metric}, scored whenever they had grown "
            "by 20 %, and between two scores by a straight line; '>': it was still rising when the time was over.",
        ]
    lines += ["", *results["left_out"].values()] if results["left_out"] else []
    return "\n".join(lines) + "\n"


def _cells(curve: Curve, ours: Curve | None, targets: Sequence[float]) -> list[str]:
    goal = _OF_ITS_OWN * curve.best
    own = curve.reach(goal)
    our = ours.reach(goal) if ours is not None else None
    assert own is not None
    place = int(curve.values.argmax())
    rising = ">" if curve.ended == "limit" and place == len(curve.values) - 1 else ""
    cells = [
        METHODS[curve.method].label,
        written(curve.setting),
        f"{curve.setup:.1f}",
        _seconds(curve.seconds_per_pass),
    ]
    cells += [
        f"{rising}{curve.best:.4f}",
        f"{curve.passes[place]:.1f}",
        _seconds(own),
        _seconds(our),
    ]
    cells += [f"{own / our:.1f}" if our else "-", *(_seconds(curve.reach(target)) for target in targets)]
    return cells


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}" if value < 100 else f"{value:,.0f}"


@style.styled
def figure(results: Mapping[str, Any]) -> Figure:
    """Validation score against seconds of set-up and training, a line a method from the end of its set-up on."""
    found = curves(results)
    drawn = style.new_figure(style.PAGE, 3.4)
    axes = drawn.subplots()
    kinds = style.line_styles([METHODS[curve.method].style for curve in found])
    for curve, kind in zip(found, kinds, strict=True):
        start = max(curve.setup, _LEAST_SECONDS)
        shown = curve.seconds > start
        seconds = np.concatenate([[start], curve.seconds[shown]])
        values = np.concatenate([[0.0], curve.values[shown]])
        kind = kind | (style.BEST_LINE if curve.method == OURS else {})
        axes.plot(seconds, values, **kind, markevery=slice(1, None, 3), label=METHODS[curve.method].label)
    ends = [curve.seconds[-1] for curve in found]
    starts = [max(curve.setup, _LEAST_SECONDS) for curve in found]
    drawing.make_logarithmic(axes, min(starts, default=1.0), max(ends, default=1.0))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds of set-up and training")
    axes.set_ylabel(f"validation {style.written(results['metric'])}")
    axes.set_title(style.data_name(results["data"]))
    style.place_legend(drawn, axes, 2)
    return drawn


def write(results: Mapping[str, Any], folder: Path) -> None:
    """Writes peers.md and the figure, and prints the table."""
    text = as_markdown(results)
    write_atomically(folder / "peers.md", text)
    if results["methods"]:
        style.save(figure(results), folder / f"peers_{results['data']}")
    print(text, flush=True)
