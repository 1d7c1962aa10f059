"""What RESULTS.md shows of finished runs, kept with the code.

experiments/results/kept/NAME.json has what the tables show of the runs of experiments/configs/results/NAME.py, so that
the tables can be built again where the runs' workdirs are gone.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cml_jax.errors import UserError
from cml_jax.runs.workdir import read_json, write_atomically
from experiments.reports import rows
from experiments.reports.rows import Row
from experiments.results import rescore, search_spaces

_AGAIN = "--results --workdir=FOLDER_OF_THE_RUNS"
FEW_LEFT_OUT = ", few left out"  # after a metric's name in what is kept: without users of too few test items


class Table(NamedTuple):
    """What is shown of a data set.

    Attributes:
        title: its name.
        metrics: name -> heading; the first one has intervals.
        percent: whether the metrics but for MMR are in percent.
        valid_listed: metrics that are shown by the protocol of experiments/results/rescore.py too.
        few_left_out: those of them that are shown without users of few test items, too, where that was kept.
    """

    title: str
    metrics: dict[str, str]
    percent: bool = False
    valid_listed: tuple[str, ...] = ()
    few_left_out: tuple[str, ...] = ()


_BIAS = {"mmr@50": "MMR@50", "coverage@50": "coverage@50", "gini@50": "gini@50"}


def _usual(k: int) -> dict[str, str]:
    return {f"ndcg@{k}": f"NDCG@{k}", "map@50": "MAP@50", "recall@20": "Recall@20"} | _BIAS


TABLES = {  # by the name of the config
    "lastfm": Table("Last.fm", _usual(50)),
    "ml1m": Table("MovieLens-1M", _usual(50)),
    "steam": Table(
        "Steam-200k",
        {"ndcg@3": "NDCG@3", "precision@3": "P@3", "recall@3": "R@3", "map@5113": "MAP", "mrr@5113": "MRR"} | _BIAS,
        percent=True,
        valid_listed=("ndcg@3", "precision@3", "recall@3", "map@5113", "mrr@5113"),
        few_left_out=("map@5113", "mrr@5113"),
    ),
    "gowalla": Table("Gowalla", _usual(20)),
    "yelp2018": Table("Yelp2018", _usual(20)),
}


def keep(workdir: Path, folder: Path) -> list[str]:
    """Writes NAME.json into a folder for each folder NAME of a workdir; returns the names.

    Rows that the file has and the workdir has not, those of an earlier workdir, stay.

    Raises:
        UserError: there is none, or runs are not finished, cannot be read, or lack a metric of their table.
    """
    names = [name for name in TABLES if (workdir / name).is_dir()]
    if not names:
        raise UserError(
            f"{workdir}: no folder of runs with a name of {', '.join(TABLES)}; see experiments/configs/results."
        )
    found = {}
    for name in names:
        _check_finished(workdir / name)
        path = folder / f"{name}.json"
        earlier = (
            {row["label"]: row for row in read_rows(path, _order(), f"{_AGAIN} after deleting it")}
            if path.exists()
            else {}
        )
        new = {row.label: _kept(row, TABLES[name]) for row in rows.collect(workdir / name)}
        found[name] = list((earlier | new).values())
    for name, kept in found.items():
        write_atomically(folder / f"{name}.json", json.dumps(kept, indent=1) + "\n")
    return names


def _order() -> list[str]:
    """Labels in the order of the tables."""
    return ["popular", *search_spaces.LIBRARY_ROWS, "bpr-none", *search_spaces.EVERY_ROW]


def _check_finished(folder: Path) -> None:
    path = folder / "sweep.json"
    runs = read_json(path).get("runs", []) if path.exists() else []
    unfinished = [run for run in runs if not (folder / run / "summary.json").exists()]
    if unfinished:
        raise UserError(
            f"{folder}: {len(unfinished)} of {len(runs)} runs are not finished; start its sweep again first."
        )


def _kept(row: Row, table: Table) -> dict[str, Any]:
    missing = [name for name in table.metrics if name not in row.values]
    if missing:
        raise UserError(f"{row.folders[0]}: has no {missing[0]}, which the table of {table.title} shows; run it again.")
    first = next(iter(table.metrics))
    return {
        "label": row.label,
        "config": row.config,
        "dataset": row.summaries[0].dataset,
        "runs": [
            {
                "seed": seed,
                "metrics": {name: summary.metrics[name] for name in table.metrics},
                "interval": summary.intervals[row.part][first],
                "by_popularity": summary.by_popularity[row.part],
                "best_test": _along_the_way(summary.best_test, table),
                **{key: getattr(summary, key) for key in ("best_step", "steps", "wall_seconds", "versions", "device")},
            }
            for seed, summary in zip(row.seeds, row.summaries, strict=True)
        ],
        "valid_listed": [
            _rescored(read_json(folder / rescore.FILE), table)
            for folder in row.folders
            if table.valid_listed and (folder / rescore.FILE).exists()
        ],
    }


def _along_the_way(best_test: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """Of `Summary.best_test`, what is kept; empty without eval.final_split=best_test."""
    if not best_test:
        return {}
    found = best_test["metrics"]
    return {"step": best_test["step"], "metrics": {name: found[name] for name in table.metrics if name in found}}


def _rescored(scores: dict[str, Any], table: Table) -> dict[str, float]:
    """Of a file of experiments/results/rescore.py, what is kept."""
    found = {name: scores["test"][name] for name in table.valid_listed}
    few_left_out = scores.get("few_left_out", {})
    return found | {name + FEW_LEFT_OUT: few_left_out[name] for name in table.few_left_out if name in few_left_out}


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows kept of each table that has a file, in the order in which they are shown.

    Raises:
        UserError: there is no file, or one is damaged.
    """
    names = [name for name in TABLES if (folder / f"{name}.json").exists()]
    if not names:
        raise UserError(f"{folder}: no kept results; write them with --results --workdir=FOLDER_OF_THE_RUNS.")
    return {name: read_rows(folder / f"{name}.json", _order(), _AGAIN) for name in names}


def read_rows(path: Path, order: Sequence[str], again: str) -> list[dict[str, Any]]:
    """The rows of a kept file, in the order of their labels.

    Args:
        path: of the file.
        order: labels.
        again: flags that write the file, for the message.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return sorted(json.loads(path.read_text()), key=lambda row: order.index(row["label"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: cannot be read as kept results; write it again with {again}.") from error
