"""One run, alone or of a population: where it stands, its reports, its checkpoints and its result."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from cml_jax import checkpoint, sampling, sharding, training
from cml_jax.data.interactions import Dataset
from cml_jax.errors import ConfigError
from cml_jax.statistics import bootstrap_intervals
from cml_jax.types import DeviceInteractions, HParams, Params, Spec, TrainState
from experiments import config as config_lib
from experiments import events, guards, processes, run_report, rundir, scoring, versions
from experiments.config import Config


@dataclasses.dataclass
class Member:
    """A run that was opened by `open_member`.

    Attributes:
        config: its keys, resolved.
        dataset: what it trains on and is scored on.
        data_sha256: the data set's digest.
        spec: what it is compiled for.
        hparams: its traced numbers.
        run: its workdir.
        manager: of its checkpoints.
        say: prints a line of its log.
        log: writes a report elsewhere, too.
        state: where it stands, until somebody takes it to train it.
        best: its best parameters so far.
        total: steps of the whole run.
        records: its reports so far.
        unreported: a report still due, because SIGTERM came while that was evaluated.
        summary: its result, once there is one.
    """

    config: Config
    dataset: Dataset
    data_sha256: str
    spec: Spec
    hparams: HParams
    run: rundir.Run
    manager: ocp.CheckpointManager
    say: Callable[[str], None]
    log: Callable[[dict[str, Any]], None]
    state: TrainState | None
    best: checkpoint.Best
    total: int
    valid_users: np.ndarray
    records: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    unreported: dict[str, Any] | None = None
    summary: dict[str, Any] | None = None

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
        first, num_pairs, batch_size = step - len(losses), self.dataset.train.num_pairs, self.spec.batch_size
        guards.check_loss(losses, first, self.config)
        guards.check_negatives(no_negative, first, step, num_pairs, batch_size)
        self.unreported = {
            "step": step,
            "pass": step / sampling.steps_per_pass(num_pairs, batch_size),
            "loss": float(losses.mean()),
            "throughput": throughput,
            "no_negative": no_negative,
            "metrics": {},
        }

    def evaluate(self, params: Params) -> dict[str, float]:
        """Validation metrics of parameters; changes nothing.

        Raises:
            TrainingError: the parameters are not finite.
        """
        assert self.unreported is not None
        guards.check_params(params, self.unreported["step"], self.config)
        if not scoring.is_possible(self.dataset):
            return {}
        return scoring.score(params, self.dataset, "valid", self.config, self.valid_users).values

    def report(self, params: Params | None = None, values: dict[str, float] | None = None) -> None:
        """Appends the report that was noted, with the metrics of the parameters where they were evaluated."""
        assert self.unreported is not None
        record: dict[str, Any] = self.unreported
        if params is not None and values is not None:
            record = record | {"metrics": values}
            # Without validation there is nothing to choose by, and the last step counts.
            metric = scoring.selection_metric(self.config)
            selected = values[metric] if values else 0.0
            if np.float32(selected) > self.best.value or not values:
                self.best = checkpoint.make_best(params, record["step"], selected)
            if values:
                self.say(run_report.format_record(record, metric))
        self.run.append_record(record)
        self.log(record)
        self.records.append(record)
        self.unreported = None

    def save(self, state: TrainState) -> None:
        """Starts saving a state and the best parameters; `checkpoint.wait` waits for it."""
        about = {
            "config": config_lib.to_json(self.config),
            "data_sha256": self.data_sha256,
            "versions": versions.versions(),
            "unreported": self.unreported,
        }
        checkpoint.save(self.manager, checkpoint.Progress(state, self.best), about)

    def finish(self, throughput: float | None, seconds: float, num_members: int) -> dict[str, Any]:
        """Scores the best parameters on validation in full and, once, on test; writes and returns the summary.

        Args:
            throughput: triplets a second of the program that trained it.
            seconds: its share of the time of that.
            num_members: of that program.
        """
        started, config = time.perf_counter(), self.config
        parts = ("valid",) if config.eval.final_split == "valid" else ("valid", "test")
        parts = parts if scoring.is_possible(self.dataset) else ("test",)
        final = {part: scoring.score(self.best.params, self.dataset, part, config, final=True) for part in parts}
        self.run.write_per_user(final[parts[-1]])
        self.summary = {
            **{part: final[part].values if part in final else {} for part in ("valid", "test")},
            "intervals": {part: bootstrap_intervals(result.per_user) for part, result in final.items()},
            "by_popularity": {part: result.by_popularity for part, result in final.items()},
            "best_step": int(self.best.step),
            "steps": self.total,
            "triplets_per_second": throughput,
            "wall_seconds": seconds + time.perf_counter() - started,
            "members": num_members,
            "dataset": sizes(self.dataset) | {"sha256": self.data_sha256},
            "versions": versions.versions(),
            "device": f"{jax.device_count()} x {jax.devices()[0].device_kind} ({jax.default_backend()})",
        }
        if self.run.writes:
            metric = scoring.selection_metric(config)
            run_report.save_curves(self.records, self.summary, metric, self.run.folder / "curves.png")
        self.run.write_summary(self.summary)
        return self.summary


@contextlib.contextmanager
def open_member(
    config: Config,
    dataset: Dataset,
    data_sha256: str,
    workdir: str | os.PathLike[str],
    data: DeviceInteractions,
    say: Callable[[str], None],
) -> Iterator[Member]:
    """A run at its last checkpoint, or at the start; one that is finished has its summary.

    Args:
        config: resolved and valid.
        dataset: what it names.
        data_sha256: the digest of that.
        workdir: its folder, kept from other runs meanwhile.
        data: the training part on the device, as it is for one shard.
        say: prints a line of the log.

    Raises:
        UserError: the workdir holds another run, or cannot be written.
    """
    spec = config_lib.make_spec(config, dataset.train)
    total = config_lib.num_steps(config, dataset.train.num_pairs)
    hparams = jax.tree.map(jnp.float32, config_lib.make_hparams(config, dataset.train.num_pairs))
    hparams, data = sharding.everywhere((hparams, data), spec.num_shards)
    progress = checkpoint.start(training.init_state(spec, data, hparams, config.seed))
    with (
        rundir.open_run(workdir, config, data_sha256, writes=processes.is_first()) as run,
        checkpoint.open_manager(run.checkpoints, config.checkpoint.keep) as manager,
        contextlib.ExitStack() as stack,
    ):
        for line in run.changes:
            say(line)
        run.write_dataset(dataset, data_sha256)
        restored = checkpoint.restore(manager, progress)
        for line in restored.damaged:
            say(f"Warning: {line}")
        progress = restored.progress or progress
        member = Member(
            config=config,
            dataset=dataset,
            data_sha256=data_sha256,
            spec=spec,
            hparams=hparams,
            run=run,
            manager=manager,
            say=say,
            log=lambda record: None,
            state=progress.state,
            best=progress.best,
            total=total,
            valid_users=scoring.validation_users(dataset, config),
        )
        unreported = restored.about.get("unreported")
        done, found = int(progress.state.step), restored.progress is not None
        del progress, restored  # the member alone holds the state, or this would keep it for as long as it is open
        if done > total:
            raise too_long(run, total)
        if not found:
            run.remove_results()
        elif run.is_finished(total) and done == total:
            member.summary = run.read_json("summary.json")
            say(f"{run.folder} holds this run, finished.")
            yield member
            return
        else:
            say(f"Going on from step {done} of {run.folder}.")
        member.unreported = unreported
        run.write_config(config, data_sha256)
        say(f"Writing to {run.folder}.")
        member.records = run.keep_records(until=done - (member.unreported is not None))
        if config.log.tensorboard and run.writes:
            member.log = stack.enter_context(events.open_events(run.folder / "tensorboard", member.records))
        yield member


def too_long(run: rundir.Run, total: int) -> ConfigError:
    """The error for a workdir whose run has done more steps than are asked for."""
    return ConfigError(
        f"{run.folder} has done {run.newest_step()} steps, more than the {total} asked for; choose another --workdir."
    )


def due(step: int, total: int, every: int) -> bool:
    """Whether what happens every so many steps, and at the last one, happens at this one."""
    return step % every == 0 or step == total


def sizes(dataset: Dataset) -> dict[str, int]:
    """Numbers of users and items, and of pairs in each part."""
    return {
        "users": dataset.train.num_users,
        "items": dataset.train.num_items,
        "train": dataset.train.num_pairs,
        "valid": dataset.valid.num_pairs,
        "test": dataset.test.num_pairs,
    }
