"""The format of the data that stand at a path, told by names and first lines."""

from pathlib import Path

from cml_jax.errors import DataError

_SUFFIXES = {".csv": "csv", ".parquet": "parquet", ".pq": "parquet", ".tsv": "tsv", ".npz": "npz"}
_MOVIELENS_HEADER = b"userId,movieId,"
_IN_FOLDER = {  # a file of a folder -> the folder's format
    "train.txt": "adjacency",
    "train.csv": "csv",
    "train.tsv": "tsv",
    "train.parquet": "parquet",
    "train.npz": "npz",
    "train_triplets.txt": "echonest",
    "u.data": "movielens",
    "ratings.dat": "movielens",
    "ratings.csv": "movielens",
}


def format_of(path: Path, *, named: bool = False) -> tuple[str, str]:
    """A key of `readers.READERS` and the reason for it.

    Args:
        path: a file or folder.
        named: whether a column of ids is named, which MovieLens' files do not need.

    Raises:
        DataError: nothing is there, or its format cannot be told.
    """
    try:
        if path.is_dir():
            return _of_folder(path)
        if not path.is_file():
            raise DataError(f"{path}: no such file or folder; give a path, or the data themselves.")
        return _of_file(path, named)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error


def _of_folder(path: Path) -> tuple[str, str]:
    found = {name: format for name, format in _IN_FOLDER.items() if (path / name).is_file()}
    if not found:
        raise DataError(f"{path}: holds none of {', '.join(_IN_FOLDER)}; give the path of a file.")
    if len(set(found.values())) > 1:
        raise DataError(f"{path}: holds {' and '.join(found)}; give the path of one of the files.")
    name, format = next(iter(found.items()))
    return format, f"since {name} is in it"


def _of_file(path: Path, named: bool) -> tuple[str, str]:
    if path.name == "train_triplets.txt":
        return "echonest", "by its name"
    if path.name in ("u.data", "ratings.dat"):
        return "movielens", "by its name"
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    format = _SUFFIXES.get(plain.suffix.lower())
    if format is None or (format in ("npz", "parquet") and plain != path):
        raise DataError(
            f"{path}: its name does not tell the format; name it .csv, .tsv (either perhaps with .gz), .parquet or "
            f".npz, or read it with a library of your choice and give the data frame."
        )
    if path.name == "ratings.csv" and not named and _first_bytes(path).startswith(_MOVIELENS_HEADER):
        return "movielens", "by its name and columns"
    return format, "by its name"


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_MOVIELENS_HEADER) + 3).removeprefix(b"\xef\xbb\xbf")
