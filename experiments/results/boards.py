"""The boards: the best of others on a data set, the best that is kept here, and where that stands.

python -m experiments.report --boards

Others are the published rows of published.json, each with its source, and the libraries' baselines of kept/NAME.json,
fitted in the same harness; ours are the other rows there, in LightGCN's splits those of 64 dimensions. On MovieLens-1M
and Last.fm nothing is published on the same split.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from cml_jax.errors import UserError
from experiments.results import item_models, keeping, search_spaces, tables
from experiments.results.markdown import between, line

PUBLISHED = Path(__file__).parent / "published.json"
_TWO_VECTORS = "two vectors"
_ALONG_THE_WAY = "ours, chosen on test"
_NOT_OURS = {"popular", *search_spaces.LIBRARY_ROWS}

Rows = Sequence[Mapping[str, Any]]


class Board(NamedTuple):
    """What is compared on a data set.

    Attributes:
        title: its name.
        metrics: name -> heading; the first one says which row of ours is the best.
        percent: whether values are shown in percent.
        valid_listed: whether ours are the scores with validation items left in the lists.
        dim: dimensions that a row of ours must have to be compared; None for any.
    """

    title: str
    metrics: dict[str, str]
    percent: bool = False
    valid_listed: bool = False
    dim: int | None = None


_AT_20 = {"recall@20": "Recall@20", "ndcg@20": "NDCG@20"}
BOARDS = {  # by the name of the kept file
    "gowalla": Board("Gowalla", _AT_20, dim=64),
    "yelp2018": Board("Yelp2018", _AT_20, dim=64),
    "amazon_book": Board("Amazon-Book", _AT_20, dim=64),
    "steam": Board(
        "Steam-200k",
        {"ndcg@3": "NDCG@3", "precision@3": "P@3", "recall@3": "R@3", "map@5113": "MAP", "mrr@5113": "MRR"},
        percent=True,
        valid_listed=True,
    ),
    "ml1m": Board("MovieLens-1M", {"ndcg@50": "NDCG@50"}),
    "lastfm": Board("Last.fm", {"ndcg@50": "NDCG@50"}),
}


def published(path: Path = PUBLISHED) -> dict[str, list[dict[str, Any]]]:
    """Name of a board -> rows: name, source, inference, dim, selected_on, and metrics as shares of 1.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as published rows; restore it from the repository.") from error


def cells(kept: Mapping[str, Rows], found: Mapping[str, Rows]) -> list[list[str]]:
    """A line a board and metric, the heads first.

    Args:
        kept: as `keeping.read` returns it.
        found: as `published` returns it.
    """
    heads = ["board", "metric", "best other", "with two vectors", "ours", "where we stand", _ALONG_THE_WAY, "seconds"]
    lines = [_cells(board, kept.get(name, ()), _rivals(name, kept, found)) for name, board in BOARDS.items()]
    return [heads, *itertools.chain.from_iterable(lines)]


def as_markdown(kept: Mapping[str, Rows], found: Mapping[str, Rows]) -> str:
    """The boards, and below them what must be known to read them."""
    heads, *lines = cells(kept, found)
    return "\n".join([line(heads), "|" + "---|" * len(heads), *map(line, lines), "", *_notes(kept)])


def as_text(kept: Mapping[str, Rows], found: Mapping[str, Rows]) -> str:
    """The same for a terminal, with columns aligned."""
    lines = cells(kept, found)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = ["  ".join(map(str.ljust, each, widths)).rstrip() for each in lines]
    return "\n".join([*shown, "", *_notes(kept)])


def _rivals(name: str, kept: Mapping[str, Rows], found: Mapping[str, Rows]) -> Rows:
    """Published rows, and the libraries' baselines as they are kept."""
    board = BOARDS[name]
    measured = [
        {
            "name": f"{tables.strategy(row)[0]}, measured here",
            "inference": "item weights" if row["label"] in item_models.LIBRARIES else _TWO_VECTORS,
            "metrics": {metric: _mean(_values(row, board, metric)) for metric in board.metrics},
        }
        for row in kept.get(name, ())
        if row["label"] in search_spaces.LIBRARY_ROWS and _is_comparable(row, board)
    ]
    return [*found.get(name, ()), *measured]


def _is_comparable(row: Mapping[str, Any], board: Board) -> bool:
    """Whether a kept row has the scores that a board shows."""
    return bool(row["valid_listed"]) or not board.valid_listed


def _cells(board: Board, kept: Rows, rivals: Rows) -> list[list[str]]:
    ours = _best_of_ours(board, kept)
    found = []
    for number, (metric, heading) in enumerate(board.metrics.items()):
        best = _best(rivals, metric)
        of_two = _best([row for row in rivals if row["inference"] == _TWO_VECTORS], metric)
        cells = [board.title if number == 0 else "", heading]
        cells += [_rival(row, metric, board) for row in (best, of_two)]
        if ours is None:
            found.append([*cells, "no kept result", "-", "-", "-"])
            continue
        values = _values(ours, board, metric)
        seconds = f"{np.mean([run['wall_seconds'] for run in ours['runs']]):.0f}" if number == 0 else ""
        cells.append(f"{_written(values, board)} {tables.strategy(ours)[0]}")
        stand = _stand(_mean(values), best, of_two, metric, board)
        found.append([*cells, stand, _along_the_way(ours, metric, board), seconds])
    return found


