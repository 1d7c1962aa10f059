"""Families of collaborative metric learning on MovieLens-1M: models x samplers, one budget and protocol, five seeds.

python -m experiments.sweep --config=experiments/configs/family/ml1m.py --workdir=runs/family/ml1m \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

--config=experiments/configs/family/ml1m.py:search is the search on validation that chose the settings: four for each
row, listed in experiments/results/family.py; CHOSEN has their numbers. Runs have 4 passes. docs/family.md
has the table.
"""

from experiments.config import Config
from experiments.configs.results import ml1m
from experiments.results import family

CHOSEN = {
    "cml, uniform": 4,
    "sml, uniform": 2,
    "dpcml, uniform": 4,
    "lrml, uniform": 2,
    "transcf, uniform": 4,
    "hlr, uniform": 4,
    "hlr++, uniform": 4,
    "crml, uniform": 4,
    "cpe, uniform": 4,
    "pmlam, uniform": 3,
    "cml-warp, uniform": 4,
    "hyperml, uniform": 3,
    "cml, two-stage": 4,
    "sml, two-stage": 2,
    "dpcml, two-stage": 4,
    "lrml, two-stage": 2,
    "transcf, two-stage": 2,
    "hlr, two-stage": 2,
    "hlr++, two-stage": 2,
    "crml, two-stage": 4,
    "cpe, two-stage": 4,
    "pmlam, two-stage": 3,
    "hyperml, two-stage": 4,
    "cml, soft": 4,
    "cml-bias, soft": 4,
    "cml-graph, soft": 4,
    "dpcml, soft": 4,
    "lrml, soft": 2,
    "simplex, soft": 4,
    "sfcml, all pairs": 3,
}


def get_config(part: str = "final") -> Config:
    """The grid of a part, 'final' or 'search'."""
    base = family.base_config(ml1m.get_config(part), num_steps=4616)
    return family.final(base, CHOSEN) if part == "final" else family.search(base)
