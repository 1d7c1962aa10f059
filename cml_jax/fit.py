"""Training from Python: `fit` takes data as people hold them and returns a model in use."""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cml_jax.data import signals, sources
from cml_jax.data.formats import format_of
from cml_jax.data.interactions import Dataset
from cml_jax.data.options import DataOptions
from cml_jax.errors import ConfigError, UserError
from cml_jax.files import home_path
from cml_jax.keys import option_name
from cml_jax.options import field_names
from cml_jax.runs import compilation_cache, preemption, starting, trackers, validation
from cml_jax.runs import config as config_lib
from cml_jax.runs import progress as progress_lib
from cml_jax.runs.config import KEYS
from cml_jax.runs.loop import train_alone
from cml_jax.runs.preemption import Preempted
from cml_jax.runs.setup import Setup, make_setup, size_note
from cml_jax.serving.recommender import Recommender
from cml_jax.serving.saved_model import columns_of, recommender_of

_COLUMNS = ("user", "item", "rating", "time", "weight", "kind")
_FEATURES = ("item_features", "user_features", "item_titles")
LEFT_OUT = (
    "dataset.name",
    "dataset.path",
    "dataset.format",
    *(f"dataset.{name}" for name in _FEATURES),
    "eval.compare",
    "log.explore",
    "init_from",
    "seed",
)
"""Keys that are arguments of their own, or of the commands."""


def _keywords() -> dict[str, str]:
    """Keyword of `fit` -> config key: the key's last part, after its section's name where two sections have it."""
    columns = [f"dataset.{kind}_column" for kind in _COLUMNS]
    keys = [key for key in KEYS if key not in (*LEFT_OUT, *columns)]
    short = {key: option_name(key) if "." in key else key for key in keys}
    twice = {name for name, count in Counter(short.values()).items() if count > 1}
    return {key.replace(".", "_") if name in twice else name: key for key, name in short.items()}


KEYWORDS: dict[str, str] = _keywords()
"""Every option of `fit` by its keyword -> the key of a config."""


def fit(
    data: Any,
    *,
    user: str = "user",
    item: str = "item",
    rating: str | None = None,
    time: str | None = None,
    weight: str | None = None,
    kind: str | None = None,
    valid: Any = None,
    item_features: Any = None,
    user_features: Any = None,
    item_titles: Any = None,
    init: Recommender | str | os.PathLike[str] | None = None,
    workdir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    progress: bool = True,
    **options: Any,
) -> Recommender:
    """Trains a model on (user, item) pairs and returns it in use.

    Without options this is the recommended method, the soft second stage over uniform candidates; what must follow from
    the data does, and is said. A tenth of each user's pairs is set aside for validation, on which the best step is
    selected, unless the data bring a validation part, `valid` does, or `valid_fraction=0`.

    Examples:
        >>> import polars as pl
        >>> pairs = pl.DataFrame({"who": ["ann", "ann", "bob", "cid", "cid"], "what": ["a", "b", "b", "a", "c"]})
        >>> model = fit(pairs, user="who", item="what", valid_fraction=0, num_steps=20, progress=False)
        >>> model.recommend("bob", k=2).columns
        ['user', 'rank', 'item', 'score']

    Args:
        data: a pandas or Polars DataFrame, an Arrow table, a dict of columns, a tuple (users, items), a sparse matrix
            of SciPy, `Interactions`, or the path of a file or folder; see `cml_jax.data.sources.dataset_of`.
        user: column of raw ids of users.
        item: column of raw ids of items.
        rating: column of ratings or counts, for `min_rating` and `dislike_rating`.
        time: column of times, for `split="temporal_user"` and the like.
        weight: column of positive weights of pairs, relative to their mean; see `weight_use`.
        kind: column of kinds of interaction, for `kind_weights`, text or a dict such as `{"view": 1, "buy": 5}`.
        valid: validation pairs, as data of any of these kinds with the same columns.
        item_features: what else is known of the items, which the model keeps: a data frame, an Arrow table, a dict of
            columns or a path, with the raw ids in the column `item`; see `item_feature_columns` for kinds.
        user_features: likewise of the users, with the column `user`.
        item_titles: titles of the items, which the model keeps for lists that people read; likewise, with the column
            title or name, or as `item_title_column` says.
        init: a trained model to go on from, or its folder, which may be a workdir: users and items that it knows keep
            their points, new ones start among those that they go with.
        workdir: folder for checkpoints, reports and the result, as of `experiments.main`; called again, an unfinished
            run in it goes on, and a finished one is read.
        seed: of every random draw; equal seeds, data and options give equal models.
        progress: whether a log and a progress bar are shown, on standard error.
        **options: any key of a config by its last part, such as `dim`, `num_passes`, `learning_rate`, `batch_size` or
            `ks`; `model`, `loss`, `sampler` and `optimizer` name the strategies. See `KEYWORDS`.

    Returns:
        The model at its best step; `metrics` has its scores on validation, and on test where the data have such a part.

    Raises:
        ConfigError: an option is unknown or out of range, or does not fit the data.
        DataError: the data cannot be used.
        TrainingError: there is nothing to learn, or the loss is no number.
        KeyboardInterrupt: Ctrl-C came; with a workdir, which holds what was done.
        Preempted: SIGTERM came; only with a workdir, which holds what was done.
    """
    columns = {"user": user, "item": item, "rating": rating, "time": time, "weight": weight, "kind": kind}
    say = progress_lib.write if progress else _silent
    with _by_keyword():
        features: dict[str, Any] = dict(zip(_FEATURES, (item_features, user_features, item_titles), strict=True))
        config = _config(data, columns, features, seed, options)
        config["init_from"] = starting.name_of(init)
        trackers.check(config, has_workdir=workdir is not None)
        starting.check(config, workdir)
        setup = make_setup(config, lambda **of_data: _load(data, valid, of_data | features))
        setup = setup._replace(init=init if isinstance(init, Recommender) else None)
        for line in (*setup.notes, size_note(setup.config, setup.dataset)):
            say(line)
        with compilation_cache.used(config[compilation_cache.KEY], say), _stoppable(workdir) as watch:
            return _train(setup, workdir, watch, say, progress)


