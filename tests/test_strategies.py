import itertools
import re
from typing import Any

import jax
import pytest

from cml_jax import ConfigError, defaults, make_options
from cml_jax.data.synthetic import make_interactions
from cml_jax.losses import LOSSES
from cml_jax.models import MODELS
from cml_jax.optimizers import OPTIMIZERS
from cml_jax.options import options, traced
from cml_jax.registry import Registry, Strategy
from tests.steps import DRAWN

TRAIN = make_interactions(60, 400, 900)


def test_what_follows_from_the_data_is_kept_where_nothing_it_follows_from_changes():
    given: dict[str, Any] = DRAWN | {"num_candidates": 20, "batch_size": 32, "average_passes": 2.0}
    made = make_options(TRAIN, **given)
    assert made.sampler.options.num_draws > 20
    assert made.optimizer.average_steps == pytest.approx(2.0 * TRAIN.num_pairs / 32)
    changed = made.replace_options(margin=0.5)
    assert changed.sampler == made.sampler and changed.optimizer == made.optimizer
    assert changed.loss.options.margin == 0.5
    assert made.replace_options(num_candidates=30).sampler.options.num_draws == 0, "the whole catalogue is ranked"
    assert made.replace_options(TRAIN, num_candidates=30) == make_options(TRAIN, **given | {"num_candidates": 30})


def from_data(made):
    return made.batch_size, made.sampler.options.num_candidates


def test_defaults_follow_from_the_data_where_they_are_given():
    made = make_options(TRAIN)
    assert from_data(made) == (defaults.batch_size(TRAIN), defaults.num_candidates(TRAIN)) == (32, 400)
    assert from_data(make_options()) == (256, 1000)
    assert made == make_options(TRAIN, batch_size=None, num_candidates=None)
    assert from_data(make_options(TRAIN, batch_size=48)) == (48, 400)
    assert from_data(make_options(TRAIN, num_candidates=7)) == (32, 7)
    drawn = make_options(TRAIN, sampler="two_stage", loss="triplet", average_passes=3.0)
    assert from_data(drawn) == (32, 400) and drawn.sampler.options.num_draws == 0, "the whole catalogue is ranked"
    assert drawn.optimizer.average_steps == pytest.approx(3.0 * TRAIN.num_pairs / 32)


def test_what_followed_from_the_data_is_kept_until_it_is_asked_for_anew():
    made, other = make_options(TRAIN), make_interactions(300, 90, 5000)
    assert from_data(make_options(other)) == (64, 90)
    for train in (None, other):
        assert from_data(made.replace_options(train, learning_rate=0.5)) == (32, 400)
        assert from_data(make_options().replace_options(train, learning_rate=0.5)) == (256, 1000)
    assert from_data(made.replace_options(other, batch_size=None)) == (64, 400)
    assert from_data(made.replace_options(batch_size=None)) == (256, 400)


@pytest.mark.parametrize(
    ("name", "rule", "without"),
    [("temperature", defaults.temperature, 0.12), ("negative_exponent", defaults.negative_exponent, 1.0)],
)
def test_defaults_of_the_softmax_follow_from_the_data_and_are_traced(name, rule, without):
    def value(options):
        return getattr(options.loss.options, name)

    made, other = make_options(TRAIN), make_interactions(300, 90, 5000)
    assert value(made) == rule(TRAIN) != rule(other)
    assert value(make_options()) == value(make_options(**{name: None})) == without
    assert value(make_options(TRAIN, **{name: 0.3})) == 0.3
    for train in (None, other):
        assert value(made.replace_options(train, dim=8)) == rule(TRAIN)
    assert value(made.replace_options(other, **{name: None})) == rule(other)
    assert jax.tree.structure(made) == jax.tree.structure(make_options(TRAIN, **{name: 0.3})), "one program for both"


