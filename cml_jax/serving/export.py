"""A model's points for other systems: NumPy, safetensors and faiss files, with the raw ids beside them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import safetensors.numpy

from cml_jax.errors import UserError
from cml_jax.files import new_folder
from cml_jax.serving import ann
from cml_jax.serving.raw_ids import RawIds
from cml_jax.serving.recommender import Recommender
from cml_jax.types import Score

_QUERIES = 500  # users that recall and speed-up are measured on
_K = 50


def export(model: Recommender, folder: Path, how: ann.Hnsw) -> str:
    """Writes a new folder, which is there when it is whole, and not before.

    items.npy and users.npy hold the points, float32, a row each; vectors.safetensors holds both; items.parquet and
    users.parquet hold row and raw id. With faiss, items.flat.faiss and items.hnsw.faiss search squared Euclidean
    distances, or inner products where the model ranks by these. export.json says what the points are, and what HNSW was
    measured to do.

    Args:
        model: the model.
        folder: is made; an empty one may be there.
        how: of the HNSW index.

    Returns:
        What to print.

    Raises:
        UserError: the folder holds something, or cannot be written, or the model has no vectors.
    """
    # Polars and faiss have errors of their own for a full disk.
    with new_folder(folder, (RuntimeError, pl.exceptions.PolarsError)) as beside:
        text = _write(model, beside, how)
    return f"{text}\nWrote {folder}."


def _write(model: Recommender, folder: Path, how: ann.Hnsw) -> str:
    users, items, by_distance = _vectors(model)
    about: dict[str, Any] = {
        "users": len(users),
        "items": len(items),
        "dim": items.shape[1],
        "model": model.options.model.name,
        "constraint": model.options.values().get("constraint", "none"),
        "step": model.step,
        "score": "-||u - i||^2" if by_distance else "u . i",
    }
    if by_distance:
        about["inner_product"] = "score + ||u||^2 = (u, 1) . (2 i, -||i||^2)"
    if users.ndim == 3:
        about |= {"vectors_per_user": users.shape[1], "score": f"the largest of {about['score']} over a user's vectors"}
        about.pop("inner_product", None)  # the norms of a user's vectors differ, so products do not compare them
    np.save(folder / "items.npy", items)
    np.save(folder / "users.npy", users)
    safetensors.numpy.save_file(
        {"users": users, "items": items},
        folder / "vectors.safetensors",
        {name: str(value) for name, value in about.items()},
    )
    # safetensors makes files that only their owner can read.
    (folder / "vectors.safetensors").chmod((folder / "items.npy").stat().st_mode)
    for name, ids in (("users", model.user_ids), ("items", model.item_ids)):
        _id_table(ids).write_parquet(folder / f"{name}.parquet")
    text = _write_indexes(users.reshape(-1, items.shape[1]), items, folder, how, about, by_distance)
    (folder / "export.json").write_text(json.dumps(about, indent=2) + "\n")
    return text


def _vectors(model: Recommender) -> tuple[np.ndarray, np.ndarray, bool]:
    """Users ndarray[U, D] or ndarray[U, V, D], items ndarray[I, D], and whether they rank by distance.

    Raises:
        UserError: the model has none.
    """
    ranking = model.ranking
    if isinstance(ranking, Score):
        raise UserError(
            f"The model '{model.options.model.name}' has no vectors whose distances or products rank the items, so "
            f"there is nothing to export; recommend from its workdir instead."
        )
    by_distance = ranking.offsets is not None
    found = (model.user_points, model.item_points) if by_distance else (ranking.queries, ranking.keys)
    users, items = (np.asarray(table, np.float32) for table in found)
    return users, items, by_distance


def _id_table(ids: RawIds) -> pl.DataFrame:
    return pl.DataFrame([pl.Series("row", np.arange(len(ids))), ids.series(np.arange(len(ids)), "id")])


def _write_indexes(
    users: np.ndarray, items: np.ndarray, folder: Path, how: ann.Hnsw, about: dict[str, Any], by_distance: bool
) -> str:
    """Writes the indexes and adds what was measured to `about`; without faiss, says what is missing."""
    try:
        faiss = ann.require_faiss()
    except UserError as error:
        return str(error)
    flat, index = ann.build_flat(items, by_distance), ann.build_hnsw(items, how, by_distance)
    faiss.write_index(flat, str(folder / "items.flat.faiss"))
    faiss.write_index(index, str(folder / "items.hnsw.faiss"))
    queries = users[np.random.default_rng(0).permutation(len(users))[:_QUERIES]]
    found = ann.compare(flat, index, queries, min(_K, len(items)))
    about["hnsw"] = how._asdict() | found
    return (
        f"HNSW (M = {how.m}, efConstruction = {how.ef_construction}, efSearch = {how.ef_search}): recall@{found['k']} "
        f"{found['recall']:.3f}, {found['speed_up']:.1f} times as fast as exact search, on one thread."
    )
