import json

import jax
import jax.numpy as jnp
import pytest

from cml_jax import make_options
from cml_jax.data.synthetic import make_interactions
from experiments.benchmarks import accelerator_costs
from experiments.benchmarks.accelerator_costs import RATES, count, least_times, measure
from experiments.benchmarks.counted_operations import Counts
from tests.benchmarks.test_counted_operations import doubled

TRAIN = make_interactions(60, 300, 900)


def program(**values):
    options = make_options(TRAIN, average_passes=0.0, constraint="sphere", **values)
    return accelerator_costs.step_program("a step", options, TRAIN, num_steps=0)


def counted(one):
    return count(one.function, *one.arguments, times=one.times)


def test_products_of_a_softmax_step_are_three_of_batch_and_candidates():
    """Similarities, and the gradients of users and of candidates."""
    pairs, candidates, dim = 32, 200, 16
    found = counted(program(loss="softmax", batch_size=pairs, num_candidates=candidates, dim=dim))
    closed = 3 * 2 * pairs * candidates * dim
    assert closed <= found.products["default"] <= 1.05 * closed
    assert not found.uncounted


def test_least_bytes_of_a_step_are_those_of_rows_and_moments():
    """With `lazy` a row and its two moments are read and written; the rest is numbers of pairs and of searches."""
    pairs, negatives, dim = 32, 3, 64
    values = {"loss": "triplet", "sampler": "uniform", "batch_size": pairs, "num_negatives": negatives, "dim": dim}
    found = counted(program(rows="lazy", **values))
    rows = (2 + negatives) * pairs * dim * 4
    assert 3 * rows <= found.bytes_written <= 3 * rows + 100
    assert 3 * rows <= found.bytes_read <= 3.2 * rows
    caught_up = counted(program(rows="catch_up", **values))
    assert caught_up.bytes_written - found.bytes_written == pytest.approx((2 + negatives) * pairs * 4, abs=8)


def test_members_of_a_population_cost_as_much_each_and_no_more_kernels():
    one = program(loss="softmax", batch_size=16, num_candidates=50, dim=8, rows="lazy")
    alone = counted(one)
    together = counted(accelerator_costs.population_program("together", one, 4))
    assert together.flop == 4 * alone.flop
    assert together.kernels == pytest.approx(alone.kernels, rel=0.1)
    assert 3.5 * alone.least_bytes < together.least_bytes < 4.5 * alone.least_bytes


def test_products_of_a_ranking_are_those_of_users_and_items():
    found = counted(accelerator_costs.ranking_program(TRAIN, 8, num_users=32, k=2))
    filled = -(-TRAIN.num_items // 64) * 64
    assert found.products == {"highest": 2 * 32 * filled * (8 + 1)}
    assert filled * 9 * 4 < found.least_bytes < filled * 9 * 4 + 40_000


def test_rounds_are_those_that_loops_take_here():
    def program(x):
        def up_to(limit):
            return lambda x: jax.lax.while_loop(lambda x: x < limit, doubled, x)

        small = jax.lax.platform_dependent(x, cpu=up_to(1e6), default=up_to(9.0))
        return jax.lax.scan(lambda x, _: (up_to(100.0)(x), None), small, length=2)[0]

    assert accelerator_costs.rounds_of_loops(program, jnp.float32(1.0)) == {
        "test_counted_operations.doubled": [4, 3, 0]
    }


def test_least_time_is_that_of_the_slower_of_products_and_bytes():
    counts = Counts(bytes_read=3.0e9, bytes_written=0.35e9, bytes_between=33.5e9)
    counts.products.update({"highest": 67 * 10**9})
    found = least_times(counts)
    assert found["H100 SXM"]["least"] == pytest.approx(1e-3) and found["H100 SXM"]["between_kernels"] == pytest.approx(
        0.01
    )
    assert found["TPU v5e"]["limit"] == "bytes" and found["TPU v5e"]["least"] == pytest.approx(3.35 / 819)
    assert found["TPU v5e"]["products"] == pytest.approx(6 * 67e9 / 197e12)
    counts.products.update({"default": 10**12})
    assert least_times(counts)["H100 SXM"]["limit"] == "products"


def test_tables_say_that_they_are_computed():
    rows = [measure(accelerator_costs.ranking_program(TRAIN, 4, num_users=8, k=2))]
    page = accelerator_costs.as_markdown({"programs": json.loads(json.dumps(rows))})
    assert page.count("computed") == 2 and "top 2 of 8 users, d = 4" in page and all(chip in page for chip in RATES)
    widths = {line.count("|") for line in page.split("\n\n")[0].splitlines()}
    assert len(widths) == 1


@pytest.mark.slow
def test_every_program_is_counted_whole():
    rows = [measure(program) for program in accelerator_costs.programs((60, 1100, 3000))]
    assert len(rows) == 8 and not any(row["uncounted"] for row in rows)
