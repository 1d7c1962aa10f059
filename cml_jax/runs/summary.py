"""The schema of summary.json: the result of a run, written and read here alone."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cml_jax.data.interactions import Dataset
from cml_jax.errors import UserError
from cml_jax.evaluation import Evaluation
from cml_jax.runs import versions
from cml_jax.runs.setup import sizes
from cml_jax.runs.workdir import read_json
from cml_jax.statistics import bootstrap_intervals

FILE = "summary.json"


@dataclasses.dataclass(frozen=True)
class Summary:
    """The result of a run.

    Attributes:
        valid: metrics of the best step on validation; empty where there is none.
        test: metrics of the best step on test; empty where test was left alone.
        intervals: part -> metric -> 95 % bootstrap interval over users.
        by_popularity: part -> metric -> a value for each popularity decile.
        best_step: whose parameters were scored.
        steps: that were done.
        triplets_per_second: of the training steps alone.
        wall_seconds: of the run, its share where several were trained together.
        members: how many were.
        dataset: numbers of users, items and pairs of each part, and the digest `sha256`.
        versions: of libraries, Python, and the commit.
        device: what it ran on.
        best_test: with eval.final_split=best_test the metrics of test at the step where they were best, and that step:
            a choice made on test, for comparison with published rows that were chosen so.
        patience: eval.patience where that ended the run before its last step, else None.
    """

    valid: dict[str, float]
    test: dict[str, float]
    intervals: dict[str, dict[str, tuple[float, float]]]
    by_popularity: dict[str, dict[str, list[float | None]]]
    best_step: int
    steps: int
    triplets_per_second: float | None
    wall_seconds: float
    members: int
    dataset: dict[str, Any]
    versions: dict[str, str]
    device: str
    best_test: dict[str, Any] = dataclasses.field(default_factory=dict)
    patience: int | None = None

    @property
    def part(self) -> str:
        """What counts: 'test', or 'valid' where test was left alone."""
        return "test" if self.test else "valid"

    @property
    def scores(self) -> dict[str, dict[str, float]]:
        """Metrics by part, of the parts that were scored."""
        return {part: values for part, values in (("valid", self.valid), ("test", self.test)) if values}

    @property
    def metrics(self) -> dict[str, float]:
        """Of the part that counts."""
        return self.test or self.valid

    def to_json(self) -> dict[str, Any]:
        """The object that the file holds."""
        return dataclasses.asdict(self)


def make_summary(
    scores: Mapping[str, Evaluation],
    dataset: Dataset,
    data_sha256: str,
    *,
    best_step: int,
    best_test: Mapping[str, Any] | None = None,
    steps: int,
    patience: int | None = None,
    triplets_per_second: float | None,
    wall_seconds: float,
    members: int = 1,
    more_versions: Mapping[str, str] | None = None,
    device: str | None = None,
) -> Summary:
    """The summary of final scores, from `scoring.final_scores`."""
    return Summary(
        **{part: scores[part].values if part in scores else {} for part in ("valid", "test")},
        intervals={part: bootstrap_intervals(result.per_user) for part, result in scores.items()},
        by_popularity={part: result.by_popularity for part, result in scores.items()},
        best_step=best_step,
        steps=steps,
        triplets_per_second=triplets_per_second,
        wall_seconds=wall_seconds,
        members=members,
        dataset=sizes(dataset) | {"sha256": data_sha256},
        versions=versions.versions() | dict(more_versions or {}),
        device=device or versions.devices(),
        best_test=dict(best_test or {}),
        patience=patience,
    )


def best_test(records: Sequence[Mapping[str, Any]], metric: str) -> dict[str, Any]:
    """The report with the best score of test, by a metric: its step and metrics; empty where none scored test."""
    scored = [record for record in records if "test_metrics" in record]
    best = max(scored, key=lambda record: record["test_metrics"][metric], default=None)
    return {} if best is None else {"step": best["step"], "metrics": best["test_metrics"]}


def from_json(values: Mapping[str, Any], path: Path) -> Summary:
    """A summary from the object that a file holds.

    Raises:
        UserError: it is not the summary of a run; the path is named.
    """
    try:
        fields = dataclasses.fields(Summary)
        missing = dataclasses.MISSING
        needed = {field.name for field in fields if field.default is missing and field.default_factory is missing}
        # What earlier versions did not write yet has a default.
        known = {field.name for field in fields} & values.keys() | needed
        found = Summary(**{name: values[name] for name in known})
        for name in [*found.metrics, *found.intervals.get(found.part, {})]:
            float(found.metrics[name])
        _ = int(found.steps), float(found.wall_seconds), found.dataset["sha256"]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not the summary of a run; remove the run's folder or repair it.") from error
    return found


def read_summary(path: Path) -> Summary:
    """The summary in a file.

    Raises:
        UserError: it cannot be read, or is not the summary of a run.
    """
    return from_json(read_json(path), path)
