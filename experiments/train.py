"""The training loop: steps, evaluation, checkpoints, summary; of one run, or of the members of a population."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np
from tqdm import tqdm

from cml_jax import checkpoint, population, sharding, training
from cml_jax.data import datasets
from cml_jax.errors import TrainingError
from cml_jax.types import DeviceInteractions, Spec, StepMetrics, TrainState
from experiments import config as config_lib
from experiments import preemption, processes, run_report, scoring, validation
from experiments.config import Config
from experiments.console import say, show
from experiments.member import Member, due, open_member, sizes
from experiments.preemption import Preempted

Advanced = Callable[[int, str], None]  # (steps taken, what to show)


def train_and_evaluate(config: Config, workdir: str | os.PathLike[str]) -> dict[str, Any]:
    """Trains, keeps the best parameters by validation NDCG, evaluates those once on test.

    Args:
        config: from a config file; see `experiments.config.default_config` for its keys.
        workdir: folder for config.json, dataset.npz, metrics.jsonl, summary.json, per_user.npz, curves.png and
            checkpoints/. An unfinished run of the same config in it goes on, and so does a finished one that is asked
            for more steps; otherwise a finished one is reported again. The last step is always evaluated, whether
            eval.every_steps divides it or not.

    Returns:
        What summary.json holds.

    Raises:
        UserError: one sentence, before any work where the config or the data cannot be used.
        Preempted: SIGTERM came; a checkpoint holds what was done.
    """
    with preemption.watch(alone=jax.process_count() == 1) as watch:
        with preemption.stoppable(watch, "Stopped before the first step."):
            validation.validate(config)
            config = config_lib.resolve(config)
            dataset = datasets.load(**config.dataset)
            validation.validate_against(config, dataset)
            data_sha256 = dataset.sha256()
            processes.check_same_data(data_sha256)
        for line in dataset.notes:
            say(line)
        say(f"{config.dataset.name}: " + ", ".join(f"{count:,} {name}" for name, count in sizes(dataset).items()))
        data = dataset.train.to_device()
        with open_member(config, dataset, data_sha256, workdir, data, say) as member:
            if member.summary is None:
                start, writes = member.step, member.run.writes
                with tqdm(total=member.total, initial=start, unit="step", mininterval=0.5, disable=not writes) as bar:
                    train_members([member], data, watch, _to_bar(bar), _raise)
            assert member.summary is not None
            show(run_report.format_summary(member.summary, scoring.selection_metric(config)))
            return member.summary


def _raise(member: Member, error: TrainingError) -> None:
    del member
    raise error


def _to_bar(bar: tqdm) -> Advanced:
    def advanced(num_steps, text):
        bar.update(num_steps)
        bar.set_postfix_str(text)

    return advanced


def train_members(
    members: Sequence[Member],
    data: DeviceInteractions,
    watch: preemption.Watch,
    advanced: Advanced,
    failed: Callable[[Member, TrainingError], None],
) -> None:
    """Trains runs to their last step and writes their summaries.

    Args:
        members: runs that share spec, data set, the periods of what they do, the step they are at and the last one.
        data: the training part.
        watch: for SIGTERM.
        advanced: told of steps taken.
        failed: told of a member that has nothing to learn any more, which is left out from there on.

    Raises:
        Preempted: SIGTERM came; checkpoints hold what was done.
    """
    started, first, spec, running = time.perf_counter(), members[0], members[0].spec, dict(enumerate(members))
    start = step = first.step
    group = _grouped(members, data)
    trained_seconds, trained_triplets = 0.0, 0

    def for_each(act: Callable[[int, Member], None]) -> None:
        for index, member in list(running.items()):
            try:
                act(index, member)
            except TrainingError as error:
                failed(member, error)
                del running[index]

    def save(index: int, member: Member) -> None:
        member.save(group.state_of(state, index))

    def stop() -> NoReturn:
        for_each(save)
        for member in running.values():
            checkpoint.wait(member.manager)
        others = f" and {len(members) - 1} more" if len(members) > 1 else ""
        raise Preempted(
            f"Stopped by SIGTERM after step {step}, saved in {first.run.folder}{others}; start again to go on."
        )

    def report(index: int, member: Member) -> None:
        if member.unreported is None:
            return
        if not due(step, first.total, first.config.eval.every_steps):
            member.report()
            return
        params = training.settled(group.state_of(state, index), member.hparams, spec=spec)
        try:
            with watch.interruptible():
                values = member.evaluate(params)
        except Preempted:
            stop()
        member.report(params, values)

    state = group.state
    for_each(report)
    for step, num_steps in _chunks(start, first.total, first.config):
        state, metrics, seconds = group.advance(state, num_steps, running)
        losses, no_negative = (np.asarray(values).reshape(len(members), num_steps) for values in metrics)
        triplets = len(running) * num_steps * spec.batch_size
        trained_seconds, trained_triplets = trained_seconds + seconds, trained_triplets + triplets
        throughput = triplets / seconds
        advanced(
            num_steps * len(members),
            f"loss {np.mean([losses[index].mean() for index in running]):.4f}, {throughput:,.0f} triplets/s",
        )
        for_each(lambda i, member: member.add_steps(step, losses[i], int(no_negative[i].sum()), throughput))  # noqa: B023
        for_each(report)
        if not running:
            return
        if processes.any_of_all(watch.requested):
            stop()
        if due(step, first.total, first.config.checkpoint.every_steps):
            for_each(save)
    for member in running.values():
        checkpoint.wait(member.manager)

    overall = trained_triplets / trained_seconds if trained_triplets else None
    share = (time.perf_counter() - started) / len(members)
    for member in running.values():
        sentence = f"Stopped after the last step of {member.run.folder}, which is saved; test was not scored."
        with preemption.stoppable(watch, sentence):
            member.finish(overall, share, len(members))


class _Group(NamedTuple):
    """How several runs, or one, are advanced together.

    Attributes:
        state: of all.
        advance: (state, steps, members still running) -> (state, metrics, seconds without compilation); what it returns
            for the others has no meaning.
        state_of: (state, which member) -> its state.
    """

    state: Any
    advance: Callable[[Any, int, Collection[int]], tuple[Any, StepMetrics, float]]
    state_of: Callable[[Any, int], TrainState]


def _grouped(members: Sequence[Member], data: DeviceInteractions) -> _Group:
    spec, states = members[0].spec, [member.take_state() for member in members]
    hparams, data = sharding.everywhere(([member.hparams for member in members], data), spec.num_shards)
    if len(members) > 1 and jax.default_backend() != "cpu":
        advance = _compiled(population.run_population_steps, data, spec)
        stacked = population.stacked(hparams)
        return _Group(
            state=population.stacked_states(states),
            advance=lambda states, num_steps, running: advance(states, stacked, num_steps),
            state_of=population.member_state,
        )
    # One program for all, a chunk of steps of one after the other: on CPU a batch axis is not faster, and this way the
    # results are those of runs alone to the bit.
    advance = _compiled(training.run_steps, data, spec)

    def in_turn(states, num_steps, running):
        done = {index: advance(states[index], hparams[index], num_steps) for index in running}
        left_out = (None, next(iter(done.values()))[1], 0.0)
        after, metrics, seconds = zip(*(done.get(index, left_out) for index in range(len(states))), strict=True)
        return list(after), jax.tree.map(lambda *each: np.stack(each), *metrics), sum(seconds)

    return _Group(state=states, advance=in_turn, state_of=lambda states, index: states[index])


def _compiled(run: Any, data: DeviceInteractions, spec: Spec) -> Callable:
    """A function (state, hparams, steps) -> (state, metrics, seconds) whose seconds leave out compilation."""
    compiled = {}

    def advance(state, hparams, num_steps):
        if num_steps not in compiled:
            compiled[num_steps] = run.lower(state, data, hparams, spec=spec, num_steps=num_steps).compile()
        before = time.perf_counter()
        state, metrics = jax.block_until_ready(compiled[num_steps](state, data, hparams))
        return state, metrics, time.perf_counter() - before

    return advance


def _chunks(done: int, total: int, config: Config) -> Iterator[tuple[int, int]]:
    """Yields (step reached, steps to take) such that a chunk ends wherever something is due."""
    periods = (config.train.report_every_steps, config.eval.every_steps, config.checkpoint.every_steps)
    while done < total:
        reached = min(total, *(done + period - done % period for period in periods))
        yield reached, reached - done
        done = reached