def _best_of_ours(board: Board, kept: Rows) -> Mapping[str, Any] | None:
    first = next(iter(board.metrics))
    ours = [
        row
        for row in kept
        if row["label"] not in _NOT_OURS
        and _is_comparable(row, board)
        and board.dim in (None, row["config"]["model.dim"])
    ]
    return max(ours, key=lambda row: _mean(_values(row, board, first)), default=None)


def _values(row: Mapping[str, Any], board: Board, metric: str) -> list[float]:
    """One a seed; of the users whom LibCML counts, where that was kept."""
    if not board.valid_listed:
        return [run["metrics"][metric] for run in row["runs"]]
    return [scored.get(metric + keeping.FEW_LEFT_OUT, scored[metric]) for scored in row["valid_listed"]]


def _along_the_way(row: Mapping[str, Any], metric: str, board: Board) -> str:
    """The best test score along the way, by the protocol that it was scored by."""
    found = [run.get("best_test", {}).get("metrics", {}) for run in row["runs"]]
    if board.valid_listed or not all(metric in values for values in found):
        return "-"
    return _written([values[metric] for values in found], board)


def _best(rows: Rows, metric: str) -> Mapping[str, Any] | None:
    return max(rows, key=lambda row: row["metrics"][metric], default=None)


def _rival(row: Mapping[str, Any] | None, metric: str, board: Board) -> str:
    if row is None:
        return "-"
    return f"{_number(row['metrics'][metric], board)} {str(row['name']).partition(' (batch')[0]}"


def _stand(
    mean: float, best: Mapping[str, Any] | None, of_two: Mapping[str, Any] | None, metric: str, board: Board
) -> str:
    if best is None:
        return "-"
    words = [_side(mean - best["metrics"][metric], board)]
    if of_two is not None and of_two["metrics"][metric] < best["metrics"][metric]:
        side = _side(mean - of_two["metrics"][metric], board)
        words.append(f"{side} {'with' if side == 'level' else 'of'} two vectors")
    return ", ".join(words)


def _side(difference: float, board: Board) -> str:
    apart = _number(abs(difference), board)
    if float(apart) == 0:
        return "level"
    return f"{'ahead' if difference > 0 else 'behind'} by {apart}"


def _notes(kept: Mapping[str, Rows]) -> list[str]:
    """Sentences below the table."""
    shown = _best_of_ours(BOARDS["steam"], kept.get("steam", ()))
    scored = shown["valid_listed"] if shown else []
    if scored and all("map@5113" + keeping.FEW_LEFT_OUT in one for one in scored):
        users = "MAP and MRR leave out users with fewer than three test items, as there."
    else:
        users = "MAP and MRR are of all users here, and there of those with three test items or more."
    return [
        "Test, mean ± standard deviation over the seeds of the best row that is kept here; its settings were chosen on "
        "validation. Others are published rows and baselines of libraries, fitted and tuned here. Many published rows "
        "were chosen on test, as their tables below say, which flatters them. 'Two vectors' are methods that score by "
        "one vector a user and one an item. 'Chosen on test' is the best test score of all evaluations of our runs "
        "(`eval.final_split=best_test`), which is how such rows came about and not what stands before it. Seconds are "
        "those of one run on one core or two, with its evaluations, which score test too where that column is filled. "
        "On LightGCN's splits ours have 64 dimensions, as most published rows have.",
        "",
        "Steam-200k in percent, validation items left in the lists, as the code behind the published rows (LibCML) "
        f"does. {users}",
    ]


def published_table(name: str, found: Mapping[str, Rows]) -> str:
    """The published rows of a board, with their sources."""
    board, rows = BOARDS[name], found[name]
    with_dims = any(row["dim"] for row in rows)
    heads = ["published", "scores by", *(["d"] if with_dims else []), "chosen on", *board.metrics.values(), "source"]
    lines = [line(heads), "|" + "---|" * len(heads)]
    for row in rows:
        dim = [str(row["dim"] or "-")] if with_dims else []
        values = [_number(row["metrics"][metric], board) for metric in board.metrics]
        lines.append(line([row["name"], row["inference"], *dim, row["selected_on"], *values, row["source"]]))
    return "\n".join(lines)


def with_boards(text: str, kept: Mapping[str, Rows], found: Mapping[str, Rows] | None = None) -> str:
    """A text with the boards and the published rows between their marks, such as `<!-- published gowalla -->`.

    Raises:
        UserError: a mark is missing, or published.json cannot be read.
    """
    found = published() if found is None else found
    text = between(text, "boards", "boards", as_markdown(kept, found))
    for name in found:
        text = between(text, f"published {name}", f"published {name}", published_table(name, found))
    return text


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _written(values: Sequence[float], board: Board) -> str:
    mean = _number(_mean(values), board)
    return mean if len(values) == 1 else f"{mean} ± {_number(float(np.std(values, ddof=1)), board)}"


def _number(value: float, board: Board) -> str:
    return f"{100 * value:.2f}" if board.percent else f"{value:.4f}"
