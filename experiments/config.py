"""The keys of a config, their defaults, and what the core makes of them."""

import json
import math
from collections.abc import Iterator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict, config_dict

from cml_jax import draws, sampling
from cml_jax.data import datasets
from cml_jax.data.interactions import Interactions
from cml_jax.types import HParams, Spec

# A ConfigDict. Its own annotations give every key the union of all types that a key can have.
Config: TypeAlias = Any


def default_config() -> Config:
    """Every key with its default; config files start from here."""
    config: Config = ConfigDict()
    config.seed = 0

    config.dataset = ConfigDict()
    # What cml_jax/data/datasets.py takes. 'synthetic' and 'checkerboard' are generated, 'movielens-100k', '-1m' and
    # '-20m' downloaded; any other name is a label for path.
    config.dataset.name = "synthetic"
    config.dataset.path = config_dict.placeholder(str)
    # adjacency | csv | echonest | movielens | npz | parquet | tsv; none: what the name stands for, else adjacency
    config.dataset.format = config_dict.placeholder(str)
    config.dataset.user_column = config_dict.placeholder(str)  # csv, tsv, parquet; none: 'user'
    config.dataset.item_column = config_dict.placeholder(str)  # none: 'item'
    config.dataset.rating_column = config_dict.placeholder(str)
    config.dataset.time_column = config_dict.placeholder(str)
    # Least rating or play count that makes a pair, 0 for all rows; least items of a user. None: what the name stands
    # for (10 and 10 for echonest), else 0.
    config.dataset.min_rating = config_dict.placeholder(float)
    config.dataset.min_user_items = config_dict.placeholder(int)
    config.dataset.min_item_users = 0
    config.dataset.filter = "once"  # once | k_core
    config.dataset.split = config_dict.placeholder(str)  # none: given where there are parts, else ratio
    config.dataset.split_ratio = (3, 1, 1)  # train, validation, test
    config.dataset.split_seed = 0
    config.dataset.valid_fraction = 0.1  # of train, to validation where there is none; 0: do without

    config.sampler = ConfigDict()
    config.sampler.name = "two_stage"  # uniform | popularity | two_stage
    config.sampler.num_candidates = 2000
    config.sampler.popularity_exponent = 1.0
    config.sampler.popularity_cap = config_dict.placeholder(float)  # none: counts are not capped
    config.sampler.similarity_cutoff = 0.1  # 1: no cut-off
    config.sampler.refresh_every = 1  # triplet two_stage; 1: live, 0: frozen at the start, n: every n
    # What only the released code does, see cml_jax/sampling.py; for replication.
    config.sampler.own_positive = "exclude"  # triplet two_stage; exclude | uniform_draw
    config.sampler.known_positives = "exclude"  # triplet two_stage; exclude | retry_then_keep
    config.sampler.without_replacement = False  # popularity; the batch's negatives

    config.model = ConfigDict()
    config.model.dim = 64
    config.model.loss = "triplet"  # triplet | softmax | bpr (inner products, for comparison)
    config.model.margin = 1.0
    config.model.temperature = 0.1  # of the softmax loss
    config.model.decoupled = False  # softmax; leaves the positive out of the sum
    config.model.num_negatives = 1  # of a triplet, the closest of which counts; of bpr, whose mean counts
    config.model.l2_weight = 0.0  # of the bpr loss, on the squared norms of the rows looked up
    config.model.constraint = "sphere"  # ball | sphere | none
    config.model.init_scale = 1.0
    config.model.loss_reduction = "mean"  # mean | sum, over the batch
    config.model.gor_weight = 0.0
    config.model.gor_form = "mean"  # mean | sum; sum: the released code's

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "constant"  # constant | linear: to 0 at the end of the run
    config.optimizer.average_passes = (
        0.0  # window of an average of the tables, which is evaluated; 0: the last ones are
    )
    config.optimizer.rows = "lazy"  # lazy | dense | catch_up (adam: as dense, at about the cost of lazy)

    config.train = ConfigDict()
    config.train.batch_size = 256
    config.train.num_passes = 16.0  # over the training pairs; config files set this one
    config.train.num_steps = config_dict.placeholder(int)  # if given, counts instead of num_passes
    config.train.report_every_steps = 100  # steps in one dispatch; best a divisor of the other periods

    config.eval = ConfigDict()
    config.eval.every_steps = 500
    config.eval.ks = (20, 50)
    config.eval.select = config_dict.placeholder(str)  # metric@k that selects the parameters; none: NDCG at the largest
    config.eval.final_ks = ()  # more cut-offs, for the final scores alone
    config.eval.enough_held_out = False  # users with fewer than k held-out items do not count in P, R, NDCG at k
    config.eval.max_users = config_dict.placeholder(int)  # validation users scored during training; none: all
    config.eval.final_split = "test"  # test | valid
    config.eval.memory_budget_mb = 512.0

    config.checkpoint = ConfigDict()
    config.checkpoint.every_steps = 1000
    config.checkpoint.keep = 2

    config.log = ConfigDict()
    config.log.tensorboard = False  # event files in the workdir's folder tensorboard

    config.sharding = ConfigDict()
    # Devices that the tables are split over; divides the batch size. None: 1, or all those of several processes.
    config.sharding.num_shards = config_dict.placeholder(int)
    return config


