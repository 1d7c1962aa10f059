"""What a search tries next: settings suggested by the tree-structured Parzen estimator of optuna, an extra."""

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from cml_jax.errors import UserError
from cml_jax.runs.config import KEYS
from experiments.sweeps.space import Interval, Setting, Space

NUM_RANDOM = 8  # results before which suggestions are random
_MOST_TIMES = 10  # that a suggestion is asked for until it was not tried before
_DIGITS = 4  # of a suggested number, so that a setting can be read and typed


def check_installed() -> None:
    """Raises UserError where optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise UserError("experiments.search needs pip install -e '.[optuna]'.")


def suggest(
    space: Space, seed: int, history: Sequence[tuple[Setting, float | None]], num_settings: int
) -> list[Setting]:
    """Settings to be tried at once, which follow from the arguments alone.

    Args:
        space: of the search.
        seed: of the search.
        history: settings that were tried, each with its score, higher being better, or None where it failed;
            suggestions keep away from those.
        num_settings: how many; each is suggested as if those before it were about to score badly, so that they differ.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {key: _distribution(key, values) for key, values in space.items()}
    random = np.random.SeedSequence((seed, len(history))).generate_state(1)
    sampler = optuna.samplers.TPESampler(
        n_startup_trials=NUM_RANDOM, multivariate=True, constant_liar=True, seed=int(random[0])
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    pruned, complete = optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.COMPLETE
    for setting, score in history:
        state = pruned if score is None else complete
        study.add_trial(optuna.create_trial(params=setting, distributions=distributions, value=score, state=state))
    known, found = [setting for setting, _ in history], []

    def ask() -> Setting:
        params = study.ask(distributions).params
        return {key: _rounded(params[key], space[key]) for key in space}

    for _ in range(num_settings):
        asked = ask()
        for _ in range(_MOST_TIMES - 1):
            asked = ask() if asked in known else asked
        known.append(asked)
        found.append(asked)
    return found


def _distribution(key: str, values: Interval | tuple[Any, ...]) -> Any:
    from optuna import distributions

    if not isinstance(values, Interval):
        return distributions.CategoricalDistribution(values)
    if KEYS[key].kind is int:
        return distributions.IntDistribution(int(values.low), int(values.high), log=values.log)
    return distributions.FloatDistribution(values.low, values.high, log=values.log)


def _rounded(value: Any, values: Interval | tuple[Any, ...]) -> Any:
    if not isinstance(values, Interval) or not isinstance(value, float):
        return value
    return min(max(float(f"{value:.{_DIGITS}g}"), values.low), values.high)
