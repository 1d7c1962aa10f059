"""Options of item and user features: where they are, and which columns of what kind are read."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from cml_jax.data.features import KINDS
from cml_jax.errors import ConfigError
from cml_jax.options import options, static

_COLUMN = re.compile(rf"(?P<name>.+?)(?::(?P<kind>{'|'.join(KINDS)})(?::(?P<separator>.+))?)?", re.DOTALL)
_FILE = "csv, tsv, jsonl, parquet, .item or .user file of RecBole, npy or npz"
_COLUMNS = (
    f"of these features, as 'name', 'name:kind' or 'name:kind:separator', kind being {' | '.join(KINDS)}; none: all, "
    f"their kinds guessed"
)


class Wanted(NamedTuple):
    """One column that is asked for.

    Attributes:
        name: of the column.
        kind: one of `features.KINDS`, or None to guess it.
        separator: of the values of one cell of text, for multi_hot and vector; None for the usual one.
    """

    name: str
    kind: str | None = None
    separator: str | None = None


@options
class FeatureOptions:
    """Options of item and user features."""

    item_features: str | None = static(None, f"features of items: {_FILE}")
    item_feature_columns: tuple[str, ...] | None = static(None, _COLUMNS)
    item_feature_id: str | None = static(None, "column of raw ids of item_features; none: as in the interactions")
    user_features: str | None = static(None, f"features of users: {_FILE}")
    user_feature_columns: tuple[str, ...] | None = static(None, _COLUMNS)
    user_feature_id: str | None = static(None, "column of raw ids of user_features; none: as in the interactions")

    def check_features(self) -> None:
        """Raises ConfigError for columns that cannot be, or without features to have them."""
        for kind in ("item", "user"):
            features, columns, id_column = (
                getattr(self, f"{kind}_{name}") for name in ("features", "feature_columns", "feature_id")
            )
            for key, value in ((f"{kind}_feature_columns", columns), (f"{kind}_feature_id", id_column)):
                if features is None and value:
                    raise ConfigError(f"dataset.{key} has no effect without dataset.{kind}_features; leave it out.")
            wanted_columns(columns, f"{kind}_feature_columns")


def wanted_columns(columns: Sequence[str] | None, key: str) -> tuple[Wanted, ...]:
    """The columns that are asked for.

    Raises:
        ConfigError: one is no text, is named twice, or has a separator that its kind does not need.
    """
    found: list[Wanted] = []
    for column in columns or ():
        match = _COLUMN.fullmatch(column) if isinstance(column, str) else None
        if match is None:
            raise ConfigError(f"dataset.{key}: {column!r} is no column; write 'name', 'name:kind' or 'name:kind:|'.")
        wanted = Wanted(**match.groupdict())
        if wanted.separator and wanted.kind not in ("multi_hot", "vector"):
            raise ConfigError(f"dataset.{key}: '{column}' is {wanted.kind}, which needs no separator; leave it out.")
        if wanted.name in [other.name for other in found]:
            raise ConfigError(f"dataset.{key}: names '{wanted.name}' twice; leave one out.")
        found.append(wanted)
    return tuple(found)
