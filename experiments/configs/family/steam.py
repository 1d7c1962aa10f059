"""Families of collaborative metric learning on Steam-200k: models x samplers, one budget and protocol, five seeds.

python -m experiments.sweep --config=experiments/configs/family/steam.py --workdir=runs/family/steam \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

--config=experiments/configs/family/steam.py:search is the search on validation that chose the settings: four for each
row, listed in experiments/results/family.py; CHOSEN has their numbers.
docs/family.md has what they scored.
"""

from experiments.config import Config
from experiments.configs.results import steam
from experiments.results import family

CHOSEN = {
    "cml, uniform": 4,
    "sml, uniform": 3,
    "dpcml, uniform": 4,
    "lrml, uniform": 2,
    "transcf, uniform": 3,
    "hlr, uniform": 4,
    "hlr++, uniform": 3,
    "crml, uniform": 2,
    "cpe, uniform": 2,
    "pmlam, uniform": 4,
    "cml-warp, uniform": 3,
    "hyperml, uniform": 1,
    "cml, two-stage": 4,
    "sml, two-stage": 2,
    "dpcml, two-stage": 4,
    "lrml, two-stage": 2,
    "transcf, two-stage": 3,
    "hlr, two-stage": 2,
    "hlr++, two-stage": 3,
    "crml, two-stage": 4,
    "cpe, two-stage": 4,
    "pmlam, two-stage": 3,
    "hyperml, two-stage": 4,
    "cml, soft": 4,
    "cml-bias, soft": 4,
    "cml-graph, soft": 4,
    "dpcml, soft": 4,
    "lrml, soft": 2,
    "simplex, soft": 2,
    "sfcml, all pairs": 3,
}


def get_config(part: str = "final") -> Config:
    """The grid of a part, 'final' or 'search'."""
    base = family.base_config(steam.get_config(part), num_steps=4240)
    return family.final(base, CHOSEN) if part == "final" else family.search(base)
