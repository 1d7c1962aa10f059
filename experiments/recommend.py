"""Recommends with a trained model; of its run only the workdir is needed.

python -m experiments.recommend --workdir=DIR --k=20 --output=FILE.parquet
python -m experiments.recommend --workdir=DIR --users=ID,ID
python -m experiments.recommend --workdir=DIR --history=FILE.csv --output=FILE.csv
python -m experiments.recommend --workdir=DIR --similar_items=ID
python -m experiments.recommend --workdir=DIR --export=FOLDER

Tables have the columns user, rank, item and score, in most models the negative squared distance; csv, jsonl or parquet
by the name of --output. Items of a user's training and validation pairs are left out, and so are dislikes. --history
names a file of new users and their items, who are folded in; its columns are named as those of the training data, or
user and item, or as --user_column and --item_column say. --users_file, --allow and --deny take what --output wrote.
"""

import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from absl import flags
from tqdm import tqdm

import cml_jax
from cml_jax.data.interactions import Interactions, from_pairs, keep_users, nothing
from cml_jax.errors import DataError, UserError
from cml_jax.runs import compilation_cache
from cml_jax.serving import ann, export
from cml_jax.serving.list_tables import Remarks
from cml_jax.serving.raw_ids import RawIds
from cml_jax.serving.recommender import Recommender
from experiments import cli, history_files, id_files, list_columns, table_files

FLAGS = flags.FlagValues()  # its own, since commands share names
_WORKDIR = flags.DEFINE_string("workdir", None, "Workdir of a run; it is only read.", required=True, flag_values=FLAGS)
_OUTPUT = flags.DEFINE_string(
    "output", None, "FILE.csv, .jsonl or .parquet; without it a few rows are printed.", flag_values=FLAGS
)
_K = flags.DEFINE_integer("k", 20, "Length of a list.", lower_bound=1, flag_values=FLAGS)
_USERS = flags.DEFINE(
    id_files.CommaSeparated(),
    "users",
    None,
    "Raw ids of users, a comma between them, one that holds a comma in quotes; default: all.",
    flag_values=FLAGS,
    serializer=flags.CsvListSerializer(","),
)
_USERS_FILE = flags.DEFINE_string(
    "users_file", None, "File of raw ids of users, one a line, or a table with a column user.", flag_values=FLAGS
)
_HISTORY = flags.DEFINE_string(
    "history", None, "File with columns of users and items: new users, who are folded in.", flag_values=FLAGS
)
history_files.define_flags(FLAGS)
_SIMILAR_ITEMS = flags.DEFINE_string(
    "similar_items", None, "Raw id of an item, whose neighbours are listed.", flag_values=FLAGS
)
_SIMILAR_USERS = flags.DEFINE_string(
    "similar_users", None, "Raw id of a user, whose neighbours are listed.", flag_values=FLAGS
)
_EXPORT = flags.DEFINE_string("export", None, "New folder for points, ids and search indexes.", flag_values=FLAGS)
_EXCLUDE_SEEN = flags.DEFINE_boolean(
    "exclude_seen", True, "Leave out items of training, validation or history.", flag_values=FLAGS
)
_EXCLUDE_DISLIKED = flags.DEFINE_boolean(
    "exclude_disliked", True, "Leave out items that the user dislikes in the training data.", flag_values=FLAGS
)
_EXCLUDE_UNTRAINED = flags.DEFINE_boolean(
    "exclude_untrained", False, "Leave out items that nobody was trained on.", flag_values=FLAGS
)
_ALLOW = flags.DEFINE_string(
    "allow",
    None,
    "File of raw ids of the only items to list: one a line, or a table with a column item.",
    flag_values=FLAGS,
)
_DENY = flags.DEFINE_string(
    "deny", None, "File of raw ids of items not to list, allowed or not, as for --allow.", flag_values=FLAGS
)
list_columns.define_flags(FLAGS)
_UNKNOWN = flags.DEFINE_enum(
    "unknown", "refuse", ["refuse", "skip"], "What is done with ids that are unknown.", flag_values=FLAGS
)
_BUDGET = flags.DEFINE_float("memory_budget_mb", 512.0, "Bound on the scores held at once, in MiB.", flag_values=FLAGS)
_CACHE = flags.DEFINE_string(
    compilation_cache.KEY, None, "Folder of compiled programs, read instead of compiling.", flag_values=FLAGS
)
_M = flags.DEFINE_integer("hnsw_m", 32, "For --export: links of a node.", lower_bound=2, flag_values=FLAGS)
_CONSTRUCTION = flags.DEFINE_integer(
    "hnsw_ef_construction", 80, "For --export: candidates when a node is linked.", lower_bound=1, flag_values=FLAGS
)
_SEARCH = flags.DEFINE_integer(
    "hnsw_ef_search", 128, "For --export: candidates of a search.", lower_bound=1, flag_values=FLAGS
)

