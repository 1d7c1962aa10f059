import math

import pytest

from cml_jax.errors import ConfigError, TrainingError, UserError
from experiments import train
from tests.tiny import QUICKSTART, commands, read_records, tiny_config

DIVERGES = {"model__constraint": "none", "optimizer__learning_rate": 1e30, "sampler__name": "uniform"}


def test_loss_that_is_not_a_number_stops_the_run_at_its_step(tmp_path):
    config = tiny_config(**DIVERGES)
    with pytest.raises(TrainingError, match=r"The loss is (nan|inf) at step \d+; lower config\.optimizer") as caught:
        train.train_and_evaluate(config, tmp_path)
    step = int(str(caught.value).split("step ")[1].split(";")[0])
    assert 1 < step <= 10, "the first update is what breaks it"
    assert not (tmp_path / "summary.json").exists() and read_records(tmp_path) == []


def test_run_without_any_valid_negative_stops(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "train.txt").write_text("0 0 1\n1 0 1\n")
    (folder / "valid.txt").write_text("0 2\n")
    (folder / "test.txt").write_text("1 2\n")
    config = tiny_config(
        dataset__path=str(folder), train__batch_size=3, sampler__num_candidates=2, eval__ks=(1,), train__num_steps=4
    )
    with pytest.raises(TrainingError, match="No pair of steps 1 to 4 has a valid negative; raise"):
        train.train_and_evaluate(config, tmp_path / "run")


def test_embeddings_that_are_not_finite_stop_the_run_where_the_loss_hides_it(tmp_path):
    config = tiny_config(**DIVERGES, train__num_steps=1)
    with pytest.raises(TrainingError, match="squared norm of an embedding is not finite after step 1; lower"):
        train.train_and_evaluate(config, tmp_path)


