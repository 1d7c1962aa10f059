"""Families of collaborative metric learning on Steam-200k: models x samplers, one budget and protocol, five seeds.

python -m experiments.sweep --config=experiments/configs/family/steam.py --workdir=runs/family/steam \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

--config=experiments/configs/family/steam.py:search is the search on validation that chose the settings: four for each
row, listed in experiments/results/family.py; CHOSEN has their numbers. docs/family.md has the table.
"""

from experiments.config import Config
from experiments.configs.results import steam
from experiments.results import family

CHOSEN = {"cml, uniform": 1}


def get_config(part: str = "final") -> Config:
    """The grid of a part, 'final' or 'search'."""
    base = family.base_config(steam.get_config(part), num_steps=4240)
    return family.final(base, CHOSEN) if part == "final" else family.search(base)