_PRINTED_USERS = 20
_TASKS = ("users", "users_file", "history", "similar_items", "similar_users", "export")
_NO_LISTS = ("similar_items", "similar_users", "export")


def main() -> None:
    """Runs with the flags' values."""
    _check_flags()
    with compilation_cache.used(_CACHE.value, _say, f"--{compilation_cache.KEY}"):
        _answer()


def _answer() -> None:
    """Loads the model, and hands out what is asked of it."""
    model = cml_jax.load(_WORKDIR.value, _BUDGET.value)
    for note in model.notes:
        _say(f"Warning: {note}")
    if _EXPORT.value is not None:
        how = ann.Hnsw(_M.value, _CONSTRUCTION.value, _SEARCH.value)
        print(export.export(model, Path(_EXPORT.value), how))
    elif _SIMILAR_ITEMS.value is not None:
        with warnings.catch_warnings(record=True) as caught:
            table = model.similar_items(_SIMILAR_ITEMS.value, _K.value)
        for warning in caught:
            _say(f"Warning: {warning.message}")
        _hand_out(_shown(model, iter([table])), 1)
    elif _SIMILAR_USERS.value is not None:
        _hand_out(_shown(model, iter([model.similar_users(_SIMILAR_USERS.value, _K.value)]), "user"), 1)
    elif _HISTORY.value is not None:
        names, histories = _read_history(model, Path(_HISTORY.value))
        _check_printable(len(names))
        _hand_out(_shown(model, _with_remarks(model, _new_users(model, names, histories), names)), len(names))
    else:
        users = _chosen_users(model)
        _check_printable(len(users))
        lists = model.recommend_in_blocks(
            users,
            _K.value,
            exclude_seen=_EXCLUDE_SEEN.value,
            exclude_disliked=_EXCLUDE_DISLIKED.value,
            **_limits(model),
        )
        _hand_out(_shown(model, _with_remarks(model, lists, users)), len(users))


def _check_flags() -> None:
    """Flags that do not go together are refused before anything is read."""
    given = [name for name in _TASKS if FLAGS[name].value is not None]
    if len(given) > 1:
        raise UserError(f"--{given[0]} and --{given[1]} do not go together; give one of them.")
    task = given[0] if given else "users"
    without_effect = (
        ["hnsw_m", "hnsw_ef_construction", "hnsw_ef_search"]
        if task != "export"
        else ["k", "with_features", "with_titles"]
    )
    if task in _NO_LISTS:
        without_effect += ["allow", "deny", "exclude_seen", "exclude_untrained", "unknown"]
    if task != "history":
        without_effect += history_files.NAMES
    if task == "similar_users":
        without_effect.append("with_titles")
    if task in (*_NO_LISTS, "history"):  # nobody knows what new users dislike
        without_effect.append("exclude_disliked")
    for name in without_effect:
        if FLAGS[name].value != FLAGS[name].default:
            raise UserError(
                f"--{name} has no effect {f'with --{task}' if given else f'without --{_needed(name)}'}; leave it out."
            )
    if _EXPORT.value is not None and _OUTPUT.value is not None:
        raise UserError("--export names the folder that is written; leave out --output.")
    if _OUTPUT.value is not None:
        table_files.check_output(Path(_OUTPUT.value))


def _needed(name: str) -> str:
    """The flag without which another has no effect."""
    return "history" if name in history_files.NAMES else "export"


def _check_printable(num_users: int) -> None:
    if _OUTPUT.value is None and num_users > _PRINTED_USERS:
        raise UserError(
            f"{num_users:,} users are too many to print; name a file with --output, or up to {_PRINTED_USERS} users "
            f"with --users."
        )


def _chosen_users(model: Recommender) -> list[str]:
    """Raw ids of the users asked for, each once."""
    ids = model.user_ids
    if _USERS.value is not None:
        names = id_files.as_known(ids, _USERS.value)
    elif _USERS_FILE.value is not None:
        names = id_files.read_ids(Path(_USERS_FILE.value), ids, ("user", model.columns[0]))
    else:
        return [str(value) for value in ids.values.tolist()]
    names = _known(ids, list(dict.fromkeys(names)))
    if not names:
        raise DataError("no user is left; name at least one that the model knows.")
    return names


