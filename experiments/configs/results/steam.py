"""The table of Steam-200k in LibCML's metrics: strategies x constraints, d = 128, B = 256, 16 passes, five seeds.

python -m experiments.sweep --config=experiments/configs/results/steam.py --workdir=runs/results/steam \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

and then the same with experiments.results.baselines. --config=experiments/configs/results/steam.py:search is the search
on validation that chose the settings: four for each row, listed in experiments/results/search_spaces.py; CHOSEN has
their numbers. RESULTS.md has the table.
"""

from experiments.config import Config
from experiments.results import search_spaces

_SEARCHED = (*search_spaces.ROWS, "two_stage_bias-sphere", "dpcml-sphere")
CHOSEN = {
    "uniform-none": 2,
    "uniform-ball": 4,
    "uniform-sphere": 4,
    "popularity-none": 1,
    "popularity-ball": 3,
    "popularity-sphere": 1,
    "two_stage-none": 2,
    "two_stage-ball": 3,
    "two_stage-sphere": 1,
    "two_stage_bias-sphere": 1,
    "softmax-sphere": 2,
    "bias-sphere": 2,
    "dpcml-sphere": 4,
    "bpr-none": 3,
    "als": 3,
    "implicit_bpr": 4,
    "item_knn": 3,
    "ease": 1,
    "slim": 1,
}


def get_config(part: str = "final") -> Config:
    """The grid of a part, 'final' or 'search'."""
    if part not in ("final", "search"):
        raise ValueError(f"'{part}' is not a part; choose 'final' or 'search'.")
    base = search_spaces.base_config()
    base.dataset.name = "steam-200k"
    base.eval.ks = (3,)
    base.eval.final_ks = (50, 5113)  # 5113: the whole catalogue
    base.eval.enough_held_out = True
    return search_spaces.final(base, CHOSEN) if part == "final" else search_spaces.search(base, _SEARCHED)
