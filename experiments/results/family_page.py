"""The families' tables and figure in docs/family.md, from files of finished runs that are kept with the code.

python -m experiments.results.family_page [--workdir=runs/family]

experiments/results/kept/family/NAME.json has what the page shows of the runs of experiments/configs/family/NAME.py.
With a workdir, that of folders NAME with finished grids in it, those files are written first. With --choose the workdir
is one of a search, and the numbers of the settings that validation chose are printed instead, as CHOSEN in the configs.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from cml_jax import statistics
from cml_jax.errors import UserError
from cml_jax.runs.workdir import write_atomically
from experiments import cli
from experiments.log import show
from experiments.reports import comparison, rows, style
from experiments.reports.rows import Row
from experiments.results import family, family_figure, keeping
from experiments.results.markdown import between, line

ROOT = Path(__file__).parent.parent.parent
KEPT = Path("experiments", "results", "kept", "family")
PAGE = Path("docs", "family.md")
FIGURE = Path("experiments", "figures", "family.png")
METRICS = {  # name of the config -> metric -> heading; the first is compared
    "lastfm": {"ndcg@50": "NDCG@50", "recall@20": "Recall@20", "mmr@50": "MMR@50"},
    "steam": {"ndcg@3": "NDCG@3", "precision@3": "P@3", "recall@3": "R@3", "mmr@50": "MMR@50"},
    "ml1m": {"ndcg@50": "NDCG@50", "recall@20": "Recall@20", "mmr@50": "MMR@50"},
}
_WORDS = {
    "optimizer.learning_rate": "rate",
    "model.constraint": "",
    "model.temperature": "temperature",
    "model.distortion_weight": "distortion",
    "model.user_balance": "user balance",
}
_VARIANTS = {  # what is no method of its own
    "cml": "CML",
    "cml-bias": "CML with item biases",
    "cml-graph": "CML on the item graph",
    "cml-warp": "CML with WARP weights",
    "hlr++": "HLR++",
}
_SHORT = {"cml-bias": "item biases", "cml-graph": "item graph", "cml-warp": "CML, WARP"}  # in the figure


def choose(workdir: Path) -> dict[str, int]:
    """The number of the setting of each row that is best on validation, the first of equal ones.

    Args:
        workdir: of a search, see `family.search`.

    Raises:
        UserError: runs are missing or cannot be read.
    """
    scores: dict[str, dict[int, float]] = {}
    for row in rows.collect(workdir):
        name, _, number = row.label.rpartition(", ")
        scores.setdefault(name, {})[int(number)] = row.mean(rows.shown_metrics([row])[0])
    missing = [name for name in family.ROWS if len(scores.get(name, {})) < len(family.settings(name))]
    if missing:
        raise UserError(f"{workdir}: {missing[0]} has not been searched to the end; start its sweep again first.")
    return {name: min(scores[name], key=lambda number: (-scores[name][number], number)) for name in family.ROWS}


def keep(workdir: Path, folder: Path) -> list[str]:
    """Writes NAME.json into a folder for each folder NAME of a workdir; returns the names.

    Raises:
        UserError: there is none, or runs cannot be read.
    """
    names = [name for name in METRICS if (workdir / name).is_dir()]
    if not names:
        raise UserError(f"{workdir}: no folder of runs with a name of {', '.join(METRICS)}; see docs/family.md.")
    found = {name: _kept(rows.collect(workdir / name), METRICS[name]) for name in names}
    folder.mkdir(parents=True, exist_ok=True)
    for name, kept in found.items():
        write_atomically(folder / f"{name}.json", json.dumps(kept, indent=1) + "\n")
    return names


def _kept(found: Sequence[Row], metrics: Mapping[str, str]) -> list[dict[str, Any]]:
    """What is kept of each row; the difference is that from CML with the same sampler, paired by user."""
    by_sampler: dict[str, list[Row]] = {}
    for row in found:
        by_sampler.setdefault(row.label.rpartition(", ")[2], []).append(row)
    tests: dict[str, dict[str, float]] = {}
    for sampler, group in by_sampler.items():
        if any(row.label == f"cml, {sampler}" for row in group):
            compared = comparison.compare(group, f"cml, {sampler}")
            for one in compared.differences:
                tests[one.row.label] = {**one.test._asdict(), "corrected": one.corrected}
    return [
        {
            "label": row.label,
            "setting": {key: row.config[key] for key in _WORDS if key in _searched(row.label)},
            "seeds": row.seeds,
            "metrics": {name: row.values[name] for name in metrics},
            "difference": tests.get(row.label),
            "commit": row.summaries[0].versions.get("commit", "unknown"),
        }
        for row in found
    ]


def _searched(label: str) -> set[str]:
    return set(family.settings(label)[0]) if label in family.ROWS else set()


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows kept of each data set that has a file, in the order in which they are shown.

    Raises:
        UserError: a file is damaged.
    """
    order, found = ["popular", *family.ROWS], {}
    for name in METRICS:
        path = folder / f"{name}.json"
        if path.exists():
            found[name] = keeping.read_rows(path, order, "--workdir=FOLDER_OF_THE_RUNS")
    return found


