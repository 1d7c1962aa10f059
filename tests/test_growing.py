"""A model as the start of another: rows of known ids, moments, and where new ones begin.

Programs are few: most tests share the options of CASES[0], the sizes of OLD or NEW and the number of steps of a run.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cml_jax import growing, make_options, sharding, training
from cml_jax.data.sources import dataset_of
from cml_jax.errors import ConfigError, DataError
from cml_jax.growing import Moments, Old
from cml_jax.models import MODELS

OLD = {
    "u0": ["i0", "i1", "i3"],
    "u1": ["i1", "i2", "i4", "i5"],
    "u2": ["i0", "i4"],
    "u3": ["i2", "i3", "i6"],
    "u4": ["i5", "i6"],
    "u5": ["i1", "i7"],
}
NEW = {
    "a1": ["i0", "i1", "i6"],  # new, of known items, one of which is new with it
    "a2": ["b1"],  # new, of a new item that has a known user
    "a3": ["b2"],  # new, and so is its only item, whose only user it is
    "u4": ["i5", "i6"],
    "u3": ["i2", "i3", "i6"],
    "u2": ["i0", "i4", "b1"],
    "u1": ["i1", "i2", "i4", "i5", "b1"],
    "u0": ["i0", "i1", "i3"],
}
NEW["a1"].append("b3")  # new, whose only user is new and has known items
CASES = [
    ("cml", "softmax", {"constraint": "sphere"}),
    ("cml", "triplet", {"constraint": "ball"}),
    ("cml", "triplet", {"constraint": "none"}),
    ("inner_product", "bpr", {"constraint": "none"}),
    ("sml", "triplet", {"constraint": "ball"}),
    ("dpcml", "triplet", {"constraint": "sphere", "num_vectors": 3}),
    ("lrml", "triplet", {"constraint": "sphere", "num_memories": 4}),
    ("transcf", "triplet", {"constraint": "ball"}),
    ("hyperml", "triplet", {"constraint": "none"}),
    ("pmlam", "triplet", {"constraint": "ball"}),
    ("sfcml", "squared", {"constraint": "ball"}),
    ("cpe", "triplet", {"constraint": "sphere"}),
    ("crml", "triplet", {"constraint": "ball"}),
    ("hlr", "triplet", {"constraint": "sphere", "num_memories": 4}),
    ("simplex", "softmax", {"constraint": "sphere"}),
    ("cml_bias", "softmax", {"constraint": "sphere"}),
    ("cml_graph", "softmax", {"constraint": "sphere", "num_nearest_items": 2, "num_nearest_users": 3}),
    ("cml_features", "triplet", {"constraint": "ball"}),  # of features see tests/models/test_cml_features.py
]
STEPS = 5
GOES_ON = [
    *((CASES[0], rows) for rows in ("lazy", "dense", "catch_up")),
    (CASES[6], "catch_up"),
    *(pytest.param(case, rows, marks=pytest.mark.slow) for case in (CASES[4], CASES[6]) for rows in ("lazy", "dense")),
    pytest.param(CASES[4], "catch_up", marks=pytest.mark.slow),
]


def dataset(lists):
    rows = [(user, item) for user, items in lists.items() for item in items]
    return dataset_of(dict(zip(("user", "item"), map(list, zip(*rows, strict=True)), strict=True)), valid_fraction=0)


def options(model="cml", loss="softmax", **more):
    sizes = {"dim": 6, "batch_size": 4, "num_candidates": 5, "init_scale": 0.7, "learning_rate": 0.05}
    return make_options(model=model, loss=loss, sampler="uniform", **sizes, **more).as_arrays()


def trained(chosen, lists=None, runs=1):
    """A state after some runs of STEPS steps, and its data set."""
    found = dataset(lists or OLD)
    data = found.train.to_device()
    state = training.init_state(chosen, data, 0)
    for _ in range(runs):
        state, _ = training.run_steps(state, data, chosen, num_steps=STEPS)
    return state, found


def live(state, chosen):
    """Parameters without those of the average."""
    return training.evaluation_params(dataclasses.replace(state, average=None), chosen)


def old_of(chosen, state, found, moments=True):
    params = live(state, chosen)
    optimizers = training.table_optimizers(chosen, chosen.make_model(), state.params, state.step)
    tables = {t: optimizers[t].moments(state.opt_state[t], rows) for t, rows in state.params.tables.items()}
    kept = Moments(tables, state.dense_opt_state) if moments else None
    return Old("old", chosen, params, found.user_ids, found.item_ids, kept, "" if moments else "there are none")


def grown(chosen, old, lists=None, seed=1):
    found = dataset(lists or NEW)
    fresh = training.init_state(chosen, found.train.to_device(), seed)
    return *growing.grown_state(fresh, chosen, found, old), fresh, found


def numpy_embed(rows, constraint):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True) if constraint == "sphere" else rows


def numpy_within(rows, constraint, scale):
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    if constraint == "sphere":
        return rows / norms
    radius = 1.0 if constraint == "ball" else scale
    return rows * np.minimum(1.0, radius / norms)


def by_id(array, ids):
    return dict(zip(ids.tolist(), np.asarray(array), strict=True))


def test_every_model_is_tried():
    assert {name for name, *_ in CASES} == {*MODELS}


@pytest.mark.parametrize(("model", "loss", "more"), CASES)
def test_known_rows_to_the_bit_and_new_ones_at_the_mean_of_their_neighbours(model, loss, more):
    chosen = options(model, loss, **more)
    before, old_data = trained(chosen, runs=0)  # of another seed, which is as good as learned
    old = old_of(chosen, before, old_data)
    state, lines, fresh, found = grown(chosen, old)
    for table, array in state.params.tables.items():
        ids, old_ids = (getattr(d, "user_ids" if "user" in table else "item_ids") for d in (found, old_data))
        now, there, start = (
            by_id(array, ids),
            by_id(old.params.tables[table], old_ids),
            by_id(fresh.params.tables[table], ids),
        )
        known = now.keys() & there.keys()
        assert len(known) >= 5
        for name in known:
            np.testing.assert_array_equal(now[name], there[name])
        for name in {"a3", "b2"} | (now.keys() - known if table not in ("users", "items") else set()):
            if name in now:  # no neighbour that is placed
                np.testing.assert_array_equal(now[name], start[name])
    jax.tree.map(np.testing.assert_array_equal, state.params.dense, old.params.dense)

    constraint = more["constraint"]
    users, items = (
        by_id(numpy_embed(np.asarray(old.params.tables[t]), constraint), getattr(old_data, f"{t[:-1]}_ids"))
        for t in ("users", "items")
    )
    kept = np.stack([items[name] for name in items if name != "i7"])  # of the items that are still there
    scale = np.sqrt(np.square(kept).sum(axis=1).mean())
    users = {name: point.mean(axis=0) if point.ndim == 2 else point for name, point in users.items()}
    starts = by_id(fresh.params.tables["users"], found.user_ids)

    def placed(mean, start=None):
        if start is not None and start.ndim == 2:
            mean = mean + start
        return numpy_within(mean, constraint, scale)

    a1 = placed(np.mean([items[i] for i in ("i0", "i1", "i6")], axis=0), starts["a1"])
    b1 = placed(np.mean([users[u] for u in ("u1", "u2")], axis=0))
    a1_point, b1_point = numpy_embed(a1, constraint), numpy_embed(b1, constraint)
    b3 = placed(a1_point.mean(axis=0) if a1_point.ndim == 2 else a1_point)
    a2 = placed(b1_point, starts["a2"])
    now = by_id(state.params.tables["users"], found.user_ids) | by_id(state.params.tables["items"], found.item_ids)
    for name, expected in {"a1": a1, "b1": b1, "a2": a2, "b3": b3}.items():
        np.testing.assert_allclose(now[name], expected, atol=1e-6, err_msg=name)
    if model == "dpcml":  # equal points would have equal gradients for ever
        assert np.linalg.norm(now["a1"][0] - now["a1"][1]) > 1e-3
    assert lines[0] == (
        "Starting from old: 5 of 8 users and 7 of 10 items are known; 2 new users start at the mean of their items' "
        "points; 1 new users without such items start at random; 2 new items start at the mean of their users' points; "
        "1 new items without such users start at random; dropped 1 users and 1 items that are not in the data any more."
    )


@pytest.mark.parametrize(("case", "rows"), GOES_ON)
def test_same_data_goes_on_as_if_never_stopped(case, rows):
    """But for the average, and for the step, which decides the draws and is put back here."""
    model, loss, more = case
    chosen = options(model, loss, rows=rows, **more)
    before, old_data = trained(chosen)
    state, *_ = grown(chosen, old_of(chosen, before, old_data), OLD)
    assert int(state.step) == 0
    state = dataclasses.replace(state, step=jnp.int32(STEPS), seed=jnp.int32(0))
    data = old_data.train.to_device()
    ends = [training.run_steps(s, data, chosen, num_steps=STEPS)[0] for s in (before, state)]
    expected, found = (live(s, chosen) for s in ends)
    rtol, atol = (1e-5, 1e-6) if rows == "catch_up" else (0.0, 0.0)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=atol), found, expected)


def test_moments_of_rows_that_were_not_touched_lately_are_those_of_dense_adam():
    states = {}
    for rows in ("dense", "catch_up"):
        chosen = options(rows=rows)
        before, old_data = trained(chosen, runs=2)
        states[rows] = old_of(chosen, before, old_data).moments
    for table in ("users", "items"):
        get = optax.tree_utils.tree_get
        for name in ("count", "mu", "nu"):
            found, expected = (np.asarray(get(states[rows].tables[table], name)) for rows in ("catch_up", "dense"))
            np.testing.assert_allclose(found, expected, rtol=2e-4, atol=1e-7)


@pytest.mark.parametrize(("there", "here"), [("dense", "catch_up"), ("catch_up", "lazy"), ("lazy", "lazy")])
def test_moments_of_known_rows_are_kept_and_those_of_new_rows_are_zero(there, here):
    chosen = options(rows=there)
    before, old_data = trained(chosen)
    old = old_of(chosen, before, old_data)
    assert old.moments is not None
    now = options(rows=here)
    state, lines, _, found = grown(now, old)
    assert lines[1] == "The optimizer goes on with the moments of old."
    get = optax.tree_utils.tree_get
    for table, kind in (("users", "user"), ("items", "item")):
        ids, old_ids = (getattr(d, f"{kind}_ids") for d in (found, old_data))
        for name in ("mu", "nu"):
            rows, past = (
                by_id(get(state.opt_state[table], name), ids),
                by_id(get(old.moments.tables[table], name), old_ids),
            )
            for raw in rows:
                np.testing.assert_array_equal(rows[raw], past.get(raw, 0.0))
            assert any(np.any(past[raw]) for raw in rows.keys() & past.keys())
        assert int(get(state.opt_state[table], "count")) == STEPS
        if here == "catch_up":
            np.testing.assert_array_equal(state.opt_state[table].done, np.full(len(ids), STEPS))


def test_average_starts_at_the_parameters_in_memory_of_its_own():
    chosen = options()
    before, old_data = trained(chosen)
    state, *_, found = grown(chosen, old_of(chosen, before, old_data))
    jax.tree.map(np.testing.assert_array_equal, state.average, state.params)
    data = found.train.to_device()
    after = state
    for _ in range(8):
        after, _ = training.run_steps(after, data, chosen, num_steps=STEPS)  # gives the state's memory away
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(after.params))


def test_another_optimizer_starts_anew_and_so_does_one_without_moments():
    chosen = options()
    before, old_data = trained(chosen)
    for now, old, reason in (
        (options(optimizer="adagrad"), old_of(chosen, before, old_data), "those of old are of adam"),
        (chosen, old_of(chosen, before, old_data, moments=False), "there are none"),
    ):
        state, lines, fresh, _ = grown(now, old)
        assert lines[1] == f"The optimizer starts anew: {reason}."
        jax.tree.map(np.testing.assert_array_equal, state.opt_state, fresh.opt_state)


def test_split_over_devices_it_is_the_same():
    chosen = options()
    before, old_data = trained(chosen)
    old = old_of(chosen, before, old_data)
    whole, *_, found = grown(chosen, old)
    split = dataclasses.replace(chosen, num_shards=4)
    split, data = sharding.replicate((split, found.train.to_device()), 4)
    parts, _ = growing.grown_state(training.init_state(split, data, 1), split, found, old)
    for table, rows in whole.params.tables.items():
        there = parts.params.tables[table]
        assert len(there.sharding.device_set) == 4
        np.testing.assert_array_equal(there[: len(rows)], rows)
        assert not np.any(there[len(rows) :])
    ends = [
        training.evaluation_params(training.run_steps(s, d, o, num_steps=STEPS)[0], o).tables["items"]
        for s, d, o in ((whole, found.train.to_device(), chosen), (parts, data, split))
    ]
    np.testing.assert_allclose(ends[1][: len(ends[0])], ends[0], atol=1e-4)


@pytest.mark.parametrize(
    ("there", "here", "key", "values"),
    [
        ({}, {"dim": 8}, "model.dim", (8, 6)),
        ({}, {"constraint": "ball"}, "model.constraint", ("ball", "sphere")),
        (
            {"model": "dpcml", "loss": "triplet"},
            {"model": "dpcml", "loss": "triplet", "num_vectors": 3},
            "model.num_vectors",
            (3, 5),
        ),
        ({}, {"model": "lrml", "loss": "triplet"}, "model.name", ("lrml", "cml")),
    ],
)
def test_another_kind_of_model_is_refused_by_key_and_values(there, here, key, values):
    before = options(**there)
    with pytest.raises(ConfigError) as caught:
        growing.check_same_model(before.replace_options(**here), before, "old")
    text = str(caught.value)
    assert f"config.{key} = {values[0]!r}" in text and f"that of old is {values[1]!r}" in text and "\n" not in text


def test_what_may_differ():
    chosen = options(loss="triplet", gor_weight=0.0)
    growing.check_same_model(chosen.replace_options(loss="softmax", learning_rate=0.5, batch_size=8), chosen, "old")


def test_data_without_a_known_id_are_refused():
    chosen = options()
    before, old_data = trained(chosen)
    with pytest.raises(DataError, match="no user and no item of old is in the data"):
        grown(chosen, old_of(chosen, before, old_data), {"x": ["y", "z"], "w": ["z", "v", "t", "s"]})


def test_numbers_and_text_that_are_written_alike_are_one_id():
    chosen = options()
    lists = {int(u[1:]): [int(i[1:]) + 10 for i in items] for u, items in OLD.items()}
    before, old_data = trained(chosen, lists)
    old = old_of(chosen, before, old_data)
    state, *_ = grown(chosen, old, {str(u): [str(i) for i in items] for u, items in lists.items()} | {"new": ["10"]})
    np.testing.assert_array_equal(state.params.tables["items"], old.params.tables["items"])