def _limits(model: Recommender) -> dict[str, Any]:
    """The lists of --allow and --deny, and what else may not be listed."""
    limits: dict[str, Any] = {"exclude_untrained": _EXCLUDE_UNTRAINED.value}
    for name, path in (("allow", _ALLOW.value), ("deny", _DENY.value)):
        if path is not None:
            found = id_files.read_ids(Path(path), model.item_ids, ("item", model.columns[1]))
            limits[name] = _known(model.item_ids, found)
    return limits


def _known(ids: RawIds, names: list[str]) -> list[str]:
    """The names that the model knows; others are refused, or named and skipped."""
    _, unknown = ids.split_known(names)
    if not unknown:
        return names
    if _UNKNOWN.value == "refuse":
        error = ids.unknown(unknown[0])
        more = f" ({len(unknown):,} such ids)" if len(unknown) > 1 else ""
        raise DataError(f"{str(error).rstrip('.')}{more}; --unknown=skip leaves such ids out.")
    shown = ", ".join(name[:60] for name in unknown[:10]) + (", ..." if len(unknown) > 10 else "")
    _say(f"Skipped {len(unknown):,} unknown {ids.kind}{'s' if len(unknown) > 1 else ''}: {shown}")
    left_out = set(unknown)
    return [name for name in names if name not in left_out]


def _read_history(model: Recommender, path: Path) -> tuple[list[str], Interactions]:
    """Names of new users, ascending, and the known items of each."""
    ids, table = model.item_ids, history_files.read_history(path, FLAGS, model.columns)
    for note in table.notes:
        _say(note)
    item_names = [str(value) for value in table.item_ids.tolist()]
    rows, _ = ids.split_known(_known(ids, item_names))
    row_of = np.full(len(item_names), -1)
    known = set(map(str, ids.values[rows].tolist()))
    row_of[[name in known for name in item_names]] = rows
    kept = row_of[table.items] >= 0
    histories = from_pairs(table.users[kept], row_of[table.items[kept]], len(table.user_ids), len(ids))
    names, filled = [str(value) for value in table.user_ids.tolist()], histories.degrees > 0
    empty = [name for name, full in zip(names, filled, strict=True) if not full]
    if empty:
        _say(f"Skipped {len(empty):,} users without a known item: {', '.join(empty[:10])}")
    if not filled.any():
        raise DataError(f"{path}: no user has an item that the model knows.")
    return [names[row] for row in np.flatnonzero(filled)], keep_users(histories, np.flatnonzero(filled))


def _new_users(model: Recommender, names: list[str], histories: Interactions) -> Iterator[pl.DataFrame]:
    """Lists of folded-in users, 1,024 at a time."""
    limits, blocks = _limits(model), range(0, len(names), 1024)
    for start in blocks:
        here = np.arange(start, min(start + 1024, len(names)))
        some = keep_users(histories, here)
        seen = some if _EXCLUDE_SEEN.value else nothing(len(here), len(model.item_ids))
        points = model.fold_in_all(some)
        of_users = [names[row] for row in here]
        yield from model.recommend_points(of_users, points, seen, _K.value, histories=some, **limits)


def _shown(model: Recommender, tables: Iterator[pl.DataFrame], kind: str = "item") -> Iterator[pl.DataFrame]:
    """The tables, with the titles and features that are asked for."""
    return list_columns.with_columns(model, tables, FLAGS, kind=kind, printed=_OUTPUT.value is None)


def _with_remarks(model: Recommender, tables: Iterator[pl.DataFrame], users: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The tables; after the last one it is said what of them nobody was trained on, and who has no list."""
    remarks = Remarks(model.unplaced_items, "--exclude_untrained")
    for table in tables:
        remarks.add(table)
        yield table
    for sentence in remarks.sentences(users):
        _say(sentence)


def _hand_out(tables: Iterator[pl.DataFrame], num_users: int) -> None:
    """Writes the tables to --output, or prints them."""
    if _OUTPUT.value is None:
        with pl.Config(tbl_rows=-1, tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, fmt_str_lengths=60):
            print(id_files.quoted(pl.concat(list(tables))))
        return
    with tqdm(total=num_users, unit="user", mininterval=0.5) as bar:
        table_files.write_tables(_counted(tables, bar), Path(_OUTPUT.value))
    _say(f"Wrote {_OUTPUT.value}.")


def _counted(tables: Iterable[pl.DataFrame], bar: tqdm) -> Iterator[pl.DataFrame]:
    """The tables, shown on a progress bar of users."""
    for table in tables:
        yield table
        bar.update(table["user"].n_unique() if "user" in table.columns else 1)


def _say(text: str) -> None:
    tqdm.write(text, file=sys.stderr)


if __name__ == "__main__":
    cli.run(main, FLAGS, example="python -m experiments.recommend --workdir=runs/quickstart --k=20")
