"""The training loop: data, steps, evaluation, checkpoints, summary."""

import os
import platform
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

from cml_jax import checkpoint, sampling, training
from cml_jax.data import datasets
from cml_jax.data.interactions import Dataset, union
from cml_jax.errors import ConfigError, TrainingError
from cml_jax.evaluation import Evaluation, evaluate
from cml_jax.statistics import bootstrap_intervals
from cml_jax.types import Params
from experiments import config as config_lib
from experiments import run_report, rundir, validation
from experiments.config import Config

_VERSIONS_OF = ("cml_jax", "jax", "jaxlib", "numpy", "optax", "orbax-checkpoint")


def say(text: str) -> None:
    """Prints a line of the log to standard error, above the progress bar."""
    tqdm.write(text, file=sys.stderr)


def train_and_evaluate(config: Config, workdir: str | os.PathLike[str]) -> dict[str, Any]:
    """Trains, keeps the best parameters by validation NDCG, evaluates those once on test.

    Args:
        config: from a config file; see `experiments.config.default_config` for its keys.
        workdir: folder for config.json, metrics.jsonl, summary.json, curves.png and checkpoints/. An unfinished run of
            the same config in it goes on, and so does a finished one that is asked for more steps; otherwise a finished
            one is reported again. The last step is always evaluated, whether eval.every_steps divides it or not.

    Returns:
        What summary.json holds.

    Raises:
        UserError: one sentence, before any work where the config or the data cannot be used.
    """
    # ---- Everything that can be wrong with the input shows here, before anything is written.
    validation.validate(config)
    config = config_lib.resolve(config)
    dataset = datasets.load(**config.dataset)
    validation.validate_against(config, dataset.train)
    data_sha256 = dataset.sha256()
    run = rundir.open_run(workdir, config, data_sha256)
    for note in dataset.notes:
        say(note)
    say(f"{config.dataset.name}: " + ", ".join(f"{count:,} {name}" for name, count in _sizes(dataset).items()))

    # ---- State, or what is left of an earlier run.
    spec = config_lib.make_spec(config, dataset.train)
    hparams = jax.tree.map(jnp.float32, config_lib.make_hparams(config))
    data = dataset.train.to_device()
    progress = checkpoint.start(training.init_state(spec, data, hparams, config.seed))
    manager = checkpoint.open_manager(run.checkpoints, config.checkpoint.keep)
    total = config_lib.num_steps(config, dataset.train.num_pairs)
    restored = checkpoint.restore(manager, progress)
    if restored is not None:
        progress = restored
        done = int(progress.state.step)
        if done > total:
            raise ConfigError(
                f"{run.folder} has done {done} steps, more than the {total} asked for; choose another --workdir."
            )
        summary = run.read_json("summary.json")
        if summary is not None and summary.get("steps") == total == done:
            say(f"{run.folder} holds this run, finished.")
            print(run_report.format_summary(summary))
            return summary
        say(f"Going on from step {done} of {run.folder}.")
    else:
        run.remove_summary()
    run.write_config(config, data_sha256)
    say(f"Writing to {run.folder}.")
    state, best = progress
    records = run.keep_records(until=int(state.step))

    # ---- Train.
    started = time.perf_counter()
    advance = _compiled_steps(state, data, hparams, spec)
    valid_users = _validation_users(dataset, config)
    trained_seconds, trained_steps = 0.0, 0
    with tqdm(total=total, initial=int(state.step), unit="step", mininterval=0.5) as bar:
        for step, num_steps in _chunks(int(state.step), total, config):
            state, metrics, seconds = advance(state, num_steps)
            losses = np.asarray(metrics.loss)
            _stop_at_bad_loss(losses, step - num_steps, config)
            trained_seconds, trained_steps = trained_seconds + seconds, trained_steps + num_steps
            throughput = num_steps * spec.batch_size / seconds
            no_negative = int(np.sum(metrics.no_negative))
            if no_negative == _num_pairs_seen(step - num_steps, step, dataset.train.num_pairs, spec.batch_size):
                raise TrainingError(
                    f"No pair of steps {step - num_steps + 1} to {step} has a valid negative; raise "
                    f"config.sampler.num_candidates, or use config.sampler.name = 'uniform'."
                )
            record = {
                "step": step,
                "pass": step / sampling.steps_per_pass(dataset.train.num_pairs, spec.batch_size),
                "loss": float(losses.mean()),
                "throughput": throughput,
                "no_negative": no_negative,
                "metrics": {},
            }
            bar.update(num_steps)
            bar.set_postfix_str(f"loss {record['loss']:.4f}, {throughput:,.0f} triplets/s")
            if _due(step, total, config.eval.every_steps):
                params = training.settled(state, hparams, spec=spec)
                _stop_at_bad_params(params, step, config)
                values = _evaluate(params, dataset, "valid", config, valid_users).values
                record["metrics"] = values
                selected = values[run_report.selection_metric(config.eval.ks)]
                if np.float32(selected) > best.value:
                    copied = jax.tree.map(jnp.copy, params)  # the state's own buffers are donated
                    best = checkpoint.Best(copied, jnp.int32(step), jnp.float32(selected))
                say(run_report.format_record(record, config.eval.ks))
            run.append_record(record)
            records.append(record)
            if _due(step, total, config.checkpoint.every_steps):
                checkpoint.save(manager, checkpoint.Progress(state, best))
                manager.wait_until_finished()  # the next step reuses the buffers being written
    manager.close()

    # ---- The best parameters, on validation in full and once on test.
    final_parts = ("valid",) if config.eval.final_split == "valid" else ("valid", "test")
    final = {part: _evaluate(best.params, dataset, part, config) for part in final_parts}
    summary = {
        "valid": final["valid"].values,
        "test": final["test"].values if "test" in final else {},
        "intervals": {part: bootstrap_intervals(result.per_user) for part, result in final.items()},
        "best_step": int(best.step),
        "steps": total,
        "triplets_per_second": trained_steps * spec.batch_size / trained_seconds if trained_steps else None,
        "wall_seconds": time.perf_counter() - started,
        "dataset": _sizes(dataset) | {"sha256": data_sha256},
        "versions": {name: metadata.version(name) for name in _VERSIONS_OF} | {"python": platform.python_version()},
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind} ({jax.default_backend()})",
    }
    run_report.save_curves(records, summary, config.eval.ks, run.folder / "curves.png")
    run.write_summary(summary)
    print(run_report.format_summary(summary))
    return summary


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


