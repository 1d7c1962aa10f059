"""What commands show beside the ids of lists: titles and features, by flags."""

from collections.abc import Iterator, Sequence

import polars as pl
from absl import flags

from cml_jax.serving import feature_columns
from cml_jax.serving.recommender import Recommender

_TITLE = feature_columns.TITLE


def define_flags(given: flags.FlagValues) -> None:
    """Defines with_titles and with_features."""
    flags.DEFINE_boolean(
        "with_titles",
        None,
        "Titles of the listed items as a column; default: where they are printed and the model has any.",
        flag_values=given,
    )
    flags.DEFINE_list(
        "with_features", None, "Features of the listed items, or users, as more columns.", flag_values=given
    )


def with_columns(
    model: Recommender, tables: Iterator[pl.DataFrame], given: flags.FlagValues, *, kind: str, printed: bool
) -> Iterator[pl.DataFrame]:
    """Lists with what the flags ask for.

    Args:
        model: has it.
        tables: the lists.
        given: the flags of `define_flags`.
        kind: 'item' or 'user'; what is listed.
        printed: whether a person reads them at the terminal.

    Raises:
        UserError: the model does not have what is asked for.
    """
    features: Sequence[str] = given["with_features"].value or ()
    if features:
        feature_columns.check_names(model.item_features if kind == "item" else model.user_features, features, kind)
        tables = (model.with_features(table, *features) for table in tables)
    titles = given["with_titles"].value
    if titles is None:
        titles = printed and kind == "item" and model.item_titles is not None and _TITLE not in features
    if not titles:
        return tables
    feature_columns.check_titles(model)
    titled = (model.with_titles(table) for table in tables)
    return (table.with_columns(_printable()) for table in titled) if printed else titled


def _printable() -> pl.Expr:
    """Titles on one line, and without what a terminal would obey."""
    return pl.col(_TITLE).str.replace_all(r"\p{C}+", " ")
