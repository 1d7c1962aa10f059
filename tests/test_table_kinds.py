"""Tables by what their rows are, and rows that take the place of those trained."""

import jax.numpy as jnp
import numpy as np
import pytest

from cml_jax import make_options
from cml_jax.table_kinds import kinds_of_tables, with_rows
from cml_jax.types import Params

MODEL = make_options(model="sml", loss="triplet", constraint="ball", num_candidates=3, dim=2).make_model()


def test_tables_are_told_by_what_their_size_follows_from():
    assert kinds_of_tables(MODEL) == {
        "users": "user",
        "items": "item",
        "user_margins": "user",
        "item_margins": "item",
    }
    extended = MODEL._replace(
        init=lambda key, data: (p := MODEL.init(key, data))._replace(tables=p.tables | {"tags": jnp.zeros((4, 2))})
    )
    assert kinds_of_tables(extended)["tags"] is None


@pytest.mark.parametrize(("kind", "other"), [("user", "item"), ("item", "user")])
def test_rows_in_the_place_of_those_trained_get_the_mean_of_every_other_table_of_their_kind(kind, other):
    rng = np.random.default_rng(4)
    shapes = {"users": (4, 2), "items": (3, 2), "user_margins": (4,), "item_margins": (3,)}
    old = {table: jnp.asarray(rng.normal(size=shape), jnp.float32) for table, shape in shapes.items()}
    rows = jnp.asarray(rng.normal(size=(5, 2)), jnp.float32)
    params = Params(dict(old), {"kept": jnp.ones(2)})
    new = with_rows(MODEL, params, kind, rows)
    assert new.dense is params.dense
    np.testing.assert_array_equal(new.tables[f"{kind}s"], rows)
    expected = np.full(5, np.asarray(old[f"{kind}_margins"]).mean())
    np.testing.assert_allclose(new.tables[f"{kind}_margins"], expected, rtol=1e-6)
    assert all(new.tables[table] is old[table] for table in (f"{other}s", f"{other}_margins"))
