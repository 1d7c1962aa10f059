"""Families of collaborative metric learning on MovieLens-1M: models x samplers, one budget and protocol, five seeds.

python -m experiments.sweep --config=experiments/configs/family/ml1m.py --workdir=runs/family/ml1m \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

--config=experiments/configs/family/ml1m.py:search is the search on validation that chose the settings: four for each
row, listed in experiments/results/family.py; CHOSEN has their numbers. docs/family.md has the table.
"""

from experiments.config import Config
from experiments.configs.results import ml1m
from experiments.results import family

CHOSEN = {"cml, uniform": 1}


def get_config(part: str = "final") -> Config:
    """The grid of a part, 'final' or 'search'."""
    base = family.base_config(ml1m.get_config(part), num_steps=4616)
    return family.final(base, CHOSEN) if part == "final" else family.search(base)
