"""The table of MovieLens-1M: strategies x constraints, d = 128, B = 512, 8 passes, five seeds.

python -m experiments.sweep --config=experiments/configs/results/ml1m.py --workdir=runs/results/ml1m \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

and then the same with experiments.results.baselines. --config=experiments/configs/results/ml1m.py:search is the search
on validation that chose the settings: for each row four, listed in experiments/results/search_spaces.py, and two more;
CHOSEN has the numbers of the best. RESULTS.md has the table.
"""

from experiments.config import Config
from experiments.results import search_spaces

_SEARCHED = (
    "uniform-none",
    "uniform-ball",
    "uniform-sphere",
    "popularity-sphere",
    "two_stage-sphere",
    "two_stage_bias-sphere",
    "softmax-sphere",
    "bias-sphere",
    "degree-sphere",
)
_SEARCHED += ("bpr-none",)
_MORE = {  # two for every row, past the edge of the four on which the best of them lay
    "uniform-none": search_spaces.at_both_rates({"model.num_negatives": 16}),
    "uniform-ball": search_spaces.at_both_rates({"model.num_negatives": 16}),
    "uniform-sphere": search_spaces.at_both_rates({"model.num_negatives": 16}),
    "popularity-sphere": search_spaces.at_both_rates({"sampler.popularity_exponent": 0.25}),
    "two_stage-sphere": search_spaces.at_both_rates(
        {"model.num_negatives": 8, "sampler.popularity_exponent": 0.0, "sampler.similarity_cutoff": 0.2}
    ),
    "two_stage_bias-sphere": search_spaces.at_both_rates({"sampler.similarity_cutoff": 0.05}),
    "softmax-sphere": search_spaces.at_both_rates({"model.temperature": 0.18}),
    "bias-sphere": search_spaces.at_both_rates({"model.temperature": 0.15}),
    "degree-sphere": [
        {
            "optimizer.learning_rate": 3e-3,
            "model.temperature": temperature,
            "model.temperature_degree_exponent": exponent,
        }
        for temperature, exponent in ((0.15, 0.3), (0.18, 0.1))
    ],
    "bpr-none": search_spaces.at_both_rates({"model.l2_weight": 0.002}),
    "als": [{"regularization": 10.0, "alpha": 40.0}, {"regularization": 100.0, "alpha": 10.0}],
    "item_knn": [{"weighting": "bm25", "num_neighbours": neighbours} for neighbours in (20, 500)],
    "ease": [{"regularization": 3000.0}, {"regularization": 10000.0}],
    "slim": [{"alpha": 0.003, "l1_ratio": 0.01}, {"alpha": 0.003, "l1_ratio": 0.1}],
    "implicit_bpr": [
        {"learning_rate": 0.02, "regularization": 0.1},
        {"learning_rate": 0.005, "regularization": 0.03},
    ],
}
CHOSEN = {
    "uniform-none": 5,
    "uniform-ball": 6,
    "uniform-sphere": 6,
    "popularity-sphere": 1,
    "two_stage-sphere": 1,
    "two_stage_bias-sphere": 6,
    "softmax-sphere": 2,
    "bias-sphere": 6,
    "degree-sphere": 4,
    "bpr-none": 3,
    "als": 6,
    "implicit_bpr": 6,
    "item_knn": 4,
    "ease": 4,
    "slim": 1,
}


def get_config(part: str = "final") -> Config:
    """The grid of a part, 'final' or 'search'."""
    if part not in ("final", "search"):
        raise ValueError(f"'{part}' is not a part; choose 'final' or 'search'.")
    base = search_spaces.base_config()
    base.dataset.name = "ml-1m"
    base.train.batch_size = 512
    base.train.num_passes = 8
    base.eval.every_steps = 1155
    return search_spaces.final(base, CHOSEN, _MORE) if part == "final" else search_spaces.search(base, _SEARCHED, _MORE)
