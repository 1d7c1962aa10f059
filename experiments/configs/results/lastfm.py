"""The table of HetRec Last.fm: strategies x constraints, d = 128, B = 256, 16 passes, five seeds.

python -m experiments.sweep --config=experiments/configs/results/lastfm.py --workdir=runs/results/lastfm \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

and then the same with experiments.results.baselines. --config=experiments/configs/results/lastfm.py:search is the
search on validation that chose the settings: four for each row, listed in experiments/results/search_spaces.py, and
for item biases two more, with batches of 64, and then two with averages of the tables over more passes; CHOSEN has
their numbers. RESULTS.md has the table.
"""

from experiments.config import Config
from experiments.results import search_spaces

_SEARCHED = (*search_spaces.ROWS, "two_stage_bias-sphere")
_SMALL_BATCHES = {"optimizer.learning_rate": 1e-3, "train.batch_size": 64, "eval.every_steps": 2010}
_MORE = {
    "bias-sphere": [_SMALL_BATCHES | {"model.temperature": temperature} for temperature in (0.12, 0.14)]
    + [
        _SMALL_BATCHES | {"model.temperature": 0.14, "optimizer.average_passes": passes, "train.num_passes": 24}
        for passes in (4.0, 8.0)
    ],
}
CHOSEN = {
    "uniform-none": 2,
    "uniform-ball": 4,
    "uniform-sphere": 4,
    "popularity-none": 1,
    "popularity-ball": 3,
    "popularity-sphere": 1,
    "two_stage-none": 1,
    "two_stage-ball": 3,
    "two_stage-sphere": 1,
    "two_stage_bias-sphere": 1,
    "softmax-sphere": 2,
    "bias-sphere": 8,
    "bpr-none": 3,
    "als": 3,
    "implicit_bpr": 2,
    "item_knn": 2,
    "ease": 2,
    "slim": 1,
}


def get_config(part: str = "final") -> Config:
    """The grid of a part, 'final' or 'search'."""
    if part not in ("final", "search"):
        raise ValueError(f"'{part}' is not a part; choose 'final' or 'search'.")
    base = search_spaces.base_config()
    base.dataset.name = "lastfm"
    if part == "search":
        return search_spaces.search(base, _SEARCHED, _MORE)
    return search_spaces.final(base, CHOSEN, _MORE)
