"""CML, SML, DPCML and LRML on Steam-200k: the same sampler, budget and protocol; uniform negatives, ball, 3 seeds.

python -m experiments.sweep --config=experiments/configs/family/steam.py --workdir=runs/family/steam \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

The settings in CHOSEN are those that validation chose on Last.fm (experiments/configs/family/lastfm.py:search), of
four for each family (experiments/results/search_spaces.py), its own numbers at their defaults; :search here would
choose on this data set. RESULTS.md has the table.
"""

from experiments.config import Config
from experiments.configs.results import steam
from experiments.results import search_spaces

CHOSEN = {"cml-ball": 4, "sml-ball": 2, "dpcml-ball": 4, "lrml-ball": 2}


def get_config(part: str = "final") -> Config:
    """The grid of a part, 'final' or 'search'."""
    base = steam.get_config(part)
    del base["sweep"]
    if part == "final":
        return search_spaces.final(base, CHOSEN, seeds=(0, 1, 2))
    return search_spaces.search(base, search_spaces.FAMILY_ROWS, library_rows=())
