"""Which tables of a model have a row for each user, and which for each item."""

import jax
import jax.numpy as jnp

from cml_jax.data.interactions import nothing
from cml_jax.models import Model
from cml_jax.types import Array, DeviceInteractions, Params

KINDS = ("user", "item")


def shapes_for(model: Model, num_users: int, num_items: int) -> Params:
    """Shapes of the parameters for so many users and items; nothing is computed."""
    data = jax.eval_shape(nothing(num_users, num_items).to_device)
    return jax.eval_shape(model.init, jax.random.key(0), data)


def kinds_of_tables(model: Model) -> dict[str, str | None]:
    """Table -> 'user' or 'item', whose rows it has; None where its size does not follow from the data."""
    first, more_users, more_items = (shapes_for(model, *size).tables for size in ((5, 7), (6, 7), (5, 8)))
    kinds = {}
    for table, shape in first.items():
        grown = [kind for kind, of in zip(KINDS, (more_users, more_items), strict=True) if len(of[table]) > len(shape)]
        kinds[table] = grown[0] if grown else None
    return kinds


def with_context(model: Model, params: Params, data: DeviceInteractions) -> Params:
    """Parameters with the further tables, if any, that ranking reads of the training pairs; see `Model.context`."""
    return params._replace(tables=params.tables | model.context(params, data))


def with_rows(model: Model, params: Params, kind: str, rows: Array, histories: Array | None = None) -> Params:
    """Parameters in which other users, or other items, stand in the place of those that were trained.

    Args:
        model: whose tables `users` or `items` have the points.
        params: of the model.
        kind: 'user' or 'item'.
        rows: Array[n, ...], as those of that table. Every other table of the kind, such as one of biases, gets n times
            the mean of its rows, since nothing is known of the new ones.
        histories: Array[n, I] bool, items of the users, or Array[n, U] bool, users of the items, for models that read
            them, whose `params` then have the tables of `with_context`.
    """
    tables = dict(params.tables)
    for table in (name for name, of in kinds_of_tables(model).items() if of == kind):
        mean = jnp.mean(tables[table], axis=0)
        tables[table] = rows if table == f"{kind}s" else jnp.broadcast_to(mean, (len(rows), *mean.shape))
    if histories is not None and kind in model.context_of:
        tables |= model.context_of[kind](params, histories)
    return params._replace(tables=tables)
