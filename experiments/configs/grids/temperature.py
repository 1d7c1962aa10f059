"""The softmax's temperature and the exponent of its negative part on one data set, on validation.

python -m experiments.sweep --config=experiments/configs/grids/temperature.py:lastfm --workdir=runs/temperature/lastfm \
    --config.dataset.path=FOLDER

Eight settings, and the defaults, which follow from the density of the data; temperatures are multiples of that one's.
The part names the data set: lastfm, steam-200k, ml-1m, gowalla or yelp2018. Everything else is at its default but for
d = 64 and, on the larger ones, eight passes. RESULTS.md has the table.
"""

from experiments.config import Config, default_config
from experiments.sweeps import grid

_DEFAULTS = {"lastfm": 0.116, "steam-200k": 0.126, "ml-1m": 0.171, "gowalla": 0.097, "yelp2018": 0.103}
_LARGE = ("ml-1m", "gowalla", "yelp2018")
_SETTINGS = ((0.67, 1.0), (0.82, 1.0), (1.0, 1.0), (1.22, 1.0), (1.5, 1.0), (1.0, 1.1), (1.0, 1.2), (0.82, 1.2))


def get_config(part: str = "lastfm") -> Config:
    """The grid of a data set."""
    if part not in _DEFAULTS:
        raise ValueError(f"'{part}' is not a part; choose one of {', '.join(_DEFAULTS)}.")
    config = default_config()
    config.dataset.name = part
    config.dataset.format = "adjacency"
    config.model.dim = 64
    config.train.num_passes = 8.0 if part in _LARGE else 16.0
    config.eval.final_split = "valid"
    points = [
        {
            "name": f"{factor} T, exponent {exponent}",
            "model.temperature": round(factor * _DEFAULTS[part], 4),
            "model.negative_exponent": exponent,
        }
        for factor, exponent in _SETTINGS
    ]
    points.append({"name": "defaults"})
    return grid.make_grid(config, {"seed": (0,)}, points, baseline="1.0 T, exponent 1.0")
