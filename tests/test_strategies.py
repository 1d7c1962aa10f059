import pytest

from cml_jax import ConfigError, make_options
from cml_jax.data.synthetic import make_interactions
from cml_jax.losses import LOSSES
from cml_jax.models import MODELS
from cml_jax.options import options, traced
from cml_jax.registry import Registry, Strategy

TRAIN = make_interactions(60, 400, 900)


def test_what_follows_from_the_data_is_kept_where_nothing_it_follows_from_changes():
    made = make_options(TRAIN, num_candidates=20, batch_size=32, average_passes=2.0)
    assert made.sampler.options.num_draws > 20
    assert made.optimizer.average_steps == pytest.approx(2.0 * TRAIN.num_pairs / 32)
    changed = made.replace_options(margin=0.5)
    assert changed.sampler == made.sampler and changed.optimizer == made.optimizer
    assert changed.loss.options.margin == 0.5
    assert made.replace_options(num_candidates=30).sampler.options.num_draws == 0, "the whole catalogue is ranked"
    assert made.replace_options(TRAIN, num_candidates=30) == make_options(
        TRAIN, num_candidates=30, batch_size=32, average_passes=2.0
    )


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"dimension": 8}, r"^dimension is not an option; (did you mean|choose)"),
        ({"dim": 0}, r"^model\.dim = 0 must be 1 or more"),
        (
            {"model": "sml", "margin": 2.0},
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


def test_defaults_train_on_data_smaller_than_them():
    made = make_options(TRAIN, dim=8, batch_size=16)
    assert made.model.name == "cml" and made.sampler.options.num_candidates > TRAIN.num_items
    with pytest.raises(ConfigError, match="num_candidates = 2000 is above the number of items, 400"):
        made.check_data(TRAIN)


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
