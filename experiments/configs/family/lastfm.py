"""Families of collaborative metric learning on Last.fm: models x samplers, one budget and protocol, five seeds.

python -m experiments.sweep --config=experiments/configs/family/lastfm.py --workdir=runs/family/lastfm \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

--config=experiments/configs/family/lastfm.py:search is the search on validation that chose the settings: four for each
row, listed in experiments/results/family.py; CHOSEN has their numbers.
docs/family.md has what they scored.
"""

from experiments.config import Config
from experiments.configs.results import lastfm
from experiments.results import family

CHOSEN = {
    "cml, uniform": 2,
    "sml, uniform": 1,
    "dpcml, uniform": 4,
    "lrml, uniform": 2,
    "transcf, uniform": 2,
    "hlr, uniform": 2,
    "hlr++, uniform": 2,
    "crml, uniform": 4,
    "cpe, uniform": 3,
    "pmlam, uniform": 3,
    "cml-warp, uniform": 2,
    "hyperml, uniform": 2,
    "cml, two-stage": 2,
    "sml, two-stage": 2,
    "dpcml, two-stage": 4,
    "lrml, two-stage": 2,
    "transcf, two-stage": 2,
    "hlr, two-stage": 1,
    "hlr++, two-stage": 2,
    "crml, two-stage": 2,
    "cpe, two-stage": 2,
    "pmlam, two-stage": 1,
    "hyperml, two-stage": 2,
    "cml, soft": 2,
    "cml-bias, soft": 4,
    "cml-graph, soft": 4,
    "dpcml, soft": 4,
    "lrml, soft": 2,
    "simplex, soft": 4,
    "sfcml, all pairs": 3,
}


def get_config(part: str = "final") -> Config:
    """The grid of a part, 'final' or 'search'."""
    base = family.base_config(lastfm.get_config(part), num_steps=4032)
    return family.final(base, CHOSEN) if part == "final" else family.search(base)
