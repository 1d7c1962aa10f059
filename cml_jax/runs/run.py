"""One run, alone or trained together with others: where it stands, its reports, its checkpoints and its result."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

from cml_jax import batches, checkpoint
from cml_jax.runs import checks, display, scoring, versions
from cml_jax.runs import config as config_lib
from cml_jax.runs.setup import Setup
from cml_jax.runs.summary import Summary, best_test, make_summary
from cml_jax.runs.tracking import Tracking
from cml_jax.runs.workdir import Workdir
from cml_jax.strategies import Options
from cml_jax.types import DeviceInteractions, Params, TrainState


@dataclasses.dataclass
class Run:
    """A run that was opened by `opening.open_run`.

    Attributes:
        setup: what it is.
        options: of its steps, on all its devices.
        data: the training interactions, on all its devices.
        workdir: its files; None where it has none.
        manager: of its checkpoints, where it has files.
        say: prints a line of its log.
        tracking: told of every report and of the result, too.
        draw: told of the result before that is written.
        state: where it stands, until somebody takes it to train it.
        best: its best parameters so far.
        records: its reports so far.
        unreported: a report still due, because SIGTERM came while that was evaluated.
        summary: its result, once there is one.
        start: sentences about the model that it has just started from.
    """

    setup: Setup
    options: Options
    data: DeviceInteractions
    workdir: Workdir | None
    manager: ocp.CheckpointManager | None
    say: Callable[[str], None]
    state: TrainState | None
    best: checkpoint.Best
    tracking: Tracking = dataclasses.field(default_factory=lambda: Tracking(()))
    draw: Callable[["Run", Summary], None] = lambda run, summary: None
    records: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    unreported: dict[str, Any] | None = None
    summary: Summary | None = None
    start: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """The workdir's name, for sentences."""
        return str(self.workdir.folder) if self.workdir else "this run"

    @property
    def step(self) -> int:
        """Steps done, before it is trained."""
        assert self.state is not None
        return int(self.state.step)

    def take_state(self) -> TrainState:
        """The state, which is no longer kept here, so that its memory can be reused."""
        state, self.state = self.state, None
        assert state is not None
        return state

    def add_steps(self, step: int, losses: np.ndarray, no_negative: int, throughput: float) -> None:
        """Notes the report of the steps since the last one; `report` evaluates and writes it.

        Raises:
            TrainingError: there is nothing to learn from them.
        """
        first, num_pairs = step - len(losses), self.setup.dataset.train.num_pairs
        batch_size = self.options.batch_size
        checks.check_loss(losses, first, self.setup.config)
        checks.check_negatives(no_negative, first, step, num_pairs, batch_size)
        self.unreported = {
            "step": step,
            "pass": step / batches.steps_per_pass(num_pairs, batch_size),
            "loss": float(losses.mean()),
            "throughput": throughput,
            "no_negative": no_negative,
            "metrics": {},
        }

    def evaluate(self, params: Params) -> dict[str, dict[str, float]]:
        """Metrics of parameters on 'valid', where it has pairs, and on 'test' with eval.final_split=best_test.

        It changes nothing.

        Raises:
            TrainingError: the parameters are not finite.
        """
        assert self.unreported is not None
        setup = self.setup
        checks.check_params(params, self.unreported["step"], setup.config)
        users: dict[str, np.ndarray | None] = (
            {"valid": setup.valid_users} if scoring.has_validation(setup.dataset) else {}
        )
        if scoring.scores_test_along_the_way(setup.dataset, setup.protocol):
            users["test"] = None
        if not users:
            return {}
        ranking = setup.ranking(params, self.data)
        return {
            part: scoring.score(ranking, setup.dataset, part, setup.protocol, of_part).values
            for part, of_part in users.items()
        }

    def report(self, params: Params | None = None, scores: dict[str, dict[str, float]] | None = None) -> None:
        """Appends the report that was noted, with the scores of the parameters where they were evaluated."""
        assert self.unreported is not None
        record: dict[str, Any] = self.unreported
        if params is not None and scores is not None:
            values = scores.get("valid", {})
            record = record | {"metrics": values}
            if "test" in scores:
                record["test_metrics"] = scores["test"]
            # Without validation there is nothing to choose by, and the last step counts.
            metric = self.setup.protocol.metric
            selected = values[metric] if values else 0.0
            if np.float32(selected) > self.best.value or not values:
                self.best = checkpoint.make_best(params, record["step"], selected)
            if values:
                self.say(display.format_record(record, metric))
        if self.workdir:
            self.workdir.append_record(record)
        self.tracking.report(record)
        self.records.append(record)
        self.unreported = None

    def save(self, state: TrainState, replace: bool = False) -> None:
        """Starts saving a state and the best parameters, where there is a workdir; `wait` waits for it.

        Args:
            state: under its step, unless that step is saved already.
            replace: whether what is saved of that step gives way to this.
        """
        if self.manager is None:
            return
        about = {
            "config": config_lib.to_json(self.setup.config),
            "data_sha256": self.setup.data_sha256,
            "versions": versions.versions(),
            "unreported": self.unreported,
        }
        checkpoint.save(self.manager, checkpoint.Progress(state, self.best), about, replace)

    def wait(self) -> None:
        """Returns when what is being saved is on disk."""
        if self.manager is not None:
            checkpoint.wait(self.manager)

    @property
    def out_of_patience(self) -> bool:
        """Whether the last eval.patience evaluations on validation were no better than the best before them."""
        patience = self.setup.config["eval.patience"]
        if patience is None:
            return False
        best = int(self.best.step)
        return sum(record["step"] > best for record in self.records if record["metrics"]) >= patience

    def finish(self, steps: int, throughput: float | None, seconds: float, num_members: int) -> Summary:
        """Scores the best parameters on validation in full and, once, on test; writes and returns the summary.

        Args:
            steps: done; fewer than those of the whole run where eval.patience ended it.
            throughput: triplets a second of the program that trained it.
            seconds: its share of the time of that.
            num_members: of that program.
        """
        started, setup = time.perf_counter(), self.setup
        final = scoring.final_scores(setup.ranking(self.best.params, self.data), setup.dataset, setup.protocol)
        self.summary = make_summary(
            final,
            setup.dataset,
            setup.data_sha256,
            best_step=int(self.best.step),
            best_test=best_test(self.records, setup.protocol.metric),
            steps=steps,
            patience=setup.config["eval.patience"] if steps < setup.num_steps else None,
            triplets_per_second=throughput,
            wall_seconds=seconds + time.perf_counter() - started,
            members=num_members,
        )
        if self.workdir:
            if self.summary.part in final:
                self.workdir.write_per_user(final[self.summary.part])
            if self.workdir.writes:
                self.draw(self, self.summary)
            self.workdir.write_summary(self.summary.to_json())
        self.tracking.result(self.summary)
        return self.summary
