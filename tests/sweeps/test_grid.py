import pytest

from cml_jax.errors import ConfigError
from experiments.sweeps import grid
from tests.tiny import tiny_config


def folders(config, axes=None):
    return [point.folder for point in grid.points(config, axes)]


def test_product_of_axes_with_strategies_first_and_the_seed_last():
    axes = {"train.batch_size": (64, 32), "sampler.name": ("uniform", "two_stage"), "seed": (7, 3)}
    config = grid.make_grid(tiny_config(), axes, baseline="uniform,batch_size=32")
    found = {point.folder: point.config for point in grid.points(config)}
    assert set(found) == {
        f"{name},batch_size={size}/{seed}" for name in ("uniform", "two_stage") for size in (64, 32) for seed in (7, 3)
    }
    one = found["uniform,batch_size=32/3"]
    assert (one.sampler.name, one.train.batch_size, one.seed, one.model.dim) == ("uniform", 32, 3, 8)
    assert "sweep" not in one
    base = tiny_config(train__batch_size=32, sampler__name="uniform", seed=3)
    assert one.to_json() == base.to_json()


def test_list_of_points_goes_through_the_product_and_names_are_kept():
    points = [{"name": "small", "model.dim": 4, "eval.every_steps": 10}, {"model.dim": 16}]
    config = grid.make_grid(tiny_config(), {"seed": (0, 1), "model.constraint": ("ball", "none")}, points)
    assert set(folders(config)) == {
        *(f"small,constraint={name}/{seed}" for name in ("ball", "none") for seed in (0, 1)),
        *(f"dim=16,constraint={name}/{seed}" for name in ("ball", "none") for seed in (0, 1)),
    }
    small = next(point.config for point in grid.points(config) if point.folder == "small,constraint=ball/1")
    assert (small.model.dim, small.eval.every_steps, small.model.constraint) == (4, 10, "ball")


def test_seeds_alone_and_values_that_are_not_numbers():
    assert folders(grid.make_grid(tiny_config(), {"seed": (4, 5)})) == ["4", "5"]
    axes = {"sampler.popularity_cap": (None, 2.5), "eval.ks": ((1, 2), (5,)), "dataset.name": ("checkerboard", "a/b")}
    labels = {folder.rsplit("/", 1)[0] for folder in folders(grid.make_grid(tiny_config(), axes))}
    assert "checkerboard,ks=(1,2),popularity_cap=none" in labels and "a_b,ks=(5,),popularity_cap=2.5" in labels


def test_axes_can_be_replaced_and_the_grid_itself_is_left_alone():
    config = grid.make_grid(tiny_config(), {"seed": (0, 1, 2), "model.dim": (4, 8)})
    before = config.to_json()
    assert folders(config, {"seed": (9,), "optimizer.learning_rate": (0.1, 0.2)}) == [
        f"dim={dim},learning_rate={rate}/9" for dim in (4, 8) for rate in (0.1, 0.2)
    ]
    assert config.to_json() == before


@pytest.mark.parametrize(
    ("axes", "points", "baseline", "sentence"),
    [
        ({"sampler.nam": ("uniform",)}, (), None, r"config\.sweep: config\.sampler\.nam is not a config key; did you"),
        ({"seed": ()}, (), None, r"config\.sweep\.axes\.seed = \(\) must be a tuple of one or more values"),
        ({"model.dim": ("wide",)}, (), None, r"config\.sweep: model\.dim = 'wide' cannot be set"),
        ({"seed": (0, 0)}, (), None, "two points for the folder 0"),
        ({"seed": (0,)}, [{"model.depth": 3}], None, r"config\.model\.depth is not a config key"),
        (
            {"seed": (0,)},
            [{"model.dim": 3}, {"model.dim": 3}],
            None,
            "two points for the folder 0; give each value once",
        ),
        ({"seed": ({1, 2},)}, (), None, r"config\.sweep: seed = \(\{1, 2\},\) cannot be kept as JSON"),
        ({"seed": (0,)}, [{"model.dim": b"x"}], None, r"config\.sweep: model\.dim = b'x' cannot be kept as JSON"),
        ({"name": ("a", "b")}, (), None, r"config\.sweep\.axes\.name = \('a', 'b'\): a 'name' is for points"),
        *(
            ({"seed": (0,)}, [{"name": name}], None, r"config\.sweep\.points: name = .* must be text that a folder")
            for name in ("../up", "/abs", "..", 5, None)
        ),
        (
            {"model.dim": (3, 4)},
            (),
            "dim=5",
            r"baseline = 'dim=5' is not a label of this grid; choose one of \['dim=3'",
        ),
    ],
)
def test_grids_that_cannot_be_used_are_named(axes, points, baseline, sentence):
    with pytest.raises(ConfigError, match=sentence):
        grid.points(grid.make_grid(tiny_config(), axes, points, baseline))


def test_an_axis_that_is_no_tuple_is_named():
    config = grid.make_grid(tiny_config(), {"seed": (0,)})
    with pytest.raises(ConfigError, match=r"axes\.model\.dim = 8 must be a tuple of one or more values"):
        grid.points(config, {"model.dim": 8})  # pyright: ignore