def _silent(text: str) -> None:
    """Says nothing."""


def _config(
    data: Any, columns: Mapping[str, str | None], features: Mapping[str, Any], seed: int, options: Mapping[str, Any]
) -> dict[str, Any]:
    """The config that the arguments stand for."""
    config = config_lib.default_values() | {"seed": seed}
    for name, value in options.items():
        if name not in KEYWORDS:
            raise ConfigError(validation.unknown_name(name, KEYWORDS, "an option"))
        config[KEYWORDS[name]] = signals.written_kind_weights(value) if name == "kind_weights" else value
    for kind, column in columns.items():
        if column is not None and (kind, column) not in (("user", "user"), ("item", "item")):
            config[f"dataset.{kind}_column"] = column
    for name, held in features.items():
        config[f"dataset.{name}"] = os.fspath(held) if isinstance(held, str | os.PathLike) else None
    config["dataset.name"], config["dataset.format"] = "data", "memory"
    if isinstance(data, str | os.PathLike):
        config["dataset.path"] = os.fspath(data)
        config["dataset.name"] = Path(data).name
        named = any(columns[kind] != kind for kind in ("user", "item"))
        config["dataset.format"], _ = format_of(
            home_path(data), named=named, lists=config["dataset.first_number"] is not None
        )
    return config


def _load(data: Any, valid: Any, of_data: Mapping[str, Any]) -> tuple[Dataset, str]:
    options = {name: of_data[name] for name in field_names(DataOptions) if name in of_data}
    dataset = sources.dataset_of(data, valid=valid, **options)
    return dataset, dataset.sha256()


def _train(setup: Setup, workdir: Any, watch: preemption.Watch, say: Any, shown: bool) -> Recommender:
    summary, params = train_alone(setup, workdir, watch, say, shown=shown)
    metric, scores = setup.protocol.metric, summary.scores
    text = ", ".join(f"{part} {metric} {values[metric]:.4f}" for part, values in scores.items())
    say(f"Best step {summary.best_step} of {summary.steps}: {text or 'nothing was held out'}.")
    return recommender_of(
        setup.options,
        params,
        setup.dataset,
        step=summary.best_step,
        metrics=scores,
        columns=columns_of(config_lib.section(setup.config, "dataset")),
        memory_budget_mb=setup.protocol.memory_budget_mb,
    )


@contextlib.contextmanager
def _stoppable(workdir: Any) -> Iterator[preemption.Watch]:
    """Where there is a workdir to save to, Ctrl-C and SIGTERM save first."""
    if workdir is None:
        yield preemption.Watch(alone=True)
        return
    with preemption.watch() as watch:
        try:
            yield watch
        except Preempted as stop:
            if watch.by == "Ctrl-C":
                raise KeyboardInterrupt(str(stop)) from None
            raise


@contextlib.contextmanager
def _by_keyword() -> Iterator[None]:
    """Puts keywords in the place of a config's keys in what an error says."""
    keyword_of = {key: name for name, key in KEYWORDS.items()}
    keyword_of |= {f"dataset.{kind}_column": kind for kind in _COLUMNS} | {"seed": "seed", "init_from": "init"}
    keyword_of |= {f"dataset.{name}": name for name in _FEATURES}

    def keyword(found: re.Match[str]) -> str:
        return keyword_of.get(found[1], found[0])

    try:
        yield
    except UserError as error:
        sentence = re.sub(r"(?<![\w./-])(?:config\.)?((?:[a-z]+\.)?[a-z_]+)(?![\w/])", keyword, str(error))
        if sentence == str(error):
            raise
        raise type(error)(sentence) from error
