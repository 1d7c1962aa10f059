"""The table of Gowalla, LightGCN's split: strategies x constraints, B = 1,024, all of train, five seeds.

python -m experiments.sweep --config=experiments/configs/results/gowalla.py --workdir=runs/results/gowalla \
    --config.dataset.path=FOLDER_WITH_TRAIN_TEST

and then the same with experiments.results.baselines. d = 64 but for two rows. The search on validation, a tenth of
train set aside, is --config=experiments/configs/results/gowalla.py:search, 20 passes, 12 for 128 and 256 dimensions:
for each row four settings, listed in experiments/results/search_spaces.py, and two more, but for 256 dimensions,
two-stage sampling on the item graph and SLIM, which have the four; CHOSEN has the number of the best. For each the
last pass was best, but for item biases with drawn negatives (16 of 20) and the item graph (26 of 40). The two more of
item biases have batches of 512, those of the item graph, of 128 dimensions and one of BPR's more passes. RESULTS.md
has the table.
"""

from experiments.config import Config
from experiments.results import search_spaces

_SEARCHED = (
    "uniform-ball",
    "uniform-sphere",
    "popularity-sphere",
    "two_stage-sphere",
    "two_stage_bias-sphere",
    "two_stage_graph-sphere",
    "softmax-sphere",
    "bias-sphere",
    "graph-sphere",
    "graph_128-sphere",
    "graph_256-sphere",
    "bpr-none",
)
_LIBRARIES = ("als", "implicit_bpr", "item_knn", "slim")  # not EASE, which inverts a matrix of 40,981 rows
_MORE = {  # two for most rows, past the edge of the four on which the best of them lay
    "uniform-ball": search_spaces.at_both_rates({"model.num_negatives": 16}),
    "uniform-sphere": search_spaces.at_both_rates({"model.num_negatives": 16}),
    "popularity-sphere": search_spaces.at_both_rates({"sampler.popularity_exponent": 0.25}),
    "two_stage-sphere": search_spaces.at_both_rates(
        {"model.num_negatives": 8, "sampler.popularity_exponent": 0.0, "sampler.similarity_cutoff": 0.2}
    ),
    "two_stage_bias-sphere": search_spaces.at_both_rates({"sampler.similarity_cutoff": 0.3}),
    "softmax-sphere": search_spaces.at_both_rates({"model.temperature": 0.06}),
    "bias-sphere": [
        {
            "optimizer.learning_rate": 1e-3,
            "model.temperature": temperature,
            "train.batch_size": 512,
            "eval.every_steps": 8 * 711,
        }
        for temperature in (0.08, 0.095)
    ],
    "graph-sphere": [
        {
            "optimizer.learning_rate": 1e-3,
            "model.temperature": 0.095,
            "model.nearest_weight": 0.8,
            "train.num_passes": num_passes,
            "eval.every_steps": 2 * 711,
        }
        for num_passes in (26, 40)
    ],
    "graph_128-sphere": [
        {
            "optimizer.learning_rate": 1e-3,
            "model.temperature": temperature,
            "model.nearest_weight": 0.8,
            "train.num_passes": 20,
        }
        for temperature in (0.065, 0.08)
    ],
    "bpr-none": [
        {"optimizer.learning_rate": 1e-3, "model.l2_weight": l2_weight, "train.num_passes": num_passes}
        for l2_weight, num_passes in ((0.002, 20), (0.001, 120))
    ],
    "als": [{"regularization": 0.1, "alpha": 40.0}, {"regularization": 10.0, "alpha": 40.0}],
    "item_knn": [{"weighting": weighting, "num_neighbours": 500} for weighting in ("cosine", "bm25")],
    "implicit_bpr": [
        {"learning_rate": 0.02, "regularization": 0.0005},
        {"learning_rate": 0.005, "regularization": 0.003},
    ],
}
CHOSEN = {
    "uniform-ball": 5,
    "uniform-sphere": 5,
    "popularity-sphere": 5,
    "two_stage-sphere": 6,
    "two_stage_bias-sphere": 5,
    "two_stage_graph-sphere": 1,
    "softmax-sphere": 3,
    "bias-sphere": 1,
    "graph-sphere": 5,
    "graph_128-sphere": 6,
    "graph_256-sphere": 1,
    "bpr-none": 6,
    "als": 5,
    "item_knn": 5,
    "slim": 1,
    "implicit_bpr": 5,
}


def get_config(part: str = "final") -> Config:
    """The grid of a part, 'final' or 'search'."""
    if part not in ("final", "search"):
        raise ValueError(f"'{part}' is not a part; choose 'final' or 'search'.")
    base = search_spaces.base_config()
    base.dataset.name = "gowalla"
    base.model.dim = 64
    base.train.batch_size = 1024
    base.train.num_passes = 20
    base.eval.ks = (20, 50)
    base.eval.select = "ndcg@20"
    base.eval.every_steps = 4 * 711
    base.checkpoint.every_steps = 10_000
    if part == "search":
        return search_spaces.search(base, _SEARCHED, _MORE, library_rows=_LIBRARIES)
    base.dataset.valid_fraction = 0.0
    return search_spaces.final(base, CHOSEN, _MORE)