BAD_CONFIGS = [
    ({"dataset__path": "nowhere"}, r"nowhere: no such folder"),
    ({"dataset__name": "lastfm"}, r"dataset\.path is not set"),
    ({"dataset__path": ".", "dataset__format": "xml"}, r"dataset\.format = 'xml' is unknown"),
    ({"sampler__name": "warp"}, r"config\.sampler\.name = 'warp' is unknown; choose one of dynamic, in_batch"),
    ({"model__loss": "hinge"}, r"config\.model\.loss = 'hinge' is unknown"),
    ({"model__constraint": "cube"}, r"config\.model\.constraint = 'cube' is unknown"),
    ({"optimizer__name": "lbfgs"}, r"config\.optimizer\.name = 'lbfgs' is unknown"),
    (
        {"optimizer__rows": "catch_up", "optimizer__name": "sgd"},
        r"config\.optimizer\.rows = 'catch_up' is for optimizer\.name = 'adam', not 'sgd'",
    ),
    ({"optimizer__rows": "sparse"}, r"config\.optimizer\.rows = 'sparse' is unknown"),
    ({"optimizer__learning_rate": -0.1}, r"config\.optimizer\.learning_rate = -0\.1 must be"),
    ({"optimizer__learning_rate": math.nan}, r"config\.optimizer\.learning_rate = nan must be"),
    ({"model__margin": 0.0}, r"config\.model\.margin = 0\.0 must be a finite number above 0"),
    ({"model__margin": -1.0}, r"config\.model\.margin = -1\.0 must be a finite number above 0"),
    ({"model__dim": 0}, r"config\.model\.dim = 0 must be 1 or more"),
    ({"model__num_negatives": 0}, r"config\.model\.num_negatives = 0 must be 1 or more"),
    ({"sampler__similarity_cutoff": 1.5}, r"config\.sampler\.similarity_cutoff = 1\.5 must be above 0 and at most 1"),
    ({"sampler__popularity_exponent": float("nan")}, r"config\.sampler\.popularity_exponent = nan must be a finite"),
    ({"sampler__num_candidates": 51}, r"config\.sampler\.num_candidates = 51 is above the number of items, 50"),
    ({"train__batch_size": 100_000}, r"config\.train\.batch_size = 100000 is above the number of training pairs, 1150"),
    ({"eval__ks": ()}, r"config\.eval\.ks = \(\) must be"),
    ({"eval__ks": (5, True)}, r"config\.eval\.ks = \(5, True\) must be"),
    ({"train__num_steps": 2**31}, r"config\.train\.num_steps = 2147483648 must be"),
    ({"train__num_steps": None, "train__num_passes": 1e20}, r"config\.train\.num_passes = 1e\+20 is 2\^31 steps"),
    ({"eval__ks": (5, 0)}, r"config\.eval\.ks = \(5, 0\) must be"),
    ({"eval__ks": (51,)}, r"config\.eval\.ks has 51, which is above the number of items, 50"),
    ({"eval__final_split": "train"}, r"config\.eval\.final_split = 'train' is unknown"),
    (
        {"dataset__split": "random"},
        r"config\.dataset\.split = 'random' is unknown; choose one of all, given, leave_one_out",
    ),
    ({"dataset__filter": "twice"}, r"config\.dataset\.filter = 'twice' is unknown; choose one of k_core, once"),
    ({"dataset__split_ratio": (3, 1)}, r"config\.dataset\.split_ratio = \(3, 1\) must be three integers"),
    ({"dataset__split_ratio": (0, 1, 1)}, r"config\.dataset\.split_ratio = \(0, 1, 1\) must be three integers"),
    ({"dataset__min_rating": float("nan")}, r"config\.dataset\.min_rating = nan must be a finite number"),
    ({"dataset__dislike_rating": float("inf")}, r"config\.dataset\.dislike_rating = inf must be a finite number"),
    ({"dataset__half_life_days": 0.0}, r"config\.dataset\.half_life_days = 0\.0 must be a finite number above 0"),
    ({"model__num_dislikes": -1}, r"config\.model\.num_dislikes = -1 must be 0 or more"),
    ({"train__weight_use": "both"}, r"config\.train\.weight_use = 'both' is unknown; choose one of draw, loss"),
    ({"seed": -1}, r"config\.seed = -1 must be"),
    ({"seed": 2**31}, r"config\.seed = 2147483648 must be 0 or more and below 2\^31"),
    ({"dataset__valid_fraction": 1.0}, r"config\.dataset\.valid_fraction = 1\.0 must be 0 or more and below 1"),
    ({"dataset__min_user_items": -1}, r"config\.dataset\.min_user_items = -1 must be 0 or more"),
    ({"dataset__split_seed": -1}, r"config\.dataset\.split_seed = -1 must be 0 or more"),
    ({"dataset__path": "x" * 999}, r"xxx: cannot be read \(File name too long\)"),
    ({"dataset__path": "a\0b"}, r"a.b: no such folder"),
    ({"sampler__popularity_cap": math.inf}, r"config\.sampler\.popularity_cap = inf must be a finite number above 0"),
    ({"sampler__refresh_every": -1}, r"config\.sampler\.refresh_every = -1 must be 0 or more"),
    ({"model__dim": 2**20}, r"config\.model\.dim = 1048576 must be 1 or more and below 2\^20"),
    ({"model__temperature": 0.0}, r"config\.model\.temperature = 0\.0 must be a finite number above 0"),
    ({"model__gor_weight": math.nan}, r"config\.model\.gor_weight = nan must be a finite number of 0 or more"),
    ({"train__batch_size": 0}, r"config\.train\.batch_size = 0 must be 1 or more"),
    ({"train__num_passes": 0.0}, r"config\.train\.num_passes = 0\.0 must be a finite number above 0"),
    ({"eval__max_users": 0}, r"config\.eval\.max_users = 0 must be 1 or more"),
    ({"eval__memory_budget_mb": -1.0}, r"config\.eval\.memory_budget_mb = -1\.0 must be a finite number above 0"),
    ({"checkpoint__keep": 0}, r"config\.checkpoint\.keep = 0 must be 1 or more"),
    (
        {"model__loss": "bpr"},
        r"config\.model\.loss = 'bpr' ranks by inner products, so model\.constraint = 'sphere' must be 'none'",
    ),
    (
        {"model__loss": "softmax", "model__name": "inner_product", "model__constraint": "none"},
        r"config\.model\.loss = 'softmax' does not go with model\.name = 'inner_product'; use model\.loss = 'bpr'",
    ),
    ({"model__l2_weight": 0.1}, r"config\.model\.l2_weight = 0\.1 has an effect only with model\.loss = 'bpr'"),
    ({"model__name": "cpe", "model__hinge": "sum"}, r"hinge = 'sum' has an effect only with a model that takes more"),
    ({"model__name": "cpe", "model__warp": True}, r"warp = True has an effect only with a model that takes more"),
    (
        {"model__hinge_temperature": 0.2},
        r"hinge_temperature = 0\.2 has an effect only with model\.hinge = 'soft_min' and a model that takes more",
    ),
    (
        {"model__name": "cml_graph", "model__loss": "softmax", "model__nearest_users_weight": 0.3},
        r"nearest_users_weight = 0\.3 has an effect only with model\.num_nearest_users above 0",
    ),
    ({"model__gor_form": "sum"}, r"config\.model\.gor_form = 'sum' has an effect only with .*gor_weight above 0"),
    ({"dataset__split_ratio": (1, 1, 10**20)}, r"must be three integers up to 1000"),
    ({"model__gor_form": "median"}, r"config\.model\.gor_form = 'median' is unknown; choose one of mean, sum"),
    (
        {"sampler__name": "uniform", "sampler__known_positives": "retry_then_keep"},
        r"config\.sampler\.known_positives = 'retry_then_keep' has an effect only with sampler\.name = 'two_stage'",
    ),
    (
        {"sampler__name": "popularity", "sampler__without_replacement": True},
        r"config\.sampler\.without_replacement needs 64 negatives a step of the 50 items",
    ),
    ({"eval__select": "ndcg@3"}, r"config\.eval\.select = 'ndcg@3' is unknown; choose one of ndcg@1, ndcg@5, map@1"),
    ({"eval__select": "mmr@5"}, r"config\.eval\.select = 'mmr@5' is unknown"),
    ({"eval__final_ks": (0,)}, r"config\.eval\.final_ks = \(0,\) must be integers of 1 or more"),
    ({"eval__final_ks": (7, 51)}, r"config\.eval\.final_ks has 51, which is above the number of items, 50"),
    (
        {"eval__enough_held_out": True},
        r"leaves nobody for ndcg@5, .*: none of the validation users has more than 1 held",
    ),
    (
        {"optimizer__schedule": "cosine"},
        r"config\.optimizer\.schedule = 'cosine' is unknown; choose one of constant, lin",
    ),
    (
        {"optimizer__average_passes": -1.0},
        r"config\.optimizer\.average_passes = -1\.0 must be a finite number of 0 or more",
    ),
    ({"model__decoupled": False}, r"config\.model\.decoupled = False has an effect only with model\.loss = 'softmax'"),
]


