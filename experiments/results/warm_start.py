"""Going on from an old model with grown data, against training anew: how many steps reach which score.

python -m experiments.results.warm_start --data=FOLDER --workdir=runs/warm_start [--seeds=0,1,2]

FOLDER is an adjacency data set with a validation part, such as Last.fm. It has no times, so an order of arrival is
drawn, by a fixed seed. `pairs`: the newest tenth of the training pairs is held back from the old model, at random.
`ids`: a twentieth of the users and a twentieth of the items, at random, are new with all their pairs. Validation and
test of the new runs are those of the whole data set. A new run has a fifth of the steps of training anew, and goes on
once with points and moments by the defaults, once with points alone and a learning rate that falls to 0; docs/python.md
says how those settings were found.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from cml_jax.data import datasets
from cml_jax.data.interactions import Dataset
from cml_jax.runs.workdir import write_atomically
from experiments import cli
from experiments.config import default_config
from experiments.train import train_and_evaluate

_DATA = flags.DEFINE_string("data", None, "Folder of train.txt, valid.txt and test.txt.", required=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the runs and warm_start.json.", required=True)
_SEEDS = flags.DEFINE_list("seeds", ["0"], "Seeds of the runs.")

_PART = 5  # of the steps of training anew
_FRESH = {
    "init_moments": False,
    "optimizer.learning_rate": 0.003,
    "optimizer.schedule": "linear",
    "optimizer.average_passes": 1.0,
}
_NEWEST, _NEW_IDS = 0.1, 0.05


def old_pairs(dataset: Dataset, kind: str) -> np.ndarray:
    """ndarray[n] bool; training pairs that were there before."""
    rng, train = np.random.default_rng(0), dataset.train
    if kind == "pairs":
        kept = np.ones(train.num_pairs, bool)
        kept[rng.permutation(train.num_pairs)[: int(_NEWEST * train.num_pairs)]] = False
        return kept
    new_users, new_items = (
        rng.permutation(size)[: round(_NEW_IDS * size)] for size in (train.num_users, train.num_items)
    )
    return ~(np.isin(train.users, new_users) | np.isin(train.items, new_items))


def write_old(dataset: Dataset, kept: np.ndarray, folder: Path) -> None:
    """Writes the old data set: the pairs kept, and of validation and test those of its users and items."""
    users, items = np.unique(dataset.train.users[kept]), np.unique(dataset.train.items[kept])
    folder.mkdir(parents=True, exist_ok=True)
    for part in ("train", "valid", "test"):
        pairs = getattr(dataset, part)
        chosen = kept if part == "train" else np.isin(pairs.users, users) & np.isin(pairs.items, items)
        lines = []
        for user in np.unique(pairs.users[chosen]):
            own = pairs.items[chosen & (pairs.users == user)]
            lines.append(" ".join(map(str, [dataset.user_ids[user], *dataset.item_ids[own]])))
        (folder / f"{part}.txt").write_text("\n".join(lines) + "\n")


def train(path: Path, workdir: Path, **options: Any) -> dict[str, Any]:
    """Trains by the defaults but for some keys of a config."""
    config = default_config()
    config.update_from_flattened_dict({"dataset.path": str(path), "dataset.format": "adjacency", **options})
    return train_and_evaluate(config, workdir)


def run(data: Path, folder: Path, seed: int) -> list[dict[str, Any]]:
    """Rows of the table, of one seed."""
    dataset = datasets.load("data", str(data), "adjacency")
    anew = train(data, folder / f"anew-{seed}", seed=seed)
    found = [{"data": "all", "start": "at random", "seed": seed, **_scores(anew, anew)}]
    steps = {"train.num_steps": anew["steps"] // _PART, "seed": seed}
    short = train(data, folder / f"short-{seed}", **steps)
    found.append({"data": "all", "start": "at random", "seed": seed, **_scores(short, anew)})
    for kind in ("pairs", "ids"):
        write_old(dataset, old_pairs(dataset, kind), folder / f"{kind}-data")
        old = folder / f"{kind}-old-{seed}"
        train(folder / f"{kind}-data", old, seed=seed)
        for name, options in (("points and moments", {}), ("points", _FRESH)):
            place = folder / f"{kind}-{name.replace(' ', '-')}-{seed}"
            result = train(data, place, **steps, **options, init_from=str(old))
            found.append({"data": kind, "start": name, "seed": seed, **_scores(result, anew)})
    return found


def _scores(result: dict[str, Any], anew: dict[str, Any]) -> dict[str, Any]:
    scores = {part: result[part]["ndcg@50"] for part in ("valid", "test")}
    return {"steps": result["steps"], **scores, "ratio": scores["test"] / anew["test"]["ndcg@50"]}


def main() -> None:
    """Runs with the flags' values."""
    folder = Path(_WORKDIR.value).expanduser()
    rows = [row for seed in _SEEDS.value for row in run(Path(_DATA.value).expanduser(), folder, int(seed))]
    write_atomically(folder / "warm_start.json", json.dumps(rows, indent=2) + "\n")
    print(f"{'new':>6}  {'start':<20}{'seed':>5}{'steps':>7}{'valid':>8}{'test':>8}{'ratio':>7}")
    for row in rows:
        numbers = f"{row['seed']:>5}{row['steps']:>7}{row['valid']:>8.4f}{row['test']:>8.4f}{row['ratio']:>7.3f}"
        print(f"{row['data']:>6}  {row['start']:<20}{numbers}")


if __name__ == "__main__":
    cli.run(main, example="python -m experiments.results.warm_start --data=FOLDER --workdir=runs/warm_start")
