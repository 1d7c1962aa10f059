"""The rows of the families' tables: every model of metric learning x samplers, and what is searched for each of them.

Every row has four settings to choose from on validation, both learning rates times two values of one number, and
everything else is the same for all rows; a family's other numbers are its authors', the defaults here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.config import Config
from experiments.results import search_spaces
from experiments.sweeps import grid

_CONSTRAINT = {"model.constraint": ("ball", "sphere")}
_OWN: dict[str, dict[str, Any]] = {  # model -> the number that is searched beside the rate
    **dict.fromkeys(("cml", "sml", "dpcml", "lrml", "transcf", "hlr", "hlr++", "crml", "cpe", "pmlam"), _CONSTRAINT),
    "cml-warp": _CONSTRAINT,
    "hyperml": {"model.distortion_weight": (0.1, 1.0)},
    "sfcml": {"model.user_balance": (0.0, 1.0)},
}
_MODELS: dict[str, dict[str, Any]] = {name: {"model.name": name} for name in _OWN} | {
    "cml-warp": {"model.name": "cml", "model.warp": True},
    "hlr++": {"model.name": "hlr", "model.item_attention": True},
    "sfcml": {"model.name": "sfcml", "model.loss": "squared", "sampler.num_candidates": 0},
    "cml-bias": {"model.name": "cml_bias"},
    "cml-graph": {"model.name": "cml_graph"},
    "simplex": {"model.name": "simplex", "model.num_neighbours": 20},
}
_SAMPLERS: dict[str, dict[str, Any]] = {
    "uniform": {"sampler.name": "uniform", "model.num_negatives": 8},
    "two-stage": {
        "sampler.name": "two_stage",
        "sampler.popularity_exponent": 1.0,
        "sampler.similarity_cutoff": 0.1,
        "model.num_negatives": 1,
    },
    "soft": {
        "model.loss": "softmax",
        "model.decoupled": True,
        "model.negative_exponent": 1.0,
        "sampler.name": "uniform",
    },
}
_SOFT = ("cml", "cml-bias", "cml-graph", "dpcml", "lrml", "simplex")  # the models that offer cosines
_TEMPERATURES = {"model.temperature": (0.08, 0.12)}  # which stand for the constraint, since cosines have none
ROWS = (
    *(f"{model}, uniform" for model in _OWN if model != "sfcml"),
    *(f"{model}, two-stage" for model in _OWN if model not in ("cml-warp", "sfcml")),  # WARP weighs several negatives
    *(f"{model}, soft" for model in _SOFT),
    "sfcml, all pairs",
)
SEEDS = (0, 1, 2, 3, 4)


def fixed(row: str) -> dict[str, Any]:
    """What a row is: dotted key -> value."""
    model, sampler = row.split(", ")
    return _MODELS[model] | _SAMPLERS.get(sampler, {})


def settings(row: str) -> list[dict[str, Any]]:
    """The four settings that are tried for a row."""
    model, sampler = row.split(", ")
    return search_spaces.every_setting(search_spaces.RATES | (_TEMPERATURES if sampler == "soft" else _OWN[model]))


def base_config(base: Config, num_steps: int) -> Config:
    """What all rows on a data set share: its table's settings with d = 64, and four evaluations on 600 users a run.

    Args:
        base: the grid of its table in RESULTS.md.
        num_steps: of a run.
    """
    del base["sweep"]
    base.model.dim = 64
    # One length of chunks, so that a program is compiled once; ranking all users by some of the models takes a minute.
    base.eval.max_users = 600
    base.eval.every_steps = base.train.report_every_steps = num_steps // 4
    base.checkpoint.every_steps = num_steps
    return base


def search(base: Config, rows: Sequence[str] = ROWS) -> Config:
    """A grid of every setting of every row, seed 0, scored on validation; test is left alone."""
    base.eval.final_split = "valid"
    points = [
        {**fixed(row), **setting, "name": f"{row}, {number}"}
        for row in rows
        for number, setting in enumerate(settings(row), start=1)
    ]
    return grid.make_grid(base, {"seed": (0,)}, points)


def final(base: Config, chosen: Mapping[str, int], seeds: Sequence[int] = SEEDS) -> Config:
    """A grid of every row with the setting chosen, by its number from 1, and several seeds, scored on test.

    Args:
        base: what the rows share.
        chosen: row -> number of its setting.
        seeds: five by default.
    """
    points = [{**fixed(row), **settings(row)[number - 1], "name": row} for row, number in chosen.items()]
    return grid.make_grid(
        base, {"seed": tuple(seeds)}, points, baseline="cml, uniform", baselines=[{"name": "popular"}]
    )
