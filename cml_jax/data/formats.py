"""The format of the data that stand at a path, told by names and first lines."""

from pathlib import Path

from cml_jax.data.adjacency import ENOUGH
from cml_jax.data.packing import plain_name, start_of
from cml_jax.data.part_files import packed_files, refuse_pipe
from cml_jax.errors import DataError

_SUFFIXES = {
    ".csv": "csv",
    ".inter": "inter",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".npz": "npz",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".tab": "tsv",
    ".tsv": "tsv",
}
_TEXT = (".txt", ".dat", ".data")  # of any format of lines
_PACKED_IN_THEMSELVES = ("npz", "parquet")
_MOVIELENS_HEADER = b"userId,movieId,"
_IN_FOLDER = {  # a file of a folder, packed or not -> the folder's format
    "train.txt": "adjacency",
    "train.csv": "csv",
    "train.tsv": "tsv",
    "train.jsonl": "jsonl",
    "train.ndjson": "jsonl",
    "train.inter": "inter",
    "train.parquet": "parquet",
    "train.npz": "npz",
    "train_triplets.txt": "echonest",
    "u.data": "movielens",
    "ratings.dat": "movielens",
    "ratings.csv": "movielens",
}


def format_of(path: Path, *, named: bool = False, lists: bool = False) -> tuple[str, str]:
    """A key of `readers.READERS` and the reason for it.

    Args:
        path: a file or folder.
        named: whether a column of ids is named, which MovieLens' files do not need.
        lists: whether it is said what a line's first number is, which only lists of integers need.

    Raises:
        DataError: nothing is there, or its format cannot be told.
    """
    try:
        if path.is_dir():
            return _of_folder(path, lists)
        if not path.is_file():
            refuse_pipe(path)
            raise DataError(f"{path}: no such file or folder; give a path, or the data themselves.")
        return _of_file(path, named, lists)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _of_folder(path: Path, lists: bool) -> tuple[str, str]:
    found = {
        file.name: format
        for name, format in _IN_FOLDER.items()
        for file in ([path / name] if format in _PACKED_IN_THEMSELVES else packed_files(path, name))
        if file.is_file()
    }
    if not found:
        raise DataError(f"{path}: holds none of {', '.join(_IN_FOLDER)}; give the path of a file.")
    if len(set(found.values())) > 1:
        raise DataError(f"{path}: holds {' and '.join(found)}; give the path of one of the files.")
    name, format = next(iter(found.items()))
    if format == "adjacency" and not lists:
        _refuse_rows(path / name)
    return format, f"since {name} is in it"


def _refuse_rows(path: Path) -> None:
    """Raises DataError for a file of lists that may as well hold rows of a user, an item, a rating and a time."""
    values = _first_values(path)
    widths = {len(row) for row in values}
    if len(values) >= ENOUGH and widths < {3, 4} and len({row[0] for row in values}) * 2 <= len(values):
        raise DataError(
            f"{path}: each line has {widths.pop()} values, and users stand on several lines, so they may be lists of "
            f"items or rows of user, item and rating; set dataset.format = adjacency or text."
        )


def _of_file(path: Path, named: bool, lists: bool) -> tuple[str, str]:
    plain = Path(plain_name(path.name))
    if plain.name == "train_triplets.txt":
        return "echonest", "by its name"
    if plain.name in ("u.data", "ratings.dat"):
        return "movielens", "by its name"
    if plain.suffix.lower() in _TEXT:
        return ("adjacency", "since first_number is said") if lists else _of_lines(path)
    format = _SUFFIXES.get(plain.suffix.lower())
    if format is None or (format in _PACKED_IN_THEMSELVES and plain.name != path.name):
        known = ", ".join(sorted(_SUFFIXES.keys() - {".csv", ".tsv"}))
        raise DataError(
            f"{path}: its name does not tell the format; name it .csv, .tsv, {known} or .txt (text perhaps with .gz), "
            f"or read it with a library of your choice and give the data frame."
        )
    if plain.name == "ratings.csv" and not named and _starts_like_movielens(path):
        return "movielens", "by its name and columns"
    return format, "by its name"


def _starts_like_movielens(path: Path) -> bool:
    start = start_of(path, len(_MOVIELENS_HEADER) + 3)
    return start.removeprefix(b"\xef\xbb\xbf").startswith(_MOVIELENS_HEADER)


def _of_lines(path: Path) -> tuple[str, str]:
    """Lists of integers, a line a user, if lines are like that; else a table."""
    values = _first_values(path)
    why = "by its name"
    if all(value.isdigit() for row in values for value in row):
        if len({len(row) for row in values}) > 1:
            return "adjacency", "since its lines are integers, not equally many in each"
        if len(values) >= ENOUGH and all(len(row) > 2 and int(row[0]) == len(row) - 1 for row in values):
            return "adjacency", "since its lines are integers, of which the first is the number of the others"
        if len(values) > 1 and len(values[0]) > 2 and len({row[0] for row in values}) == len(values):
            why += "; if its lines are a user and items, set dataset.format=adjacency"
    return "text", why


def _first_values(path: Path) -> list[list[bytes]]:
    """What stands between white space on the first lines that are not blank."""
    start = start_of(path, 2**16)
    lines = start.split(b"\n") if len(start) < 2**16 else start.split(b"\n")[:-1]
    return [line.split() for line in lines if line.strip()]
