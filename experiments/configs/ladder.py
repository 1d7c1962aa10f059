"""The ladder of ingredients: from uniform negatives to the corrected two-stage sampling and its soft second stage.

for rung in 1-uniform 2-sphere 3-popularity 4-frozen 5-live 6-cutoff 7-gor 8-soft; do for seed in 0 1 2; do
python -m experiments.main --config=experiments/configs/ladder.py:$rung --workdir=runs/ladder/$rung/$seed \
    --config.seed=$seed --config.dataset.name=lastfm --config.dataset.path=FOLDER; done; done
python -m experiments.report --workdir=runs/ladder

One change a rung, but for the last, which replaces what draws and weights negatives; everything else is equal: d = 128,
B = 256, one negative, 16 passes, Adam at 1e-3. About 12 minutes on two CPU cores for Last.fm, without the last rung.
Test NDCG@50 of that is 0.326 on Last.fm and 0.468 on Steam-200k; RESULTS.md has the others. Without a rung: 6-cutoff.
"""

from experiments.config import Config
from experiments.configs import _drawn

CHANGES = {
    "1-uniform": {"sampler.name": "uniform", "model.constraint": "none"},
    "2-sphere": {"model.constraint": "sphere"},
    "3-popularity": {"sampler.name": "popularity"},
    "4-frozen": {"sampler.name": "two_stage", "sampler.similarity_cutoff": 1.0, "sampler.refresh_every": 0},
    "5-live": {"sampler.refresh_every": 1},
    "6-cutoff": {"sampler.similarity_cutoff": 0.1},
    "7-gor": {"model.gor_weight": 1.0},
    "8-soft": {  # what draws and weights negatives, as a whole; GOR belongs to the triplet loss
        "model.loss": "softmax",
        "model.decoupled": True,
        "model.temperature": 0.12,
        "model.negative_exponent": 1.0,
        "model.gor_weight": 0.0,
        "sampler.popularity_exponent": 0.0,
    },
}
RUNGS = tuple(CHANGES)


def get_config(rung: str = "6-cutoff") -> Config:
    """The config of a rung: its own change and those of all rungs below."""
    if rung not in CHANGES:
        raise ValueError(f"'{rung}' is not a rung; choose one of {', '.join(CHANGES)}.")
    config = _drawn.base_config()
    config.model.dim = 128
    config.model.init_scale = 0.8
    for name, changes in CHANGES.items():
        config.update_from_flattened_dict(changes)
        if name == rung:
            return config
    raise AssertionError