@pytest.mark.parametrize(("overrides", "sentence"), BAD_CONFIGS, ids=[str(overrides) for overrides, _ in BAD_CONFIGS])
def test_bad_value_is_refused_before_anything_is_written(overrides, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence) as caught:
        train.train_and_evaluate(tiny_config(**overrides), tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


BAD_TYPES = [
    ({"train__num_steps": "many"}, r"config\.train\.num_steps = 'many' must be of type int"),
    ({"train__num_steps": 2.5}, r"config\.train\.num_steps = 2\.5 must be of type int"),
    ({"dataset__min_rating": "4"}, r"config\.dataset\.min_rating = '4' must be of type float"),
    ({"dataset__path": 7}, r"config\.dataset\.path = 7 must be of type str"),
    ({"dataset__split": True}, r"config\.dataset\.split = True must be of type str"),
    ({"seed": True}, r"config\.seed = True must be of type int"),
    ({"model__dim": 8.0}, r"config\.model\.dim = 8\.0 must be of type int"),
    ({"eval__ks": 5}, r"config\.eval\.ks = 5 must be of type tuple"),
    ({"sampler__without_replacement": 1}, r"config\.sampler\.without_replacement = 1 must be of type bool"),
]


@pytest.mark.parametrize(("overrides", "sentence"), BAD_TYPES, ids=[str(overrides) for overrides, _ in BAD_TYPES])
def test_wrong_type_is_named(overrides, sentence, tmp_path):
    config = tiny_config()
    with config.ignore_type():
        config.update_from_flattened_dict({key.replace("__", "."): value for key, value in overrides.items()})
    with pytest.raises(ConfigError, match=sentence):
        train.train_and_evaluate(config, tmp_path / "run")


def test_wrong_type_unknown_and_missing_keys_are_named(tmp_path):
    config = tiny_config().unlock()
    config.train.batch_sise = 3
    with pytest.raises(
        ConfigError, match=r"config\.train\.batch_sise is not a config key; did you mean config\.train\."
    ):
        train.train_and_evaluate(config, tmp_path / "run")
    del config.train["batch_sise"], config.model["dim"]
    with pytest.raises(ConfigError, match=r"config\.model\.dim is missing"):
        train.train_and_evaluate(config, tmp_path / "run")
    with config.ignore_type():
        config.model.dim = "many"
    with pytest.raises(ConfigError, match=r"config\.model\.dim = 'many' must be of type int"):
        train.train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


BAD_COMMANDS = [
    (["--config=nowhere.py"], "--config=nowhere.py: no such file"),
    ([QUICKSTART, "--config.sampler.nam=uniform"], "config.sampler.nam is not a config key; did you mean"),
    ([QUICKSTART, "--config.nothing.like=1"], "config.nothing.like is not a config key"),
    ([QUICKSTART, "--config.train.batch_size=many"], "--config.train.batch_size=many"),
    ([QUICKSTART, "--config.model.margin=0"], "config.model.margin = 0.0 must be a finite number above 0"),
    ([QUICKSTART, "--nonsense"], "nonsense"),
    ([QUICKSTART, "--config.train.batch_size="], "--config"),
    ([QUICKSTART + ":argument"], "get_config() takes 0 positional arguments"),
    (["--config=tests/oracles/lists.py"], "get_config"),
    (["--config=README.md"], "SyntaxError"),
    ([QUICKSTART, "extra"], "'extra' is not a flag"),
]


@pytest.fixture(scope="module")
def refused(tmp_path_factory):
    """What each of BAD_COMMANDS, a line without a config and one without any flag came to."""
    workdir = tmp_path_factory.mktemp("commands") / "run"
    done = commands(
        [*([*arguments, f"--workdir={workdir}"] for arguments, _ in BAD_COMMANDS), [f"--workdir={workdir}"], []]
    )
    assert not workdir.exists()
    return dict(zip([" ".join(arguments) for arguments, _ in BAD_COMMANDS] + ["--workdir", ""], done, strict=True))


@pytest.mark.parametrize(("arguments", "sentence"), BAD_COMMANDS, ids=[" ".join(a) for a, _ in BAD_COMMANDS])
def test_bad_command_line_prints_one_sentence_and_exits_with_1(arguments, sentence, refused):
    done = refused[" ".join(arguments)]
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and sentence in done.stderr and len(done.stderr.splitlines()) == 1


def test_missing_config_is_named(refused):
    assert refused[""].returncode == 1 and refused[""].stderr.startswith("error: ") and "--config" in refused[""].stderr
    assert refused["--workdir"].stderr == "error: --config is needed; --help says what it is.\n"


def test_unwritable_workdir_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the workdir"):
        train.train_and_evaluate(tiny_config(), tmp_path / "file" / "run")
