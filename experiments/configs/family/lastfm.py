"""CML, SML, DPCML and LRML on Last.fm: the same sampler, budget and protocol; uniform negatives, ball, 3 seeds.

python -m experiments.sweep --config=experiments/configs/family/lastfm.py --workdir=runs/family/lastfm \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

--config=experiments/configs/family/lastfm.py:search is the search on validation that chose the settings: the same four
for each family (experiments/results/search_spaces.py), its own numbers at their defaults; CHOSEN has the best of those
searched so far. RESULTS.md has the table.
"""

from experiments.config import Config
from experiments.configs.results import lastfm
from experiments.results import search_spaces

CHOSEN = {"cml-ball": 4, "sml-ball": 2, "dpcml-ball": 4, "lrml-ball": 2}


def get_config(part: str = "final") -> Config:
    """The grid of a part, 'final' or 'search'."""
    base = lastfm.get_config(part)
    del base["sweep"]
    if part == "final":
        return search_spaces.final(base, CHOSEN, seeds=(0, 1, 2))
    return search_spaces.search(base, search_spaces.FAMILY_ROWS, library_rows=())