def as_markdown(name: str, kept: Sequence[Mapping[str, Any]]) -> str:
    """A table, a row for each model and sampler."""
    metrics = METRICS[name]
    first, *rest = metrics
    heads = ["model", "sampler", "setting", metrics[first], "against CML", "p, corrected"]
    heads += [metrics[other] for other in rest]
    lines = [line(heads), "|" + "---|" * len(heads)]
    for row in kept:
        model, _, sampler = row["label"].rpartition(", ")
        cells = [_spread(row["metrics"][first], first), *_difference(row["difference"])]
        cells += [_spread(row["metrics"][other], other) for other in rest]
        setting = ", ".join(f"{_WORDS[key]} {_plain(value)}".strip() for key, value in row["setting"].items())
        named = [_written(model), sampler] if model else [style.method_name(sampler), "-"]
        lines.append(line([*named, setting or "-", *cells]))
    commits = " and ".join(dict.fromkeys(row["commit"] for row in kept))
    seeds = max(len(row["seeds"]) for row in kept)
    return "\n".join([*lines, "", f"Test, mean ± standard deviation over {seeds} seeds. Commit {commits}."])


def _written(model: str) -> str:
    return _VARIANTS.get(model) or style.method_name(model)


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _spread(values: Sequence[float], metric: str) -> str:
    digits = 1 if metric.startswith("mmr") else 4
    mean = f"{np.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {np.std(values, ddof=1):.{digits}f}"


def _difference(test: Mapping[str, float] | None) -> list[str]:
    if test is None:
        return ["-", "-"]
    found = statistics.PairedTest(*(test[name] for name in statistics.PairedTest._fields))
    difference, interval = comparison.written_difference(found)
    return [f"{difference} ({interval})", comparison.written_p(test["corrected"])]


def rebuild(workdir: Path | None, root: Path = ROOT) -> str:
    """Writes the tables of docs/family.md and its figure again; returns a sentence about it.

    Args:
        workdir: folder with the folders of the grids' runs, whose results are kept first; none: those kept are used.
        root: of the repository.

    Raises:
        UserError: runs, kept files or marks are missing or cannot be read.
    """
    names = keep(workdir, root / KEPT) if workdir is not None else []
    kept = read(root / KEPT)
    text = (root / PAGE).read_text()
    for name, found in kept.items():
        text = between(text, f"family {name}", f"family {name}", as_markdown(name, found))
    if kept:  # drawn first, so that nothing is written where it cannot be
        titled = {keeping.TABLES[name].title: found for name, found in kept.items()}
        models = {row["label"].rpartition(", ")[0] for found in kept.values() for row in found}
        figure = family_figure.family_figure(titled, {model: _SHORT.get(model) or _written(model) for model in models})
        (root / FIGURE).parent.mkdir(parents=True, exist_ok=True)
        style.save(figure, root / FIGURE)
    write_atomically(root / PAGE, text)
    return f"{PAGE} has {len(kept)} tables" + (f", those of {', '.join(names)} from new runs." if names else ".")


def main() -> None:
    """Runs with the flags' values."""
    workdir = flags.FLAGS.workdir and Path(flags.FLAGS.workdir)
    if not flags.FLAGS.choose:
        show(rebuild(workdir))
        return
    if workdir is None:
        raise UserError("--choose needs the --workdir of a search.")
    for name, number in choose(workdir).items():
        show(f'    "{name}": {number},')


if __name__ == "__main__":
    flags.DEFINE_string("workdir", None, "Folder of grids' folders lastfm, steam and ml1m; with --choose, of a search.")
    flags.DEFINE_bool("choose", False, "Print the settings that validation chose in a search.")
    cli.run(main)
