"""What each ingredient is worth: the rungs of configs/ladder.py, over seeds, on HetRec Last.fm.

python -m experiments.sweep --config=experiments/configs/grids/ingredients.py --workdir=runs/ingredients \
    --config.dataset.path=FOLDER_WITH_TRAIN_VALID_TEST

24 runs, without those of the last rung about 3 minutes on two CPU cores. Test NDCG@50: uniform
without a constraint 0.135, on the sphere 0.231, popularity 0.224, two-stage frozen 0.256, live 0.040, with a cut-off
0.272, with GOR 0.278, the soft second stage 0.326; see RESULTS.md.
"""

from experiments.config import Config
from experiments.configs import ladder
from experiments.sweeps import grid


def get_config() -> Config:
    """The rungs, each with all changes of those below."""
    base = ladder.get_config(ladder.RUNGS[0])
    base.dataset.name = "lastfm"
    points, changes = [], {}
    for rung in ladder.RUNGS:
        changes |= ladder.CHANGES[rung]
        points.append({"name": rung} | changes)
    return grid.make_grid(base, axes={"seed": (0, 1, 2)}, points=points, baseline=ladder.RUNGS[0])