def test_rows_follow_from_the_optimizer():
    assert make_options().optimizer.rows == "catch_up"
    assert make_options() == make_options(rows=None) == make_options(rows="catch_up") != make_options(rows="lazy")
    for name in OPTIMIZERS:
        for rows in ("lazy", "dense"):
            assert make_options(optimizer=name, rows=rows).optimizer.rows == rows
        expected = "catch_up" if name == "adam" else "lazy"
        assert make_options(optimizer=name).optimizer.rows == expected
        assert make_options(optimizer=name, rows=None).optimizer.rows == expected
        changed = make_options().replace_options(optimizer=name)
        assert changed.optimizer.rows == expected
        assert changed.replace_options(optimizer="adam").optimizer.rows == "catch_up"
        assert make_options(rows="dense").replace_options(optimizer=name).optimizer.rows == "dense"
    with pytest.raises(ConfigError, match=r"optimizer\.rows = 'catch_up' is for optimizer\.name = 'adam', not 'sgd'"):
        make_options().replace_options(optimizer="sgd", rows="catch_up")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"dimension": 8}, r"^dimension is not an option; (did you mean|choose)"),
        ({"dim": 0}, r"^model\.dim = 0 must be 1 or more"),
        (
            {"model": "sml", "loss": "triplet", "margin": 2.0},
            r"model\.margin = 2, at which margins start, is above model\.margin_limit = 1",
        ),
        ({"model": "sml", "loss": "softmax"}, r"model\.loss = 'softmax' does not go with model\.name = 'sml'"),
        ({"rows": "catch_up", "optimizer": "sgd"}, r"optimizer\.rows = 'catch_up' is for optimizer\.name = 'adam'"),
        ({"batch_size": 30, "num_shards": 4}, r"train\.batch_size = 30 must be a multiple of the number of shards, 4"),
    ],
)
def test_options_that_cannot_be_used(values, sentence):
    with pytest.raises(ConfigError, match=sentence):
        make_options(**values)


@pytest.mark.parametrize("model", MODELS)
def test_a_refused_loss_offers_those_that_go_with_the_model_and_no_others(model):
    """With a sampler of candidates and negatives, and with one of negatives alone."""
    offered, accepted = {}, {}
    for sampler, loss in itertools.product(("uniform", "dynamic"), LOSSES):
        try:
            make_options(model=model, loss=loss, sampler=sampler, constraint="none")
            accepted.setdefault(sampler, set()).add(loss)
        except ConfigError as error:
            if "sampler.name" not in str(error):
                advice = str(error).split("; ")[-1].removeprefix("use model.loss = ").removeprefix("choose one of ")
                offered.setdefault(sampler, []).append({*re.findall(r"\w+", advice)})
    assert offered["uniform"], "no loss was refused"
    for sampler, found in offered.items():
        expected = accepted.get(sampler) or accepted["uniform"]  # where the sampler has to go
        assert found == [expected] * len(found)


def test_defaults_train_on_data_smaller_than_them():
    made = make_options(TRAIN)
    assert made.model.name == "cml" and made.sampler.options.num_candidates == TRAIN.num_items
    made.check_data(TRAIN)
    for sampler in ("uniform", "two_stage"):
        apart = make_options(sampler=sampler, num_candidates=2000)
        with pytest.raises(ConfigError, match="num_candidates = 2000 is above the number of items, 400"):
            apart.check_data(TRAIN)


@options
class Other:
    margin: float = traced(3.0, "m, with another default than the triplet loss has")


def test_a_registry_refuses_what_cannot_be_made():
    triplet = LOSSES["triplet"]
    with pytest.raises(TypeError, match="registered twice"):
        Registry("loss", ("options",), triplet, triplet)
    with pytest.raises(TypeError, match=r"takes \(options\); it must take \(options, loss\)"):
        Registry("model", ("options", "loss"), MODELS["cml"], triplet)
    with pytest.raises(TypeError, match="declared differently"):
        Registry("loss", ("options",), triplet, Strategy("other", Other, lambda options: triplet))
