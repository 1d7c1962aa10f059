"""The training loop: data, steps, evaluation, checkpoints, summary."""

import contextlib
import os
import platform
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from tqdm import tqdm

from cml_jax import checkpoint, sampling, sharding, training
from cml_jax.data import datasets
from cml_jax.data.interactions import Dataset
from cml_jax.errors import ConfigError
from cml_jax.statistics import bootstrap_intervals
from cml_jax.types import DeviceInteractions, HParams, Spec
from experiments import config as config_lib
from experiments import guards, preemption, processes, run_report, rundir, scoring, validation
from experiments.config import Config
from experiments.preemption import Preempted

_VERSIONS_OF = ("cml_jax", "jax", "jaxlib", "numpy", "optax", "orbax-checkpoint")


def say(text: str) -> None:
    """Prints a line of the log to standard error, above the progress bar."""
    if processes.is_first():
        tqdm.write(text, file=sys.stderr)


def show(text: str) -> None:
    """Prints a result to standard output."""
    if processes.is_first():
        print(text)


def train_and_evaluate(config: Config, workdir: str | os.PathLike[str]) -> dict[str, Any]:
    """Trains, keeps the best parameters by validation NDCG, evaluates those once on test.

    Args:
        config: from a config file; see `experiments.config.default_config` for its keys.
        workdir: folder for config.json, dataset.npz, metrics.jsonl, summary.json, curves.png and checkpoints/. An
            unfinished run of the same config in it goes on, and so does a finished one that is asked for more steps;
            otherwise a finished one is reported again. The last step is always evaluated, whether eval.every_steps
            divides it or not.

    Returns:
        What summary.json holds.

    Raises:
        UserError: one sentence, before any work where the config or the data cannot be used.
        Preempted: SIGTERM came; a checkpoint holds what was done.
    """
    with preemption.watch(alone=jax.process_count() == 1) as watch:
        with _stoppable(watch, "Stopped before the first step."):
            validation.validate(config)
            config = config_lib.resolve(config)
            dataset = datasets.load(**config.dataset)
            validation.validate_against(config, dataset.train)
            data_sha256 = dataset.sha256()
            processes.check_same_data(data_sha256)
        with rundir.open_run(workdir, config, data_sha256, writes=processes.is_first()) as run:
            return _run(_Job.prepare(config, dataset, data_sha256, run, watch))


class _Job(NamedTuple):
    """What stays the same during a run."""

    config: Config
    dataset: Dataset
    data_sha256: str
    run: rundir.Run
    watch: preemption.Watch
    total: int  # steps
    valid_users: np.ndarray
    spec: Spec
    hparams: HParams
    data: DeviceInteractions

    @classmethod
    def prepare(
        cls, config: Config, dataset: Dataset, data_sha256: str, run: rundir.Run, watch: preemption.Watch
    ) -> "_Job":
        spec = config_lib.make_spec(config, dataset.train)
        hparams = jax.tree.map(jnp.float32, config_lib.make_hparams(config))
        hparams, data = sharding.everywhere((hparams, dataset.train.to_device()), spec.num_shards)
        return cls(
            config=config,
            dataset=dataset,
            data_sha256=data_sha256,
            run=run,
            watch=watch,
            total=config_lib.num_steps(config, dataset.train.num_pairs),
            valid_users=scoring.validation_users(dataset, config),
            spec=spec,
            hparams=hparams,
            data=data,
        )

    @property
    def about(self) -> dict[str, Any]:
        """What is saved beside a checkpoint."""
        return {"config": config_lib.to_json(self.config), "data_sha256": self.data_sha256, "versions": versions()}


def _run(job: _Job) -> dict[str, Any]:
    """A run from its last checkpoint, or from the start, to its summary."""
    run, dataset = job.run, job.dataset
    for line in [*dataset.notes, *run.changes]:
        say(line)
    say(f"{job.config.dataset.name}: " + ", ".join(f"{count:,} {name}" for name, count in _sizes(dataset).items()))

    run.write_dataset(dataset, job.data_sha256)
    progress = checkpoint.start(training.init_state(job.spec, job.data, job.hparams, job.config.seed))
    with checkpoint.open_manager(run.checkpoints, job.config.checkpoint.keep) as manager:
        restored = checkpoint.restore(manager, progress)
        for line in restored.damaged:
            say(f"Warning: {line}")
        if restored.progress is not None:
            progress = restored.progress
            done = int(progress.state.step)
            if done > job.total:
                raise ConfigError(
                    f"{run.folder} has done {done} steps, more than the {job.total} asked for; choose another "
                    f"--workdir."
                )
            summary = run.read_json("summary.json")
            if summary is not None and summary.get("steps") == job.total == done:
                say(f"{run.folder} holds this run, finished.")
                show(run_report.format_summary(summary))
                return summary
            say(f"Going on from step {done} of {run.folder}.")
        else:
            run.remove_summary()
        run.write_config(job.config, job.data_sha256)
        say(f"Writing to {run.folder}.")

        started = time.perf_counter()
        unreported = restored.about.get("unreported")
        records = run.keep_records(until=int(progress.state.step) - (unreported is not None))
        best, throughput = _train(job, progress, manager, records, unreported)
        checkpoint.wait(manager)

    # ---- The best parameters, on validation in full and once on test.
    with _stoppable(job.watch, f"Stopped after the last step of {run.folder}, which is saved; test was not scored."):
        parts = ("valid",) if job.config.eval.final_split == "valid" else ("valid", "test")
        final = {part: scoring.score(best.params, dataset, part, job.config) for part in parts}
    summary = {
        "valid": final["valid"].values,
        "test": final["test"].values if "test" in final else {},
        "intervals": {part: bootstrap_intervals(result.per_user) for part, result in final.items()},
        "best_step": int(best.step),
        "steps": job.total,
        "triplets_per_second": throughput,
        "wall_seconds": time.perf_counter() - started,
        "dataset": _sizes(dataset) | {"sha256": job.data_sha256},
        "versions": versions(),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind} ({jax.default_backend()})",
    }
    if run.writes:
        run_report.save_curves(records, summary, job.config.eval.ks, run.folder / "curves.png")
    run.write_summary(summary)
    show(run_report.format_summary(summary))
    return summary


