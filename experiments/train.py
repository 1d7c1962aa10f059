"""The training loop: steps, evaluation, checkpoints, summary; of one run, or of the members of a population."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np
from tqdm import tqdm

from cml_jax import checkpoint, population, sharding, training
from cml_jax.data import datasets
from cml_jax.errors import TrainingError
from cml_jax.types import DeviceInteractions, Params, StepMetrics, TrainState
from experiments import config as config_lib
from experiments import preemption, processes, run_report, validation
from experiments.config import Config
from experiments.console import say, show
from experiments.member import Member, due, open_member, sizes
from experiments.preemption import Preempted

Advanced = Callable[[int, str], None]  # (steps taken, what to show)


def train_and_evaluate(config: Config, workdir: str | os.PathLike[str]) -> dict[str, Any]:
    """Trains, keeps the best parameters by validation NDCG, evaluates those once on test.

    Args:
        config: from a config file; see `experiments.config.default_config` for its keys.
        workdir: folder for config.json, metrics.jsonl, summary.json, per_user.npz, curves.png and checkpoints/. An
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
        with preemption.stoppable(watch, "Stopped before the first step."):
            validation.validate(config)
            config = config_lib.resolve(config)
            dataset = datasets.load(**config.dataset)
            validation.validate_against(config, dataset.train)
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
            show(run_report.format_summary(member.summary))
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
    started, group = time.perf_counter(), _grouped(members, data)
    first, spec, running = members[0], members[0].spec, dict(enumerate(members))
    trained_seconds, trained_steps = 0.0, 0

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
            f"Stopped by SIGTERM after step {int(state.step)}, saved in {first.run.folder}{others}; "
            f"start again to go on."
        )

    def report() -> None:
        is_due = due(int(state.step), first.total, first.config.eval.every_steps)
        params = group.settled(state) if is_due else None

        def report_one(index: int, member: Member) -> None:
            if member.unreported is None:
                return
            if params is None:
                member.report()
                return
            own = group.params_of(params, index)
            try:
                with watch.interruptible():
                    values = member.evaluate(own)
            except Preempted:
                stop()
            member.report(own, values)

        for_each(report_one)

    state = group.state
    if any(member.unreported for member in members):
        report()
    for step, num_steps in _chunks(int(state.step), first.total, first.config):
        state, metrics, seconds = group.advance(state, num_steps)
        losses, no_negative = (np.asarray(values).reshape(len(members), num_steps) for values in metrics)
        trained_seconds, trained_steps = trained_seconds + seconds, trained_steps + num_steps
        throughput = len(members) * num_steps * spec.batch_size / seconds
        advanced(
            num_steps * len(members),
            f"loss {np.mean([losses[index].mean() for index in running]):.4f}, {throughput:,.0f} triplets/s",
        )
        for_each(lambda i, member: member.add_steps(step, losses[i], int(no_negative[i].sum()), throughput))  # noqa: B023
        report()
        if not running:
            return
        if processes.any_of_all(watch.requested):
            stop()
        if due(step, first.total, first.config.checkpoint.every_steps):
            for_each(save)
    for member in running.values():
        checkpoint.wait(member.manager)

    overall = len(members) * trained_steps * spec.batch_size / trained_seconds if trained_steps else None
    share = (time.perf_counter() - started) / len(members)
    for member in running.values():
        sentence = f"Stopped after the last step of {member.run.folder}, which is saved; test was not scored."
        with preemption.stoppable(watch, sentence):
            member.finish(overall, share, len(members))


class _Group(NamedTuple):
    """How several runs, or one, are advanced together.

    Attributes:
        state: of all.
        advance: (state, steps) -> (state, metrics, seconds without compilation).
        settled: state -> the parameters to be evaluated.
        params_of: (those, which member) -> its parameters.
        state_of: (state, which member) -> its state.
    """

    state: TrainState
    advance: Callable[[TrainState, int], tuple[TrainState, StepMetrics, float]]
    settled: Callable[[TrainState], Params]
    params_of: Callable[[Params, int], Params]
    state_of: Callable[[TrainState, int], TrainState]


def _grouped(members: Sequence[Member], data: DeviceInteractions) -> _Group:
    spec = members[0].spec
    if len(members) == 1:
        (member,) = members
        hparams, data = sharding.everywhere((member.hparams, data), spec.num_shards)
        return _Group(
            state=member.take_state(),
            advance=_compiled(training.run_steps, data, hparams, spec),
            settled=lambda state: training.settled(state, hparams, spec=spec),
            params_of=lambda params, index: params,
            state_of=lambda state, index: state,
        )
    states = [member.take_state() for member in members]
    hparams = population.stacked([member.hparams for member in members])
    return _Group(
        state=population.stacked_states(states),
        advance=_compiled(population.run_population_steps, data, hparams, spec),
        settled=lambda state: population.settled_population(state, hparams, spec=spec),
        params_of=population.member,
        state_of=population.member_state,
    )


def _compiled(run: Any, data: DeviceInteractions, hparams: Any, spec: Any) -> Callable:
    """A function (state, number of steps) -> (state, metrics, seconds) whose seconds leave out compilation."""
    compiled = {}

    def advance(state, num_steps):
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
