"""Rows of a report against a baseline: paired by user, from the files per_user.npz of their runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cml_jax import statistics
from cml_jax.errors import UserError
from cml_jax.runs.config import default_values
from cml_jax.runs.workdir import read_json
from experiments.reports import rows as rows_lib
from experiments.reports import style
from experiments.reports.rows import Row

_LEAST_P = 0.0002  # below it the number of resamples decides


class Baseline(NamedTuple):
    """What a person chose to compare with.

    Attributes:
        label: of the row; none: a rule chooses.
        note: a sentence for the report, or nothing.
    """

    label: str | None
    note: str = ""


class Difference(NamedTuple):
    """A row against the baseline.

    Attributes:
        row: what is compared.
        seeds: which seeds of both are averaged, in words.
        test: the difference of NDCG and its p-value.
        corrected: the p-value, corrected for the number of rows.
    """

    row: Row
    seeds: str
    test: statistics.PairedTest
    corrected: float


class Comparison(NamedTuple):
    """The rows of a group against one of them.

    Attributes:
        baseline: what they are compared with.
        metric: what is compared.
        differences: of the rows that can be compared.
        untested: labels of rows, the baseline's too, none of whose runs has a per_user.npz.
    """

    baseline: Row
    metric: str
    differences: list[Difference]
    untested: list[str]


def chosen_baseline(workdir: Path, flag: str | None, rows: Sequence[Row]) -> Baseline:
    """The label that the flag names, else the one that sweep.json names.

    Raises:
        UserError: no row has that label.
    """
    path = workdir / "sweep.json"
    label, source = flag, f"--baseline={flag}"
    if label is None and path.exists():
        label = read_json(path).get("baseline")
        source = f"{path}, baseline = {label!r}"
    labels = list(dict.fromkeys(row.label for row in rows))
    if label is None or label in labels:
        return Baseline(label)
    if flag is None and isinstance(label, str) and (workdir / label).is_dir():
        return Baseline(None, f"The baseline of the sweep, {label}, has no finished run.")
    raise UserError(f"{source} is not the label of a row; choose one of {', '.join(labels)}.")


def baseline_of(group: Sequence[Row], label: str | None) -> Row:
    """The row of that label, else the one with the fewest keys that differ from the defaults, the first of several."""
    named = [row for row in group if row.label == label]
    return named[0] if named else min(group, key=lambda row: len(_changed(row)))


def _changed(row: Row) -> set[str]:
    """Keys of a row that are not the defaults, those that it does not have too, such as a library's baseline."""
    defaults = {key: json.loads(json.dumps(value)) for key, value in default_values().items()}
    keys = (defaults.keys() | row.config.keys()) - set(rows_lib.IGNORED)
    missing = object()
    return {key for key in keys if row.config.get(key, missing) != defaults.get(key, missing)}


def compare(group: Sequence[Row], label: str | None) -> Comparison:
    """Compares NDCG at the largest common cut-off, each user's being the mean over the seeds that two rows share.

    Of two rows without a seed in common, all seeds of each count. Holm corrects p-values for the number of rows.

    Raises:
        UserError: a per_user.npz cannot be read, or two are not about the same users.
    """
    baseline = baseline_of(group, label)
    metric = rows_lib.shown_metrics(group)[0]
    theirs = read_users(baseline, metric)
    found, untested = [], [] if theirs else [baseline.label]
    for row in group:
        if row is baseline:
            continue
        ours = read_users(row, metric)
        if not ours:
            untested.append(row.label)
        if not ours or not theirs:
            continue
        common = sorted(ours.keys() & theirs.keys())
        ways = [common, common] if common else [sorted(ours), sorted(theirs)]
        first, second = (_mean_over_seeds(runs, seeds) for runs, seeds in zip((ours, theirs), ways, strict=True))
        if first is None or second is None or not np.array_equal(first[0], second[0]):
            raise UserError(
                f"{row.folders[0] / 'per_user.npz'}: not of the same users in all runs of {row.label} and of "
                f"{baseline.label}; remove the runs' folders or repair them."
            )
        seeds = " against ".join(", ".join(map(str, way)) for way in (ways[:1] if common else ways))
        found.append((row, seeds, statistics.paired_bootstrap(first[1], second[1])))
    corrected = statistics.holm([test.p_value for *_, test in found])
    differences = [
        Difference(row, seeds, test, p_value) for (row, seeds, test), p_value in zip(found, corrected, strict=True)
    ]
    return Comparison(baseline, metric, differences, untested)


def read_users(row: Row, metric: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Seed -> users, ascending, and a metric of each; of the runs that have a per_user.npz.

    Raises:
        UserError: a file is not such an archive.
    """
    found = {}
    for seed, folder in zip(row.seeds, row.folders, strict=True):
        path = folder / "per_user.npz"
        if path.exists():
            found[seed] = _read(path, metric)
    return found


def _read(path: Path, metric: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        with path.open("rb") as opened, np.load(opened) as archive:  # NumPy leaves a damaged archive open
            users, values = archive["users"], archive[metric]
        good = users.ndim == 1 and users.shape == values.shape and len(users) > 0
        good = good and users.dtype.kind in "iu" and values.dtype.kind == "f"
        # Not a number: a user who does not count, with eval.enough_held_out.
        good = good and not np.isinf(values).any() and not np.isnan(values).all()
    except Exception as error:  # a damaged archive raises whatever its bytes lead to
        raise _damaged(path, metric) from error
    if not good or len(np.unique(users)) < len(users):
        raise _damaged(path, metric)
    order = np.argsort(users)
    return users[order], values[order].astype(np.float64)


def explained(found: Comparison) -> str:
    """Sentences on what the differences are."""
    baseline = found.baseline
    return (
        f"Difference of {style.written(found.metric, baseline.num_items)} from {baseline.label}, paired by user, each "
        f"with the mean over the seeds named; 95 % interval and two-sided p-value of a bootstrap over users, about "
        f"other users and not about other seeds. The last column is corrected for the number of rows, "
        f"{len(found.differences)}, by Holm's method."
    )


def about_untested(found: Comparison) -> str:
    """A sentence on the rows that are not compared."""
    return f"No test is possible without a per_user.npz: {', '.join(found.untested)}."


def written_difference(test: statistics.PairedTest) -> tuple[str, str]:
    """The difference and its interval."""
    return f"{test.difference:+.4f}", f"{test.low:+.4f} to {test.high:+.4f}"


def written_p(value: float) -> str:
    """A p-value as far as the resamples tell."""
    return f"< {_LEAST_P}" if value < _LEAST_P else f"{value:.4f}"


def _damaged(path: Path, metric: str) -> UserError:
    return UserError(f"{path}: does not hold {metric} by user; remove the file, or the run's folder.")


def _mean_over_seeds(
    runs: dict[int, tuple[np.ndarray, np.ndarray]], seeds: Sequence[int]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Users, and the mean of their values; None where the seeds do not agree on the users."""
    users = runs[seeds[0]][0]
    if any(not np.array_equal(users, runs[seed][0]) for seed in seeds):
        return None
    return users, np.mean([runs[seed][1] for seed in seeds], axis=0)