def _num_pairs_seen(start: int, end: int, num_pairs: int, batch_size: int) -> int:
    """Training pairs in the batches of steps start to end - 1; the last batch of a pass may be a partial one."""
    place = np.arange(start, end) % sampling.steps_per_pass(num_pairs, batch_size) * batch_size
    return int(np.minimum(batch_size, num_pairs - place).sum())


def _stop_at_bad_loss(losses: np.ndarray, first: int, config: Config) -> None:
    """Raises TrainingError that names the first step, counted from 1, whose loss is not finite."""
    bad = np.flatnonzero(~np.isfinite(losses))
    if len(bad):
        raise _diverged(f"The loss is {losses[bad[0]]} at step {first + bad[0] + 1}", config)


def _stop_at_bad_params(params: Params, step: int, config: Config) -> None:
    """Raises TrainingError where the squared norm of a row is not finite, which no loss may have shown yet."""
    if not all(bool(jnp.all(jnp.isfinite(jnp.sum(jnp.square(table), axis=1)))) for table in params):
        raise _diverged(f"The squared norm of an embedding is not finite after step {step}", config)


def _diverged(what: str, config: Config) -> TrainingError:
    return TrainingError(
        f"{what}; lower config.optimizer.learning_rate (now {config.optimizer.learning_rate:g}) or set "
        f"config.model.constraint to 'sphere' (now '{config.model.constraint}')."
    )


def _validation_users(dataset: Dataset, config: Config) -> np.ndarray:
    """All users with validation items, or a seeded choice of eval.max_users of them."""
    users = np.flatnonzero(dataset.valid.degrees > 0)
    limit = config.eval.max_users
    if limit is None or limit >= len(users):
        return users
    return np.sort(np.random.default_rng(config.dataset.split_seed).choice(users, limit, replace=False))


def _evaluate(
    params: Params, dataset: Dataset, part: str, config: Config, users: np.ndarray | None = None
) -> Evaluation:
    """Metrics on 'valid' with train masked, or on 'test' with train and valid masked."""
    seen = dataset.train if part == "valid" else union(dataset.train, dataset.valid)
    held_out = dataset.valid if part == "valid" else dataset.test
    return evaluate(
        training.embeddings(params, config.model.constraint),
        dataset.train,
        seen,
        held_out,
        ks=config.eval.ks,
        users=users,
        memory_budget_mb=config.eval.memory_budget_mb,
    )