def flatten(config: Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yields (dotted key, value) of every leaf; a key without a value is yielded with None."""
    for key in config:
        value = config[key]
        if isinstance(value, ConfigDict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def to_json(config: Config) -> dict[str, Any]:
    """Every key with its value, of types that JSON has."""
    return json.loads(config.to_json(sort_keys=False))


def resolve(config: Config) -> Config:
    """A copy in which what the name of the data set stands for is filled in, as config.json keeps it."""
    config = config.copy_and_resolve_references()
    if config.dataset.path is not None or config.dataset.name not in datasets.GENERATED:
        config.dataset.update(datasets.resolve(config.dataset))
    return config


def make_hparams(config: Config, num_pairs: int) -> HParams:
    """The traced numbers of a config, for so many training pairs."""
    cap = config.sampler.popularity_cap
    return HParams(
        learning_rate=config.optimizer.learning_rate,
        decay_steps=math.inf if config.optimizer.schedule == "constant" else num_steps(config, num_pairs),
        average_steps=config.optimizer.average_passes * num_pairs / config.train.batch_size,
        margin=config.model.margin,
        init_scale=config.model.init_scale,
        temperature=config.model.temperature,
        l2_weight=config.model.l2_weight,
        gor_weight=config.model.gor_weight,
        popularity_exponent=config.sampler.popularity_exponent,
        popularity_cap=math.inf if cap is None else cap,
        similarity_cutoff=config.sampler.similarity_cutoff,
    )


def make_spec(config: Config, train: Interactions) -> Spec:
    """The static part of a config; the number of stage-1 draws depends on the data's popularity."""
    draws_by_embeddings = config.sampler.name == "two_stage" and config.model.loss == "triplet"
    num_candidates = config.sampler.num_candidates if config.sampler.name == "two_stage" else 0
    num_draws, count = 0, num_distinct(config)
    if count:
        hparams = make_hparams(config, train.num_pairs)
        weights = sampling.popularity_weights(
            jnp.asarray(train.popularity, jnp.float32), hparams.popularity_exponent, hparams.popularity_cap
        )
        num_draws = draws.num_draws_needed(np.asarray(weights, np.float64), count)
    return Spec(
        dim=config.model.dim,
        batch_size=config.train.batch_size,
        sampler=config.sampler.name,
        num_negatives=config.model.num_negatives,
        num_candidates=num_candidates,
        num_draws=num_draws,
        # Nothing else looks at embeddings to draw, so nothing else needs a snapshot of them.
        refresh_every=config.sampler.refresh_every if draws_by_embeddings else 1,
        own_positive=config.sampler.own_positive,
        known_positives=config.sampler.known_positives,
        without_replacement=config.sampler.without_replacement,
        loss=config.model.loss,
        decoupled=config.model.decoupled,
        loss_reduction=config.model.loss_reduction,
        gor=config.model.gor_form if config.model.gor_weight > 0 else "none",
        constraint=config.model.constraint,
        optimizer=config.optimizer.name,
        rows=config.optimizer.rows,
        average=config.optimizer.average_passes > 0,
        num_shards=num_shards(config),
    )


def num_shards(config: Config) -> int:
    """Devices that the tables are split over."""
    if config.sharding.num_shards is not None:
        return config.sharding.num_shards
    return 1 if jax.process_count() == 1 else jax.device_count()


def num_distinct(config: Config) -> int:
    """How many items a step draws without replacement: stage 1's candidates, or the negatives of the batch; else 0."""
    if config.sampler.name == "two_stage":
        return config.sampler.num_candidates
    return config.train.batch_size * config.model.num_negatives if config.sampler.without_replacement else 0


def num_steps(config: Config, num_pairs: int) -> int:
    """Steps of the whole run: train.num_steps where given, else train.num_passes over the pairs, rounded up."""
    if config.train.num_steps is not None:
        return config.train.num_steps
    return math.ceil(config.train.num_passes * sampling.steps_per_pass(num_pairs, config.train.batch_size))