def _train(
    job: _Job,
    progress: checkpoint.Progress,
    manager: ocp.CheckpointManager,
    records: list[dict[str, Any]],
    unreported: dict[str, Any] | None,
) -> tuple[checkpoint.Best, float | None]:
    """Trains to the last step, adding to `records`; returns the best parameters, and triplets a second of this part.

    Args:
        job: the run.
        progress: where it stands.
        manager: of its checkpoints.
        records: the reports so far.
        unreported: a report still due for the step it stands at, because SIGTERM came while that was evaluated.
    """
    config, spec, run, num_pairs = job.config, job.spec, job.run, job.dataset.train.num_pairs
    state, best = progress
    advance = _compiled_steps(state, job.data, job.hparams, spec)
    trained_seconds, trained_steps = 0.0, 0

    def stop(unreported: dict[str, Any] | None = None) -> NoReturn:
        checkpoint.save(manager, checkpoint.Progress(state, best), job.about | {"unreported": unreported})
        checkpoint.wait(manager)
        raise Preempted(
            f"Stopped by SIGTERM after step {int(state.step)}, saved in {run.folder}; start again to go on."
        )

    def report(record: dict[str, Any], best: checkpoint.Best) -> checkpoint.Best:
        """Evaluates where that is due, and appends the report."""
        if _due(record["step"], job.total, config.eval.every_steps):
            try:
                with job.watch.interruptible():
                    params = training.settled(state, job.hparams, spec=spec)
                    guards.check_params(params, record["step"], config)
                    values = scoring.score(params, job.dataset, "valid", config, job.valid_users).values
            except Preempted:
                stop(unreported=record)
            record = record | {"metrics": values}
            selected = values[run_report.selection_metric(config.eval.ks)]
            if np.float32(selected) > best.value:
                best = checkpoint.make_best(params, record["step"], selected)
            say(run_report.format_record(record, config.eval.ks))
        run.append_record(record)
        records.append(record)
        return best

    if unreported is not None:
        best = report(unreported, best)
    with tqdm(total=job.total, initial=int(state.step), unit="step", mininterval=0.5, disable=not run.writes) as bar:
        for step, num_steps in _chunks(int(state.step), job.total, config):
            state, metrics, seconds = advance(state, num_steps)
            losses, no_negative = np.asarray(metrics.loss), int(np.sum(metrics.no_negative))
            guards.check_loss(losses, step - num_steps, config)
            guards.check_negatives(no_negative, step - num_steps, step, num_pairs, spec.batch_size)
            trained_seconds, trained_steps = trained_seconds + seconds, trained_steps + num_steps
            record = {
                "step": step,
                "pass": step / sampling.steps_per_pass(num_pairs, spec.batch_size),
                "loss": float(losses.mean()),
                "throughput": num_steps * spec.batch_size / seconds,
                "no_negative": no_negative,
                "metrics": {},
            }
            bar.update(num_steps)
            bar.set_postfix_str(f"loss {record['loss']:.4f}, {record['throughput']:,.0f} triplets/s")
            best = report(record, best)
            if processes.any_of_all(job.watch.requested):
                stop()
            if _due(step, job.total, config.checkpoint.every_steps):
                checkpoint.save(manager, checkpoint.Progress(state, best), job.about)
    return best, trained_steps * spec.batch_size / trained_seconds if trained_steps else None


@contextlib.contextmanager
def _stoppable(watch: preemption.Watch, sentence: str) -> Iterator[None]:
    """A stretch that SIGTERM ends at once, with a sentence."""
    try:
        with watch.interruptible():
            yield
    except Preempted:
        raise Preempted(sentence) from None


def versions() -> dict[str, str]:
    """Of the libraries that results may depend on."""
    return {name: metadata.version(name) for name in _VERSIONS_OF} | {"python": platform.python_version()}


def _sizes(dataset: Dataset) -> dict[str, int]:
    """Numbers of users and items, and of pairs in each part."""
    return {
        "users": dataset.train.num_users,
        "items": dataset.train.num_items,
        "train": dataset.train.num_pairs,
        "valid": dataset.valid.num_pairs,
        "test": dataset.test.num_pairs,
    }


def _due(step: int, total: int, every: int) -> bool:
    return step % every == 0 or step == total


def _chunks(done: int, total: int, config: Config) -> Iterator[tuple[int, int]]:
    """Yields (step reached, steps to take) such that a chunk ends wherever something is due."""
    periods = (config.train.report_every_steps, config.eval.every_steps, config.checkpoint.every_steps)
    while done < total:
        reached = min(total, *(done + period - done % period for period in periods))
        yield reached, reached - done
        done = reached


def _compiled_steps(state, data, hparams, spec):
    """A function (state, number of steps) -> (state, metrics, seconds) whose seconds leave out compilation."""
    compiled = {}

    def advance(state, num_steps):
        if num_steps not in compiled:
            lowered = training.run_steps.lower(state, data, hparams, spec=spec, num_steps=num_steps)
            compiled[num_steps] = lowered.compile()
        before = time.perf_counter()
        state, metrics = jax.block_until_ready(compiled[num_steps](state, data, hparams))
        return state, metrics, time.perf_counter() - before

    return advance
