"""The paper's figure: accuracy against batch size, for the three samplers, on HetRec Last.fm.

python -m experiments.sweep --config=experiments/configs/grids/batch_size.py:passes --workdir=runs/batch_size_passes \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

`:passes` gives every batch size 16 passes over the data, so that a large batch makes few steps; `:steps` gives each
the 4,032 steps that B = 256 makes in 16 passes, so that a large batch sees more data. All else is equal, the learning
rate too: 36 runs of d = 128 on the sphere, about 10 minutes on two CPU cores for either budget.

Test NDCG@50 of two-stage at B = 256 is 0.308, of uniform at B = 4096 0.249 with equal passes and 0.297 with equal
steps. RESULTS.md has the tables and the figures.
"""

from experiments.config import Config
from experiments.configs import two_stage
from experiments.sweeps import grid

_BUDGETS = {"passes": {"train.num_passes": 16.0}, "steps": {"train.num_steps": 4032}}


def get_config(budget: str = "passes") -> Config:
    """The grid of a budget."""
    if budget not in _BUDGETS:
        raise ValueError(f"'{budget}' is not a budget; choose one of {', '.join(_BUDGETS)}.")
    base = two_stage.get_config()
    base.dataset.name = "lastfm"
    base.update_from_flattened_dict(_BUDGETS[budget])
    points = []
    for batch_size in (64, 256, 1024, 4096):
        # As many evaluations for each, about eight.
        every = 500 if budget == "steps" else 500 * 256 // batch_size
        points.append({"name": f"B={batch_size}", "train.batch_size": batch_size, "eval.every_steps": every})
    return grid.make_grid(
        base,
        axes={"sampler.name": ("uniform", "popularity", "two_stage"), "seed": (0, 1, 2)},
        points=points,
        baseline="B=4096,uniform",
    )
