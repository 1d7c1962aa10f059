"""The table of MovieLens-1M: strategies x constraints, d = 128, B = 512, 8 passes, five seeds.

python -m experiments.sweep --config=experiments/configs/results/ml1m.py --workdir=runs/results/ml1m \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

and then the same with experiments.baselines. --config=experiments/configs/results/ml1m.py:search is the search on
validation that chose the settings: four for each row, listed in experiments/strategies.py; CHOSEN has their numbers.
RESULTS.md has the table.
"""

from experiments import strategies
from experiments.config import Config

_SEARCHED = (
    "uniform-none",
    "uniform-ball",
    "uniform-sphere",
    "popularity-sphere",
    "two_stage-sphere",
    "softmax-sphere",
)
_SEARCHED += ("bpr-none",)
CHOSEN: dict[str, int] = dict.fromkeys((*_SEARCHED, *strategies.LIBRARY_ROWS), 1)


def get_config(part: str = "final") -> Config:
    """The grid of a part, 'final' or 'search'."""
    if part not in ("final", "search"):
        raise ValueError(f"'{part}' is not a part; choose 'final' or 'search'.")
    base = strategies.base_config()
    base.dataset.name = "ml-1m"
    base.train.batch_size = 512
    base.train.num_passes = 8
    base.eval.every_steps = 1155
    return strategies.final(base, CHOSEN) if part == "final" else strategies.search(base, _SEARCHED)
